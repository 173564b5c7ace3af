"""systemd's own words: what systemd-analyze prints in, set -> its calls out; its names of architectures."""

from __future__ import annotations

import os

from .errors import ProfileError
from .inputs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Sets = Mapping[str, frozenset[str]]

DEFAULT = "@default"
"""What systemd allows wherever it is given a list of what to allow."""

KNOWN = "@known"
"""Every call that systemd knows."""

LARGEST = 1024 * 1024
TABLE = os.path.join(os.path.dirname(__file__), "data", "systemd-sets.txt")

ARCHITECTURES = {
    "x86": "X86",
    "x86-64": "X86_64",
    "x32": "X32",
    "arm": "ARM",
    "arm64": "AARCH64",
    "loongarch64": "LOONGARCH64",
    "mips": "MIPS",
    "mips-le": "MIPSEL",
    "mips64": "MIPS64",
    "mips64-le": "MIPSEL64",
    "mips64-n32": "MIPS64N32",
    "mips64-le-n32": "MIPSEL64N32",
    "parisc": "PARISC",
    "parisc64": "PARISC64",
    "ppc": "PPC",
    "ppc64": "PPC64",
    "ppc64-le": "PPC64LE",
    "riscv64": "RISCV64",
    "s390": "S390",
    "s390x": "S390X",
}
"""src/shared/seccomp-util.c, seccomp_arch_from_string."""

LOCAL = {
    "x86_64": ("X86_64", "X86", "X32"),
    "i686": ("X86",),
    "aarch64": ("AARCH64", "ARM"),
    "armv7l": ("ARM",),
    "ppc64le": ("PPC64LE", "PPC64", "PPC"),
    "s390x": ("S390X", "S390"),
}
"""seccomp_local_archs: where SystemCallArchitectures= is not set, the filter holds for all of them."""


def shipped() -> Sets:
    """The sets of the version that the table names, which come with us."""
    return parsed(read_text(TABLE, limit=LARGEST, error=ProfileError), TABLE)


def parsed(text: str, source: str) -> Sets:
    """Set -> its calls, of what `systemd-analyze syscall-filter` prints; raises ProfileError."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if line.startswith("@"):
            current = found.setdefault(words[0], [])
        elif words and current is None:
            raise ProfileError(f"{source}: line {number}: a set such as @default is expected")
        elif current is not None:
            current.extend(words)
    if DEFAULT not in found:
        raise ProfileError(
            f"{source} has no {DEFAULT}", hint="systemd-analyze syscall-filter prints what is expected"
        )
    return {name: frozenset(_members(found, name, ())) for name in found}


def _members(sets: Mapping[str, list[str]], name: str, above: tuple[str, ...]) -> Iterator[str]:
    if name in above:
        raise ProfileError(f"the set {name} contains itself")
    for member in sets.get(name, ()):
        if member.startswith("@"):
            yield from _members(sets, member, (*above, name))
        else:
            yield member
