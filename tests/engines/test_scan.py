"""Soundness on real programs in containers: what was recorded of them is reachable in the image, a tar file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from programs import PROGRAMS, Program, record
from recording import Recorder
from scanning import TESTED, scan_options

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="scan reads x86_64 only"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, so that the C library is read once, and as it is now."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    "program", [each for each in PROGRAMS if each.name in TESTED], ids=lambda program: program.name
)
def test_what_was_recorded_is_reachable(recorder: Recorder, program: Program, cache: Path) -> None:
    recorded = record(recorder, program, "runc")
    done = recorder.seclude(
        "scan",
        *scan_options(program),
        *("--recording", recorded.file, "--json"),
        env={"XDG_CACHE_HOME": str(cache)},
        timeout=240,
    )
    assert done.status == 0, str(done)
    values = json.loads(done.out)
    assert values["recorded"] == sorted(recorded.names("app", abi="x86_64"))
    outside = set(values["recorded"]) - set(values["reachable"])
    assert outside <= {"restart_syscall"}, values["outside"]
    assert all(item["reason"] for item in values["outside"])
    assert len(values["recorded"]) < len(values["reachable"]) < 260
