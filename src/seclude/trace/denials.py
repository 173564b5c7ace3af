"""The denial watch's tables (bpf/watch.h): keys and values in, Sightings out."""

from __future__ import annotations

import os
import struct

from .. import syscalls
from ..model.denial import ALLOWED, OTHER_NUMBER, OTHER_PROCESSES, Denial, Frame, Place, Sighting
from ..model.recording import ABIS, NO_CONTEXT, OVERFLOW
from . import layout
from .text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

FRAMES = 16
MODULES = 6
MODULE_BYTES = 40
PATH_PARTS = 12
PART_BYTES = 40
CGROUP_BYTES = 88

CONFIG = struct.Struct("=QII")
SCOPE = struct.Struct("=II")
KEY = struct.Struct("=IIIIHHI")
_HEAD = struct.Struct(f"=QQQQ6Q8I16s{CGROUP_BYTES}s{CGROUP_BYTES}s")
_PATH = struct.Struct(f"={PATH_PARTS * PART_BYTES}s")
PLACE = struct.Struct("=QQII")
MODULE = struct.Struct(f"=Q{MODULE_BYTES}s")
DENIAL = struct.Struct(
    _HEAD.format
    + _PATH.format.lstrip("=")
    + FRAMES * PLACE.format.lstrip("=")
    + MODULES * MODULE.format.lstrip("=")
)
SIZE = DENIAL.size

# include/uapi/linux/seccomp.h, the upper half of SECCOMP_RET_*.
_ACTIONS = {
    0x8000: "SCMP_ACT_KILL_PROCESS",
    0x0000: "SCMP_ACT_KILL_THREAD",
    0x0003: "SCMP_ACT_TRAP",
    0x0005: "SCMP_ACT_ERRNO",
    0x7FF0: "SCMP_ACT_TRACE",
    0x7FFC: "SCMP_ACT_LOG",
    0x7FFF: ALLOWED,
}


def target_of(key: bytes) -> int:
    """The recorder's number of the target that an entry belongs to, 0 for none."""
    return int(KEY.unpack(key)[0])


def count_of(value: bytes) -> int:
    """How often it was seen."""
    return int.from_bytes(value[:8], "little")


def sighting_of(key: bytes, value: bytes, names: Mapping[int, str]) -> Sighting:
    """One entry of the tables; `names`: the recorder's id -> a context's name.

    An answer that the kernel does not know kills the process (seccomp(2), SECCOMP_RET_KILL_PROCESS).
    """
    _, context, tgid, slot, action, data, abi = KEY.unpack(key)
    count, first, last, started, *arguments = _HEAD.unpack_from(value)[:10]
    tid, mnt, pid, paused, places_used, modules_used, parts_used, _, *texts = _HEAD.unpack_from(value)[10:]
    comm, group, above = map(text_of, texts)
    label = ABIS[abi]
    number = slot if slot == OTHER_NUMBER else layout.number_of_slot(abi, slot)
    places = tuple(_places(value, places_used, modules_used))
    denial = Denial(
        action=_ACTIONS.get(action, "SCMP_ACT_KILL_PROCESS"),
        data=data,
        abi=label,
        number=number,
        name="#other" if slot == OTHER_NUMBER else syscalls.name_of(label, number),
        arguments=tuple(arguments),
        pid=tgid,
        tid=tid if tgid != OTHER_PROCESSES else 0,
        comm=comm,
        executable=_path(value, parts_used),
        count=count,
        first=first / 1e9,
        last=last / 1e9,
        context=NO_CONTEXT if context == 0 else names.get(context, OVERFLOW),
        native=tuple(
            Frame(module=place.module, offset=place.offset)
            for place in places
            if place.module and not place.guess
        ),
    )
    return Sighting(
        denial=denial,
        key=key,
        places=places,
        started=started * os.sysconf("SC_CLK_TCK") // 1_000_000_000,
        mnt_namespace=mnt,
        pid_namespace=pid,
        paused=bool(paused),
        cgroup=f"{above}/{group}",
    )


def _places(value: bytes, used: int, modules_used: int) -> Iterator[Place]:
    modules: list[Any] = [(0, b"")]
    start = _HEAD.size + _PATH.size + FRAMES * PLACE.size
    for index in range(min(modules_used, MODULES)):
        modules.append(MODULE.unpack_from(value, start + index * MODULE.size))
    for index in range(min(used, FRAMES)):
        at = _HEAD.size + _PATH.size + index * PLACE.size
        address, offset, module, guess = PLACE.unpack_from(value, at)
        inode, name = modules[module] if module < len(modules) else modules[0]
        yield Place(address=address, offset=offset, inode=inode, module=text_of(name), guess=bool(guess))


def _path(value: bytes, used: int) -> str:
    """What the process executes, as far as its path was kept: the kernel hands out the last parts, backwards."""
    if not used:
        return ""
    parts = [
        text_of(value[start : start + PART_BYTES])
        for start in range(_HEAD.size, _HEAD.size + min(used, PATH_PARTS) * PART_BYTES, PART_BYTES)
    ]
    return ("..." if used > PATH_PARTS else "") + "/" + "/".join(reversed(parts))
