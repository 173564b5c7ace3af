"""Running containers: a name in, its engine and first process out; a process in, its container out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence

from ..errors import EngineError
from ..model.frozen import frozen

ENGINES = ("podman", "docker")
SECONDS = 20
LONGEST_NAME = 255
_MARKS = ("libpod-", "docker-", "crio-", "cri-containerd-", "nerdctl-", "docker/", "kubepods/")
_ID = 64


@frozen
class Running:
    """A container that runs: `pid` is its first process, as the host sees it.

    `image` and `runtime` as the engine names them, `command` with the entrypoint; empty where it does not say.
    """

    engine: str
    identity: str
    name: str
    pid: int
    image: str = ""
    runtime: str = ""
    command: tuple[str, ...] = ()


def running(name: str, engines: Sequence[str] = ENGINES) -> Running:
    """The running container of this name or id; raises EngineError if there is none, or it does not run."""
    if not name or len(name) > LONGEST_NAME or name.startswith("-"):
        raise EngineError(f"{name[:80]!r} is no name of a container", hint="see `podman ps`")
    present = [engine for engine in engines if shutil.which(engine)]
    if not present:
        raise EngineError("neither podman nor docker is installed", hint="name a process: --pid PID")
    reasons = []
    for engine in present:
        found = _inspect(engine, name)
        if isinstance(found, str):
            reasons.append(f"{engine}: {found}")
            continue
        if not found.pid:
            raise EngineError(
                f"container {name} does not run ({engine})", hint=f"start it: `{engine} start {name}`"
            )
        # Docker's engine may be in a virtual machine, or anywhere: a number from there means another process here.
        if engine == "docker" and not belongs(found.pid, found.identity):
            raise EngineError(
                f"container {name} runs on another machine than this one, or has ended",
                hint="do it there; `docker context show` and DOCKER_HOST say where docker's engine is",
            )
        return found
    raise EngineError(
        f"there is no container {name} ({'; '.join(reasons)})",
        hint=f"see `{present[0]} ps --all`; rootless containers are their user's alone: "
        "name their first process with --pid",
    )


def _inspect(engine: str, name: str) -> Running | str:
    """The container, with pid 0 if it does not run, or why the engine has none such."""
    command = [engine, "inspect", "--type", "container", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    except OSError as error:
        return str(error.strerror)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"ended with status {done.returncode}"
    try:
        [entry] = json.loads(done.stdout)
        state = entry["State"]
        # Of a container that is paused podman says that it does not run, docker that it does.
        pid = int(state["Pid"]) if state["Running"] or state.get("Paused") else 0
        return Running(
            engine=engine,
            identity=str(entry["Id"]),
            name=str(entry["Name"]).lstrip("/"),
            pid=pid,
            # Podman has names of its own for the first two.
            image=str(entry.get("ImageName") or entry.get("Config", {}).get("Image") or ""),
            runtime=str(entry.get("OCIRuntime") or entry.get("HostConfig", {}).get("Runtime") or ""),
            command=tuple(map(str, [entry.get("Path") or "", *(entry.get("Args") or ())])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its answer is not understood: {error}"


def container_of(cgroup: str) -> str:
    """The first 12 digits of the id of the container that a control group's path tells of; empty if of none.

    Engines name it after the container: libpod-ID, docker-ID.scope, docker/ID, crio-ID, cri-containerd-ID.
    """
    for mark in _MARKS:
        identity = cgroup.rpartition(mark)[2][:_ID] if mark in cgroup else ""
        if len(identity) == _ID and all(digit in "0123456789abcdef" for digit in identity):
            return identity[:12]
    return ""


def belongs(pid: int, identity: str) -> bool:
    """Whether a process is in the control group of the container with this id; False where there is none such."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return identity in file.read()
    except OSError:
        return False


def processes() -> Iterator[int]:
    """All processes that there are, by number."""
    return iter(sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))


def processes_of(identity: str, besides: Collection[int] = ()) -> Iterator[int]:
    """The processes in the control group of the container with this id, by number, without those in `besides`."""
    return (pid for pid in processes() if pid not in besides and belongs(pid, identity))


def namespaces_of(pid: int) -> tuple[int, int]:
    """(mount namespace, pid namespace) of a process, inode numbers; 0 where it shares ours. Raises OSError."""
    found = []
    for kind in ("mnt", "pid"):
        theirs = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
        found.append(0 if theirs == os.stat(f"/proc/self/ns/{kind}").st_ino else theirs)
    return found[0], found[1]
