"""dockerd's daemon.json: JSON without comments, in which `runtimes` names programs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..errors import SecludeError
from ..formats import jsontext
from ..launcher import Launcher
from .editor import member, pruned

_INDENT = 2
_DEFAULT = "default-runtime"


class DockerFile:
    """https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file"""

    engine = "docker"
    place = "/etc/docker/daemon.json"

    def value(self, text: str, source: str) -> Mapping[str, object]:
        return pruned(_decoded(text, source))

    def paths(self, text: str, source: str) -> dict[str, str]:
        entries = member(_decoded(text, source), "runtimes")
        return {
            name: str(member(entry)["path"]) for name, entry in entries.items() if member(entry).get("path")
        }

    def added(self, text: str, name: str, path: str, target: Launcher, source: str) -> str:
        values = _decoded(text, source)
        if not isinstance(values.get("runtimes", {}), dict):
            raise SecludeError(f"{source}: `runtimes` is no object", hint="see dockerd(8)")
        values["runtimes"] = {**member(values, "runtimes"), name: {"path": path}}
        return _encoded(values, text)

    def removed(self, text: str, name: str, source: str) -> str:
        values = _decoded(text, source)
        if values.get(_DEFAULT) == name:
            raise SecludeError(
                f"{source}: {name} is the {_DEFAULT}, and without it dockerd would not start",
                hint=f"change or remove {_DEFAULT} first",
            )
        rest = {other: entry for other, entry in member(values, "runtimes").items() if other != name}
        values["runtimes"] = rest
        if not rest:
            del values["runtimes"]
        return _encoded(values, text)

    def notes(self, text: str, name: str, source: str) -> tuple[str, ...]:
        reload = "reload dockerd, which stops nothing: `systemctl reload docker` (or send it SIGHUP)"
        if name in self.paths(text, source):
            return (
                reload,
                f"then: docker run --runtime {name} ..., or seclude record -o PROFILE -- docker run ...",
            )
        if "runtimes" not in _decoded(text, source):
            # moby, daemon/reload_unix.go (reloadPlatform): a file without `runtimes` leaves the list as it is.
            reload = f"dockerd lists {name} until it is restarted; a reload is enough only where a file has `runtimes`"
        return (reload, f"containers that were made with --runtime {name} do not start any more")


def _decoded(text: str, source: str) -> dict[str, object]:
    if not text.strip():
        return {}  # dockerd takes an empty file for none
    value = jsontext.decode(text, source)
    if not isinstance(value, dict):
        raise SecludeError(f"{source} holds no JSON object", hint="see dockerd(8), daemon configuration file")
    return value


def _encoded(values: Mapping[str, object], before: str) -> str:
    """With the indentation of the text that was there."""
    second = next((line for line in before.splitlines()[1:] if line.strip()), "")
    indent = second[: len(second) - len(second.lstrip())]
    return json.dumps(values, indent=indent or _INDENT, ensure_ascii=False) + "\n"
