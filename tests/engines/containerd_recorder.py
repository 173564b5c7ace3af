"""Containers of containerd recorded through the installed runtime: a bed in, recordings and leftovers out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from containerd_bed import IMAGE, ContainerdBed, open_containerd_bed
from podman_bed import Result
from recording import MAIN, SOURCES, TRACE, Recorded

RUNTIME = "seclude"


class ContainerdRecorder:
    """A containerd that knows our runtime, with a bpffs, a state directory and a policy of the bed's own.

    `outputs` is the one directory that the policy allows, `launcher` the program that stands for runc.
    """

    def __init__(self, bed: ContainerdBed) -> None:
        self.bed = bed
        self._count = 0
        self.bpffs, self.state, self.outputs = _places(bed.directory)
        self.launcher = _launcher(bed.directory)
        self.environment = {
            "PYTHONPATH": str(SOURCES),
            "SECLUDE_BPFFS": str(self.bpffs),
            "SECLUDE_STATE_DIR": str(self.state),
        }

    def seclude(self, *arguments: str | Path, **keywords: Any) -> Result:
        """Runs `seclude` with the bed's engine."""
        return self.bed.host(*_command(*arguments), env=self.environment, **keywords)

    def path(self, suffix: str) -> Path:
        """A new path that the policy allows."""
        self._count += 1
        return self.outputs / f"{self._count}{suffix}"

    @staticmethod
    def annotations(profile: Path, file: Path, *, container: str = "") -> Mapping[str, str]:
        """What asks for a profile and a recording, of one container of a pod or of any."""
        own = f"/{container}" if container else ""
        return {f"{TRACE}{own}": f"of:{profile}", f"io.seclude.recording{own}": str(file)}

    def options(self, profile: Path, file: Path) -> list[str]:
        """The same as options of `ctr run`."""
        return [
            word
            for name, value in self.annotations(profile, file).items()
            for word in ("--annotation", f"{name}={value}")
        ]

    def record(
        self, *command: str | Path, options: Sequence[str | Path] = ("--seccomp",), image: str = IMAGE
    ) -> Recorded:
        """`ctr run` to its end, recorded: under containerd's default profile unless other options are given."""
        profile, file = self.path(".json"), self.path(".recording.json")
        more = [*self.options(profile, file), *options]
        result = self.bed.run(*command, options=more, image=image, binary=str(self.launcher))
        assert file.exists(), f"nothing was recorded\n{result}\n{self.status()}"
        return Recorded(result, profile, file)

    def status(self) -> dict[str, Any]:
        """What `seclude hook status` says."""
        status: dict[str, Any] = json.loads(self.seclude("hook", "status", "--json").succeeded().out)
        return status

    def pins(self) -> list[str]:
        """What is pinned in the bed's bpffs."""
        directory = self.bpffs / "seclude"
        return sorted(os.listdir(directory)) if directory.exists() else []

    def settle(self, seconds: float = 10) -> None:
        """Returns once nothing is recorded any more."""
        deadline = time.monotonic() + seconds
        while self.status()["recordings"] and time.monotonic() < deadline:
            time.sleep(0.05)


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


def _places(directory: Path) -> tuple[Path, Path, Path]:
    return directory / "bpf", directory / "state", directory / "outputs"


def _launcher(directory: Path) -> Path:
    return directory / "launchers" / RUNTIME


def _install(directory: Path, program: Sequence[str | Path]) -> None:
    """`seclude runtime install`, as a user would; `program` is the command line of `seclude`."""
    bpffs, state, outputs = _places(directory)
    for path in (state, outputs):
        path.mkdir(mode=0o700)
    policy = directory / "policy.toml"
    policy.write_text(f'output-directories = ["{outputs}"]\n')
    places = ["--bpffs", bpffs, "--state-dir", state, "--policy", policy]
    own = ["--config", directory / "config.toml", "--launcher", _launcher(directory)]
    more = ["--engine", "containerd", "--name", RUNTIME, "--runtime", "runc", *places, *own]
    subprocess.run(
        [*program, "runtime", "install", "--quiet", *more],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES)},
    )


@contextmanager
def open_containerd_recorder(program: Sequence[str | Path] = ()) -> Iterator[ContainerdRecorder]:
    """A containerd with our runtime from here to the end of the block; nothing remains of it.

    `program` is the command line of the `seclude` that installs it, and that will record.
    """
    with ExitStack() as mounted:

        def prepare(directory: Path) -> None:
            bpffs = _places(directory)[0]
            bpffs.mkdir()
            subprocess.run(["mount", "-t", "bpf", "bpf", bpffs], check=True)
            mounted.callback(subprocess.run, ["umount", bpffs], check=True)
            _install(directory, program or _command())

        with open_containerd_bed(prepare=prepare) as bed, mounted:
            yield ContainerdRecorder(bed)
