"""Markers split a container's recording into contexts, and leave no trace of their own."""

from __future__ import annotations

import pytest
from catalogue import CONTEXTS
from podman_bed import WORKLOADS_DIR
from recording import Recorded, Recorder

pytestmark = pytest.mark.engine

DISTINCTIVE = frozenset[str]().union(*CONTEXTS.contexts.values())


def assert_split(recorded: Recorded) -> None:
    assert recorded.result.status == CONTEXTS.status
    assert {call.context for call in recorded.calls()} == set(CONTEXTS.contexts)
    for context, calls in CONTEXTS.contexts.items():
        assert recorded.names("app", context=context) & DISTINCTIVE == calls
    assert not recorded.recording.losses.contexts + recorded.recording.losses.markers


def test_markers_split_the_recording(recorder: Recorder, runtime: str) -> None:
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), runtime=runtime)
    assert_split(recorded)
    assert recorded.allowed >= DISTINCTIVE
    # Each call in a context is one that was first seen there.
    for call in recorded.calls("app"):
        assert call.first.time >= 0  # type: ignore[union-attr]


def test_marker_is_no_call(recorder: Recorder, runtime: str) -> None:
    """The program calls prctl for its markers only: it does not enter the profile, and runs without it."""
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), runtime=runtime)
    assert "prctl" not in recorded.names("app")
    tight = recorder.bed.write_profile(
        recorder.path(".json"), sorted(recorded.allowed | recorded.names("runtime") - {"prctl"})
    )
    if "prctl" in recorded.names("runtime"):
        tight = recorded.profile  # the runtime itself needs it
    enforced = recorder.bed.run(*CONTEXTS.argv(WORKLOADS_DIR), runtime=runtime, seccomp=tight)
    assert enforced.status == CONTEXTS.status, str(enforced)


def test_marker_is_no_call_with_no_new_privileges(recorder: Recorder) -> None:
    """crun calls no prctl after the filter then, so the profile has none at all."""
    options = ["--security-opt", "no-new-privileges"]
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), runtime="crun", options=options)
    assert_split(recorded)
    assert "prctl" not in recorded.allowed
    # Refused markers change nothing for the program.
    enforced = recorder.bed.run(
        *CONTEXTS.argv(WORKLOADS_DIR), runtime="crun", options=options, seccomp=recorded.profile
    )
    assert (enforced.status, enforced.out) == (CONTEXTS.status, recorded.result.out), str(enforced)


def test_markers_are_no_denials(recorder: Recorder) -> None:
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), switches={"denials": "true"})
    assert_split(recorded)
    assert recorded.names("denied") == frozenset()


def test_counts_by_context(recorder: Recorder) -> None:
    recorded = recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), switches={"counts": "true"})
    assert_split(recorded)
    counts = {call.name: call.count for call in recorded.calls("app") if call.name in DISTINCTIVE}
    assert counts == dict.fromkeys(DISTINCTIVE, 1)
    assert all(call.count > 0 for call in recorded.calls())


def test_unconfined(recorder: Recorder, runtime: str) -> None:
    assert_split(recorder.record(*CONTEXTS.argv(WORKLOADS_DIR), runtime=runtime, seccomp="unconfined"))
