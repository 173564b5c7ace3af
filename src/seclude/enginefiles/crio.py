"""CRI-O's drop-in files, /etc/crio/crio.conf.d/*.conf: a runtime is one table."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..launcher import Launcher
from . import toml
from .editor import member, pruned

_RUNTIMES = ("crio", "runtime", "runtimes")


class CrioFile:
    """https://github.com/cri-o/cri-o/blob/main/docs/crio.conf.5.md"""

    engine = "crio"
    place = "/etc/crio/crio.conf.d/50-seclude.conf"

    def value(self, text: str, source: str) -> Mapping[str, object]:
        return pruned(toml.decoded(text, source))

    def paths(self, text: str, source: str) -> dict[str, str]:
        entries = member(toml.decoded(text, source), *_RUNTIMES)
        found = {name: member(entry).get("runtime_path") for name, entry in entries.items()}
        return {name: str(path) for name, path in found.items() if path}

    def added(self, text: str, name: str, path: str, target: Launcher, source: str) -> str:
        place = (*_RUNTIMES, name)
        entry = {
            "runtime_path": path,
            "runtime_type": "oci",
            "runtime_root": f"/run/{os.path.basename(target.runtime)}",
            # Of the annotations that CRI-O passes on only where it is told to, this is the one that we know.
            "allowed_annotations": ["io.containers.trace-syscall"],
        }
        return toml.appended(toml.without(text, place, source), {place: entry}, source)

    def removed(self, text: str, name: str, source: str) -> str:
        return toml.without(text, (*_RUNTIMES, name), source)

    def notes(self, text: str, name: str, source: str) -> tuple[str, ...]:
        notes = ["restart CRI-O, under which containers go on: `systemctl restart crio`"]
        if name in self.paths(text, source):
            notes.append(f"then a RuntimeClass with `handler: {name}`, see docs/kubernetes.md")
        return tuple(notes)
