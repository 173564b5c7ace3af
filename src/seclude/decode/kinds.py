"""Kinds of arguments: a kind's line of constants.py in, numbers as names and names as numbers out."""

from __future__ import annotations

from .constants import KINDS, VARIANTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NARROW = 0xFFFF_FFFF
LARGEST = 0xFFFF_FFFF_FFFF_FFFF

SUFFIXES = {
    "x86_64": ("x86_64", "intel"),
    "x32": ("x32", "intel"),
    "x86": ("x86", "32", "intel"),
    "aarch64": ("aarch64", "arms"),
    "arm": ("arm", "32", "arms"),
}
"""ABI -> what may stand after "@" in the tables, the most particular first."""

_PLAIN = ("fd", "dirfd", "int", "uint", "size", "long", "mode", "ptr", "hex", "num")
_AT_FDCWD = -100
_SMALL = 0x1_0000
_MODE_BITS = 0xFFFF


class Kind:
    """A number in the bits of `mask`, and flags in the others; `last`: where the number is shown."""

    def __init__(self, text: str) -> None:
        before, _, after = text.partition("|")
        mask, colon, words = before.rpartition(":")
        self.mask = int(mask, 16) if colon else NARROW if before.strip() else 0
        self.last = words.strip().startswith("@")
        if self.last:
            words = KINDS[words.strip()[1:]]
        self.numbers = {value: name for name, value in _pairs(words)}
        self.flags = tuple(_pairs(after))

    def names(self) -> dict[str, int]:
        """Name -> value."""
        return {name: value for value, name in self.numbers.items()} | dict(self.flags)

    def shown(self, value: int) -> str:
        """The value as "NAME|NAME|0x40", a number alone where it has no name."""
        if not self.flags and value not in self.numbers:
            return number(value)
        parts = []
        rest = value & ~self.mask
        for name, bits in self.flags:
            if rest & bits == bits:
                parts.append(name)
                rest &= ~bits
        if rest:
            parts.append(f"{rest:#x}")
        own = value & self.mask
        if own in self.numbers and (self.mask or not parts):
            parts.insert(len(parts) if self.last else 0, self.numbers[own])
        elif own:
            parts.insert(len(parts) if self.last else 0, number(own))
        return "|".join(parts) or "0"


class _Kinds:
    """The parsed kinds, each once it has been asked for."""

    def __init__(self) -> None:
        self._parsed: dict[str, Kind] = {}

    def __getitem__(self, key: str) -> Kind:
        if key not in self._parsed:
            self._parsed[key] = Kind(VARIANTS[key] if "@" in key else KINDS[key])
        return self._parsed[key]


_KINDS = _Kinds()


def _pairs(words: str) -> Iterator[tuple[str, int]]:
    for word in words.split():
        name, _, value = word.partition("=")
        yield name, int(value, 0)


def kind(abi: str, word: str) -> Kind | None:
    """The constants of this word of a signature in this ABI; None where it stands for a plain number."""
    if word in _PLAIN:
        return None
    for suffix in SUFFIXES.get(abi, ()):
        if f"{word}@{suffix}" in VARIANTS:
            return _KINDS[f"{word}@{suffix}"]
    return _KINDS[word]


def number(value: int) -> str:
    """A number that is mostly small: decimal up to 65535, else hexadecimal."""
    return str(value) if value < _SMALL else f"{value:#x}"


def shown(abi: str, word: str, value: int, *, wide: bool, register: int) -> str:
    """The argument as this word of a signature says; `register` is the mask of the bits that the ABI has."""
    value &= register if wide else NARROW
    constants = kind(abi, word)
    if constants is not None:
        return constants.shown(value)
    largest = register if wide else NARROW
    signed = value - largest - 1 if value > largest >> 1 else value
    if word == "dirfd" and signed == _AT_FDCWD:
        return "AT_FDCWD"
    if word in ("fd", "dirfd", "int", "long"):
        return str(signed)
    if word == "mode":
        return f"0o{value & _MODE_BITS:o}"
    if word == "num":
        return str(signed) if -_SMALL < signed < 0 else number(value)
    if word == "uint" or (word == "size" and value == signed):
        return str(value)
    return f"{value:#x}" if value else "0"


def names(abi: str, word: str) -> dict[str, int]:
    """Name -> value of all that an argument of this word can be called."""
    if word == "dirfd":
        return {"AT_FDCWD": _AT_FDCWD & NARROW}
    constants = kind(abi, word)
    return constants.names() if constants is not None else {}
