"""What a container runs under: its name in, the profile in force and the capabilities, as its engine has them, out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EngineError, ProfileError, SecludeError
from ..formats import oci
from ..inputs import read_text
from ..model.frozen import frozen
from ..model.profile import Profile

ENGINES = ("podman", "docker")
_TIMEOUT = 30.0
_LARGEST = 16 * 1024 * 1024

_DOCKER_BUNDLES = (
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby",
    "/run/containerd/io.containerd.runtime.v2.task/moby",
)
"""Where the containerd of dockerd keeps config.json while a container runs."""


@frozen
class Answer:
    """What a command said: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


Ask = Callable[[Sequence[str]], Answer | None]
"""Runs a command; None where there is no such program."""


@frozen
class Confinement:
    """`source` is the path of the profile, or says in parentheses where it came from. `ids`: the container's names."""

    profile: Profile
    source: str
    capabilities: tuple[str, ...]
    ids: tuple[str, ...]


def ask(command: Sequence[str]) -> Answer | None:
    """Run an engine's own client and wait for its answer; raises EngineError where none comes."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"`{command[0]}` does not answer: {error}") from error
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return Answer(status=done.returncode, out=out, err=err)


def confinement(name: str, ask: Ask = ask) -> Confinement:
    """What the container runs under; raises EngineError where there is none of this name, or it runs unconfined."""
    engine, found = _inspected(name, ask)
    host = _member(found, "HostConfig")
    given = [str(item) for item in host.get("SecurityOpt") or ()]
    options = [item[len("seccomp=") :] for item in given if item.startswith(("seccomp=", "seccomp:"))]
    spec = _spec(found)
    option = options[-1] if options else ""
    if option == "unconfined" or (host.get("Privileged") and not option):
        raise EngineError(
            f"the container {name} runs without a seccomp profile", hint="so seccomp refuses it nothing"
        )
    profile, source = _profile(name, engine, option, spec)
    capabilities = found.get("BoundingCaps") or _member(_member(spec, "process"), "capabilities").get(
        "bounding"
    )
    return Confinement(
        profile=profile,
        source=source,
        capabilities=tuple(str(item) for item in capabilities or ()),
        ids=(str(found.get("Id", "")), str(found.get("Name", "")).removeprefix("/")),
    )


def _inspected(name: str, ask: Ask) -> tuple[str, dict[str, Any]]:
    """(engine, what it says of the container)."""
    said: list[str] = []
    for engine in ENGINES:
        answer = ask([engine, "container", "inspect", "--", name])
        if answer is None:
            continue
        if answer.status == 0:
            try:
                found = json.loads(answer.out)
            except ValueError as error:
                raise EngineError(f"{engine} describes the container {name} in no JSON") from error
            if isinstance(found, list) and found and isinstance(found[0], dict):
                return engine, found[0]
        lines = [line.strip() for line in answer.err.strip().splitlines()] or [f"status {answer.status}"]
        said.append(f"{engine}: {lines[-1][:300]}")
    if not said:
        raise EngineError("neither podman nor docker is installed", hint="name the profile with --profile")
    raise EngineError(
        f"there is no container {name[:100]!r} ({'; '.join(said)})",
        hint="`podman ps --all` lists them; a profile can also be named with --profile",
    )


def _member(value: object, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _spec(found: dict[str, Any]) -> dict[str, Any]:
    """The container's config.json (OCI runtime-spec), empty where it is not there, as for one that has ended."""
    container = str(found.get("Id", ""))
    paths = [str(found.get("OCIConfigPath") or "")]
    if container.isalnum():
        paths += [f"{bundles}/{container}/config.json" for bundles in _DOCKER_BUNDLES]
    for path in paths:
        if path:
            try:
                value = json.loads(read_text(path, limit=_LARGEST, error=EngineError))
            except (SecludeError, ValueError):
                continue
            if isinstance(value, dict):
                return value
    return {}


def _profile(name: str, engine: str, option: str, spec: dict[str, Any]) -> tuple[Profile, str]:
    """(profile, source): the file it was started with, else what the runtime was given."""
    if option.startswith("{"):  # docker's client reads the file and sends its text
        return oci.loads(option, f"the profile of {name}"), ""
    if option and option not in ("builtin", "default"):
        try:
            return oci.loads(read_text(option, limit=oci.LARGEST, error=ProfileError), option), option
        except ProfileError:
            if not _member(spec, "linux").get("seccomp"):
                raise
    given = _member(_member(spec, "linux"), "seccomp")
    if not given:
        raise EngineError(
            f"the profile of the container {name} cannot be read: {engine} shows its default only while it runs",
            hint="name the profile with --profile",
        )
    return oci.loads(json.dumps(given), f"config.json of {name}"), ""
