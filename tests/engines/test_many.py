"""Fifty containers at once: each with its own calls, nothing lost, nothing mixed, nothing left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from catalogue import SET_CALLS, SETS, set_workload
from podman_bed import WORKLOADS_DIR
from recording import Recorded, Recorder

pytestmark = pytest.mark.engine

TOGETHER = 8_000
"""Milliseconds that each container waits before it goes on: longer than two cores take to start the fifty."""


def outside(recorder: Recorder, directory: Path) -> subprocess.Popen[bytes]:
    """A process of no container that keeps making calls which no set has."""
    script = f"while [ ! -e {directory}/stop ]; do /bin/sync -f {directory}; done"
    return subprocess.Popen(["sh", "-c", script])


def test_fifty_at_once(recorder: Recorder, tmp_path: Path) -> None:
    bed = recorder.bed
    workloads = [set_workload(number, TOGETHER) for number in range(SETS)]
    neighbour = outside(recorder, tmp_path)
    running: list[tuple[subprocess.Popen[bytes], Recorded]] = []
    try:
        for workload in workloads:
            profile, file = recorder.path(".json"), recorder.path(".recording.json")
            command = bed.run_arguments(
                *workload.argv(WORKLOADS_DIR), annotations=recorder.annotations(profile, file)
            )
            process = subprocess.Popen(
                bed.command(*command), env=bed.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            running.append((process, Recorded(None, profile, file)))  # type: ignore[arg-type]
        most = 0
        while any(process.poll() is None for process, _ in running):
            most = max(most, len(recorder.status()["recordings"]))
        for (process, _), workload in zip(running, workloads, strict=True):
            assert process.stdout is not None
            assert process.wait() == workload.status, process.stdout.read().decode()
    finally:
        (tmp_path / "stop").touch()
        neighbour.wait(30)
        for process, _ in running:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    assert most > 1, "they never ran together"
    for (_, recorded), workload in zip(running, workloads, strict=True):
        assert recorded.recording.losses.calls == 0
        assert recorded.names("app") & SET_CALLS == workload.native, workload.name
        assert recorded.allowed & SET_CALLS == workload.native, workload.name
        assert not recorded.names() & {"syncfs", "sync"}
    # The fixture asserts that nothing is registered or pinned after the last one.


def test_outside_is_never_recorded(recorder: Recorder) -> None:
    """A container that was not asked for, started beside one that was, appears in no recording."""
    bed = recorder.bed
    container, recorded = recorder.start("sleep", "30")
    bed.run(*set_workload(3).argv(WORKLOADS_DIR))
    bed.podman("kill", container).succeeded()
    bed.podman("wait", container).succeeded()
    bed.podman("rm", "--force", container).succeeded()
    assert not recorded.names() & SET_CALLS
    assert {first.comm for first in (call.first for call in recorded.calls("app"))} == {"sleep"}  # type: ignore[union-attr]
