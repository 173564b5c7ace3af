"""What is known to go wrong with particular calls under seccomp: a refused call in, sentences of advice out.

Each claim is cited where it is made; libc means what glibc's and musl's sources do at the places named.
"""

from __future__ import annotations

import errno

from ..dangers import UNKNOWN, at_least, category_of, danger_of
from ..decode import decoded
from ..model.frozen import frozen

FALLBACKS = {
    # glibc 2.34, commit d8ea0d0168 (clone-internal.c: `ret != -1 || errno != ENOSYS`); moby issue 42680, pull 42681.
    "clone3": (
        "clone",
        "since 2.34 glibc starts threads and processes with it, and tries clone after ENOSYS only "
        '(moby issue 42680: "getaddrinfo() thread failed to start")',
    ),
    # glibc 2.33, faccessat.c; musl, faccessat.c; systemd pull 16739; runc pull 2737.
    "faccessat2": (
        "faccessat",
        "since 2.33 glibc makes it to check permissions, and tries faccessat after ENOSYS only",
    ),
    # glibc 2.39, commit 65341f7bbe; musl, fchmodat.c; systemd issue 31469; docker-ce-packaging pull 1013.
    "fchmodat2": (
        "fchmodat",
        "since 2.39 glibc makes it, and falls back after ENOSYS only "
        '(systemd issue 31469: "tar: ...: Cannot change mode")',
    ),
    # glibc, statx.c and fstatat64.c; musl, fstatat.c; rust pull 65094.
    "statx": (
        "newfstatat",
        "language runtimes and libc fall back to older calls of the stat family after ENOSYS only",
    ),
    # crun pull 546: it takes EPERM too.
    "openat2": (
        "openat",
        "after ENOSYS runc falls back to openat, after EPERM it fails (runc issue 4984); crun falls back after both",
    ),
    # glibc, renameat2.c, preadv64v2.c, pwritev64v2.c, mlock2.c, fexecve.c
    "renameat2": ("renameat", "after ENOSYS alone glibc falls back"),
    "preadv2": ("preadv", "after ENOSYS alone glibc falls back"),
    "pwritev2": ("pwritev", "after ENOSYS alone glibc falls back"),
    "mlock2": ("mlock", "after ENOSYS alone glibc falls back"),
}
"""Call -> (what is made in its place, who falls back on what). glibc's NEWS names the versions."""

_TIME64 = "_time64"
_TIME64_CALLS = (
    "clock_gettime64",
    "clock_settime64",
    "clock_adjtime64",
    "timer_gettime64",
    "timer_settime64",
    "timerfd_gettime64",
    "timerfd_settime64",
)

_VDSO = (
    "clock_gettime",
    "clock_gettime64",
    "clock_getres",
    "clock_getres_time64",
    "gettimeofday",
    "time",
    "getcpu",
)

_RUNTIME_CALLS = ("openat2", "statx", "fsopen", "fsconfig", "fsmount", "open_tree", "move_mount")
_RUNTIMES = ("runc", "crun", "youki")
_IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")
_NEW_NAMESPACES = 0x7E02_0080  # CLONE_NEW* of linux/sched.h: moby's condition on clone, and CLONE_NEWTIME


@frozen
class Refused:
    """A call that was refused, or may have been. `errno`: 0 where it is not known or the caller got none.

    `program`: comm, executable or what the log said, whichever is known; `arguments` may be empty.
    """

    abi: str
    name: str
    errno: int
    action: str = "SCMP_ACT_ERRNO"
    arguments: tuple[int, ...] = ()
    program: str = ""
    by_architecture: bool = False


def fallback_of(name: str) -> str:
    """The older call that libraries make where this one gives ENOSYS; empty where none is known."""
    if name in FALLBACKS:
        return FALLBACKS[name][0]
    if name.endswith(_TIME64) or name in _TIME64_CALLS:
        return name.removesuffix(_TIME64) if name.endswith(_TIME64) else name.removesuffix("64")
    return ""


def danger(name: str, arguments: tuple[int, ...] = ()) -> str:
    """Why this call should not be allowed without a look, empty where nothing speaks against it."""
    if name in ("unshare", "clone"):
        flags = arguments[0] if arguments else 0
        if flags & _NEW_NAMESPACES or (name == "unshare" and not arguments):
            return danger_of("unshare").reason
        return ""
    known = danger_of(name)
    # clone3 is medium only as every program makes it; still nobody can see what it is made for.
    told = at_least(known.tier, "high") or name == "clone3"
    return known.reason if told and category_of(name) != UNKNOWN else ""


def traps(refused: Refused) -> tuple[str, ...]:
    """What is known about this call and this answer, the most particular first."""
    found = (
        _fallback(refused),
        _runtime(refused),
        _ending(refused),
        _compatibility(refused),
        _io_uring(refused),
        _vdso(refused),
        _made_by_the_kernel(refused),
        _large_argument(refused),
    )
    return tuple(sentence for sentence in found if sentence)


