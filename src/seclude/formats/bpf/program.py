"""A program of classic BPF: bytes or instructions in, one that the kernel takes as a seccomp filter out.

An instruction is struct sock_filter of include/uapi/linux/filter.h, 8 bytes, little endian as on all machines that are
recorded. What is refused is what kernel/seccomp.c (seccomp_check_filter) and net/core/filter.c (bpf_check_classic,
check_load_and_stores) refuse.
"""

from __future__ import annotations

import struct

from ...errors import ProfileError
from ...model.frozen import frozen

LARGEST_FILTER = 4096
"""Instructions (BPF_MAXINSNS)."""

DATA_SIZE = 64
"""Bytes of struct seccomp_data: number, architecture, instruction pointer, six arguments."""

MEMORY = 16
WORD = 0xFFFF_FFFF

_LAYOUT = struct.Struct("<HBBI")

LOAD_IMMEDIATE, LOAD_DATA, LOAD_MEMORY, LOAD_LENGTH = 0x00, 0x20, 0x60, 0x80
LOADX_IMMEDIATE, LOADX_MEMORY, LOADX_LENGTH = 0x01, 0x61, 0x81
STORE, STOREX = 0x02, 0x03
RETURN, RETURN_A = 0x06, 0x16
TO_X, TO_A = 0x07, 0x87
NEGATE, JUMP = 0x84, 0x05
OPERAND_X = 0x08

COMPUTATIONS = {
    0x04: "add",
    0x14: "sub",
    0x24: "mul",
    0x34: "div",
    0x44: "or",
    0x54: "and",
    0x64: "lsh",
    0x74: "rsh",
    0xA4: "xor",
}
"""What A is computed with, k or (with OPERAND_X) X. Seccomp does not take the remainder, which sockets have."""

BRANCHES = {0x15: "jeq", 0x25: "jgt", 0x35: "jge", 0x45: "jset"}

_PLAIN = frozenset(
    (
        LOAD_IMMEDIATE,
        LOAD_DATA,
        LOAD_MEMORY,
        LOAD_LENGTH,
        LOADX_IMMEDIATE,
        LOADX_MEMORY,
        LOADX_LENGTH,
        STORE,
        STOREX,
        RETURN,
        RETURN_A,
        TO_X,
        TO_A,
        NEGATE,
        JUMP,
    )
)
_MEMORY_CODES = (LOAD_MEMORY, LOADX_MEMORY, STORE, STOREX)


Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, jt, jf, k. An operation, instructions to skip if it holds or not, a constant."""


@frozen
class Program:
    """Instructions that the kernel takes; raises ProfileError for others, naming the instruction from 0."""

    instructions: tuple[Instruction, ...]

    def __post_init__(self) -> None:
        _check(self.instructions)

    def encode(self) -> bytes:
        """As the kernel, bwrap and `seccomp_export_bpf` have it."""
        return b"".join(_LAYOUT.pack(*instruction) for instruction in self.instructions)

    def __len__(self) -> int:
        return len(self.instructions)


def loads(data: bytes, name: str = "the filter") -> Program:
    """The program in `data`; raises ProfileError that begins with `name` if the kernel would not take it."""
    if not data or len(data) % _LAYOUT.size:
        raise ProfileError(
            f"{name}: {len(data)} bytes are no BPF program",
            hint=f"a program has {_LAYOUT.size} bytes for each instruction",
        )
    if len(data) > LARGEST_FILTER * _LAYOUT.size:
        raise ProfileError(f"{name}: {_too_many(len(data) // _LAYOUT.size)}", hint=_FEWER)
    instructions: list[Instruction] = list(_LAYOUT.iter_unpack(data))
    try:
        return Program(instructions=tuple(instructions))
    except ProfileError as error:
        raise ProfileError(f"{name}: {error.message}", hint=error.hint) from error


_FEWER = "rules with fewer conditions, or fewer architectures, make it smaller"


def _too_many(count: int) -> str:
    return f"{count} instructions, of which the kernel takes {LARGEST_FILTER}"


def _check(instructions: tuple[Instruction, ...]) -> None:
    if not instructions:
        raise ProfileError("a filter without instructions")
    if len(instructions) > LARGEST_FILTER:
        raise ProfileError(_too_many(len(instructions)), hint=_FEWER)
    count = len(instructions)
    for at, instruction in enumerate(instructions):
        wrong = _wrong(instruction, count - at - 1)
        if wrong:
            raise ProfileError(f"instruction {at}: {wrong}")
    if instructions[-1][0] not in (RETURN, RETURN_A):
        raise ProfileError(f"instruction {count - 1}: the last one must be a return")
    _check_memory(instructions)


def _wrong(instruction: Instruction, following: int) -> str:
    """What the kernel has against the instruction before `following` others, or nothing."""
    code, jt, jf, k = instruction
    if code not in _PLAIN and code & ~OPERAND_X not in COMPUTATIONS and code & ~OPERAND_X not in BRANCHES:
        return f"operation {code:#x} is not allowed in a seccomp filter"
    if code == LOAD_DATA and (k >= DATA_SIZE or k % 4):
        return f"offset {k} is not that of a word in the {DATA_SIZE} bytes of struct seccomp_data"
    if code in _MEMORY_CODES and k >= MEMORY:
        return f"memory word {k} does not exist, there are {MEMORY}"
    if code == 0x34 and k == 0:
        return "division by 0"
    if code in (0x64, 0x74) and k >= 32:
        return f"a shift by {k} bits of 32"
    furthest = k if code == JUMP else max(jt, jf) if code & ~OPERAND_X in BRANCHES else -1
    if furthest >= following:
        return f"a jump over {furthest} instructions, where {following} follow"
    return ""


def _check_memory(instructions: tuple[Instruction, ...]) -> None:
    """Raise ProfileError for a word that is read on a way on which nothing wrote it (check_load_and_stores)."""
    everything = (1 << MEMORY) - 1
    reaching = [everything] * len(instructions)
    written = 0
    for at, (code, jt, jf, k) in enumerate(instructions):
        written &= reaching[at]
        if code in (STORE, STOREX):
            written |= 1 << k
        elif code in (LOAD_MEMORY, LOADX_MEMORY):
            if not written >> k & 1:
                raise ProfileError(f"instruction {at}: memory word {k} is read before it is written")
        elif code == JUMP or code & ~OPERAND_X in BRANCHES:
            for skipped in (k,) if code == JUMP else (jt, jf):
                reaching[at + 1 + skipped] &= written
            written = everything
