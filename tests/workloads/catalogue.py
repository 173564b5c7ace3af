"""What each workload must do: name -> its command, exit status, last line, and its distinctive calls
by the processor's own ABI (`native`), by 32-bit x86 and by x32.

Nothing else in the container makes those calls; a recording of the workload must hold all of them.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Workload:
    """One command of the directory of workloads; `status` is reached only if no distinctive call is refused."""

    name: str
    command: tuple[str, ...]
    status: int
    native: frozenset[str] = frozenset()
    x86: frozenset[str] = frozenset()
    x32: frozenset[str] = frozenset()
    contexts: dict[str, frozenset[str]] = field(default_factory=dict)
    last_line: str | None = None
    # Why the workload must be recorded in a container without a seccomp profile, if it must.
    unconfined: str = ""
    # The signal that ends it as a plain process; in a container it ends with `status`.
    signal: int = 0

    def argv(self, directory: str) -> tuple[str, ...]:
        """The command with the program's path in `directory`."""
        return (f"{directory}/{self.command[0]}", *self.command[1:])

    @property
    def line(self) -> str:
        """The last line of the workload's output."""
        return f"{self.command[-1]} done" if self.last_line is None else self.last_line


def _calls(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _processes(mode: str, status: int, calls: str, **more: int) -> Workload:
    return Workload(mode, ("processes", mode), status, _calls(calls), signal=more.get("signal", 0))


PROCESSES = (
    _processes("threads", 11, "sched_getparam sched_getscheduler getpgid getsid"),
    _processes("fork", 12, "getitimer"),
    _processes("daemon", 13, "sched_get_priority_max setsid"),
    _processes("unshare", 14, "unshare getresgid"),
    _processes("vfork", 15, "sched_rr_get_interval"),
    _processes("clone3", 16, "clone3 mlock"),
    _processes("killed", 137, "timer_getoverrun kill", signal=9),
    _processes("main-exits", 7, "sched_get_priority_min"),
    _processes("thread-exec", 17, "getresuid"),
    _processes("hops", 18, "flistxattr fgetxattr fremovexattr readahead sync_file_range"),
)

CONTEXTS = Workload(
    "contexts",
    ("contexts",),
    31,
    _calls("msync times syncfs fadvise64 sched_getattr getpriority"),
    contexts={
        "": _calls("msync getpriority"),
        "login": _calls("times sched_getattr"),
        "checkout": _calls("syncfs fadvise64"),
    },
)

ABIS = (
    Workload("int80", ("numbers", "int80"), 21, x86=_calls("_llseek waitpid")),
    Workload("x32", ("numbers", "x32"), 22, x32=_calls("getpgid ioctl"), unconfined="x32 is refused there"),
    Workload("compat", ("compat",), 24, x86=_calls("_llseek waitpid ugetrlimit write exit_group")),
)

_TABLE = "the default profile refuses numbers of no table"

HOSTILE = (
    Workload("wild", ("numbers", "wild"), 23, _calls("munlock"), unconfined=_TABLE),
    Workload(
        "names", ("hostile", "names", "100000"), 41, _calls("eventfd2 getrusage"), last_line="names done"
    ),
    Workload("long-names", ("hostile", "long-names"), 42, _calls("inotify_rm_watch getrusage")),
    Workload("ugly-names", ("hostile", "ugly-names"), 43, _calls("inotify_init1 getrusage")),
    Workload("comm", ("hostile", "comm"), 44, _calls("signalfd4 timerfd_gettime preadv pwritev")),
    Workload(
        "executables",
        ("hostile", "executables", "/tmp", "5000"),
        45,
        _calls("pidfd_send_signal"),
        last_line="executables done",
    ),
    Workload(
        "numbers",
        ("hostile", "numbers", "100000"),
        46,
        _calls("mlock2"),
        last_line="numbers done",
        unconfined=_TABLE,
    ),
)

# Workloads that end by themselves, with no more than a container around them.
WORKLOADS = tuple(
    workload
    for workload in (*PROCESSES, CONTEXTS, *ABIS, *HOSTILE)
    if platform.machine() == "x86_64" or not (workload.x86 or workload.x32)
)

# Those that need somebody outside: `sleeper` a SIGTERM once it is ready, `memory` a limit to die by.
SLEEPER = Workload("sleeper", ("processes", "sleeper"), 19, _calls("getcpu"), last_line="sleeper ready")
MEMORY = Workload("memory", ("memory",), 137, _calls("mincore"), last_line="memory ready", signal=9)

SETS = 50
_PAIRS = (
    ("tee", "splice"),
    ("sendfile", "fallocate"),
    ("copy_file_range", "memfd_create"),
    ("timerfd_create", "waitid"),
    ("ioprio_get", "membarrier"),
    ("semget", "shmget"),
    ("msgget", "io_destroy"),
    ("get_robust_list", "io_getevents"),
)
SET_CALLS = frozenset(name for pair in _PAIRS for name in pair)


def set_workload(number: int, milliseconds: int = 0, file: str = "") -> Workload:
    """The workload `set NUMBER`, 0 to 49: eight calls of SET_CALLS; no set contains another. It waits for `file`."""
    if not 0 <= number < SETS:
        raise ValueError(f"set {number} is not within 0 to {SETS - 1}")
    calls = frozenset(pair[number * 5 >> bit & 1] for bit, pair in enumerate(_PAIRS))
    command = ("set", str(number), str(milliseconds), *([file] if file else []))
    return Workload(f"set-{number}", command, 50 + number % 10, calls, last_line=f"set {number} done")
