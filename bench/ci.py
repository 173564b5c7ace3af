"""What `seclude ci` takes of a workflow's time: the example's plain test run against all steps but the build."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from figures import Table, compared
from programs import ROOT, Unmeasurable

sys.path.insert(0, str(ROOT / "tests" / "engines"))
from podman_bed import Bed, open_bed
from podman_config import missing
from recording import Recorder

PLAIN, CI = "the tests alone, podman run", "seclude ci without the build"
LIMIT = 3.0
IMAGE = "localhost/flask-api"


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """One table; raises Unmeasurable."""
    reason = missing()
    if reason:
        raise Unmeasurable(f"podman: {reason}")
    with open_bed() as bed:
        directory = bed.directory / "flask-api"
        shutil.copytree(ROOT / "examples" / "flask-api", directory)
        (directory / ".git").mkdir()
        base = f"BASE={bed.images['programs']}"
        build = (
            "podman",
            "build",
            "--quiet",
            "--tag",
            IMAGE,
            "--build-arg",
            base,
            "--file",
            "Containerfile",
            ".",
        )
        bed.host(*build, cwd=directory).succeeded()
        _without_build(directory)
        samples: dict[str, list[float]] = {PLAIN: [], CI: []}
        for run in range(runs + 1):
            progress(f"seclude ci on the example: run {run} of {runs}")
            plain, whole = _plain(bed), _ci(Recorder(bed), directory)
            if run:  # the first warms up
                samples[PLAIN].append(plain)
                samples[CI].append(whole)
    figures = (compared(PLAIN, samples), compared(CI, samples, (PLAIN, LIMIT)))
    return [Table("The example's tests: plain, and recorded, proved and compared", "ms", figures)]


def _without_build(directory: Path) -> None:
    path = directory / "seclude.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("build")]
    path.write_text("\n".join(lines) + "\n")


def _plain(bed: Bed) -> float:
    return bed.run("./test.sh", image=IMAGE).succeeded().seconds * 1000


def _ci(recorder: Recorder, directory: Path) -> float:
    started = time.monotonic()
    done = recorder.seclude("ci", cwd=directory)
    if done.status:
        raise Unmeasurable(str(done))
    return (time.monotonic() - started) * 1000
