"""Real programs in containers: each runs under the profile of one recording, and no refusal is seen that was none."""

from __future__ import annotations

import pytest
from programs import PROGRAMS, STRACE, Program, default_profile, environment, record, verified
from recording import Recorded, Recorder

from seclude.model.decision import decide
from seclude.model.profile import ALLOW

pytestmark = pytest.mark.engine

RUNS = 3


def assert_true_denials(recorded: Recorded) -> None:
    """Of all that was noted as refused there is nothing that podman's default profile allows."""
    profile = default_profile()
    if profile is None:
        assert not recorded.recording.denials
        return
    where = environment(recorded)
    wrong = [
        denial
        for denial in recorded.recording.denials
        if denial.refused
        and decide(profile, where, denial.abi, denial.name, denial.arguments).action == ALLOW
    ]
    assert not wrong
    assert recorded.names("denied") == {denial.name for denial in recorded.recording.denials}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_runs_under_its_profile(recorder: Recorder, runtime: str, program: Program) -> None:
    """One recording under podman's default profile, then `seclude verify` of three runs: nothing is refused."""
    recorded = record(recorder, program, runtime)
    assert_true_denials(recorded)
    found = verified(recorder, program, runtime, recorded.profile, RUNS)
    assert (found.statuses, found.denied) == ((program.status,) * RUNS, ()), found.values
    assert found.clean, found.values


@pytest.mark.parametrize("program", [*PROGRAMS, STRACE], ids=lambda program: program.name)
def test_no_denial_without_a_profile(recorder: Recorder, program: Program) -> None:
    """Forks, execs, signals, restarts, sigreturn and ptrace are no refusals."""
    recorded = record(recorder, program, "runc", seccomp="unconfined")
    assert not recorded.recording.denials
    assert recorded.names("denied") == frozenset()


def test_tracing_under_the_default_profile(recorder: Recorder, runtime: str) -> None:
    """What strace does to calls within the container, a restart among it, is no refusal either."""
    recorded = record(recorder, STRACE, runtime)
    assert {"ptrace", "restart_syscall", "rt_sigreturn"} <= recorded.names("app")
    assert_true_denials(recorded)
