"""What an application may call though it did not while it was recorded: a recording in, call names out."""

from __future__ import annotations

from .model.recording import Dropped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model.recording import Recording

RESTARTED = frozenset(("clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "poll"))
"""What the kernel goes on with by restart_syscall(2) once a process was stopped in it and continued (a paused
container, a debugger). Refused, a sleep fails half-way."""
RESTARTED_WITH_THREADS = frozenset(("futex", "futex_time64"))
"""The same if it is a wait with a time limit, for which there must be somebody to wait for."""
CLONE_THREAD = 0x10000
"""include/uapi/linux/sched.h"""


def belated(recording: Recording) -> set[str]:
    """What the application may call though it did not while it was recorded, because it depends on when its threads
    end and on whether somebody stops it."""
    made, names = recording.names("app"), set()
    restarted = RESTARTED
    if _has_threads(recording):
        # A process may end before its threads do, and a thread that is refused its exit spins for ever
        # (glibc, nptl/pthread_create.c, start_thread).
        names.add("exit")
        restarted |= RESTARTED_WITH_THREADS
    if not restarted.isdisjoint(made):
        names.add("restart_syscall")
    return names - made


def _has_threads(recording: Recording) -> bool:
    """Whether the application may have started threads: of clone3 no flags are known."""
    for call in recording.calls:
        first = call.first
        if call.phase != "app":
            continue
        if call.name == "clone3":
            return True
        if isinstance(first, Dropped):
            if call.name == "clone":
                return True
        elif first.tid != first.pid or (call.name == "clone" and sum(first.arguments[:1]) & CLONE_THREAD):
            return True
    return False
