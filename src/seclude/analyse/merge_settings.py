"""What profiles say beside the calls in (architectures, flags, listener), what their merge says of it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..errors import ProfileError
from ..model.profile import ARCHITECTURES, FLAGS, Profile, SubArchitectures
from .merge_outcomes import INTERSECTION, SUBTRACT

_SIBLINGS: Mapping[str, tuple[str, ...]] = {
    "X86_64": ("X86", "X32"),
    "AARCH64": ("ARM",),
    "MIPS64": ("MIPS", "MIPS64N32"),
    "MIPSEL64": ("MIPSEL", "MIPSEL64N32"),
    "PARISC64": ("PARISC",),
    "PPC64": ("PPC",),
    "S390X": ("S390",),
}
"""Native architecture -> the others whose programs such a kernel runs; what else is listed there has no effect."""

GO_NAMES: Mapping[str, str] = {"X86_64": "amd64", "AARCH64": "arm64", "PPC64": "ppc64", "S390X": "s390x"}
"""Architecture -> its name in includes and excludes, where the environment knows it."""

_T = TypeVar("_T")

Pair = tuple[str, str]
"""A native architecture and another one whose programs it runs, both without SCMP_ARCH_."""

PAIRS: tuple[Pair, ...] = tuple((native, other) for native, others in _SIBLINGS.items() for other in others)

_SPEC_ALLOW = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"


class Settings(NamedTuple):
    """All of a profile that is not about calls."""

    architectures: tuple[str, ...]
    arch_map: tuple[SubArchitectures, ...]
    flags: tuple[str, ...] | None
    listener: tuple[str, str]

    @classmethod
    def of(cls, profile: Profile) -> Settings:
        listener = (profile.listener_path, profile.listener_metadata)
        return cls(profile.architectures, profile.arch_map, profile.flags, listener)

    def covered(self) -> frozenset[Pair]:
        """Where the profile's rules hold beside the native architecture; elsewhere libseccomp kills."""
        if not self.arch_map:
            listed = {name.removeprefix("SCMP_ARCH_") for name in self.architectures}
            return frozenset(pair for pair in PAIRS if pair[1] in listed)
        # Of two entries for one architecture engines take the first.
        entries = {entry.architecture: entry.sub_architectures for entry in reversed(self.arch_map)}
        return frozenset(
            (native, other)
            for native, other in PAIRS
            if f"SCMP_ARCH_{other}" in entries.get(f"SCMP_ARCH_{native}", ())
        )


def merged(operation: str, settings: Sequence[Settings]) -> Settings:
    """The settings of the merge; raises ProfileError where two listeners are named. A difference has the first's."""
    if operation == SUBTRACT:
        return settings[0]
    distinct = sorted(set(settings), key=repr)
    architectures, arch_map = _architectures(operation, distinct)
    return Settings(
        architectures, arch_map, _flags(operation, distinct), _listener({each.listener for each in distinct})
    )


def _architectures(
    operation: str, settings: Sequence[Settings]
) -> tuple[tuple[str, ...], tuple[SubArchitectures, ...]]:
    both = {(each.architectures, each.arch_map) for each in settings}
    if len(both) == 1:
        return both.pop()
    if not any(each.arch_map for each in settings):
        names = _joined(operation, [frozenset(each.architectures) for each in settings])
        return tuple(name for name in ARCHITECTURES if name in names), ()
    covered = _joined(operation, [each.covered() for each in settings])
    entries = [
        SubArchitectures(
            architecture=f"SCMP_ARCH_{native}",
            sub_architectures=tuple(f"SCMP_ARCH_{other}" for other in others if (native, other) in covered),
        )
        for native, others in _SIBLINGS.items()
    ]
    return (), tuple(entry for entry in entries if entry.sub_architectures)


def _joined(operation: str, sets: Sequence[frozenset[_T]]) -> frozenset[_T]:
    first = sets[0]
    return first.intersection(*sets) if operation == INTERSECTION else first.union(*sets)


def _flags(operation: str, settings: Sequence[Settings]) -> tuple[str, ...] | None:
    """None, the engine's choice, stands for the flag that runc and crun choose."""
    if all(each.flags is None for each in settings):
        return None
    sets = [frozenset((_SPEC_ALLOW,) if each.flags is None else each.flags) for each in settings]
    joined = _joined(operation, sets)
    return tuple(name for name in FLAGS if name in joined)


def _listener(listeners: Iterable[tuple[str, str]]) -> tuple[str, str]:
    named = sorted({each for each in listeners if each[0]})
    if len(named) > 1:
        raise ProfileError(
            f"two listeners are named: {named[0][0][:200]} and {named[1][0][:200]}, or with other metadata",
            hint="a profile has one listenerPath; give all profiles the same",
        )
    return named[0] if named else ("", "")
