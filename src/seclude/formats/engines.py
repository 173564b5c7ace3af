"""A profile as one engine reads it, without the fields that it would pass over: a Profile in, JSON out.

Engines ignore what they do not know and then enforce something else, so each form has no more than its reader takes:
runtime-spec config-linux.md ("Seccomp"), moby/profiles seccomp/seccomp.go, containers-common pkg/seccomp/types.go.
"""

from __future__ import annotations

from ..model.export import WITH_DATA, Exporter, Losses, Written, errno_name, resolution, resolved
from ..model.frozen import replace
from ..model.profile import EVERYWHERE, Filter, Profile, Rule
from . import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    Values = dict[str, object]

LABEL = "io.containers.seccomp.profile"
"""Podman pkg/seccomp/seccomp.go, ContainerImageLabel."""


class OciFormat(Exporter):
    """The runtime-spec's own JSON, for runc, crun, containerd and the kubelet: nothing depends on the place."""

    name = "oci"

    def written(self, profile: Profile) -> Written:
        """Resolved for the settings' environment, which a note says if the profile depends on it."""
        here = self.settings.environment
        value = _profile(resolved(profile, here), named=False)
        return Written(text=_lines(value), notes=resolution(profile, here))


class DockerFormat(Exporter):
    """What dockerd reads: the whole of it but errnos by name, which become numbers."""

    name = "docker"

    def written(self, profile: Profile) -> Written:
        """Without losses: moby knows includes, excludes, archMap and minKernel."""
        return Written(text=_lines(_profile(profile, named=False)))


class PodmanFormat(Exporter):
    """What containers-common reads (podman, buildah, CRI-O): errnos by name and number; minKernel it passes over."""

    name = "podman"

    def written(self, profile: Profile) -> Written:
        """Rules that ask for a kernel are decided for the settings' kernel: a loss."""
        losses = Losses(self.name)
        return Written(text=_lines(self.values(profile, losses)), losses=losses.all())

    def values(self, profile: Profile, losses: Losses) -> Values:
        """The object to be written as JSON."""
        environment = self.settings.environment
        rules = []
        for rule in profile.rules:
            least, below = rule.includes.min_kernel, rule.excludes.min_kernel
            if least or below:
                text = (
                    f"podman knows no minKernel: its rules are decided for kernel {environment.kernel} ({{}})"
                )
                losses.add("min-kernel", text, rule.names[0] if rule.names else "")
                if (least and not environment.reaches(least)) or (below and environment.reaches(below)):
                    continue
                rule = replace(
                    rule,
                    includes=replace(rule.includes, min_kernel=""),
                    excludes=replace(rule.excludes, min_kernel=""),
                )
            rules.append(rule)
        return _profile(replace(profile, rules=tuple(rules)), named=True)


class LabelFormat(Exporter):
    """`LABEL=JSON` in one line, for `podman build --label`; podman reads it with --seccomp-policy=image only."""

    name = "label"

    def written(self, profile: Profile) -> Written:
        """The podman form, as compact as it can be: labels are kept with the image's configuration."""
        losses = Losses(self.name)
        value = PodmanFormat(self.settings).values(profile, losses)
        notes = (
            "podman obeys it with `podman run --seccomp-policy=image` only; docker and Kubernetes do not",
        )
        return Written(text=f"{LABEL}={jsontext.encode(value)}\n", losses=losses.all(), notes=notes)


def _profile(profile: Profile, *, named: bool) -> Values:
    """The profile's fields that say something; `named`: errnos by name beside the number."""
    value: Values = {"defaultAction": profile.default_action}
    if profile.default_action in WITH_DATA and (
        profile.default_errno or profile.default_errno_ret is not None
    ):
        value |= _errno("defaultErrno", profile.outcome[1], named)
    if profile.architectures:
        value["architectures"] = profile.architectures
    if profile.arch_map:
        value["archMap"] = [
            {"architecture": each.architecture, "subArchitectures": each.sub_architectures}
            for each in profile.arch_map
        ]
    if profile.flags is not None:
        value["flags"] = profile.flags
    if profile.listener_path:
        value["listenerPath"] = profile.listener_path
    if profile.listener_metadata:
        value["listenerMetadata"] = profile.listener_metadata
    value["syscalls"] = [_rule(rule, named) for rule in profile.rules if rule.names]
    return value


def _rule(rule: Rule, named: bool) -> Values:
    value: Values = {"names": rule.names, "action": rule.action}
    if rule.action in WITH_DATA and (rule.errno or rule.errno_ret is not None):
        value |= _errno("errno", rule.outcome[1], named)
    if rule.args:
        value["args"] = [
            {"index": each.index, "value": each.value, "valueTwo": each.value_two, "op": each.op}
            for each in rule.args
        ]
    if rule.comment:
        value["comment"] = rule.comment
    for key, limits in (("includes", rule.includes), ("excludes", rule.excludes)):
        if limits != EVERYWHERE:
            value[key] = _limits(limits)
    return value


def _limits(limits: Filter) -> Values:
    fields = {"arches": limits.arches, "caps": limits.caps, "minKernel": limits.min_kernel}
    return {key: content for key, content in fields.items() if content}


def _errno(key: str, number: int, named: bool) -> Values:
    """Both forms, as containers-common's own seccomp.json has them; elsewhere the number alone."""
    name = errno_name(number)
    return {f"{key}Ret": number} | ({key: name} if named and not name.isdigit() else {})


def _lines(value: Values) -> str:
    """JSON for people: a field a line, and each rule on a line of its own."""
    lines = []
    for key, content in value.items():
        text = jsontext.encode(content)
        if isinstance(content, (list, tuple)) and key in ("syscalls", "archMap") and content:
            text = "[\n    " + ",\n    ".join(jsontext.encode(each) for each in content) + "\n  ]"
        lines.append(f"  {jsontext.encode(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
