"""What a killed container leaves is found and removed."""

from __future__ import annotations

import os
import signal
import time

import pytest
from recording import Recorder

pytestmark = pytest.mark.engine


def test_gc_removes_what_never_saw_its_poststop(recorder: Recorder) -> None:
    bed = recorder.bed
    container, recorded = recorder.start("sleep", "600")
    (status,) = recorder.status()["recordings"]
    assert (status["container"], status["state"]) == (container, "running")
    assert recorder.seclude("hook", "gc", "--json").succeeded().err.strip().endswith('{"removed": []}')
    inspected = bed.podman("inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", container)
    init, conmon = map(int, inspected.succeeded().out.split())
    # Without conmon nobody notices the end, so nobody calls the hook.
    os.kill(conmon, signal.SIGKILL)
    os.kill(init, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while recorder.status()["recordings"][0]["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert recorder.pins()
    assert container in recorder.seclude("hook", "gc", "--json").succeeded().err
    assert recorder.status()["recordings"] == []
    assert recorder.pins() == []
    assert not recorded.profile.exists()
    bed.podman("rm", "--force", "--time", "0", container)


def test_gc_leaves_running_recordings_alone_unless_told(recorder: Recorder) -> None:
    container, _ = recorder.start("sleep", "600")
    recorder.seclude("hook", "gc").succeeded()
    assert len(recorder.status()["recordings"]) == 1
    recorder.seclude("hook", "gc", "--all").succeeded()
    assert recorder.status()["recordings"] == []
    assert recorder.pins() == []
    recorder.bed.podman("rm", "--force", "--time", "0", container).succeeded()
