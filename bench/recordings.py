"""What it costs to make a profile, or one recording, of 10,000 recordings, each in a new process; figures out."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from figures import Figure, Ratio, Table
from profiles import COST, cost, every_name
from programs import ROOT

RECORDINGS, CALLS, FEWER = 10_000, 150, 1_000
MEMORY_RATIO, TIME_RATIO = 1.25, 1.25

_COMMAND = (
    "import importlib, sys, time; before = 0.0; sys.path.insert(0, sys.argv[1]); "
    "command = importlib.import_module('seclude.cli.' + sys.argv[2]).command; "
    "command(['--quiet', '--from-file', sys.argv[3], '-o', sys.argv[4]], standalone_mode=False); " + COST
)


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """One table, process time in ms and memory in MB; raises Unmeasurable if a command fails."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        paths = _written(Path(place))
        lists = {}
        for number in (FEWER, RECORDINGS):
            lists[number] = Path(place) / f"{number}.list"
            lists[number].write_text("".join(f"{path}\n" for path in paths[:number]))
        for name in ("generate", "merge"):
            costs: dict[int, list[list[float]]] = {number: [] for number in lists}
            for run in range(runs):
                progress(f"recordings: {name}, run {run + 1} of {runs}")
                for number, listed in lists.items():
                    costs[number].append(cost(_COMMAND, name, str(listed), f"{place}/{name}.json"))
            figures += _figures(name, costs)
    title = f"{RECORDINGS:,} recordings of {CALLS} calls, to {FEWER:,} of them"
    return [Table(title, "", tuple(figures), ("ms are process time, of one recording",))]


def _figures(name: str, costs: dict[int, list[list[float]]]) -> list[Figure]:
    found = []
    for place, (what, limit) in enumerate(((": ms", TIME_RATIO), (": MB of memory", MEMORY_RATIO))):
        values = {
            number: [each[place] / (number if place == 0 else 1) for each in measured]
            for number, measured in costs.items()
        }
        many, few = values[RECORDINGS], values[FEWER]
        ratios = tuple(one / other for one, other in zip(many, few, strict=True))
        ratio = Ratio(of=f"{FEWER:,} recordings", values=ratios, limit=limit)
        found.append(Figure(f"{name}{what}", tuple(many), (ratio,)))
    return found


def _written(place: Path) -> list[Path]:
    """Recordings as of one container on many nodes: a hundred different ones, each on a hundred nodes."""
    sys.path.insert(0, str(ROOT / "src"))
    from seclude import store
    from seclude.model.recording import Call, FirstSeen, Recording

    every = every_name()
    chance = random.Random(1)
    paths = []
    for kind in range(100):
        calls = tuple(
            Call(
                abi="x86_64",
                phase="app",
                context="",
                number=every.index(name),
                name=name,
                first=FirstSeen(
                    time=0.5,
                    pid=4000 + kind,
                    tid=4000 + kind,
                    comm="web",
                    executable="/usr/bin/python3.11",
                    arguments=(3, 140_234_234, 4096, 0, 0, 0),
                ),
            )
            for name in sorted(chance.sample(every, CALLS))
        )
        text = store.dumps(
            Recording(
                created="2026-01-01T00:00:00Z",
                duration=12.5,
                seclude="0.1.0",
                tracer="ebpf",
                kernel=("6.1.0-13-amd64", "6.18.44")[kind % 2],
                machine="x86_64",
                engine="podman",
                calls=calls,
                runtime="runc",
                runtime_version="1.1.5",
                image="localhost/web",
                container="@",
                confined=True,
            )
        )
        for node in range(RECORDINGS // 100):
            path = place / f"{node:03}-{kind:02}.json"
            path.write_text(text.replace('"@"', f'"{node:064x}"'))
            paths.append(path)
    return sorted(paths)
