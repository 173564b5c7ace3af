"""A hostile container: bounded tables, a valid recording, nothing unescaped, and no harm to its neighbours."""

from __future__ import annotations

import pytest
from catalogue import HOSTILE, Workload, set_workload
from podman_bed import WORKLOADS_DIR
from recording import Recorded, Recorder

from seclude.model.recording import OVERFLOW

pytestmark = pytest.mark.engine

CONTEXTS_KEPT = 16_384
EXECUTABLES_KEPT = 2_048
NUMBERS_KEPT = 64
LONGEST_NAME = 247


@pytest.fixture(scope="module")
def neighbours(installed: Recorder) -> Recorded:
    """A recording that runs beside all the hostile ones; it is only looked at by the last test."""
    container, recorded = installed.start(*set_workload(9, 15_000).argv(WORKLOADS_DIR))
    recorded.__dict__["container"] = container
    return recorded


@pytest.mark.parametrize("workload", HOSTILE, ids=lambda workload: workload.name)
def test_bounded_and_valid(installed: Recorder, neighbours: Recorded, workload: Workload) -> None:
    seccomp = "unconfined" if workload.unconfined else None
    recorded = installed.record(*workload.argv(WORKLOADS_DIR), seccomp=seccomp)
    assert recorded.result.status == workload.status, recorded.result
    recording = recorded.recording  # read strictly
    assert recording.losses.calls == 0
    assert workload.native <= recorded.names("app")
    text = recorded.file.read_text() + recorded.profile.read_text()
    assert text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) < 64 * 1024 * 1024
    contexts = {call.context for call in recording.calls}
    executables = {call.first.executable for call in recording.calls if hasattr(call.first, "executable")}
    assert len(contexts) <= CONTEXTS_KEPT + 2
    assert len(executables) <= EXECUTABLES_KEPT + 2
    assert all(len(name.encode()) <= 4 * LONGEST_NAME for name in contexts | executables)
    assert len({call.number for call in recording.calls if not call.named}) <= NUMBERS_KEPT
    shown = installed.seclude("show", recorded.file).succeeded().out
    assert "\x1b" not in shown


def test_names_beyond_the_limit_are_counted(installed: Recorder, neighbours: Recorded) -> None:
    names = next(workload for workload in HOSTILE if workload.name == "names")
    recorded = installed.record(*names.argv(WORKLOADS_DIR))
    assert recorded.recording.losses.contexts > 0
    assert OVERFLOW in {call.context for call in recorded.recording.calls}


def test_the_neighbour_is_whole(installed: Recorder, neighbours: Recorded) -> None:
    bed = installed.bed
    container = neighbours.__dict__["container"]
    assert bed.podman("wait", container).succeeded().out.strip() == str(set_workload(9).status)
    bed.podman("rm", "--force", container).succeeded()
    assert neighbours.recording.losses.calls == 0
    assert set_workload(9).native <= neighbours.names("app")
    assert {call.context for call in neighbours.recording.calls} == {""}
    assert installed.pins() == []
