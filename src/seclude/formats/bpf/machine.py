"""A filter's answers: a program and struct seccomp_data in, the action and its data out, as the kernel has them."""

from __future__ import annotations

from .program import (
    BRANCHES,
    COMPUTATIONS,
    DATA_SIZE,
    JUMP,
    LOAD_DATA,
    LOAD_IMMEDIATE,
    LOAD_LENGTH,
    LOAD_MEMORY,
    LOADX_IMMEDIATE,
    LOADX_LENGTH,
    LOADX_MEMORY,
    MEMORY,
    NEGATE,
    OPERAND_X,
    RETURN,
    STORE,
    STOREX,
    TO_A,
    TO_X,
    WORD,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .program import Instruction, Program

    Words = Sequence[int]
    """struct seccomp_data as 16 words of 32 bits, the lower half of an argument first."""

    _Node = tuple[int, Any, Any, Any]
    """What to do, a constant, the next node (if a condition holds), the next node if it does not."""

    _State = list[int]
    _Operation = Callable[[int, _State], tuple[int, bool | None]]
    """(A, X and then the memory) -> (A, True); or None for a return of A, False for a condition that fails."""

X32_BIT = 0x4000_0000

# include/uapi/linux/audit.h; x32 has the token of x86_64, and tells itself apart by a bit of the number.
TOKENS = {
    "x86_64": 0xC000_003E,
    "x86": 0x4000_0003,
    "x32": 0xC000_003E,
    "aarch64": 0xC000_00B7,
    "arm": 0x4000_0028,
}
"""ABI -> what struct seccomp_data has as the architecture."""

# include/uapi/linux/seccomp.h
_ACTIONS = {
    0x8000_0000: "SCMP_ACT_KILL_PROCESS",
    0x0000_0000: "SCMP_ACT_KILL_THREAD",
    0x0003_0000: "SCMP_ACT_TRAP",
    0x0005_0000: "SCMP_ACT_ERRNO",
    0x7FC0_0000: "SCMP_ACT_NOTIFY",
    0x7FF0_0000: "SCMP_ACT_TRACE",
    0x7FFC_0000: "SCMP_ACT_LOG",
    0x7FFF_0000: "SCMP_ACT_ALLOW",
}
_WITH_DATA = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_MAX_ERRNO = 4095


def call_data(abi: str, number: int, arguments: Sequence[int], pointer: int = 0) -> Words:
    """What a filter is given for a call; `number` without the bit of x32, -1 for the call that is skipped."""
    if abi == "x32" and number >= 0:
        number |= X32_BIT
    words = [number & WORD, TOKENS[abi]]
    for value in (pointer, *arguments):
        words += (value & WORD, value >> 32 & WORD)
    return tuple(words)


def meaning(answer: int) -> tuple[str, int]:
    """(action, its errno or tracer's number, or 0) of what a filter returns (kernel/seccomp.c, __seccomp_filter)."""
    # An action that the kernel does not know kills the process.
    action = _ACTIONS.get(answer & 0xFFFF_0000, "SCMP_ACT_KILL_PROCESS")
    if action not in _WITH_DATA:
        return action, 0
    data = answer & 0xFFFF
    return action, min(data, _MAX_ERRNO) if action == "SCMP_ACT_ERRNO" else data


def run(program: Program, data: Words) -> tuple[str, int]:
    """(action, data) for one call; for many, keep the Machine."""
    return Machine(program)(data)


_SWITCH, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _LOAD, _RETURN, _AND, _OTHER = range(9)
_CONSTANT = {"jeq": _EQUAL, "jgt": _GREATER, "jge": _AT_LEAST, "jset": _ANY_BIT}

# Nodes hold one another, so that a step needs no lookup; comparisons of one word with one value after the other, as
# filters mostly consist of, become one lookup in a dictionary.


class Machine:
    """A program made ready to answer: call it with struct seccomp_data."""

    def __init__(self, program: Program) -> None:
        self._start = _linked(program.instructions)
        self._meanings: dict[int, tuple[str, int]] = {}

    def __call__(self, data: Words) -> tuple[str, int]:
        answer = self.answer(data)
        found = self._meanings.get(answer)
        if found is None:
            found = self._meanings[answer] = meaning(answer)
        return found

    def answer(self, data: Words) -> int:
        """The 32 bits that the filter returns."""
        what, k, node, other = self._start
        a = 0
        state: list[int] = []  # X and the memory, which few filters use
        while True:
            if what == _SWITCH:
                node = k.get(a, other)
            elif what == _LOAD:
                a = data[k]
            elif what == _AT_LEAST:
                if a < k:
                    node = other
            elif what == _GREATER:
                if a <= k:
                    node = other
            elif what == _EQUAL:
                if a != k:
                    node = other
            elif what == _RETURN:
                return int(k)
            elif what == _AND:
                a &= k
            elif what == _ANY_BIT:
                if not a & k:
                    node = other
            else:
                state = state or [0] * (MEMORY + 1)
                a, branch = k(a, state)
                if branch is None:
                    return int(a)
                if not branch:
                    node = other
            what, k, node, other = node


def _linked(instructions: Sequence[Instruction]) -> _Node:
    """The first node of the program."""
    entered = _entered(instructions)
    nodes: list[_Node] = [(_RETURN, 0, None, None)] * (len(instructions) + 1)
    for at in range(len(instructions) - 1, -1, -1):
        code, jt, jf, k = instructions[at]
        following = nodes[at + 1]
        if code == LOAD_DATA:
            node: _Node = (_LOAD, k // 4, following, None)
        elif code == RETURN:
            node = (_RETURN, k, None, None)
        elif code == JUMP:
            node = nodes[at + 1 + k]
        elif code == 0x54:
            node = (_AND, k, following, None)
        elif code == 0x15:
            false = at + 1 + jf
            if instructions[false][0] == 0x15 and false not in entered:
                # Nobody else comes there, so its table can become ours; the comparison that is made first wins.
                table, default = nodes[false][1], nodes[false][3]
            else:
                table, default = {}, nodes[false]
            table[k] = nodes[at + 1 + jt]
            node = (_SWITCH, table, None, default)
        elif code in BRANCHES:
            node = (_CONSTANT[BRANCHES[code]], k, nodes[at + 1 + jt], nodes[at + 1 + jf])
        elif code & ~OPERAND_X in BRANCHES:
            node = (_OTHER, _compare(BRANCHES[code & ~OPERAND_X]), nodes[at + 1 + jt], nodes[at + 1 + jf])
        else:
            node = (_OTHER, _operation(code, k), following, following)
        nodes[at] = node
    return nodes[0]


def _entered(instructions: Sequence[Instruction]) -> set[int]:
    """Where a way leads to that is not the only one, from one comparison with a constant to the next."""
    chained: set[int] = set()
    entered: set[int] = {0}
    for at, (code, jt, jf, k) in enumerate(instructions):
        if code == 0x15:
            entered.add(at + 1 + jt)
            false = at + 1 + jf
            (entered if false in chained else chained).add(false)
        elif code & ~OPERAND_X in BRANCHES:
            entered.update((at + 1 + jt, at + 1 + jf))
        else:
            entered.add(at + 1 + (k if code == JUMP else 0))
    return entered


_COMPUTE: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b & WORD,
    "sub": lambda a, b: a - b & WORD,
    "mul": lambda a, b: a * b & WORD,
    "div": lambda a, b: a // b,
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    # Shifts by X take its lowest five bits, as eBPF does, which the kernel translates filters to.
    "lsh": lambda a, b: a << (b & 31) & WORD,
    "rsh": lambda a, b: a >> (b & 31),
    "xor": lambda a, b: a ^ b,
}
_HOLDS: dict[str, Callable[[int, int], bool]] = {
    "jeq": lambda a, b: a == b,
    "jgt": lambda a, b: a > b,
    "jge": lambda a, b: a >= b,
    "jset": lambda a, b: bool(a & b),
}


def _compare(name: str) -> _Operation:
    holds = _HOLDS[name]
    return lambda a, state: (a, holds(a, state[0]))


def _operation(code: int, k: int) -> _Operation:
    """What is neither a branch nor among the frequent operations."""
    if code & ~OPERAND_X in COMPUTATIONS:
        return _computation(COMPUTATIONS[code & ~OPERAND_X], k, with_x=bool(code & OPERAND_X))
    if code in (STORE, STOREX):
        return _store(k + 1, from_x=code == STOREX)
    if code in (LOADX_IMMEDIATE, LOADX_LENGTH, LOADX_MEMORY, TO_X):
        return _load_x(code, k)
    values: dict[int, _Operation] = {
        LOAD_IMMEDIATE: lambda a, state: (k, True),
        LOAD_LENGTH: lambda a, state: (DATA_SIZE, True),
        LOAD_MEMORY: lambda a, state: (state[k + 1], True),
        TO_A: lambda a, state: (state[0], True),
        NEGATE: lambda a, state: (-a & WORD, True),
    }
    return values.get(code) or (lambda a, state: (a, None))


def _computation(name: str, k: int, *, with_x: bool) -> _Operation:
    compute = _COMPUTE[name]
    if not with_x:
        return lambda a, state: (compute(a, k), True)
    if name == "div":
        # The kernel ends the program with 0, which kills the thread (bpf_convert_filter, "div/mod by 0").
        return lambda a, state: (a // state[0], True) if state[0] else (0, None)
    return lambda a, state: (compute(a, state[0]), True)


def _store(place: int, *, from_x: bool) -> _Operation:
    def store(a: int, state: _State) -> tuple[int, bool | None]:
        state[place] = state[0] if from_x else a
        return a, True

    return store


def _load_x(code: int, k: int) -> _Operation:
    def load(a: int, state: _State) -> tuple[int, bool | None]:
        state[0] = {LOADX_IMMEDIATE: k, LOADX_LENGTH: DATA_SIZE, TO_X: a}.get(code, 0)
        if code == LOADX_MEMORY:
            state[0] = state[k + 1]
        return a, True

    return load
