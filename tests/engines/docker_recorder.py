"""Containers of docker recorded through the installed runtime: a bed of docker in, recordings and leftovers out."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from daemon_recorder import DaemonRecorder, command, install_runtime, prepare
from docker_bed import IMAGE, DockerBed, open_docker_bed
from podman_bed import Result
from podman_config import runtime_path
from recording import Recorded

RUNTIME = "seclude"
CRUN = "seclude-crun"
"""The same with crun, where that is installed."""

SLOW = "seclude-slow"
"""A runtime that leads to a real one which takes its time: runtimes can be killed meanwhile."""


class DockerRecorder(DaemonRecorder[DockerBed]):
    """A docker engine that knows our runtime."""

    def __init__(self, bed: DockerBed) -> None:
        super().__init__(bed)
        self.config = _config(bed.directory)

    command = staticmethod(command)

    def reload(self) -> None:
        """Has the engine read its configuration again, and returns when it has."""
        wanted = (
            set(json.loads(self.config.read_text()).get("runtimes", {})) if self.config.exists() else set()
        )
        os.kill(self.bed.engine_pid, signal.SIGHUP)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            info = json.loads(self.bed.docker("info", "--format", "{{json .Runtimes}}").succeeded().out)
            if {name for name in info if name.startswith("seclude")} == wanted:
                return
            time.sleep(0.05)
        raise AssertionError(f"the engine knows {info}, not {wanted}")

    def line(
        self,
        *command: str | Path,
        options: Sequence[str | Path] = (),
        image: str = IMAGE,
        network: str = "none",
        verb: str = "run",
    ) -> list[str]:
        """The command line of `docker run`."""
        return ["docker", verb, "--rm", "--network", network, *map(str, options), image, *map(str, command)]

    def run(self, *command: str | Path, **keywords: Any) -> Result:
        """`docker run` to its end."""
        return self.bed.host(*self.line(*command, **keywords))

    def record(self, *command: str | Path, more: Sequence[str | Path] = (), **keywords: Any) -> Recorded:
        """`seclude record -- docker run` to its end; `more` are options of `seclude record`."""
        profile, file = self.path(".json"), self.path(".recording.json")
        line = self.line(*command, **keywords)
        result = self.seclude("record", "-o", profile, "--recording", file, *more, "--", *line)
        assert file.exists(), f"nothing was recorded\n{result}\n{self.status()}"
        return Recorded(result, profile, file)

    def traced(self, value: str) -> list[str]:
        """Options that have a container recorded without `seclude record`."""
        return ["--runtime", RUNTIME, "--env", f"SECLUDE_TRACE={value}"]


def _config(directory: Path) -> Path:
    return directory / "daemon.json"


def install(directory: Path, name: str, runtime: str) -> None:
    """`seclude runtime install` for the engine in the directory of a bed."""
    install_runtime(directory, name, runtime, "--config", _config(directory))


@contextmanager
def open_docker_recorder(*, bridge: bool = False) -> Iterator[DockerRecorder]:
    """An engine with our runtime from here to the end of the block; nothing remains of it."""
    with ExitStack() as mounted:

        def install_all(directory: Path) -> Sequence[str | Path]:
            prepare(directory, mounted)
            slow = directory / "slow-runc"
            slow.write_text('#!/bin/sh\ncase " $* " in *" create "*) sleep 5 ;; esac\nexec runc "$@"\n')
            slow.chmod(0o755)
            install(directory, RUNTIME, "runc")
            install(directory, SLOW, str(slow))
            if runtime_path("crun"):
                install(directory, CRUN, "crun")
            return ["--config-file", _config(directory)]

        with open_docker_bed(prepare=install_all, bridge=bridge) as bed, mounted:
            yield DockerRecorder(bed)
