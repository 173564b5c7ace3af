"""Where a profile is applied: machine, kernel and capabilities in, the rules and architectures that hold out."""

from __future__ import annotations

from .frozen import frozen
from .profile import EVERYWHERE, Filter, Profile, Rule, kernel_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NATIVE_ABIS = {"x86_64": "x86_64", "i686": "x86", "aarch64": "aarch64", "armv7l": "arm"}
"""uname's machine -> the ABI of its own programs, as recordings name it."""

_ARCHES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "loongarch64": ("loong64", "SCMP_ARCH_LOONGARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}


@frozen
class Environment:
    """`machine` and `kernel` as uname has them (x86_64, 6.18.44-generic); `capabilities`: the bounding set."""

    machine: str
    kernel: str
    capabilities: tuple[str, ...]

    @property
    def arch(self) -> str:
        """The name that includes and excludes use: always the machine's own, whichever ABI a program has."""
        return _ARCHES.get(self.machine, (self.machine, ""))[0]

    @property
    def architecture(self) -> str:
        """The machine's own SCMP_ARCH_*, empty where this is not known."""
        return _ARCHES.get(self.machine, ("", ""))[1]

    def reaches(self, minimum: str) -> bool:
        """Whether the kernel is at least of this version ("4.8"); False where the kernel cannot be told."""
        have, wanted = kernel_version(self.kernel), kernel_version(minimum)
        return have is not None and wanted is not None and have >= wanted

    def applies(self, rule: Rule) -> bool:
        """Whether engines put this rule into the filter here (moby/profiles, containers-common: setupSeccomp)."""
        return self.guard(rule) is None

    def guard(self, rule: Rule) -> tuple[Filter, Filter] | None:
        """(includes, excludes) that hold here and nowhere where `rule` does; None where the rule holds here.

        Includes ask for one of the arches and all of the caps; of the excludes one match is enough.
        """
        includes, excludes = rule.includes, rule.excludes
        for cap in excludes.caps:
            if cap in self.capabilities:
                return Filter(caps=(cap,)), EVERYWHERE
        for cap in includes.caps:
            if cap not in self.capabilities:
                return EVERYWHERE, Filter(caps=(cap,))
        if self.arch in excludes.arches:
            return Filter(arches=(self.arch,)), EVERYWHERE
        if includes.arches and self.arch not in includes.arches:
            return EVERYWHERE, Filter(arches=includes.arches)
        if excludes.min_kernel and self.reaches(excludes.min_kernel):
            return Filter(min_kernel=excludes.min_kernel), EVERYWHERE
        if includes.min_kernel and not self.reaches(includes.min_kernel):
            return EVERYWHERE, Filter(min_kernel=includes.min_kernel)
        return None

    def architectures(self, profile: Profile) -> tuple[str, ...]:
        """What engines add to libseccomp's native architecture, which may be among it, in the profile's order."""
        if not profile.arch_map:
            return profile.architectures
        for entry in profile.arch_map:
            if entry.architecture == self.architecture:
                return (entry.architecture, *entry.sub_architectures)
        return ()


def all_of(guards: Sequence[tuple[Filter, Filter]]) -> tuple[Filter, Filter]:
    """(includes, excludes) that hold where every one of one environment's guards holds.

    Includes made by `Environment.guard` name one architecture, the environment's, so their union is that one.
    """
    includes, excludes = [guard[0] for guard in guards], [guard[1] for guard in guards]
    return _union(includes, latest=True), _union(excludes, latest=False)


def _union(filters: Sequence[Filter], *, latest: bool) -> Filter:
    kernels = [each.min_kernel for each in filters if each.min_kernel]
    kernels.sort(key=lambda text: kernel_version(text) or (0, 0))
    return Filter(
        arches=tuple(dict.fromkeys(name for each in filters for name in each.arches)),
        caps=tuple(dict.fromkeys(name for each in filters for name in each.caps)),
        min_kernel=kernels[-1 if latest else 0] if kernels else "",
    )
