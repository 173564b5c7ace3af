"""Containers of docker recorded through the installed runtime: a bed of docker in, recordings and leftovers out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from docker_bed import IMAGE, DockerBed, open_docker_bed
from podman_bed import Result
from podman_config import runtime_path
from recording import MAIN, SOURCES, Recorded

RUNTIME = "seclude"
CRUN = "seclude-crun"
"""The same with crun, where that is installed."""

SLOW = "seclude-slow"
"""A runtime that leads to a real one which takes its time: runtimes can be killed meanwhile."""


class DockerRecorder:
    """An engine that knows our runtime, with a bpffs, a state directory and a policy of the bed's own.

    `outputs` is the one directory that the policy allows.
    """

    def __init__(self, bed: DockerBed) -> None:
        self.bed = bed
        self._count = 0
        self.bpffs, self.state, self.outputs = _places(bed.directory)
        self.config = bed.directory / "daemon.json"
        self.environment = {
            "PYTHONPATH": str(SOURCES),
            "SECLUDE_BPFFS": str(self.bpffs),
            "SECLUDE_STATE_DIR": str(self.state),
        }

    @staticmethod
    def command(*arguments: str | Path) -> list[str]:
        """The command line of `seclude`."""
        return [sys.executable, "-c", MAIN, *map(str, arguments)]

    def seclude(self, *arguments: str | Path, **keywords: Any) -> Result:
        """Runs `seclude` with the bed's engine."""
        return self.bed.host(*self.command(*arguments), env=self.environment, **keywords)

    def reload(self) -> None:
        """Has the engine read its configuration again, and returns when it has."""
        wanted = (
            set(json.loads(self.config.read_text()).get("runtimes", {})) if self.config.exists() else set()
        )
        os.kill(self.bed.engine_pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            info = json.loads(self.bed.docker("info", "--format", "{{json .Runtimes}}").succeeded().out)
            if {name for name in info if name.startswith("seclude")} == wanted:
                return
            time.sleep(0.05)
        raise AssertionError(f"the engine knows {info}, not {wanted}")

    def path(self, suffix: str) -> Path:
        """A new path that the policy allows."""
        self._count += 1
        return self.outputs / f"{self._count}{suffix}"

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

    def status(self) -> dict[str, Any]:
        """What `seclude hook status` says."""
        status: dict[str, Any] = json.loads(self.seclude("hook", "status", "--json").succeeded().out)
        return status

    def pins(self) -> list[str]:
        """What is pinned in the bed's bpffs."""
        directory = self.bpffs / "seclude"
        return sorted(os.listdir(directory)) if directory.exists() else []

    def settle(self, seconds: float = 10) -> None:
        """Returns once nothing is recorded any more, or after this time."""
        deadline = time.monotonic() + seconds
        while self.status()["recordings"] and time.monotonic() < deadline:
            time.sleep(0.05)


def _places(directory: Path) -> tuple[Path, Path, Path]:
    return directory / "bpf", directory / "state", directory / "outputs"


def _prepare(directory: Path) -> Sequence[str | Path]:
    """Installs the runtimes, as a user would; dockerd's options."""
    _, state, outputs = _places(directory)
    for path in (state, outputs):
        path.mkdir(mode=0o700)
    (directory / "policy.toml").write_text(f'output-directories = ["{outputs}"]\n')
    slow = directory / "slow-runc"
    slow.write_text('#!/bin/sh\ncase " $* " in *" create "*) sleep 1 ;; esac\nexec runc "$@"\n')
    slow.chmod(0o755)
    install(directory, RUNTIME, "runc")
    install(directory, SLOW, str(slow))
    if runtime_path("crun"):
        install(directory, CRUN, "crun")
    return ["--config-file", directory / "daemon.json"]


def install(directory: Path, name: str, runtime: str) -> None:
    """`seclude runtime install` for the engine in the directory of a bed."""
    bpffs, state, _ = _places(directory)
    places = ["--bpffs", bpffs, "--state-dir", state, "--policy", directory / "policy.toml"]
    own = ["--config", directory / "daemon.json", "--launcher", directory / "launchers" / name]
    more = ["--name", name, "--runtime", runtime, *places, *own]
    subprocess.run(
        DockerRecorder.command("runtime", "install", "--quiet", *more),
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES)},
    )


@contextmanager
def open_docker_recorder(*, bridge: bool = False) -> Iterator[DockerRecorder]:
    """An engine with our runtime from here to the end of the block; nothing remains of it."""
    with ExitStack() as mounted:

        def prepare(directory: Path) -> Sequence[str | Path]:
            bpffs = _places(directory)[0]
            bpffs.mkdir()
            subprocess.run(["mount", "-t", "bpf", "bpf", bpffs], check=True)
            mounted.callback(subprocess.run, ["umount", bpffs], check=True)
            return _prepare(directory)

        with open_docker_bed(prepare=prepare, bridge=bridge) as bed, mounted:
            yield DockerRecorder(bed)
