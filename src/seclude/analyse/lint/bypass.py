"""Calls that undo what the profile refuses, and calls that lead out of a container."""

from __future__ import annotations

from collections.abc import Iterable

from ...dangers import danger_of
from ...model.decision import decide
from ...model.profile import PERMITTING
from ...syscalls import number_of
from .subject import ALLOWED, CONDITIONAL, REFUSED, Found, Subject

_IO_URING = "io_uring_setup"

# What a ring does without the calls being made, so that no filter is asked (include/uapi/linux/io_uring.h, enum
# io_uring_op). moby pull 46762 and containerd pull 9320 took io_uring out of their default profiles for that.
_BY_RING = (
    "openat openat2 connect accept accept4 bind listen socket sendmsg recvmsg sendto recvfrom renameat2 renameat "
    "unlinkat mkdirat symlinkat linkat statx fsetxattr setxattr splice tee"
).split()

_TERMINAL = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}
_NEW_USER = 0x1000_0000
_NO_CAPABILITY_NEEDED = ("process_vm_writev", "process_vm_readv", "ptrace", "pidfd_getfd")

# A newer or wider member of a family that does all that the other does: to restrict one alone restricts nothing.
_WIDER = {
    "open": "openat openat2 creat",
    "openat": "openat2 open",
    "fork": "clone clone3",
    "socket": "socketcall",
    "connect": "socketcall",
    "chmod": "fchmodat fchmodat2",
    "fchmodat": "fchmodat2 chmod",
    "execve": "execveat",
    "kill": "tgkill tkill pidfd_send_signal rt_sigqueueinfo",
    "mprotect": "pkey_mprotect",
    "mknod": "mknodat",
    "mknodat": "mknod",
    "accept": "accept4",
    "accept4": "accept",
    "mount": "move_mount",
}


def check(subject: Subject) -> Iterable[Found]:
    """On the ABIs of the machine that the profile is for, in a container without capabilities."""
    yield from _ring(subject)
    yield from _namespaces(subject)
    yield from _terminal(subject)
    yield from _wider(subject)
    for name in subject.by_name:
        yield from _dangerous(subject, name)


def _own(subject: Subject) -> str:
    return subject.abis()[0]


def _ring(subject: Subject) -> Iterable[Found]:
    abi = _own(subject)
    if subject.state(abi, _IO_URING) == REFUSED:
        return
    kept = [
        name for name in _BY_RING if subject.state(abi, name) != ALLOWED and number_of(abi, name) is not None
    ]
    shown = ", ".join(kept[:6]) + (f" and {len(kept) - 6} more" if len(kept) > 6 else "")
    undone = f" It refuses or restricts {shown}: through a ring they are made all the same." if kept else ""
    yield Found(
        rule="lint/io-uring",
        severity="warning",
        message="io_uring is allowed, whose operations no seccomp filter is asked about." + undone,
        spot=subject.spot(_IO_URING),
        call=_IO_URING,
        hint="take io_uring_setup, io_uring_enter and io_uring_register out; libraries do without it",
    )


def _decides(subject: Subject, name: str, *arguments: int, capabilities: tuple[str, ...] = ()) -> bool:
    """Whether a call with these arguments is made."""
    filled = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return decide(subject.profile, subject.here, _own(subject), name, filled).action in PERMITTING


