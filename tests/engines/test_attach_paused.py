"""Attached to a container that is paused: nothing is lost of what it calls once it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from attached import Attached
from daemons import wait_for
from recording import Recorder

pytestmark = pytest.mark.engine

LOOP = "while :; do mkdir /tmp/a; rmdir /tmp/a; echo >>/tmp/turns; sleep 0.05; done"


def test_it_is_recorded_once_it_goes_on(recorder: Recorder, runtime: str, tmp_path: Path) -> None:
    bed = recorder.bed
    container = bed.start("sh", "-c", LOOP, runtime=runtime)
    pid = bed.podman("inspect", "--format", "{{.State.Pid}}", container).succeeded().out.strip()
    turns = Path(f"/proc/{pid}/root/tmp/turns")
    wait_for(turns.exists)
    bed.podman("pause", container).succeeded()
    environment = bed.environment | recorder.environment
    with Attached(
        tmp_path, ("--container", container), prefix=bed.command(), environment=environment
    ) as attached:
        before = turns.stat().st_size
        bed.podman("unpause", container).succeeded()
        wait_for(lambda: turns.stat().st_size >= before + 2)  # a whole turn, and not only the rest of one
    bed.podman("rm", "--force", "--time", "0", container).succeeded()
    assert attached.status == 0, attached.said
    assert {"mkdir", "rmdir"} <= attached.recording.names("app")
