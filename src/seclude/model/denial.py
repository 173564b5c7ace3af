"""One call that a seccomp filter did not let pass, or logged: by whom, with which arguments, from which code."""

from __future__ import annotations

import errno

from ..errors import TraceError
from .frozen import frozen
from .recording import ABIS

VERDICTS = (
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
)
"""What a filter can have said of a call that it did not simply allow, the strictest first."""

ALLOWED = "SCMP_ACT_ALLOW"
"""Stands in a sighting of a call that was simply made, where the stacks of those were asked for."""

_WORDS = {
    "SCMP_ACT_KILL_PROCESS": "killed the process",
    "SCMP_ACT_KILL_THREAD": "killed the thread",
    "SCMP_ACT_TRAP": "SIGSYS",
    "SCMP_ACT_TRACE": "ENOSYS (traced, without a tracer)",
    "SCMP_ACT_LOG": "allowed and logged",
    ALLOWED: "allowed",
}

_ENOSYS = 38  # what the kernel answers for SECCOMP_RET_TRACE where there is no tracer
_LARGEST_ERRNO = 4095  # kernel/seccomp.c caps SECCOMP_RET_DATA at MAX_ERRNO

OTHER_PROCESSES = 0
"""The pid that stands for all processes beyond the limit up to which they are told apart."""

OTHER_NUMBER = 0xFFFFFFFF
"""The number that stands for all numbers outside every table."""


@frozen
class Frame:
    """A place in the code of the process: `module` is a file's name; native code has an `offset` into that file.

    `function` is empty and `line` is 0 where they are not known. For Python `module` is the source file's path.
    """

    module: str
    function: str = ""
    line: int = 0
    offset: int = 0


@frozen
class Denial:
    """The times that one process made one call in one context and its filter answered with one action.

    `data` is what came with the action: an errno for SCMP_ACT_ERRNO. `first` and `last` are seconds since boot; the
    other details (`tid`, `comm`, `arguments`, frames: innermost first) are those of the first time.
    `pid` is as the host sees it. `executable` is a path as far as it could be read. `container` is an id or name,
    empty where the process is in none that is known.
    """

    action: str
    data: int
    abi: str
    number: int
    name: str
    arguments: tuple[int, ...]
    pid: int
    tid: int
    comm: str
    executable: str
    count: int
    first: float
    last: float
    context: str = ""
    container: str = ""
    python: tuple[Frame, ...] = ()
    native: tuple[Frame, ...] = ()

    def __post_init__(self) -> None:
        if self.action not in (*VERDICTS, ALLOWED):
            raise TraceError(f"unknown action {self.action[:80]!r}", hint=f"one of {', '.join(VERDICTS)}")
        if self.abi not in ABIS:
            raise TraceError(f"unknown ABI {self.abi[:80]!r}", hint=f"one of {', '.join(ABIS)}")

    @property
    def refused(self) -> bool:
        """Whether the call was not made; SCMP_ACT_LOG makes it and writes it down."""
        return self.action not in ("SCMP_ACT_LOG", ALLOWED)

    @property
    def outcome(self) -> str:
        """What happened to the call, in a word or two."""
        return error_in_words(self.data) if self.action == "SCMP_ACT_ERRNO" else _WORDS[self.action]

    @property
    def result(self) -> int:
        """What the call returned: a negative errno, or 0 where it returned nothing that tells."""
        if self.action == "SCMP_ACT_ERRNO":
            return -min(self.data, _LARGEST_ERRNO)
        return -_ENOSYS if self.action == "SCMP_ACT_TRACE" else 0


def error_in_words(number: int) -> str:
    """The name of an errno, as far as it has one."""
    return errno.errorcode.get(number, f"errno {number}") if number else "no error (errno 0)"


@frozen
class Place:
    """An address in a process: `offset` into the mapped file whose name is `module` (empty: in no file).

    `guess`: it lay on top of the stack, and may be where a function without a frame returns to, or anything else.
    """

    address: int
    offset: int
    inode: int
    module: str
    guess: bool = False


@frozen
class Sighting:
    """A denial as the kernel noted it: with the `places` of its frames, and who the process is.

    `started` is the process's start in clock ticks since boot (proc(5), stat field 22); `mnt_namespace` and
    `pid_namespace` are inode numbers; `cgroup` is the end of its control group's path; `paused` says that the process
    was stopped for us to look at.
    `key` tells it apart from all others of the same watch.
    """

    denial: Denial
    key: bytes
    places: tuple[Place, ...]
    started: int
    mnt_namespace: int
    pid_namespace: int
    paused: bool
    cgroup: str = ""
