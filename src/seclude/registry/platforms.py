"""Platforms as registries name them: a machine or the architectures of a profile in, os/architecture/variant out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import RegistryError
from ..model.environment import Environment
from ..model.profile import Profile
from .manifests import Descriptor, Platform

_MACHINES = {
    "x86_64": Platform(os="linux", architecture="amd64"),
    "i686": Platform(os="linux", architecture="386"),
    "aarch64": Platform(os="linux", architecture="arm64"),
    "armv7l": Platform(os="linux", architecture="arm", variant="v7"),
    "loongarch64": Platform(os="linux", architecture="loong64"),
    "ppc64le": Platform(os="linux", architecture="ppc64le"),
    "riscv64": Platform(os="linux", architecture="riscv64"),
    "s390x": Platform(os="linux", architecture="s390x"),
}
_SMALLER = {"x86_64": ("X86", "X32"), "aarch64": ("ARM",), "s390x": ("S390",)}
"""Machine -> the other architectures whose programs it runs."""

_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7"}
_TEXT = re.compile(r"([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9.]+))?")


def parse(text: str) -> Platform:
    """OS/ARCHITECTURE[/VARIANT]; raises RegistryError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise RegistryError(f"{text[:80]!r} is no platform", hint="such as linux/amd64 or linux/arm/v7")
    return Platform(os=found[1], architecture=found[2], variant=found[3] or "")


def of_machine(machine: str) -> Platform:
    """Of what uname calls x86_64 or aarch64; raises RegistryError for a machine that we do not know."""
    if machine not in _MACHINES:
        raise RegistryError(f"no platform is known for {machine[:80]}", hint="--platform OS/ARCHITECTURE")
    return _MACHINES[machine]


def machine_of(platform: Platform) -> str:
    """What uname calls it; raises RegistryError for a platform that we do not know."""
    for machine, known in _MACHINES.items():
        if (known.os, known.architecture) == (platform.os, platform.architecture):
            return machine
    known_names = ", ".join(str(each) for each in _MACHINES.values())
    raise RegistryError(f"profiles are not known for {platform}", hint=f"one of {known_names}")


def of_profile(profile: Profile) -> Platform | None:
    """The one platform for whose machine all architectures of the profile are; None where there is no such."""
    named = {name.removeprefix("SCMP_ARCH_") for name in profile.architectures}
    if profile.arch_map or not named:
        return None
    for machine, platform in _MACHINES.items():
        own = Environment(machine=machine, kernel="", capabilities=()).architecture.removeprefix("SCMP_ARCH_")
        if own in named and named <= {own, *_SMALLER.get(machine, ())}:
            return platform
    return None


def fits(offered: Platform | None, wanted: Platform) -> bool:
    """Whether what is for `offered` may be used on `wanted`: also if either leaves the variant open."""
    if offered is None:
        return True
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return False
    default = _DEFAULT_VARIANTS.get(wanted.architecture, "")
    return (offered.variant or default) == (wanted.variant or default)


def chosen(entries: Sequence[Descriptor], wanted: Platform) -> Descriptor | None:
    """The first entry that is for the platform, else the first that is for any."""
    fitting = [entry for entry in entries if fits(entry.platform, wanted)]
    return min(fitting, key=lambda entry: entry.platform is None, default=None)
