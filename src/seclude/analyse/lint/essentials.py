"""Calls without which no process ends or starts, and those that OCI runtimes make under the filter."""

from __future__ import annotations

from collections.abc import Iterable

from ...model.profile import Profile
from ..traps import Refused, traps
from .subject import ALLOWED, REFUSED, Found, Subject

_SEVERITIES = {
    "exit_group": "error",
    "execve": "error",
    "rt_sigreturn": "warning",
    "exit": "warning",
    "restart_syscall": "note",
}

_EXECVE = "The runtime itself makes it after loading the filter, to start the container's program: no container starts."

# runc issues 4984 (openat2) and 5059 (statx), natlas issue 1301, KubeArmor pull 2658: "error during container init:
# ... unsafe procfs detected: openat2 ...", "... get root mount id: statx(STATX_MNT_ID_...)". The releases repaired
# CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881.
_SECURITY_RELEASES = {"runc": (((1, 2, 8), (1, 3)), ((1, 3, 3), (1, 4)), ((1, 4, 0), ()))}
_NEWLY_NEEDED = ("openat2", "statx")


def check(subject: Subject) -> Iterable[Found]:
    """What is missing, the processes' own calls first."""
    abi = subject.abis()[0]
    for name, severity in _SEVERITIES.items():
        if subject.state(abi, name) != REFUSED:
            continue
        why = _EXECVE if name == "execve" else traps(Refused(abi=abi, name=name, errno=0))[0]
        yield Found(
            rule="lint/missing-call",
            severity=severity,
            message=f"{name} is refused. {why}",
            spot=subject.spot(name) or ("syscalls",),
            call=name,
            hint=f"allow {name}",
        )
    yield from _runtimes(subject, abi)
    yield from _releases(subject, abi)


def _runtimes(subject: Subject, abi: str) -> Iterable[Found]:
    for runtime in subject.runtimes:
        missing = [name for name in runtime.calls if subject.state(abi, name) == REFUSED and name != "execve"]
        confined = [name for name in missing if name in runtime.confined_calls]
        if not missing:
            continue
        always = f"; with no-new-privileges still {', '.join(confined)}" if confined else ""
        free = "" if confined else "; with no-new-privileges it makes none of them"
        yield Found(
            rule="lint/runtime-call",
            severity="warning" if subject.chosen else "note",
            message=f"{runtime.name} {runtime.version} makes calls after loading the filter that are refused: "
            f"{', '.join(missing)}{always}{free}. Containers may not start, or not with a terminal, another user or "
            "the like",
            spot=("syscalls",),
            call=missing[0] if len(missing) == 1 else "",
            hint=f"allow them, as `seclude generate --baseline {runtime.name}` does",
        )


def _releases(subject: Subject, abi: str) -> Iterable[Found]:
    """What runc's security releases newly need, where the runtime may be one of them."""
    missing = [name for name in _NEWLY_NEEDED if subject.state(abi, name) != ALLOWED]
    versions = [runtime.version for runtime in subject.runtimes if runtime.name == "runc"]
    if not missing or (subject.chosen and not versions) or not _reads_files(subject.profile):
        return
    affected = subject.chosen and any(_needs(version) for version in versions)
    if subject.chosen and not affected:
        return
    yield Found(
        rule="lint/runtime-update",
        severity="warning" if affected else "note",
        message=f"runc from 1.2.8, 1.3.3 and 1.4.0 on, security releases, newly makes openat2 and statx after "
        f"loading the filter; {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} refused, so containers "
        'may stop starting after an update ("error during container init")',
        spot=subject.spot(missing[0]) or ("syscalls",),
        call=missing[0] if len(missing) == 1 else "",
        hint="allow both, or record again with the runtime in use (runc issues 4984 and 5059)",
    )


def _needs(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split("+")[0].split("-")[0].split(".") if part.isdigit())
    return any(
        numbers >= first and (not before or numbers < before) for first, before in _SECURITY_RELEASES["runc"]
    )


def _reads_files(profile: Profile) -> bool:
    """Whether it is a profile of a container at all, and none of a plain process or an empty one."""
    return any("execve" in rule.names for rule in profile.rules)