def _fallback(refused: Refused) -> str:
    older = fallback_of(refused.name)
    if not older:
        return ""
    if refused.errno == errno.ENOSYS:
        return f"ENOSYS makes libraries try {older} in its place: harmless if {older} is allowed."
    if refused.name in FALLBACKS:
        why = FALLBACKS[refused.name][1]
    else:
        # glibc's and musl's clock_gettime.c; alpinelinux/docker-alpine issue 150: wrong time since Alpine 3.13.
        why = (
            "in 32-bit programs libc makes the calls with 64-bit times first, and older ones after ENOSYS only "
            "(docker-alpine issue 150)"
        )
    answer = errno.errorcode.get(refused.errno, "any other errno") if refused.errno else "any other answer"
    return f"{why[0].upper()}{why[1:]}. {answer} makes it fail: answer with ENOSYS, or allow {refused.name}."


def _runtime(refused: Refused) -> str:
    program = refused.program.rpartition("/")[2]
    by_runtime = program.startswith(_RUNTIMES)
    if refused.name in _RUNTIME_CALLS and (by_runtime or not program):
        # security-profiles-operator pull 3041; runc issue 4984 (openat2), natlas issue 1301 (statx).
        return (
            "runc 1.2.8 and 1.3.3, security releases, newly call openat2 and statx after loading the filter: a "
            'profile made before stops containers from starting ("error during container init"). '
            "Allow both, or record again with the runtime in use."
        )
    if by_runtime:
        return (
            "The OCI runtime itself made it after loading the filter: what runtimes need changes with their version. "
            "Record again with the runtime in use."
        )
    return ""


def _ending(refused: Refused) -> str:
    # glibc's _exit.c and pthread_create.c, musl's _Exit.c; seen with glibc 2.36 on x86_64: status 0 for one thread,
    # a process that never ends for two, SIGSEGV (the `hlt` after the calls) where `exit` is refused too.
    if refused.name == "exit_group":
        return (
            "Without exit_group no process ends as it should: libc tries `exit`, which ends one thread, so that a "
            "process with several never ends; without that too it crashes (glibc) or spins for ever (musl)."
        )
    if refused.name == "exit":
        return "Without exit no thread ends: libc calls it in a loop, so that the thread spins at full speed."
    if refused.name in ("rt_sigreturn", "sigreturn"):
        return "Without it no signal handler can return: the process crashes at the first signal it handles."
    return ""


def _compatibility(refused: Refused) -> str:
    if refused.by_architecture:
        # seccomp_attr_set(3), SCMP_FLTATR_ACT_BADARCH; engines leave it at its default.
        return (
            "Calls of an architecture that the filter does not have are not answered by the profile's default: "
            "libseccomp kills the thread, whatever the call."
        )
    if refused.abi in ("x86", "arm", "x32"):
        label = {"x86": "32-bit x86", "arm": "32-bit arm", "x32": "x32"}[refused.abi]
        return (
            f"It is a call of a {label} program: its names and arguments differ from those of the machine's own "
            "programs, so recordings of those do not help."
        )
    return ""


def _io_uring(refused: Refused) -> str:
    if refused.name not in _IO_URING:
        return ""
    # moby pull 46762 and containerd pull 9320 took it out of their default profiles.
    return (
        "Operations that go through an io_uring are not checked by seccomp, so allowing it opens files and sockets "
        "past the profile. Docker and containerd took it out of their defaults; most libraries do without it."
    )


def _vdso(refused: Refused) -> str:
    if refused.name not in _VDSO:
        return ""
    # lib/vdso/gettimeofday.c, clock_gettime_fallback; vdso(7); cloud-hypervisor pull 971.
    return (
        "Programs mostly get the time without a system call, from the vDSO. It becomes a call where the clock source "
        "of the machine cannot be read from there (xen, hpet, acpi_pm; see "
        "/sys/devices/system/clocksource/clocksource0/current_clocksource), so a recording of another machine lacks "
        "it."
    )


def _made_by_the_kernel(refused: Refused) -> str:
    if refused.name != "restart_syscall":
        return ""
    # restart_syscall(2)
    return (
        "No program calls it: the kernel does, when a process that was stopped (SIGSTOP, a debugger, a frozen "
        "container) goes on in poll, nanosleep or futex. A recording has it only if that happened."
    )


def _large_argument(refused: Refused) -> str:
    if refused.name != "personality" or not refused.arguments:
        return ""
    if refused.arguments[0] & 0xFFFF_FFFF == 0xFFFF_FFFF:
        shown = decoded(refused.abi, refused.name, refused.arguments)
        # personality(2)
        return f"{shown} only asks for the present value: a rule for 0xffffffff alone allows that."
    return ""
