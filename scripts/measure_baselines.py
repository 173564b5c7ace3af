"""Measures OCI runtimes and puts them into the shipped src/seclude/data/baselines.json.

Each argument is PATH=SOURCE, a runtime's program and where it came from; an entry of the same runtime and version is
replaced. A version whose source makes the same calls as that of one that was measured is entered by --like. Needs root
and `make setup` before:
sudo .venv/bin/python scripts/measure_baselines.py "/usr/sbin/runc=Debian 12's package 1.1.5+ds1-1+deb12u1"
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from seclude import bpffs, registrations  # noqa: E402
from seclude.baseline import DATA, baselines, dumps  # noqa: E402
from seclude.measuring.measure import measure  # noqa: E402
from seclude.model.baseline import Baseline  # noqa: E402
from seclude.model.frozen import replace  # noqa: E402
from seclude.session import Settings  # noqa: E402

RUNS = 10


def put(entries: tuple[Baseline, ...]) -> None:
    """Add to the shipped data, in place of what was known of the same runtimes and versions."""
    new = {(entry.runtime, entry.version) for entry in entries}
    kept = [entry for entry in baselines() if (entry.runtime, entry.version) not in new]
    beside = Path(f"{DATA}.new")
    beside.write_text(dumps([*kept, *entries]))
    beside.replace(DATA)


def alike(runtime: str, version: str, measured: str, source: str) -> tuple[Baseline, ...]:
    """Entries for a version that was not run, from those of one that was; `source` says what was read."""
    found = tuple(item for item in baselines() if (item.runtime, item.version) == (runtime, measured))
    if not found:
        raise SystemExit(f"{runtime} {measured} was not measured")
    obtained = f"not run; read from the source: {source}; otherwise as {runtime} {measured} was measured"
    return tuple(replace(item, version=version, obtained=obtained) for item in found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure OCI runtimes for the shipped baselines.")
    parser.add_argument("runtimes", metavar="PATH=SOURCE", nargs="*")
    parser.add_argument(
        "--like",
        nargs=4,
        action="append",
        default=[],
        metavar=("RUNTIME", "VERSION", "MEASURED", "SOURCE"),
        help="VERSION calls what MEASURED calls; SOURCE says where that is to be read",
    )
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--bpffs", default=bpffs.DEFAULT)
    parser.add_argument("--state-dir", default=registrations.STATE)
    arguments = parser.parse_args()
    settings = Settings(bpffs=os.path.abspath(arguments.bpffs), state=os.path.abspath(arguments.state_dir))
    for argument in arguments.runtimes:
        path, equals, source = argument.partition("=")
        if not equals:
            parser.error(f"{argument!r} does not say where the program came from: PATH=SOURCE")
        entries = measure(path, settings, runs=arguments.runs, source=source, progress=lambda text: None)
        put(entries)
        for entry in entries:
            print(
                entry.runtime,
                entry.version,
                "no-new-privileges:" if entry.no_new_privileges else ":",
                end=" ",
            )
            print(*entry.calls, "| varying:", *entry.varying, "| unknown:", *entry.unknown, flush=True)
    for words in arguments.like:
        put(alike(*words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
