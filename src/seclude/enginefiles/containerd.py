"""containerd's config.toml, versions 2 and 3: the runtimes that its CRI plugin offers to Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import SecludeError
from ..launcher import Launcher
from . import toml
from .editor import member, pruned

ANNOTATIONS = [name for key in ("io.containers.trace-syscall", "io.seclude.*") for name in (key, f"{key}/*")]
"""Patterns of Go's path.Match, whose * stops at a slash: after that an annotation names its container."""
_PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
_NEW = "version = 2\n"
"""What containerd 1.x and 2.x both read."""


class ContainerdFile:
    """https://github.com/containerd/containerd/blob/main/docs/cri/config.md"""

    engine = "containerd"
    place = "/etc/containerd/config.toml"

    def value(self, text: str, source: str) -> Mapping[str, object]:
        value = pruned(toml.decoded(text, source))
        return {} if value == toml.decoded(_NEW, source) else value

    def paths(self, text: str, source: str) -> dict[str, str]:
        entries = member(toml.decoded(text, source), *_runtimes(text, source))
        options = {name: member(entry, "options") for name, entry in entries.items()}
        return {name: str(found["BinaryName"]) for name, found in options.items() if found.get("BinaryName")}

    def added(self, text: str, name: str, path: str, target: Launcher, source: str) -> str:
        text = text if text.strip() else _NEW
        runtimes = _runtimes(text, source)
        place = (*runtimes, name)
        text = toml.without(text, place, source)
        usual = _usual(text, source)
        # Above all SystemdCgroup, which has to be what kubelet goes by.
        options = {**member(usual, "options"), "BinaryName": path}
        entry = {
            "runtime_type": str(usual.get("runtime_type") or "io.containerd.runc.v2"),
            "pod_annotations": ANNOTATIONS,
            "container_annotations": ANNOTATIONS,
        }
        return toml.appended(text, {place: entry, (*place, "options"): options}, source)

    def removed(self, text: str, name: str, source: str) -> str:
        holder = member(toml.decoded(text, source), *_runtimes(text, source)[:-1])
        if holder.get("default_runtime_name") == name:
            raise SecludeError(
                f"{source}: {name} is the default_runtime_name", hint="change default_runtime_name first"
            )
        return toml.without(text, (*_runtimes(text, source), name), source)

    def notes(self, text: str, name: str, source: str) -> tuple[str, ...]:
        notes = ["restart containerd, under which containers go on: `systemctl restart containerd`"]
        if name in self.paths(text, source):
            notes.append(f"then a RuntimeClass with `handler: {name}`, see docs/kubernetes.md")
        disabled = toml.decoded(text, source).get("disabled_plugins")
        if isinstance(disabled, list) and {"cri", *_PLUGINS.values()} & set(map(str, disabled)):
            notes.append(f"{source} disables the CRI plugin: Kubernetes cannot use this containerd as it is")
        return tuple(notes)


def _runtimes(text: str, source: str) -> tuple[str, ...]:
    """The path of the table of runtimes; raises SecludeError for a version that has none."""
    value = toml.decoded(text, source)
    version = value.get("version", 1) if value else 2
    plugin = _PLUGINS.get(version) if isinstance(version, int) else None
    if plugin is None:
        raise SecludeError(
            f"{source} is of version {version}, not of {' or '.join(map(str, _PLUGINS))}",
            hint="`containerd config migrate` writes it as the present one",
        )
    return ("plugins", plugin, "containerd", "runtimes")


def _usual(text: str, source: str) -> dict[str, object]:
    """The runtime that containers get otherwise."""
    path = _runtimes(text, source)
    value = toml.decoded(text, source)
    name = member(value, *path[:-1]).get("default_runtime_name", "runc")
    return member(value, *path, str(name))
