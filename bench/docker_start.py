"""What the runtime adds to `docker run`: with runc, through the runtime unasked, and recorded, in turn; figures out."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

from figures import Table, compared
from programs import ROOT, Unmeasurable

sys.path.insert(0, str(ROOT / "src"))
sys.path.insert(0, str(ROOT / "tests" / "engines"))
from daemons import Unsupported
from docker_bed import missing
from docker_recorder import RUNTIME, DockerRecorder, open_docker_recorder

ROUNDS = 20
"""Starts of each kind in a run: at 5 runs 100 of each, 300 of them through the runtime."""

WARM = 2
UNASKED_LIMIT, LOADED_LIMIT, FIRST_LIMIT = 1.35, 1.35, 1.6
PLAIN, UNASKED = "runc", "the runtime, nothing asked for"
LOADED, FIRST = "recorded, the recorder loaded already", "recorded, the recorder loaded for it"


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """One table; raises Unmeasurable, also where one of the containers does not start."""
    if reason := missing():
        raise Unmeasurable(f"docker: {reason}")
    try:
        with open_docker_recorder() as docker:
            return [_starts(docker, runs, progress)]
    except Unsupported as reason:
        raise Unmeasurable(f"docker: {reason}") from reason


def _starts(docker: DockerRecorder, runs: int, progress: Callable[[str], None]) -> Table:
    recorded = docker.traced(f"of:{docker.outputs}/profile.json")

    def start(*options: str) -> float:
        done = docker.run("true", options=options)
        if done.status:
            raise Unmeasurable(str(done))
        return done.seconds * 1000

    def start_loaded() -> float:
        # As long as a neighbour is recorded nobody has to load the recorder.
        beside = docker.traced(f"of:{docker.outputs}/beside.json")
        with docker.bed.running("beside", "sleep", "600", options=beside):
            return start(*recorded)

    kinds = {
        PLAIN: lambda: start("--runtime", "runc"),
        UNASKED: lambda: start("--runtime", RUNTIME),
        FIRST: lambda: start(*recorded),
        LOADED: start_loaded,
    }
    for _ in range(WARM):
        start(*recorded)
    samples: dict[str, list[float]] = {name: [] for name in kinds}
    for run in range(runs):
        progress(f"containers with docker: run {run + 1} of {runs}")
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, kind in kinds.items():
                taken[name].append(kind())
            docker.settle()
        for name, values in taken.items():
            samples[name].append(statistics.median(values))
    figures = (
        compared(PLAIN, samples),
        compared(UNASKED, samples, (PLAIN, UNASKED_LIMIT)),
        compared(LOADED, samples, (PLAIN, LOADED_LIMIT)),
        compared(FIRST, samples, (PLAIN, FIRST_LIMIT)),
    )
    title = f"docker run --rm --network none IMAGE true, {(len(kinds) - 1) * ROUNDS * runs} starts through the runtime"
    return Table(title, "ms", figures)
