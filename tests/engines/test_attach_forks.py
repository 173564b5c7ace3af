"""Attached to containers in which processes fork faster than they can be listed: each is recorded, nobody outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import chain
import pytest
from attached import Attached
from podman_bed import Bed
from recording import Recorder

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SIGN = Path("tmp/sign")


def started(bed: Bed, runtime: str, kind: str, call: str) -> str:
    """A container whose first process begins a chain at once."""
    text = Path(chain.__file__).read_text()
    return bed.start("python3", "-c", text, kind, f"/{SIGN}", call, image="debian", runtime=runtime)


def root_of(bed: Bed, container: str) -> Path:
    """Its root directory, as long as it runs."""
    shown = bed.podman("inspect", "--format", "{{.State.Pid}}", container).succeeded()
    return Path(f"/proc/{int(shown.out)}/root")


@pytest.mark.parametrize("number", range(10))
def test_a_chain(recorder: Recorder, runtime: str, tmp_path: Path, number: int) -> None:
    """Others do the same outside meanwhile, in a container and as a plain process."""
    bed, sign = recorder.bed, tmp_path / "sign"
    kind = ("orphans", "threads")[number % 2]
    outside = subprocess.Popen(
        [sys.executable, chain.__file__, kind, str(sign), "getresuid"], stdin=subprocess.DEVNULL
    )
    other = started(bed, runtime, kind, "getpgid")
    container = started(bed, runtime, kind, "getsid")
    roots = [root_of(bed, each) for each in (container, other)]
    environment = bed.environment | recorder.environment
    with Attached(
        tmp_path, ("--container", container), prefix=bed.command(), environment=environment
    ) as attached:
        for place in (sign, *(root / SIGN for root in roots)):
            place.touch()
        bed.wait_for_line(container, "done")
        bed.wait_for_line(other, "done")
        assert outside.wait(60) == 0
        attached.wait()
    bed.podman("rm", "--force", "--time", "0", container, other).succeeded()
    assert (attached.status, "has ended" in attached.said) == (0, True), attached.said
    assert attached.recording.names("app") & {"getsid", "getpgid", "getresuid"} == {"getsid"}
    assert attached.recording.losses.calls == 0
