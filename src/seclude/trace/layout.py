"""The Python side of bpf/recorder.h: the same limits, numbers and layouts (a test compares the two)."""

from __future__ import annotations

import struct

RECORDER_VERSION = 2
MARK = 0x5EC1DE00
WORDS = 9
NAME_BYTES = 248
NAME_OVERFLOW = 0xFFFFFFFF
PHASE_COUNT = 3
ABI_COUNT = 5

NAME_CONTEXT, NAME_EXECUTABLE = 0, 1
NAMESPACE_MNT, NAMESPACE_PID = 0, 1

FLAG_UNCONFINED = 1
FLAG_COUNTS = 2
FLAG_WATCH = 4
FLAG_ARGUMENTS = 8
FLAG_STACKS = 16
FLAG_INIT = 256
FLAG_APP = 512
SLOW_SET = 1

ARM_ABI = 4
ARM_PRIVATE = 0x0F0000
X32_ABI = 2

SET_WORDS = PHASE_COUNT * ABI_COUNT * WORDS

META = struct.Struct("=III")
TARGET = struct.Struct(f"={SET_WORDS}Q6Q10I")
TARGET_SET, TARGET_LAST_NAME = SET_WORDS + 13, SET_WORDS + 14
"""Where these two members of TARGET are."""
MARK_VALUE = struct.Struct("=6I")
CPU = struct.Struct("=Q6I")
NAME = struct.Struct("=II")
NAMESPACE_KEY = struct.Struct("=II")
NAME_KEY = struct.Struct(f"=II{NAME_BYTES}s")
FACT_KEY = struct.Struct("=IIIBBH")
FACT = struct.Struct("=QQ6QIIII16s")
ARGUMENT_CALL = struct.Struct("=III")
ARGUMENT_MASK = struct.Struct("=II")
ARGUMENT_KEY = struct.Struct("=IIII6Q")
ID = struct.Struct("=I")

MAPS = {
    "meta": (4, META.size),
    "marks": (4, MARK_VALUE.size),
    "sets_used": (4, 4),
    "cpus": (4, CPU.size),
    "targets": (4, TARGET.size),
    "namespaces": (NAMESPACE_KEY.size, 4),
    "facts": (FACT_KEY.size, FACT.size),
    "names": (NAME_KEY.size, NAME.size),
    "argument_masks": (ARGUMENT_CALL.size, ARGUMENT_MASK.size),
    "argument_values": (ARGUMENT_KEY.size, 4),
}
"""Every map that is pinned: name -> bytes of a key, bytes of a value."""

PROGRAMS = ("on_switch", "on_fork", "on_exec", "on_end", "on_enter")
"""Attached as long as anything is recorded."""


WATCH_LINK = "link_on_death"
"""Pinned last by a denial watch that lies beside the recorder."""
STACKS_LINK = "link_on_first"
"""Pinned beside it where a target asks for stacks."""


def number_of_slot(abi: int, slot: int) -> int:
    """The call's number in its own table, from the recorder's slot (bpf/abi.h, slot_of)."""
    if abi == ARM_ABI and 512 <= slot < 528:
        return ARM_PRIVATE + slot - 512
    return slot


def slot_of_number(abi: int, number: int) -> int:
    """The recorder's slot for a call's number, the reverse of number_of_slot."""
    if abi == ARM_ABI and ARM_PRIVATE <= number < ARM_PRIVATE + 16:
        return 512 + number - ARM_PRIVATE
    return number
