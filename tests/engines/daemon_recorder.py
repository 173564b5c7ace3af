"""An engine that is a daemon in, our runtime installed in it; recordings and leftovers out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Generic, TypeVar

from daemons import DaemonBed
from podman_bed import Result, left
from recording import MAIN, SOURCES

B = TypeVar("B", bound=DaemonBed)


class DaemonRecorder(Generic[B]):
    """An engine that knows our runtime, with a bpffs, a state directory and a policy of the bed's own.

    `outputs` is the one directory that the policy allows.
    """

    def __init__(self, bed: B) -> None:
        self.bed = bed
        self._count = 0
        self.bpffs, self.state, self.outputs = _places(bed.directory)
        self.environment = {
            "PYTHONPATH": str(SOURCES),
            "SECLUDE_BPFFS": str(self.bpffs),
            "SECLUDE_STATE_DIR": str(self.state),
        }

    def seclude(self, *arguments: str | Path, **keywords: Any) -> Result:
        """Runs `seclude` with the bed's engine."""
        return self.bed.host(*command(*arguments), env=self.environment, **keywords)

    def path(self, suffix: str) -> Path:
        """A new path that the policy allows."""
        self._count += 1
        return self.outputs / f"{self._count}{suffix}"

    def status(self) -> dict[str, Any]:
        """What `seclude hook status` says."""
        status: dict[str, Any] = json.loads(self.seclude("hook", "status", "--json").succeeded().out)
        return status

    def pins(self) -> list[str]:
        """What is pinned in the bed's bpffs."""
        directory = self.bpffs / "seclude"
        return sorted(os.listdir(directory)) if directory.exists() else []

    def settle(self, seconds: float = 60) -> None:
        """Returns once nothing is recorded any more, or after this time."""
        deadline = time.monotonic() + seconds
        while self.status()["recordings"] and time.monotonic() < deadline:
            time.sleep(0.05)

    def left_nothing(self) -> None:
        """AssertionError if, once all has settled, anything is registered, pinned or asked for."""
        # A registration goes before the recorder is unpinned, so that one look at all of it is what counts.
        assert left(self._left) == []

    def _left(self) -> list[Any]:
        """What is registered, pinned or asked for."""
        places = [*self.state.glob("requests/*"), *self.state.glob("session-*")]
        return [*self.status()["recordings"], *self.pins(), *places]


def command(*arguments: str | Path) -> list[str]:
    """The command line of `seclude`."""
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


def prepare(directory: Path, mounted: ExitStack) -> None:
    """Makes what the recorder of a bed needs: the bpffs, which is there as long as `mounted` is open, and the rest."""
    bpffs, state, outputs = _places(directory)
    bpffs.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", bpffs], check=True)
    mounted.callback(subprocess.run, ["umount", bpffs], check=True)
    for path in (state, outputs):
        path.mkdir(mode=0o700)
    _policy(directory).write_text(f'output-directories = ["{outputs}"]\n')


def install_runtime(
    directory: Path, name: str, runtime: str, *options: str | Path, program: Sequence[str | Path] = ()
) -> None:
    """`seclude runtime install`, as a user would, for the engine in the directory of a bed.

    `options` are more of its own; `program` is the command line of the `seclude` that installs.
    """
    bpffs, state, _ = _places(directory)
    places = ["--bpffs", bpffs, "--state-dir", state, "--policy", _policy(directory)]
    own = ["--name", name, "--runtime", runtime, "--launcher", launcher(directory, name)]
    subprocess.run(
        [*(program or command()), "runtime", "install", "--quiet", *own, *places, *options],
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES)},
    )


def launcher(directory: Path, name: str) -> Path:
    """The program that stands for the real runtime."""
    return directory / "launchers" / name


def _places(directory: Path) -> tuple[Path, Path, Path]:
    return directory / "bpf", directory / "state", directory / "outputs"


def _policy(directory: Path) -> Path:
    return directory / "policy.toml"
