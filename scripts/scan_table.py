"""Records real programs, scans what ran, and prints both sizes as the Markdown tables of docs/scan.md.

The programs are those of tests/kernel/test_scan.py, on this machine, and of tests/engines/test_scan.py, in containers
made from an image that is scanned as a tar file. Needs root and `make setup` before:
sudo .venv/bin/python scripts/scan_table.py [--no-containers] [PROGRAM...]
Ends with 1 where a recorded call is not reachable and nothing explains it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [
    str(ROOT / "src"),
    *(str(ROOT / "tests" / name) for name in ("kernel", "engines", "workloads")),
]

import programs as containers  # noqa: E402
import scanned as here  # noqa: E402
from plain import SECLUDE  # noqa: E402
from podman_bed import open_bed  # noqa: E402
from podman_config import missing  # noqa: E402
from recording import Recorder  # noqa: E402
from scanning import scan_options  # noqa: E402

COLUMNS = (
    "program",
    "programs",
    "files",
    "recorded",
    "reachable",
    "outside",
    "not resolved",
    "first",
    "again",
)


@dataclass(frozen=True)
class Measured:
    """One program: what its scan said, and seconds of processor time with an empty and with a full cache."""

    title: str
    values: dict[str, Any]
    first: float
    again: float

    @property
    def outside(self) -> list[str]:
        """Recorded calls that are not reachable."""
        return sorted(set(self.values["recorded"]) - set(self.values["reachable"]))

    @property
    def right(self) -> bool:
        return all(item["reason"] for item in self.values["outside"])

    def row(self) -> list[str]:
        values = self.values
        numbers = (
            len(set(values["programs"].values())),
            len(values["files"]),
            len(values["recorded"]),
            len(values["reachable"]),
        )
        return [
            self.title,
            *map(str, numbers),
            ", ".join(self.outside) or "0",
            str(len(values["unresolved"])),
            f"{self.first:.1f}",
            f"{self.again:.1f}",
        ]


def scan(*arguments: str | Path, cache: Path) -> tuple[dict[str, Any], float]:
    """(What `seclude scan --json` says, seconds of processor time that it took)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*SECLUDE, "scan", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 2):
        raise SystemExit(f"scan of {arguments}: {done.stderr}")
    return json.loads(done.stdout), sum(after[:2]) - sum(before[:2])


def measured(title: str, *arguments: str | Path) -> Measured:
    with tempfile.TemporaryDirectory() as cache:
        values, first = scan(*arguments, cache=Path(cache))
        _, again = scan(*arguments, cache=Path(cache))
    return Measured(title, values, first, again)


def on_this_machine(wanted: Sequence[str]) -> Iterator[Measured]:
    for program in here.PROGRAMS:
        if wanted and program.name not in wanted:
            continue
        if reason := program.missing():
            print(f"{program.name}: {reason}", file=sys.stderr, flush=True)
            continue
        print(program.name, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as directory:
            recording = here.recorded(program, Path(directory))
            title = program.title or program.name
            yield measured(title, "/", "--recording", recording, *here.options(program))


def in_containers(wanted: Sequence[str]) -> Iterator[Measured]:
    with open_bed() as bed:
        recorder = Recorder(bed)
        for program in containers.PROGRAMS:
            if wanted and program.name not in wanted:
                continue
            print(f"{program.name} in a container", file=sys.stderr, flush=True)
            recorded = containers.record(recorder, program, "runc")
            title = program.title or program.name
            yield measured(title, *scan_options(program), "--recording", recorded.file)


def table(title: str, found: Iterator[Measured]) -> bool:
    """Prints it row by row; whether all was right."""
    right = True
    if (first := next(found, None)) is None:
        return True
    print(f"\n### {title}\n\n| {' | '.join(COLUMNS)} |\n| ---{' | --:' * (len(COLUMNS) - 1)} |", flush=True)
    for each in chain((first,), found):
        print(f"| {' | '.join(each.row())} |", flush=True)
        right = right and each.right
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--no-containers", action="store_true", help="only programs of this machine")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only these")
    wanted = parser.parse_args()
    known = {program.name for program in (*here.PROGRAMS, *containers.PROGRAMS)}
    if unknown := sorted(set(wanted.programs) - known):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    print(f"Linux {platform.release().partition('-')[0]}, {platform.machine()}, {os.cpu_count()} processors")
    right = table("On this machine", on_this_machine(wanted.programs))
    if not wanted.no_containers and (reason := missing()):
        print(f"no containers: {reason}", file=sys.stderr)
    elif not wanted.no_containers:
        right = table("In containers", in_containers(wanted.programs)) and right
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
