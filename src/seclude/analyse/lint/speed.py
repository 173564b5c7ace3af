"""Calls that programs make all the time and that the kernel cannot let pass without running the filter."""

from __future__ import annotations

from collections.abc import Iterable

from ...model.profile import ALLOW
from .subject import CONDITIONAL, Found, Subject

_HOT = (
    "read write pread64 pwrite64 readv writev recvfrom sendto recvmsg sendmsg futex epoll_wait epoll_pwait poll ppoll "
    "clock_gettime gettimeofday lseek mmap munmap madvise close openat newfstatat fstat getpid gettid sched_yield"
).split()


def check(subject: Subject) -> Iterable[Found]:
    """One finding for all of them.

    Since Linux 5.11 the kernel keeps a bitmap of the calls that a filter allows whatever their arguments
    (kernel/seccomp.c, seccomp_is_const_allow; commit 8e01b51a31a1); only SCMP_ACT_ALLOW gets a bit.
    """
    abi = subject.abis()[0]
    slow = [
        name
        for name in _HOT
        if name in subject.by_name
        and (
            subject.state(abi, name) == CONDITIONAL
            or any(action == "SCMP_ACT_LOG" for action, _ in subject.outcomes(abi, name))
            or _several(subject, abi, name)
        )
    ]
    if slow:
        yield Found(
            rule="lint/slow-path",
            severity="note",
            message=f"{', '.join(slow)} {'depends' if len(slow) == 1 else 'depend'} on arguments or "
            f"{'is' if len(slow) == 1 else 'are'} logged, so that the kernel runs the filter for every such call: its "
            "bitmap (since Linux 5.11) knows only calls that are always allowed",
            spot=subject.spot(slow[0]),
            call=slow[0] if len(slow) == 1 else "",
            hint="allow them without conditions, where the conditions are not worth it",
        )


def _several(subject: Subject, abi: str, name: str) -> bool:
    """Whether the filter has to look at arguments to allow the call."""
    live = subject.live(name)
    allowed = subject.outcomes(abi, name) == frozenset({(ALLOW, 0)})
    return bool(live) and allowed and not any(rule.unconditional() for rule in live)
