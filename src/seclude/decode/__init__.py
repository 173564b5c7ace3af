"""Arguments of system calls for people: an ABI, a call and its six numbers in, one line of text out; and back."""

from __future__ import annotations

from .constants import KINDS
from .kinds import LARGEST, NARROW, SUFFIXES, names, shown
from .signatures import CHOICES, SIGNATURES, WIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 400
"""Characters of a decoded call: a value may have every bit set."""

_MOST_ARGUMENTS = 6
_LONGEST_NAME = 40
_FEW = 12


class _Signatures:
    """The tables of signatures.py, parsed when they are first asked for."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[str, ...]] = {}
        self._choices: dict[str, list[tuple[int, frozenset[str], tuple[str, ...]]]] = {}

    def words(self) -> dict[str, tuple[str, ...]]:
        if not self._words:
            for line in SIGNATURES.split("\n"):
                if line:
                    name, *words = line.split()
                    self._words[name] = tuple(words)
        return self._words

    def choices(self) -> dict[str, list[tuple[int, frozenset[str], tuple[str, ...]]]]:
        if not self._choices:
            for line in CHOICES.strip().split("\n"):
                if " = " in line:
                    name, _, same = line.partition(" = ")
                    self._choices[name] = self._choices[same]
                    continue
                chosen, _, words = line.partition(":")
                name, index, *constants = chosen.split()
                choice = (int(index), frozenset(constants), tuple(words.split()))
                self._choices.setdefault(name, []).append(choice)
        return self._choices


_SIGNATURES = _Signatures()


def decoded(abi: str, name: str, arguments: Sequence[int]) -> str:
    """The call as "openat(AT_FDCWD, 0x7f00, O_RDONLY|O_CLOEXEC, 0o0)": printable, at most LONGEST characters.

    Only as many arguments as the call has; of a call or an ABI that the tables do not know all six in hexadecimal,
    without trailing zeros. Nothing behind a pointer is read, so nothing here is a string of the program.
    """
    called = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_#") else "?"
        for letter in name[:_LONGEST_NAME]
    )
    register = register_of(abi)
    given = [value & register for value in arguments[:_MOST_ARGUMENTS]]
    words = signature(abi, name)
    if words is None:
        while given and not given[-1]:
            given.pop()
        parts = [f"{value:#x}" for value in given]
    else:
        words = _chosen(abi, name, words, given)
        parts = [
            shown(abi, word, value, wide=word in WIDE, register=register)
            for word, value in zip(words, given, strict=False)
        ]
    line = f"{called}({', '.join(parts)})"
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def register_of(abi: str) -> int:
    """The bits that an argument has in this ABI, as a mask; 64 for an ABI that is not known."""
    return NARROW if "32" in SUFFIXES.get(abi, ()) else LARGEST


def signature(abi: str, name: str) -> tuple[str, ...] | None:
    """A word for each argument of the call (signatures.py), None where the call or the ABI is not known."""
    if abi not in SUFFIXES:
        return None
    table = _SIGNATURES.words()
    for suffix in SUFFIXES[abi]:
        if f"{name}@{suffix}" in table:
            return table[f"{name}@{suffix}"]
    return table.get(name)


def _chosen(abi: str, name: str, words: tuple[str, ...], given: Sequence[int]) -> tuple[str, ...]:
    """The words after one of the arguments has said what the others are."""
    for index, constants, choice in _SIGNATURES.choices().get(name, ()):
        if index < len(given):
            known = names(abi, words[index])
            if any(known.get(constant) == given[index] & NARROW for constant in constants):
                return choice
    return words


def value_of(name: str, index: int, text: str, abi: str) -> int:
    """The number that `text`, such as "O_RDWR|O_CLOEXEC", "0o644" or "-1", is as this argument of the call.

    Negative numbers and AT_FDCWD are in the bits that the kernel reads: 32 of an int. Which value the upper half of
    the register has then is up to the program, so a filter should compare such an argument under the mask
    0xffffffff. Raises ValueError naming what is wrong and the nearest names.
    """
    words = signature(abi, name)
    if words is None:
        raise ValueError(f"the arguments of {name} on {abi} are not known")
    if not 0 <= index < len(words):
        raise ValueError(f"{name} has {len(words)} arguments, numbered from 0: no argument {index}")
    known: dict[str, int] = {}
    options = {choice[index] for _, _, choice in _SIGNATURES.choices().get(name, ()) if index < len(choice)}
    for word in (words[index], *sorted(options)):
        known |= names(abi, word)
    largest = register_of(abi) if words[index] in WIDE else NARROW
    value = 0
    for part in text.split("|"):
        value |= _part(part.strip(), known, largest, f"argument {index} of {name}")
    return value


def _part(text: str, known: dict[str, int], largest: int, where: str) -> int:
    if text in known:
        return known[text]
    digits = text.removeprefix("-").lower()
    # As in C a leading zero alone is octal, which Python refuses.
    base = 8 if digits[:1] == "0" and digits.isdigit() else 0
    try:
        value = int(digits, base) if digits[:1].isdigit() and len(digits) <= _LONGEST_NAME else None
    except ValueError:
        value = None
    if value is None:
        raise ValueError(f"{text[:80]!r} is neither a number nor a name for {where}{_near(text, known)}")
    if text.startswith("-"):
        value = -value
    if not -(largest >> 1) - 1 <= value <= largest:
        raise ValueError(f"{text[:80]} is out of range for {where}: {largest:#x} is the largest")
    return value & largest


def _near(text: str, known: dict[str, int]) -> str:
    from difflib import get_close_matches

    if not known:
        return ", which has no names"
    close = get_close_matches(text[:80].upper(), known, n=3, cutoff=0.6)
    if close:
        return f": did you mean {' or '.join(close)}?"
    shown_names = list(known)[:_FEW]
    return f": it takes {', '.join(shown_names)}" + (", ..." if len(known) > _FEW else "")


__all__ = ["KINDS", "LONGEST", "decoded", "register_of", "signature", "value_of"]
