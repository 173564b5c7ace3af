"""Names that mean nothing, or nothing here: unknown calls, capabilities and arches, names given twice, `name`."""

from __future__ import annotations

from collections.abc import Iterable

from ...decode.kinds import names as constants
from ...model.profile import Filter, nearest
from ...syscalls import ARCHITECTURES, all_names, number_of
from ...syscalls import nearest as nearest_call
from .subject import Found, Subject

# What GOARCH and, in moby's profile, libseccomp's own names can be: `go tool dist list` for Linux, and "x32", "x86",
# "s390" which moby and containers-common list beside them (they never are runtime.GOARCH).
_GO_ARCHES = (
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x ppc riscv sparc64 "
    "x86 x32 s390 mipsel mipsel64 mips64n32 mipsel64n32 parisc parisc64"
).split()

_MOST_NEAREST = 50
"""Unknown names for which the nearest one is looked for, which takes milliseconds."""


def check(subject: Subject) -> Iterable[Found]:
    """Names in the order of the file."""
    known = all_names()
    caps = tuple(constants("x86_64", "capability"))
    unknown = 0
    for number, rule in enumerate(subject.profile.rules):
        seen: set[str] = set()
        for index, name in enumerate(rule.names):
            spot = ("syscalls", number, "name") if rule.legacy_name else ("syscalls", number, "names", index)
            if name in seen:
                yield Found(
                    rule="lint/duplicate",
                    severity="note",
                    message=f"{name} is in rule {number + 1} twice",
                    spot=spot,
                    call=name,
                    hint="take one out",
                )
            elif name not in known:
                unknown += 1
                yield _unknown(name, spot, nearest_call(name) if unknown <= _MOST_NEAREST else "")
            seen.add(name)
        yield from _filters(number, "includes", rule.includes, caps)
        yield from _filters(number, "excludes", rule.excludes, caps)
        if rule.legacy_name:
            yield Found(
                rule="lint/legacy-name",
                severity="note",
                message=f'rule {number + 1} has "name", which the OCI runtime specification does not know',
                spot=("syscalls", number, "name"),
                call=rule.names[0],
                hint=f'write "names": ["{rule.names[0]}"], as runtimes read it: docker and podman alone know "name"',
            )
    yield from _elsewhere(subject)


def _unknown(name: str, spot: tuple[str | int, ...], near: str) -> Found:
    return Found(
        rule="lint/unknown-call",
        severity="warning",
        message=f"no call is named {name[:80]!r}",
        spot=spot,
        call=name,
        # runc matchCall: "unknown seccomp syscall ignored"; crun passes over it too.
        hint=f"did you mean {near}? Engines pass over names that they do not know"
        if near
        else "take it out: engines pass over names that they do not know",
    )


def _filters(number: int, key: str, limits: Filter, caps: tuple[str, ...]) -> Iterable[Found]:
    for index, cap in enumerate(limits.caps):
        if cap not in caps:
            never = "so the rule is never in force" if key == "includes" else "so it excludes nothing"
            yield Found(
                rule="lint/unknown-capability",
                severity="warning",
                message=f"no container has a capability {cap!r}, {never}",
                spot=("syscalls", number, key, "caps", index),
                hint=nearest(cap, caps) if cap.startswith("CAP_") else nearest(f"CAP_{cap.upper()}", caps),
            )
    for index, arch in enumerate(limits.arches):
        if arch not in _GO_ARCHES:
            yield Found(
                rule="lint/unknown-arch",
                severity="warning",
                message=f"no machine has the architecture {arch!r} in {key} of rule {number + 1}",
                spot=("syscalls", number, key, "arches", index),
                hint=f"Go's name is meant, such as amd64 or arm64: {nearest(arch, _GO_ARCHES)}",
            )


def _elsewhere(subject: Subject) -> Iterable[Found]:
    """Calls that none of the architectures has, which the profile names one by one; one finding for all."""
    listed = subject.profile.architectures
    abis = [abi for abi, architecture in ARCHITECTURES.items() if architecture in listed]
    if not listed or len(abis) < len(set(listed)):
        return
    known = all_names()
    names = [
        name
        for name in subject.by_name
        if name in known and all(number_of(abi, name) is None for abi in abis)
    ]
    if names:
        first = subject.by_name[names[0]][0]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        yield Found(
            rule="lint/other-architecture",
            severity="note",
            message=f"none of the profile's architectures has {shown}",
            spot=subject.name_spot(first, names[0]),
            call=names[0] if len(names) == 1 else "",
            hint="it does no harm: it makes the profile fit for architectures that are added later",
        )
