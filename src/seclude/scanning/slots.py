"""What one x86_64 instruction does to a word on the stack: unchanged, moved, a constant, a copy, or unknown.

A word is named by its distance above the stack pointer, in brackets: [24]. Pointers to it are not followed: a
compiler that keeps a number there for later does not hand out its address; where one is taken it is not known.
"""

from __future__ import annotations

import re

from .registers import CONSTANT, COPY, REGISTERS, UNCHANGED, UNKNOWN

_SLOT = re.compile(r"(?:qword|dword) ptr \[rsp(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_ANY = re.compile(r"\[rsp(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_SIZES = {"byte": 1, "word": 2, "dword": 4, "qword": 8, "xmmword": 16, "ymmword": 32, "zmmword": 64}
RED_ZONE = 128
"""Bytes below the stack pointer that a function may use (System V ABI)."""

_READ = frozenset({"cmp", "test", "call", "jmp", "bt", "push", "nop"})


def slot(operand: str) -> str:
    """The word that an operand is, empty for anything else."""
    match = _SLOT.fullmatch(operand)
    return "" if match is None else f"[{_above(match)}]"


def _above(match: re.Match[str]) -> int:
    return int(f"{match[1] or ''}{match[2] or '0'}", 0)


def distance(word: str) -> int:
    """How far the word is above the stack pointer."""
    return int(word[1:-1])


def effect_on_slot(mnemonic: str, operands: str, word: str) -> tuple[str, object]:
    """What the instruction makes of the word: COPY also where it only lies elsewhere before the instruction."""
    at = distance(word)
    name = mnemonic.rpartition(" ")[2]
    first, _, rest = operands.partition(", ")
    if name == "call" and at < 0:
        return UNKNOWN, "from memory"
    if name == "push":
        return (COPY, f"[{at - 8}]") if at else _value(operands)
    if name == "pop":
        return COPY, f"[{at + 8}]"
    if first == "rsp":
        return _moved(name, rest, at)
    if name == "leave":
        return UNKNOWN, "from memory"
    if name == "lea":
        match = _ANY.fullmatch(rest)
        return (UNKNOWN, "from memory") if match and _above(match) == at else (UNCHANGED, None)
    match = _ANY.search(first)
    if match is None or name in _READ:
        return UNCHANGED, None
    start, size = _above(match), _SIZES.get(first.partition(" ")[0], 64)
    if start + size <= at or start >= at + 8:
        return UNCHANGED, None
    return _value(rest) if name == "mov" and start == at and size >= 4 else (UNKNOWN, "from memory")


def _moved(name: str, rest: str, at: int) -> tuple[str, object]:
    try:
        amount = int(rest, 0)
    except ValueError:
        return UNKNOWN, "from memory"
    before = {"sub": at - amount, "add": at + amount}.get(name, -RED_ZONE - 1)
    return (COPY, f"[{before}]") if before >= -RED_ZONE else (UNKNOWN, "from memory")


def _value(operand: str) -> tuple[str, object]:
    register = REGISTERS.get(operand)
    if register is not None and register[1] >= 32:
        return COPY, register[0]
    try:
        return CONSTANT, int(operand, 0) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        return UNKNOWN, "from memory"
