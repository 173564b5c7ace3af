"""A containerd apart from the machine's own, for tests: images in; containers and all else in one directory.

CONTAINERD_ADDRESS says where it is, so that `ctr` with the bed's environment uses it without further options. Its CRI
plugin answers at the same address, as it does for kubelet.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemons import PATH, DaemonBed, missing_of, open_daemon_bed
from oci_archive import write_archive
from podman_bed import Result
from podman_config import SCRIPT

IMAGE = "localhost/seclude/workloads:test"
PAUSE = "localhost/seclude/pause:test"
KUBERNETES = "k8s.io"
"""The namespace in which the CRI plugin keeps what is Kubernetes'."""

SHIM = "io.containerd.runc.v2"


def missing() -> str:
    """Why there can be no bed here; empty if there can."""
    return missing_of("containerd", "ctr", "containerd-shim-runc-v2", "runc")


def _config(directory: Path) -> str:
    """What decides where it writes; the rest makes it work without CAP_SYS_RESOURCE."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{directory}/root"
state = "{directory}/run"
# This stands for whatever else a node's file says, and must survive our edit.
oom_score = 0

[grpc]
address = "{directory}/socket"

[plugins."io.containerd.internal.v1.opt"]
path = "{directory}/opt"

[{cri}]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true

[{cri}.cni]
conf_dir = "{directory}/cni"
bin_dir = "{directory}/cni"

[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
runtime_type = "{SHIM}"
"""


class ContainerdBed(DaemonBed):
    """A containerd; `config` is its file. Use `open_containerd_bed`.

    Raises AssertionError with the engine's log where it does not start.
    """

    MOUNTED = "run"

    def __init__(self, directory: Path, cache: Path) -> None:
        self.socket = directory / "socket"
        self.config = directory / "config.toml"
        self._cache = cache
        self._count = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTAINER")}
        own = {
            "CONTAINERD_ADDRESS": str(self.socket),
            "CONTAINERD_NAMESPACE": "seclude",
            "CONTAINERD_SNAPSHOTTER": "overlayfs",
        }
        super().__init__(directory, kept | {"PATH": PATH} | own)
        self.start()
        try:
            self.import_image("workloads", also=(PAUSE,))
        except BaseException:
            self._end()
            raise

    @staticmethod
    def prepare(directory: Path) -> None:
        """Writes the engine's file, before anybody installs a runtime in it."""
        (directory / "config.toml").write_text(_config(directory))

    def start(self) -> None:
        """Starts the engine, once more if it has ended."""
        self._begin("containerd", "--config", self.config)
        deadline = time.monotonic() + 120
        while not self.socket.exists() or self.ctr("version").status:
            if self._engine.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise AssertionError(f"no containerd: {self._said()}")
            time.sleep(0.05)

    def import_image(self, name: str, also: Sequence[str] = ()) -> str:
        """Imports one of the test images, for `ctr` and for Kubernetes, under further names as well; its name.

        The pause image is busybox asleep: any program does that waits until it is killed.
        """
        image = f"localhost/seclude/{name}:test"
        subprocess.run([SCRIPT, self._cache, name], check=True, stdin=subprocess.DEVNULL)
        layer = self._cache / f"{name}.tar"
        archive = self.directory / "images.tar"
        sleeping = {"Entrypoint": ["/bin/sleep", "1000000"]}
        write_archive(archive, {image: (layer, {}), **dict.fromkeys(also, (layer, sleeping))})
        for namespace in ("seclude", KUBERNETES):
            self.ctr("--namespace", namespace, "images", "import", archive).succeeded()
        archive.unlink()
        return image

    def restart(self, number: int = signal.SIGTERM) -> None:
        """Ends the engine with this signal and starts it again: containers go on under their shims."""
        self._engine.send_signal(number)
        self._engine.wait(60)
        self.start()

    def ctr(self, *arguments: str | Path) -> Result:
        """Runs ctr with these arguments."""
        return self.host("ctr", *arguments)

    def new_name(self) -> str:
        """A name that no container of the bed has had."""
        self._count += 1
        return f"c{self._count}"

    def run_arguments(
        self,
        *command: str | Path,
        binary: str | Path = "",
        options: Sequence[str | Path] = (),
        image: str = IMAGE,
        name: str = "",
    ) -> list[str]:
        """The command line of `ctr run`; `binary` is the OCI runtime that the shim starts, runc otherwise."""
        runtime = ["--runtime", SHIM, *(["--runc-binary", str(binary)] if binary else [])]
        return [
            "ctr",
            "run",
            *runtime,
            *map(str, options),
            image,
            name or self.new_name(),
            *map(str, command),
        ]

    def run(self, *command: str | Path, options: Sequence[str | Path] = (), **keywords: str) -> Result:
        """`ctr run --rm` to its end."""
        return self.host(*self.run_arguments(*command, options=["--rm", *options], **keywords))

    @contextmanager
    def running(
        self, *command: str | Path, options: Sequence[str | Path] = (), **keywords: str
    ) -> Iterator[str]:
        """The name of a container that runs up to the end of the block, if nobody ends it before."""
        name = self.new_name()
        # Without --null-io ctr leaves the pipes of a detached container behind, outside of the bed.
        more = ["--detach", "--null-io", *options]
        self.host(*self.run_arguments(*command, options=more, name=name, **keywords)).succeeded()
        try:
            yield name
        finally:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Kills a container and removes it; nothing happens where there is none."""
        self.ctr("tasks", "delete", "--force", name)
        self.ctr("containers", "delete", name)

    def _remove_containers(self) -> list[str]:
        found = []
        for namespace in ("seclude", KUBERNETES):
            listed = self.ctr("--namespace", namespace, "containers", "list", "--quiet").succeeded().lines
            for container in listed:
                found.append(f"container {container} in {namespace}")
                self.ctr("--namespace", namespace, "tasks", "delete", "--force", container)
                self.ctr("--namespace", namespace, "containers", "delete", container)
        return found


@contextmanager
def open_containerd_bed(
    cache: Path | None = None, prepare: Callable[[Path], None] = lambda _: None
) -> Iterator[ContainerdBed]:
    """A bed from here to the end of the block; AssertionError there if anything remained.

    `prepare` gets the bed's directory once its config.toml is written, before the engine reads it.
    """

    def make(directory: Path, cache: Path) -> ContainerdBed:
        ContainerdBed.prepare(directory)
        prepare(directory)
        return ContainerdBed(directory, cache)

    with open_daemon_bed(cache, make) as bed:
        yield bed
