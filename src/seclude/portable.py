"""Calls that a program made here in, those that it makes elsewhere out: with another libc, kernel or processor.

A library picks among these by its version and by what the processor has (aarch64 has none of the older ones).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SIBLINGS = (
    "open openat openat2 creat",
    "stat lstat fstat newfstatat statx stat64 lstat64 fstat64 fstatat64",
    "statfs statfs64",
    "fstatfs fstatfs64",
    "access faccessat faccessat2",
    "readlink readlinkat",
    "getdents getdents64",
    "mkdir mkdirat",
    "unlink rmdir unlinkat",
    "rename renameat renameat2",
    "link linkat",
    "symlink symlinkat",
    "mknod mknodat",
    "chmod fchmodat fchmodat2",
    "chown lchown fchownat chown32 lchown32",
    "fchown fchown32",
    "utime utimes futimesat utimensat utimensat_time64",
    "truncate truncate64",
    "ftruncate ftruncate64",
    "lseek _llseek",
    "sendfile sendfile64",
    "fcntl fcntl64",
    "mmap mmap2",
    "dup dup2 dup3",
    "pipe pipe2",
    "poll ppoll ppoll_time64",
    "pause ppoll ppoll_time64",
    "select _newselect pselect6 pselect6_time64",
    "epoll_create epoll_create1",
    "epoll_wait epoll_pwait epoll_pwait2",
    "eventfd eventfd2",
    "inotify_init inotify_init1",
    "signalfd signalfd4",
    "accept accept4",
    "send sendto",
    "recv recvfrom",
    "recvmmsg recvmmsg_time64",
    "clone clone3",
    "fork vfork clone clone3",
    "wait4 waitid waitpid",
    "time gettimeofday clock_gettime clock_gettime64",
    "clock_getres clock_getres_time64",
    "nanosleep clock_nanosleep clock_nanosleep_time64",
    "futex futex_time64",
    "alarm setitimer",
    "getrlimit ugetrlimit prlimit64",
    "setrlimit prlimit64",
    "getpgrp getpgid",
    "rt_sigtimedwait rt_sigtimedwait_time64",
    "mq_timedsend mq_timedsend_time64",
    "mq_timedreceive mq_timedreceive_time64",
    "timer_settime timer_settime64",
    "timer_gettime timer_gettime64",
    "timerfd_settime timerfd_settime64",
    "timerfd_gettime timerfd_gettime64",
    "getuid getuid32",
    "geteuid geteuid32",
    "getgid getgid32",
    "getegid getegid32",
    "getgroups getgroups32",
    "setgroups setgroups32",
    "setuid setuid32",
    "setgid setgid32",
    "setreuid setreuid32",
    "setregid setregid32",
    "setresuid setresuid32",
    "setresgid setresgid32",
    "getresuid getresuid32",
    "getresgid getresgid32",
    "sched_rr_get_interval sched_rr_get_interval_time64",
    "preadv preadv2",
    "pwritev pwritev2",
)
"""Sets of calls of which one is made in place of another. Not transitive: who made clone may make clone3, not fork."""

ALWAYS = ("exit", "exit_group", "restart_syscall", "rt_sigreturn")
"""Calls that any program may come to make, by a signal or its end, whether or not a recording shows them."""


def siblings(names: Iterable[str]) -> frozenset[str]:
    """The names, those made in their place elsewhere, and what any program may come to make."""
    made = frozenset(names)
    found = set(made)
    for line in SIBLINGS:
        group = line.split()
        present = made.intersection(group)
        # What starts a process also does it by clone; what starts a thread does not do it by fork.
        if present and (group[0] != "fork" or present & {"fork", "vfork"}):
            found.update(group)
    return frozenset(found | set(ALWAYS))
