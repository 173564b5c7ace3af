"""Measures what the OCI runtimes installed here call after they loaded the filter: writes data/baselines.json.

Each runtime starts a container that does nothing, in the variants below; a baseline is the union of their runtime
phases. The first variant is run many times on a busy machine: what only some of these runs called depends on timing
(runc's Go runtime collects garbage and is preempted when it likes). Needs root and `make setup` before:
sudo .venv/bin/python scripts/measure_baselines.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "engines"), str(ROOT / "tests" / "workloads")]

from podman_bed import Bed, open_bed  # noqa: E402

from seclude import store  # noqa: E402
from seclude.baseline import DATA, VERSION  # noqa: E402
from seclude.engines.podman import hooks_file  # noqa: E402
from seclude.model.recording import Recording  # noqa: E402

VARIANTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "a terminal": ("--tty",),
    "a user": ("--user", "1000:1000"),
    "a read-only root": ("--read-only",),
    "an init": ("--init",),
    "no capabilities": ("--cap-drop", "all"),
    "privileged": ("--cap-add", "all"),
    "a working directory": ("--workdir", "/bin"),
}
NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")


REPEATS = 40


def record(bed: Bed, runtime: str, options: Sequence[str]) -> Recording | None:
    path = bed.directory / "recording.json"
    path.unlink(missing_ok=True)
    result = bed.run(
        "true", runtime=runtime, options=options, annotations={"io.seclude.recording": str(path)}
    )
    if result.status != 0:
        print(f"{runtime} {options}: status {result.status}, left out: {result.err.strip()}", file=sys.stderr)
        return None
    return store.read(str(path))


def record_exec(bed: Bed, runtime: str, options: Sequence[str]) -> Recording:
    """A container that another process enters by `podman exec`."""
    path = bed.directory / "recording.json"
    path.unlink(missing_ok=True)
    container = bed.start(
        "sleep", "60", runtime=runtime, options=options, annotations={"io.seclude.recording": str(path)}
    )
    bed.podman("exec", container, "true").succeeded()
    bed.podman("rm", "--force", "--time", "0", container).succeeded()
    return store.read(str(path))


def measure(bed: Bed, runtime: str, no_new_privileges: bool) -> dict[str, Any]:
    common = NO_NEW_PRIVILEGES if no_new_privileges else ()
    variants = {name: record(bed, runtime, [*options, *common]) for name, options in VARIANTS.items()}
    recordings = {name: recording for name, recording in variants.items() if recording is not None}
    recordings["another process by exec"] = record_exec(bed, runtime, common)
    load = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        repeated = [record(bed, runtime, common) for _ in range(REPEATS)]
    finally:
        for process in load:
            process.kill()
            process.wait()
    runs = [recording.names("runtime") for recording in repeated if recording is not None]
    always = frozenset.intersection(*runs)
    calls = frozenset().union(*runs, *(recording.names("runtime") for recording in recordings.values()))
    first = recordings["default"]
    return {
        "runtime": runtime,
        "version": first.runtime_version,
        "no_new_privileges": no_new_privileges,
        "calls": sorted(calls),
        "varying": sorted(frozenset().union(*runs) - always),
        "obtained": f"recorded by seclude under podman on Linux {first.kernel}, x86_64; "
        f"{len(runs)} equal runs on a busy machine, and {', '.join(recordings)}",
    }


def measure_both(bed: Bed, runtime: str) -> list[dict[str, Any]]:
    """Without and with no-new-privileges; what depends on timing in one does so in the other."""
    entries = [measure(bed, runtime, nnp) for nnp in (False, True)]
    varying = frozenset().union(*(entry["varying"] for entry in entries))
    for entry in entries:
        entry["varying"] = sorted(varying)
        entry["calls"] = sorted(varying.union(entry["calls"]))
    return entries


def main() -> int:
    with open_bed() as bed:
        arguments = {"--bpffs": str(bed.bpffs), "--state-dir": str(bed.state), "--policy": "/nonexistent"}
        (bed.hooks_dir / "seclude.json").write_text(hooks_file(arguments, str(ROOT / "src")))
        measured = [entry for runtime in ("crun", "runc") for entry in measure_both(bed, runtime)]
    Path(DATA).write_text(json.dumps({"version": VERSION, "baselines": measured}, indent=1) + "\n")
    for entry in measured:
        print(entry["runtime"], entry["version"], "no-new-privileges" if entry["no_new_privileges"] else "")
        print("  calls:", *entry["calls"])
        print("  varying:", *entry["varying"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