def _namespaces(subject: Subject) -> Iterable[Found]:
    """clone with CLONE_NEWUSER, or clone3, where unshare with it is refused."""
    unshare = _decides(subject, "unshare", _NEW_USER)
    clone = _decides(subject, "clone", _NEW_USER)
    if clone and not unshare:
        yield Found(
            rule="lint/user-namespace",
            severity="note" if subject.state(_own(subject), "clone3") != REFUSED else "warning",
            message="unshare(CLONE_NEWUSER) is refused, but clone with CLONE_NEWUSER is allowed: a process can have a "
            "namespace in which it has every capability",
            spot=subject.spot("clone", permits=True),
            call="clone",
            # moby/profiles, default.json: the condition on clone; 0x7E020080 has CLONE_NEWTIME in addition, which
            # clone does not take (its bit is in the signal number, clone(2)).
            hint="allow clone under the condition that arg 0 & 0x7e020000 == 0, as Docker does "
            "(SCMP_CMP_MASKED_EQ), and answer clone3 with ENOSYS",
        )
    if subject.state(_own(subject), "clone3") == ALLOWED and not unshare:
        # Where nobody has restricted anything on purpose it is worth a note: glibc starts threads with clone3.
        checked = subject.state(_own(subject), "clone") == CONDITIONAL
        told = checked or any(
            not rule.permits for name in ("clone", "unshare") for rule in subject.live(name)
        )
        yield Found(
            rule="lint/user-namespace",
            severity="warning" if told and not clone else "note",
            message=f"{'the flags of clone are checked' if checked else 'unshare(CLONE_NEWUSER) is refused'}, but "
            "clone3 is allowed, whose flags lie behind a pointer where no filter sees them: a process can have a user "
            "namespace with it",
            spot=subject.spot("clone3", permits=True),
            call="clone3",
            # moby pull 42681
            hint="answer clone3 with ENOSYS and allow clone under the condition that arg 0 & 0x7e020000 == 0 "
            "(SCMP_CMP_MASKED_EQ): libraries then make clone in its place",
        )


def _terminal(subject: Subject) -> Iterable[Found]:
    allowed = [name for name, number in _TERMINAL.items() if _decides(subject, "ioctl", 0, number)]
    if not allowed:
        return
    yield Found(
        rule="lint/terminal",
        severity="note",
        message=f"ioctl is allowed with {' and '.join(allowed)}, which type into the terminal that the container "
        "shares with whoever started it",
        spot=subject.spot("ioctl", permits=True),
        call="ioctl",
        # Linux 6.2, commit 83efeeeb3d04 ("tty: Allow TIOCSTI to be disabled"); CVE-2017-5226, CVE-2023-28100.
        hint="a terminal of its own (podman and docker run -t) or dev.tty.legacy_tiocsti=0 (since Linux 6.2) "
        "prevents it too; in a rule compare arg 1 under the mask 0xffffffff",
    )


def _wider(subject: Subject) -> Iterable[Found]:
    """A call that is restricted by its arguments or refused by a rule, beside one that does the same unrestricted."""
    for name, others in _WIDER.items():
        if name not in subject.by_name:
            continue
        for abi in subject.abis():
            # The socketcall of 32-bit x86 has its arguments behind a pointer.
            narrow = subject.state(abi, name)
            refused_by_rule = narrow == REFUSED and any(not rule.permits for rule in subject.live(name))
            if narrow != CONDITIONAL and not refused_by_rule:
                continue
            wide = [other for other in others.split() if subject.state(abi, other) == ALLOWED]
            if not wide:
                continue
            how = "restricted by its arguments" if narrow == CONDITIONAL else "refused"
            yield Found(
                rule="lint/way-around",
                severity="warning",
                message=f"{name} is {how}, but on {abi} {' and '.join(wide)} "
                f"{'does' if len(wide) == 1 else 'do'} the same and {'is' if len(wide) == 1 else 'are'} allowed",
                spot=subject.spot(wide[0], permits=True),
                call=wide[0],
                # moby/profiles commits 7158007 and 3c28324 refused socketcall for this reason and took that back,
                # as 32-bit programs need it.
                hint=f"refuse {wide[0]} as well; ENOSYS makes libraries fall back"
                if wide[0] != "socketcall"
                else "refuse socketcall, if no 32-bit program needs it, or leave SCMP_ARCH_X86 out",
            )
            break


def _dangerous(subject: Subject, name: str) -> Iterable[Found]:
    """What leads out of a container, allowed without regard to the capability that would be its price."""
    danger = danger_of(name)
    if danger.tier != "critical" or name.startswith("io_uring_"):
        return
    abi = _own(subject)
    if subject.state(abi, name) != ALLOWED or not any(rule.permits for rule in subject.live(name)):
        return
    yield Found(
        rule="lint/dangerous-call",
        severity="note",
        message=f"{name} is allowed in every container: {danger.reason}",
        spot=subject.spot(name, permits=True),
        call=name,
        hint="the kernel asks for no capability here: take it out unless the program makes it"
        if name in _NO_CAPABILITY_NEEDED
        else "take it out unless the program makes it, or let it depend on the capability (includes.caps)",
    )
