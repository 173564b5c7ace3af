"""Which architectures a profile is for, and what happens to programs of the others."""

from __future__ import annotations

from collections.abc import Iterable

from .subject import Found, Subject

_SIBLINGS = {
    "SCMP_ARCH_X86_64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "SCMP_ARCH_AARCH64": ("SCMP_ARCH_ARM",),
}
# libseccomp, src/arch-*.c: these differ in byte order from what runs beside them, so that seccomp_arch_add refuses
# them (EDOM, src/db.c, db_col_db_add).
_BIG = "M68K MIPS MIPS64 MIPS64N32 PARISC PARISC64 PPC PPC64 S390 S390X SHEB".split()


def check(subject: Subject) -> Iterable[Found]:
    """Siblings that are left out, entries of archMap that never match, architectures that cannot be added."""
    yield from _siblings(subject)
    yield from _map(subject)
    yield from _order(subject)


def _siblings(subject: Subject) -> Iterable[Found]:
    profile = subject.profile
    lists = [(profile.architectures, ("architectures",))] if profile.architectures else []
    mapped = [
        ((each.architecture, *each.sub_architectures), ("archMap", index))
        for index, each in enumerate(profile.arch_map)
    ]
    for listed, spot in [*lists, *mapped]:
        for own, siblings in _SIBLINGS.items():
            left = [each for each in siblings if each not in listed]
            if own not in listed or not left:
                continue
            yield Found(
                rule="lint/siblings",
                severity="note",
                message=f"{' and '.join(left)} {'is' if len(left) == 1 else 'are'} left out beside {own}: "
                f"libseccomp kills a thread that makes such a call, whatever the default action; that is safe, and "
                f"32-bit programs do not run",
                spot=spot,
                # seccomp_attr_set(3), SCMP_FLTATR_ACT_BADARCH: SCMP_ACT_KILL, which engines leave alone
                hint="nothing, unless such programs are to run; then list them, and the calls that they make",
            )


def _map(subject: Subject) -> Iterable[Found]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(subject.profile.arch_map):
        if entry.architecture in seen:
            yield Found(
                rule="lint/arch-map",
                severity="warning",
                message=f"archMap has {entry.architecture} twice; engines take the first entry alone",
                spot=("archMap", index),
                hint="put both into one",
            )
        seen.setdefault(entry.architecture, index)
        if entry.architecture == "SCMP_ARCH_NATIVE":
            yield Found(
                rule="lint/arch-map",
                severity="warning",
                message="archMap has SCMP_ARCH_NATIVE, which engines compare with the machine's own name, so that "
                "the entry never holds",
                spot=("archMap", index),
                hint="name the architecture, such as SCMP_ARCH_X86_64",
            )


def _order(subject: Subject) -> Iterable[Found]:
    """Architectures of another byte order than the machine's, with which no filter can be made."""
    entries = [
        (entry.architecture, entry.sub_architectures, ("archMap", index))
        for index, entry in enumerate(subject.profile.arch_map)
    ]
    for own, others, spot in entries:
        wrong = [each for each in others if _big(each) != _big(own)]
        if wrong:
            yield Found(
                rule="lint/engine-refuses",
                severity="error",
                message=f"{', '.join(wrong)} {'has' if len(wrong) == 1 else 'have'} another byte order than {own}: "
                "libseccomp puts them into no filter (EDOM), so that no container starts",
                spot=spot,
                hint="take it out",
            )


def _big(architecture: str) -> bool:
    return architecture.removeprefix("SCMP_ARCH_") in _BIG
