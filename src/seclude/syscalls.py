"""Names and numbers of system calls: an ABI and a number in, the name that profiles use out, and back.

Numbers of x32 come without bit 30. Nothing is built for an ABI that nobody asks about, because the OCI hook
imports this module twice for every container.
"""

from __future__ import annotations

from . import _tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "x86": "SCMP_ARCH_X86",
    "x32": "SCMP_ARCH_X32",
    "aarch64": "SCMP_ARCH_AARCH64",
    "arm": "SCMP_ARCH_ARM",
}
"""ABI, as recordings name it -> architecture, as profiles name it."""


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    number = 0
    for word in text.split():
        if word[0] == "=":
            number = int(word[1:])
        else:
            yield number, word
            number += 1


class _Table:
    """One ABI's calls; each direction is built when it is first asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._names: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    def names(self) -> dict[int, str]:
        if not self._names:
            self._names = dict(_numbered(self._text))
        return self._names

    def numbers(self) -> dict[str, int]:
        if not self._numbers:
            self._numbers = {name: number for number, name in self.names().items()}
        return self._numbers


_TABLES = {
    "x86_64": _Table(_tables.X86_64),
    "x86": _Table(_tables.X86),
    "x32": _Table(_tables.X32),
    "aarch64": _Table(_tables.AARCH64),
    "arm": _Table(_tables.ARM),
}


def name_of(abi: str, number: int) -> str:
    """The name of a call, or "#NUMBER" where the table has none. Raises KeyError for an unknown ABI."""
    return _TABLES[abi].names().get(number) or f"#{number}"


def number_of(abi: str, name: str) -> int | None:
    """The number of a call, or None where this ABI has no such call. Raises KeyError for an unknown ABI."""
    return _TABLES[abi].numbers().get(name)


def names(abi: str) -> frozenset[str]:
    """Every name this ABI has, calls that Linux has dropped included. Raises KeyError for an unknown ABI."""
    return frozenset(_TABLES[abi].numbers())


def all_names() -> frozenset[str]:
    """Every name any ABI has, and those of other processors, which portable profiles list too."""
    return frozenset(_tables.OTHERS.split()).union(*(table.numbers() for table in _TABLES.values()))


def nearest(name: str) -> str:
    """The known name that `name` was probably meant to be, or the empty string."""
    from difflib import get_close_matches

    wanted = name.strip().lower().removeprefix("sys_")
    close = get_close_matches(wanted, sorted(all_names()), n=1, cutoff=0.75)
    return close[0] if close else ""
