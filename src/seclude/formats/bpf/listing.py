"""A filter for people: a program in, its instructions as text with what they compare and answer out."""

from __future__ import annotations

from ...syscalls import name_of
from .machine import TOKENS, X32_BIT, meaning
from .program import (
    BRANCHES,
    COMPUTATIONS,
    JUMP,
    LOAD_DATA,
    LOAD_IMMEDIATE,
    LOAD_LENGTH,
    LOAD_MEMORY,
    LOADX_IMMEDIATE,
    LOADX_LENGTH,
    LOADX_MEMORY,
    NEGATE,
    OPERAND_X,
    RETURN,
    RETURN_A,
    STORE,
    STOREX,
    TO_A,
    TO_X,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .program import Instruction, Program

_NUMBER, _ARCHITECTURE = 0, 4
_ARCHES = {token: abi for abi, token in TOKENS.items() if abi != "x32"}
_TEXTS = {
    LOAD_IMMEDIATE: "ld {k:#x}",
    LOAD_DATA: "ld [{k}]",
    LOAD_MEMORY: "ld M[{k}]",
    LOAD_LENGTH: "ld len",
    LOADX_IMMEDIATE: "ldx {k:#x}",
    LOADX_MEMORY: "ldx M[{k}]",
    LOADX_LENGTH: "ldx len",
    STORE: "st M[{k}]",
    STOREX: "stx M[{k}]",
    RETURN_A: "ret A",
    TO_X: "tax",
    TO_A: "txa",
    NEGATE: "neg",
}

_Known = tuple[int, int]
"""(offset of what A was loaded from, architecture's token), each -1 where that depends on the way taken."""


def disassemble(program: Program) -> str:
    """One line for each instruction; jumps name the instructions that they lead to, the condition's first."""
    lines = []
    for at, (instruction, known) in enumerate(
        zip(program.instructions, _known(program.instructions), strict=True)
    ):
        text, comment = _text(at, instruction), _comment(instruction, known)
        lines.append(f"{at:4}: {text:<30}; {comment}" if comment else f"{at:4}: {text}")
    return "\n".join(lines) + "\n"


def _known(instructions: tuple[Instruction, ...]) -> list[_Known]:
    """What is known before each instruction. Jumps lead forward, so that one pass sees every way."""
    found: list[_Known | None] = [None] * (len(instructions) + 1)
    found[0] = (-1, -1)

    def reach(at: int, known: _Known) -> None:
        before = found[at]
        if before is not None:
            same = [one if one == other else -1 for one, other in zip(before, known, strict=True)]
            known = (same[0], same[1])
        found[at] = known

    for at, (code, jt, jf, k) in enumerate(instructions):
        offset, token = found[at] or (-1, -1)
        if code == JUMP:
            reach(at + 1 + k, (offset, token))
        elif code & ~OPERAND_X in BRANCHES:
            decided = k if code == 0x15 and offset == _ARCHITECTURE else token
            reach(at + 1 + jt, (offset, decided))
            reach(at + 1 + jf, (offset, token))
        elif code not in (RETURN, RETURN_A):
            if code == LOAD_DATA:
                offset = k
            elif code & 7 in (0, 4) or code == TO_A:  # loads and computations change A
                offset = -1
            reach(at + 1, (offset, token))
    return [known or (-1, -1) for known in found[:-1]]


def _text(at: int, instruction: Instruction) -> str:
    code, jt, jf, k = instruction
    if code == RETURN:
        action, data = meaning(k)
        name = action.removeprefix("SCMP_ACT_")
        return f"ret {name}({data})" if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else f"ret {name}"
    if code == JUMP:
        return f"ja {at + 1 + k}"
    operand = "X" if code & OPERAND_X else f"{k:#x}"
    if code & ~OPERAND_X in BRANCHES:
        return f"{BRANCHES[code & ~OPERAND_X]} {operand}, {at + 1 + jt}, {at + 1 + jf}"
    if code & ~OPERAND_X in COMPUTATIONS:
        return f"{COMPUTATIONS[code & ~OPERAND_X]} {operand}"
    return _TEXTS[code].format(k=k)


def _comment(instruction: Instruction, known: _Known) -> str:
    code, _, _, k = instruction
    if code == LOAD_DATA:
        return _place(k)
    if code not in BRANCHES:
        return ""
    offset, token = known
    if offset == _ARCHITECTURE:
        return _ARCHES.get(k, "")
    if offset != _NUMBER or token not in _ARCHES:
        return ""
    if k & X32_BIT and token == TOKENS["x32"]:
        name = name_of("x32", k & ~X32_BIT) if k > X32_BIT and k != 0xFFFF_FFFF else ""
    else:
        name = name_of(_ARCHES[token], k)
    return "" if name.startswith("#") else name


def _place(offset: int) -> str:
    """The field of struct seccomp_data at an offset."""
    if offset < 8:
        return "nr" if offset == _NUMBER else "arch"
    half = "high" if offset % 8 else "low"
    return f"instruction pointer, {half}" if offset < 16 else f"args[{(offset - 16) // 8}], {half}"
