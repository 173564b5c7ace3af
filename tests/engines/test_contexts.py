"""Markers: a run is split into contexts, and the marker itself leaves no trace."""

from __future__ import annotations

import pytest
from catalogue import CONTEXTS
from podman_bed import WORKLOADS_DIR
from recording import Recorder

pytestmark = pytest.mark.engine


def test_calls_belong_to_the_context_that_made_them(recorder: Recorder, runtime: str) -> None:
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), runtime=runtime)
    assert recorded.result.status == CONTEXTS.status
    assert {call.context for call in recorded.calls("app")} == set(CONTEXTS.contexts)
    distinctive = frozenset().union(*CONTEXTS.contexts.values())
    for context, calls in CONTEXTS.contexts.items():
        assert recorded.names("app", context=context) & distinctive == calls, context


def test_the_marker_does_not_enter_the_profile(recorder: Recorder) -> None:
    """crun with no-new-privileges makes no prctl of its own after the filter; the workload only marks."""
    recorded = recorder.record(
        *CONTEXTS.argv(WORKLOADS_DIR), runtime="crun", options=["--security-opt", "no-new-privileges"]
    )
    assert recorded.result.status == CONTEXTS.status
    assert len({call.context for call in recorded.calls("app")}) == 3
    assert "prctl" not in recorded.allowed
    # Refused markers change nothing for the program.
    again = recorder.bed.run(
        *CONTEXTS.argv(WORKLOADS_DIR),
        runtime="crun",
        options=["--security-opt", "no-new-privileges"],
        seccomp=recorded.profile,
    )
    assert (again.status, again.out) == (recorded.result.status, recorded.result.out)


def test_counts_are_kept_for_each_context(recorder: Recorder) -> None:
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), switches={"counts": "true"})
    assert recorded.recording.counted
    assert all(call.count > 0 for call in recorded.calls("app"))
