"""What it costs to merge 10,000 profiles and to compare two of an engine's size, each in a new process; figures out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from figures import Figure, Ratio, Table
from programs import ROOT, Unmeasurable

PROFILES, CALLS = 10_000, 300
MERGE_SECONDS, MERGE_MB, DIFF_MS = 5.0, 300.0, 100.0

COST = "import json, resource, time; used = resource.getrusage(resource.RUSAGE_SELF); " + (
    "print(json.dumps([(time.process_time() - before) * 1000, used.ru_maxrss / 1024]))"
)
_MERGE = (
    "import os, sys, time; before = 0.0; sys.path.insert(0, sys.argv[1]); from seclude.cli.merge import command; "
    "command(['--quiet', sys.argv[2], '-o', sys.argv[3]], standalone_mode=False); " + COST
)
_DIFF = (
    "import sys, time; sys.path.insert(0, sys.argv[1]); from seclude.analyse.diff import *; "
    "from seclude.formats import oci; texts = [open(path).read() for path in sys.argv[2:]]; "
    "before = time.process_time(); profiles = [oci.loads(text, '') for text in texts]; "
    "difference(*profiles, environments=environments_for(profiles, machine='x86_64', kernel='6.1')); " + COST
)


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """One table of both, in process time; raises Unmeasurable if one fails."""
    merged: list[list[float]] = []
    compared: list[list[float]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = _written(Path(place))
        old, new = _docker_sized(Path(place))
        for run in range(runs):
            progress(f"profiles: run {run + 1} of {runs}")
            merged.append(cost(_MERGE, folder, f"{place}/merged.json"))
            compared.append(cost(_DIFF, old, new))
    times, memory = zip(*merged, strict=True)
    figures = (
        _limited(
            f"merge of {PROFILES:,} profiles of {CALLS} calls, with reading: ms", times, MERGE_SECONDS * 1000
        ),
        _limited("the same: MB of memory", memory, MERGE_MB),
        _limited("diff of two profiles of Docker's size: ms", [each[0] for each in compared], DIFF_MS),
    )
    return [Table("Profiles, each limit as ratio 1", "", figures, ("ms are process time",))]


def _limited(name: str, values: list[float] | tuple[float, ...], limit: float) -> Figure:
    ratio = Ratio(of="the limit", values=tuple(value / limit for value in values), limit=1.0)
    return Figure(name, tuple(values), (ratio,))


def cost(code: str, *arguments: str) -> list[float]:
    """(ms of process time, MB at most) of a Python program."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "src"), *arguments], capture_output=True, text=True
    )
    if done.returncode:
        raise Unmeasurable(done.stderr.strip().splitlines()[-1])
    told: list[float] = json.loads(done.stdout)
    return told


def _written(place: Path) -> str:
    """A folder of profiles as a recorder writes them, no two with the same calls."""
    folder = place / "profiles"
    folder.mkdir()
    chance = random.Random(1)
    for number in range(PROFILES):
        names = sorted(chance.sample(every_name(), CALLS))
        rule = {
            "names": names,
            "action": "SCMP_ACT_ALLOW",
            "args": [],
            "comment": "",
            "includes": {},
            "excludes": {},
        }
        profile = {
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [rule],
        }
        (folder / f"{number}.json").write_text(json.dumps(profile, separators=(",", ":")))
    return str(folder)


def every_name() -> list[str]:
    sys.path.insert(0, str(ROOT / "src"))
    from seclude.syscalls import names

    return sorted(names("x86_64"))


def _docker_sized(place: Path) -> tuple[str, str]:
    """Two profiles of the form of moby's: 420 names, conditions, and rules for 14 capabilities and 5 architectures."""

    def allow(names: list[str], **fields: object) -> dict[str, object]:
        return {"names": names, "action": "SCMP_ACT_ALLOW", **fields}

    def flags(value: int) -> list[dict[str, object]]:
        return [{"index": 0, "value": value, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]

    every = every_name()
    paths = []
    for number in range(2):
        rules = [allow(every[number : number + 340])]
        rules += [
            allow(["personality"], args=[{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}])
            for value in (0, 8, 131072)
        ]
        rules += [
            allow(every[340 + 2 * each : 344 + 2 * each], includes={"caps": [f"CAP_{each}"]})
            for each in range(14)
        ]
        rules += [
            allow([f"call_{arch}"], includes={"arches": [arch]})
            for arch in ("amd64", "arm", "arm64", "s390x", "x86")
        ]
        rules.append(allow(["clone"], args=flags(0x7E02_0000 + number), excludes={"caps": ["CAP_0"]}))
        path = place / f"{number}.json"
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}, indent=2))
        paths.append(os.fspath(path))
    return paths[0], paths[1]
