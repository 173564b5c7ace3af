"""What one x86_64 instruction does to one register, from its text: unchanged, a constant, a copy, or unknown."""

from __future__ import annotations

UNCHANGED, CONSTANT, COPY, UNKNOWN, EITHER, LOW = "unchanged", "constant", "copy", "unknown", "either", "low"

_OLD = {"a": "rax", "b": "rbx", "c": "rcx", "d": "rdx"}


def _table() -> dict[str, tuple[str, int]]:
    """Name -> (the 64-bit register, how many bits of it)."""
    found: dict[str, tuple[str, int]] = {}
    for letter, whole in _OLD.items():
        found |= {whole: (whole, 64), f"e{letter}x": (whole, 32), f"{letter}x": (whole, 16)}
        found |= {f"{letter}l": (whole, 8), f"{letter}h": (whole, 9)}
    for name in ("si", "di", "bp", "sp"):
        found |= {f"r{name}": (f"r{name}", 64), f"e{name}": (f"r{name}", 32), name: (f"r{name}", 16)}
        found[f"{name}l"] = (f"r{name}", 8)
    for number in range(8, 16):
        whole = f"r{number}"
        found |= {
            whole: (whole, 64),
            f"{whole}d": (whole, 32),
            f"{whole}w": (whole, 16),
            f"{whole}b": (whole, 8),
        }
    return found


REGISTERS = _table()
RETURNED = frozenset({"rax", "rdx"})
"""What a call gives back. No compiler uses another register after a call unless it knows the call leaves it alone
(-fipa-ra), or the call does not come back."""

_READ_ONLY = frozenset(
    "cmp test push nop endbr64 bt jmp ptest ucomisd comisd ucomiss comiss prefetcht0".split()
)
_IMPLICIT = {
    "syscall": frozenset({"rax", "rcx", "r11"}),
    "sysenter": frozenset({"rax", "rcx", "rdx"}),
    "int": frozenset({"rax"}),
    "mul": frozenset({"rax", "rdx"}),
    "div": frozenset({"rax", "rdx"}),
    "idiv": frozenset({"rax", "rdx"}),
    "cpuid": frozenset({"rax", "rbx", "rcx", "rdx"}),
    "rdtsc": frozenset({"rax", "rdx"}),
    "rdtscp": frozenset({"rax", "rcx", "rdx"}),
    "xgetbv": frozenset({"rax", "rdx"}),
    "cdq": frozenset({"rdx"}),
    "cqo": frozenset({"rdx"}),
    "cdqe": frozenset({"rax"}),
    "cwde": frozenset({"rax"}),
    "lahf": frozenset({"rax"}),
    "rdpkru": frozenset({"rax", "rdx"}),
    "rdsspq": frozenset(),
}
_STRINGS = {
    "movs": frozenset({"rsi", "rdi", "rcx"}),
    "stos": frozenset({"rdi", "rcx"}),
    "lods": frozenset({"rax", "rsi", "rcx"}),
    "scas": frozenset({"rdi", "rcx"}),
    "cmps": frozenset({"rsi", "rdi", "rcx"}),
}
_BOTH = frozenset({"xchg", "xadd", "mulx"})


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def effect(mnemonic: str, operands: str, register: str) -> tuple[str, object]:
    """What the instruction makes of a 64-bit register: (one of the words above, the number or the other register).

    EITHER: a copy, or unchanged. LOW: only the lowest eight bits become the number.
    """
    word = mnemonic.rpartition(" ")[2]
    if word == "call":
        return (UNKNOWN, "what another function returned") if register in RETURNED else (UNCHANGED, None)
    if word in _IMPLICIT:
        if register in _IMPLICIT[word]:
            return UNKNOWN, f"a result of {word}"
        if word in ("syscall", "cdq", "cqo", "int"):
            return UNCHANGED, None
    if len(word) == 5 and word[:4] in _STRINGS and word[4] in "bwdq" and "[" in operands:
        return (UNKNOWN, f"a result of {word}") if register in _STRINGS[word[:4]] else (UNCHANGED, None)
    if word == "cmpxchg" and register == "rax":
        return UNKNOWN, "a result of cmpxchg"
    if word in _READ_ONLY or (word[0] == "j" and word != "jmp"):
        return UNCHANGED, None
    first, _, rest = operands.partition(", ")
    written = REGISTERS.get(first)
    if word in _BOTH:
        other = REGISTERS.get(rest.rpartition(", ")[2] if word == "xchg" else rest)
        if any(item is not None and item[0] == register for item in (written, other)):
            return UNKNOWN, f"a result of {word}"
        return UNCHANGED, None
    if word == "imul" and not rest:
        return (UNKNOWN, "a product") if register in ("rax", "rdx") else (UNCHANGED, None)
    if written is None or written[0] != register:
        return UNCHANGED, None
    return _written(word, first, rest, written[1])


def _written(word: str, first: str, rest: str, bits: int) -> tuple[str, object]:
    if word in ("xor", "sub") and first == rest and bits >= 32:
        return CONSTANT, 0
    value = _number(rest)
    if word in ("mov", "movabs") and value is not None:
        if bits >= 32:
            return CONSTANT, value & (2**bits - 1)
        return (LOW, value & 0xFF) if bits == 8 else (UNKNOWN, "a part of it was written")
    source = REGISTERS.get(rest)
    if word in ("mov", "movsxd", "movzx") and source is not None and source[1] >= 32:
        return COPY, source[0]
    if word.startswith("cmov") and source is not None:
        return EITHER, source[0]
    if "[" in rest:
        return UNKNOWN, "from memory"
    return UNKNOWN, f"computed by {word}"
