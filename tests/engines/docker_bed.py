"""A docker engine apart from the machine's own, for tests: an image in; containers and all else in one directory.

DOCKER_HOST says where it is and PATH which client speaks to it, so that whatever runs `docker` with the bed's
environment uses it without further options.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemons import PATH, DaemonBed, Unsupported, missing_of, open_daemon_bed, wait_for
from podman_bed import Result
from podman_config import SCRIPT

IMAGE = "seclude/workloads:test"

# crun refuses the hybrid layout of control groups, docker and runc do without version 2.
_NAMESPACE = """
if grep -q '^[^ ]* /sys/fs/cgroup/unified cgroup2 ' /proc/self/mounts; then
    umount /sys/fs/cgroup/unified || exit 1
fi
exec "$@"
"""


def missing() -> str:
    """Why there can be no bed here; empty if there can."""
    return missing_of("dockerd", "containerd", "runc", "docker")


class DockerBed(DaemonBed):
    """A docker engine; use `open_docker_bed`.

    Raises Unsupported, or AssertionError with the engine's log where it does not start although the kernel has what it
    needs.
    """

    def __init__(
        self, directory: Path, cache: Path, options: Sequence[str | Path] = (), *, bridge: bool = False
    ) -> None:
        self.cache = cache
        self._options = options
        self._bridge = bridge
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DOCKER", "CONTAINER"))
        }
        own = {"DOCKER_HOST": f"unix://{directory}/socket", "DOCKER_CONFIG": str(directory / "client")}
        super().__init__(directory, kept | {"PATH": PATH} | own)
        self.start()
        try:
            self._choose_client()
            self.docker("import", cache / "workloads.tar", IMAGE).succeeded()
        except BaseException:
            self._end()
            raise

    def start(self) -> None:
        """Starts the engine, once more if it has ended."""
        directory = self.directory
        network = () if self._bridge else ("--bridge", "none", "--iptables=false")
        # Where nobody reaps the containerd that died with its engine, the next engine takes it for alive.
        (directory / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        self._begin(
            *("dockerd", "--host", f"unix://{directory}/socket", "--storage-driver", "overlay2"),
            *("--data-root", directory / "data", "--exec-root", directory / "exec"),
            *("--pidfile", directory / "pid", "--ip6tables=false", *network, *self._options),
            apart=["--net"] if self._bridge else [],
            before=["sh", "-c", _NAMESPACE, "sh"],
        )
        try:
            self._wait()
        except BaseException:
            self._end()
            raise

    @property
    def engine_pid(self) -> int:
        """The engine's process: unshare, the shell and setpriv become it."""
        return self._engine.pid

    def wait_for_end(self) -> None:
        """Returns once the engine's process, which somebody else has killed, is gone."""
        self._engine.wait(60)

    def import_image(self, name: str) -> str:
        """Imports one more of the test images; what docker calls it."""
        subprocess.run([SCRIPT, self.cache, name], check=True, stdin=subprocess.DEVNULL)
        image = f"seclude/{name}:test"
        self.docker("import", self.cache / f"{name}.tar", image).succeeded()
        return image

    def _wait(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not (self.directory / "socket").exists() or self.docker("version").status:
            said = self._said()
            if self._engine.poll() is not None and "driver not supported" in said:
                raise Unsupported(f"overlay2 does not work on the file system of {self.directory}")
            assert self._engine.poll() is None and time.monotonic() < deadline, f"no docker engine: {said}"
            time.sleep(0.05)

    def _choose_client(self) -> None:
        """Puts the first client that the engine understands in front of all others."""
        places = [Path(place) / "docker" for place in PATH.split(":") if place]
        clients = [place for place in places if os.access(place, os.X_OK)]
        for client in clients:
            if not self.host(client, "ps").status:
                (self.directory / "bin").mkdir()
                (self.directory / "bin" / "docker").symlink_to(client)
                # Whoever asks podman first gets no answer, instead of one from the machine's own.
                podman = self.directory / "bin" / "podman"
                podman.write_text("#!/bin/sh\nexit 125\n")
                podman.chmod(0o755)
                self.environment["PATH"] = f"{self.directory}/bin:{PATH}"
                return
        raise AssertionError(f"no client speaks to the engine: {clients}")

    def docker(self, *arguments: str | Path) -> Result:
        """Runs docker with these arguments."""
        return self.host("docker", *arguments)

    @staticmethod
    def run_arguments(
        *command: str | Path, options: Sequence[str | Path] = (), verb: str = "run"
    ) -> list[str]:
        """The command line of `docker run` for a container that is removed when it has ended."""
        return ["docker", verb, "--rm", "--network", "none", *map(str, options), IMAGE, *map(str, command)]

    @contextmanager
    def running(self, name: str, *command: str | Path, options: Sequence[str | Path] = ()) -> Iterator[str]:
        """A container of this name that runs up to the end of the block."""
        self.host(
            *self.run_arguments(*command, options=["--detach", "--init", "--name", name, *options])
        ).succeeded()
        try:
            yield name
        finally:
            self.docker("rm", "--force", name)

    def wait_for_removal(self) -> None:
        """Returns once there is no container: the engine removes one of `--rm` after it has told of its end."""
        wait_for(lambda: self.docker("ps", "--all", "--quiet").succeeded().out == "")

    def _remove_containers(self) -> list[str]:
        found = [f"container {each}" for each in self.docker("ps", "--all", "--quiet").succeeded().lines]
        for line in found:
            self.docker("rm", "--force", line.split()[1])
        return found


@contextmanager
def open_docker_bed(
    cache: Path | None = None,
    prepare: Callable[[Path], Sequence[str | Path]] = lambda _: (),
    *,
    bridge: bool = False,
) -> Iterator[DockerBed]:
    """A bed from here to the end of the block; AssertionError there if anything remained.

    `prepare` gets the bed's directory and gives more options for dockerd; with `bridge` there is the usual network, in
    a network namespace of its own, and without it none.
    """

    def make(directory: Path, cache: Path) -> DockerBed:
        subprocess.run([SCRIPT, cache, "workloads"], check=True, stdin=subprocess.DEVNULL)
        return DockerBed(directory, cache, prepare(directory), bridge=bridge)

    with open_daemon_bed(cache, make) as bed:
        yield bed
