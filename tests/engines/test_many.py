"""Many containers at once: each has its own calls, others and outsiders have no part in them, nothing remains."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from catalogue import SET_CALLS, SETS, SLEEPER, Workload, set_workload
from podman_bed import WORKLOADS_DIR
from recording import SOURCES, Recorded, Recorder

pytestmark = pytest.mark.engine

SIDE_BY_SIDE = 10


PLACE, GO = "/place", "go"
"""Where the containers see the test's directory, and the file there for which they wait."""


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[None]:
    """A process of no container that keeps making calls which no set has."""
    script = f"while [ ! -e {tmp_path}/stop ]; do /bin/sync -f {tmp_path}; done"
    with subprocess.Popen(["sh", "-c", script]) as process:
        yield
        (tmp_path / "stop").touch()
        process.wait()


@pytest.mark.timeout(900)
def test_fifty_at_once(recorder: Recorder, outside: None, tmp_path: Path) -> None:
    """Half on each runtime; nothing is lost or mixed, and nothing is pinned after the last."""
    workloads = [set_workload(number, 50, f"{PLACE}/{GO}") for number in range(SETS)]
    options = ("--volume", f"{tmp_path}:{PLACE}:ro")

    def run(workload: Workload) -> Recorded:
        runtime = ("runc", "crun")[int(workload.command[1]) % 2]
        return recorder.record(*workload.argv(WORKLOADS_DIR), runtime=runtime, options=options, timeout=800)

    with ThreadPoolExecutor(SETS) as pool:
        running = [pool.submit(run, workload) for workload in workloads]
        try:
            # All of them are there before the first one ends.
            while len(recorder.status()["recordings"]) < SETS:
                assert not any(future.done() for future in running)
                time.sleep(0.2)
        finally:
            (tmp_path / GO).touch()
    recorded = [future.result() for future in running]
    for workload, one in zip(workloads, recorded, strict=True):
        assert one.result.status == workload.status, str(one.result)
        assert one.names() & SET_CALLS == workload.native
        assert one.allowed & SET_CALLS == workload.native
        losses = one.recording.losses
        assert not any((losses.calls, losses.facts, losses.contexts, losses.executables, losses.markers))
        assert not one.names() & {"syncfs", "sync"}
        programs = {call.first.comm for call in one.calls("app")}  # type: ignore[union-attr]
        assert programs == {"set"}
    assert len({one.recording.container for one in recorded}) == SETS
    assert (recorder.status()["loaded"], recorder.pins()) == (False, [])


def test_outsiders_are_not_recorded(recorder: Recorder, tmp_path: Path) -> None:
    """Neither a process of the host nor a container without the annotation leaves a trace in a recording."""
    bed = recorder.bed
    container, recorded = recorder.start(*SLEEPER.argv(WORKLOADS_DIR))
    bed.wait_for_line(container, SLEEPER.line)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        others = pool.map(
            lambda number: bed.run(
                *set_workload(number).argv(WORKLOADS_DIR), runtime=("runc", "crun")[number % 2]
            ),
            range(SIDE_BY_SIDE),
        )
        assert all(other.status == set_workload(number).status for number, other in enumerate(others))
    subprocess.run(["mkdir", tmp_path / "new"], check=True)
    bed.podman("kill", "--signal", "TERM", container).succeeded()
    bed.podman("wait", container).succeeded()
    assert recorded.names("app") >= SLEEPER.native
    assert not recorded.names() & (SET_CALLS | {"mkdir"})


def test_reused_namespace_numbers(recorder: Recorder) -> None:
    """The kernel gives the numbers of an ended container's namespaces to others before its recording is written."""

    def run(number: int) -> Recorded | None:
        if number % 2:
            recorder.bed.run("true", runtime="runc")
            return None
        return recorder.record("true", runtime="crun")

    with ThreadPoolExecutor(6) as pool:
        recorded = [one for one in pool.map(run, range(40)) if one]
    for one in recorded:
        assert {call.first.comm for call in one.calls()} <= {"crun", "true"}  # type: ignore[union-attr]


def test_an_engine_of_another_python(recorder: Recorder) -> None:
    """The hook is started by its file alone: isolated, without site-packages, with what it needs to import."""
    hook = json.loads((recorder.bed.hooks_dir / "seclude.json").read_text())["hook"]
    assert hook["args"][1:3] == ["-I", "-S"]
    state = json.dumps(
        {"ociVersion": "1.0.2", "id": "none", "status": "stopped", "bundle": "/", "annotations": {}}
    )
    done = subprocess.run(
        [hook["path"], *hook["args"][1:]],
        input=state.encode(),
        capture_output=True,
        env={},
        cwd="/",
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LOADED, SOURCES], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


_LOADED = """
import sys
sys.path.insert(0, sys.argv[1])
import seclude.hook
heavy = ("click", "rich", "json", "re", "typing", "dataclasses", "subprocess", "tempfile", "pathlib", "jinja2")
print(*(name for name in heavy if name in sys.modules))
"""
