#!/usr/bin/env python3
"""Measures what recording costs (`make bench`): tables on standard output, each ratio with its limit.

usage: run.py [--runs N] [--only PART] [--json FILE]     (as root)

Exits with 1 if something could not be measured; a limit that is not met is printed as OVER, not as a failure.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from figures import Table, encode
from programs import Unmeasurable

PARTS = {
    "overhead": "overhead",
    "start": "start",
    "commands": "commands",
    "ci": "ci",
    "marks": "marks",
    "profiles": "profiles",
    "recordings": "recordings",
    "reports": "reports",
    "attach": "attach",
    "docker": "docker_start",
}
"""Part -> the module that measures it, which is imported only then: what one needs another may lack."""


def tables_of(part: str, runs: int, progress: Callable[[str], None]) -> list[Table]:
    """The tables of one part; raises Unmeasurable."""
    module = importlib.import_module(PARTS[part])
    if part == "overhead":
        return list(module.Overhead(runs, progress).tables())
    return list(module.tables(runs, progress))


def progress(text: str) -> None:
    """On a terminal one line that is overwritten, elsewhere nothing: the tables are what counts."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def conditions() -> dict[str, str]:
    """What the figures depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": f"{os.cpu_count()} x {models[0] if models else 'unknown'}",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what recording costs.")
    parser.add_argument("--runs", type=int, default=5, help="runs, whose median counts (default: 5)")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part alone (may be repeated)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE as JSON too")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs must be 1 or more")
    if os.geteuid() != 0:
        print("bench: loading programs into the kernel needs root", file=sys.stderr)
        return 1
    known = conditions()
    print(", ".join(f"{name} {value}" for name, value in known.items()))
    tables: list[Table] = []
    failed = False
    for name in arguments.only or PARTS:
        try:
            measured = tables_of(name, arguments.runs, progress)
        except Unmeasurable as error:
            progress("")
            print(f"\n{name}: not measured: {error}", file=sys.stderr)
            failed = True
            continue
        progress("")
        for table in measured:
            print("", *table.lines(), sep="\n", flush=True)
            failed = failed or bool(table.failures)
        tables += measured
    if arguments.json:
        arguments.json.write_text(encode(tables, known))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
