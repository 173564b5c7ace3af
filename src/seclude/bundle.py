"""An OCI bundle in, what a recording says about its container out: command, capabilities, confinement, image."""

from __future__ import annotations

import os
import time

from .errors import SecludeError
from .formats import jsontext
from .inputs import read_text
from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_CONFIG = 16 * 1024 * 1024
LARGEST_STORE = 64 * 1024 * 1024
ENGINE_ANNOTATION = "io.seclude.engine"
ENGINES = ("docker", "containerd", "crio")
IMAGE_ANNOTATIONS = ("io.kubernetes.cri-o.ImageName", "io.kubernetes.cri.image-name")


@frozen
class Container:
    """What was known of a container when it started, by the names of Recording's fields, and the runtime's file."""

    created: str
    engine: str
    runtime: str
    runtime_path: str
    image: str
    container: str
    command: tuple[str, ...]
    confined: bool
    no_new_privileges: bool
    capabilities: tuple[str, ...]


def read_container(bundle: str, container: str, runtime_pid: int) -> Container:
    """The container of the bundle in directory `bundle`, started by the runtime that is process `runtime_pid`.

    Raises SecludeError if its config.json cannot be read.
    """
    path = os.path.join(bundle, "config.json")
    config = jsontext.decode(read_text(path, limit=LARGEST_CONFIG, error=SecludeError), path)
    process = _member(config, "process")
    capabilities = _member(process, "capabilities")
    runtime = _runtime(runtime_pid)
    return Container(
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        engine=_engine(process, _member(config, "annotations").get(ENGINE_ANNOTATION)),
        runtime=os.path.basename(runtime),
        runtime_path=runtime,
        image=_image(config, bundle, container),
        container=container,
        command=tuple(_strings(process.get("args"))),
        confined=bool(_member(_member(config, "linux"), "seccomp")),
        no_new_privileges=process.get("noNewPrivileges") is True,
        # The bounding set is what engines go by when they resolve a profile's includes and excludes.
        capabilities=tuple(sorted(_strings(capabilities.get("bounding")))),
    )


def listener_of(bundle: str) -> str:
    """The socket that a bundle's seccomp profile names for its listener; empty if none, or it cannot be read."""
    path = os.path.join(bundle, "config.json")
    try:
        config = jsontext.decode(read_text(path, limit=LARGEST_CONFIG, error=SecludeError), path)
    except SecludeError:
        return ""
    return str(_member(_member(config, "linux"), "seccomp").get("listenerPath", ""))


def _member(value: object, name: str) -> dict[str, object]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _runtime(pid: int) -> str:
    """The runtime's file, as good as it can be told.

    crun and runc re-execute themselves from a sealed copy that has no path ("/", "/memfd:...", CVE-2019-5736): then
    it is what the engine started, the first word of the command line.
    """
    try:
        path = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        if os.path.isfile(path):
            return path
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(4096).split(b"\0")[0].decode("utf-8", "replace")
    except OSError:
        return ""


def _engine(process: dict[str, object], annotation: object) -> str:
    """Our runtime wrapper says so in an annotation, podman in the environment (`container=podman`).

    Both may be the container's to forge, so only these names.
    """
    if isinstance(annotation, str) and annotation in ENGINES:
        return annotation
    return "podman" if "container=podman" in _strings(process.get("env")) else "oci"


def _image(config: object, bundle: str, container: str) -> str:
    annotations = _member(config, "annotations")
    for name in IMAGE_ANNOTATIONS:
        value = annotations.get(name)
        if isinstance(value, str):
            return value
    # containers/storage: <root>/overlay-containers/<id>/userdata is the bundle, containers.json lists the images.
    listing = os.path.join(os.path.dirname(os.path.dirname(bundle)), "containers.json")
    try:
        entries = jsontext.decode(read_text(listing, limit=LARGEST_STORE, error=SecludeError), listing)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("id") == container:
                metadata = jsontext.decode(str(entry.get("metadata", "")), listing)
                return str(_member({"m": metadata}, "m").get("image-name", ""))
    except SecludeError:
        return ""
    return ""


def runtime_version(path: str) -> str:
    """The version that a runtime prints of itself ("1.1.5"), empty if it cannot be asked."""
    return ask_version(path)()


def ask_version(path: str) -> Callable[[], str]:
    """The same without waiting: what is returned waits, and must be called."""
    if not path.startswith("/"):
        return str
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawn(
            path,
            [path, "--version"],
            {},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
    except OSError:
        os.close(reading)
        os.close(writing)
        return str
    os.close(writing)

    def answer() -> str:
        with os.fdopen(reading, "rb") as file:
            words = file.readline(256).decode("utf-8", "replace").split()
        os.waitpid(pid, 0)
        # "runc version 1.1.5+ds1", "crun version 1.8.1"
        return words[2] if len(words) > 2 and words[1] == "version" else ""

    return answer
