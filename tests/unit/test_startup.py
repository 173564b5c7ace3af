"""What a recording that began while its program ran lacks: the notes, the baseline, what cannot start."""

from __future__ import annotations

import pytest

from seclude import store
from seclude.analyse.privileges import NotMeasured, leaving
from seclude.baseline import automatic, baselines
from seclude.errors import RecordingError
from seclude.model.profile import Profile, Rule
from seclude.model.recording import Call, Dropped, Recording
from seclude.startup import STARTING, caveats
from seclude.synthesize import synthesize


def recording(*names: str, attached: bool = True, **fields: object) -> Recording:
    calls = tuple(
        Call(abi="x86_64", phase="app", context="", number=number, name=name, first=Dropped())
        for number, name in enumerate(sorted(names))
    )
    values: dict[str, object] = {
        "created": "",
        "duration": 1.0,
        "seclude": "",
        "tracer": "",
        "kernel": "6.1.0",
        "machine": "x86_64",
        "engine": "podman",
        "runtime": "runc",
        "command": ("web",),
        "confined": True,
    }
    return Recording(**(values | fields), calls=calls, attached=attached)  # type: ignore[arg-type]


def notes(*recordings: Recording, **options: object) -> str:
    return "\n".join(synthesize(recordings, **options).notes)  # type: ignore[arg-type]


class TestNotes:
    def test_start_up_calls_are_missing(self) -> None:
        said = notes(recording("getppid"))
        assert "what it calls only to start is missing" in said
        assert "nothing can start under this profile: access, arch_prctl, brk" in said

    def test_with_the_baseline_programs_start(self) -> None:
        seen = recording("getppid")
        said = notes(seen, baseline=automatic(seen))
        assert "what it calls only to start is missing" in said
        assert "under this profile" not in said

    def test_one_call_that_is_missing(self) -> None:
        assert "programs may not start under this profile: brk is refused" in notes(
            recording("getppid"), baseline=STARTING - {"brk"}
        )

    def test_a_start_that_was_recorded_too(self) -> None:
        assert notes(recording("getppid"), recording("execve", attached=False)) == ""
        other = recording("execve", attached=False, command=("other",))
        assert "is missing" in notes(recording("getppid"), other)

    def test_a_recording_from_the_start(self) -> None:
        assert notes(recording("getppid", attached=False)) == ""

    def test_what_a_base_allows(self) -> None:
        base = Profile(default_action="SCMP_ACT_ALLOW", rules=())
        assert "under this profile" not in notes(recording("getppid"), base=base)
        denying = Profile(
            default_action="SCMP_ACT_ALLOW",
            rules=(Rule(names=("execve", "getppid"), action="SCMP_ACT_ERRNO"),),
        )
        assert "nothing can start under this profile: execve is refused" in notes(
            recording("getppid", "getpid"), base=denying
        )

    def test_of_another_machine(self) -> None:
        """access and arch_prctl are no calls of it."""
        names = tuple(sorted(STARTING - {"access", "arch_prctl"}))
        profile = Profile(
            default_action="SCMP_ACT_ERRNO", rules=(Rule(names=names, action="SCMP_ACT_ALLOW"),)
        )
        assert len(caveats([recording("getppid", machine="aarch64")], profile)) == 1
        assert len(caveats([recording("getppid")], profile)) == 2

    def test_nothing_was_seen(self) -> None:
        with pytest.raises(RecordingError, match="no system call") as failure:
            synthesize([recording()])
        assert "meanwhile" in failure.value.hint


class TestBaseline:
    def test_all_of_the_runtime_and_of_a_start(self) -> None:
        """As one that ran unconfined, which has shown nothing of its runtime either."""
        runc = set(automatic(recording(attached=False, confined=False)))
        assert set(automatic(recording())) == runc | STARTING
        assert set(automatic(recording(attached=False))) < runc

    def test_of_a_process(self) -> None:
        assert set(automatic(recording(engine="process"))) == STARTING
        assert automatic(recording(engine="process", attached=False)) == ()

    def test_no_new_privileges_cannot_be_told(self) -> None:
        assert isinstance(leaving(recording("getppid"), baselines()), NotMeasured)


class TestFile:
    def test_there_and_back(self) -> None:
        for attached in (True, False):
            one = recording("getppid", attached=attached)
            text = store.dumps(one)
            assert ('"attached":true' in text) is attached
            assert store.loads(text, "it") == one

    def test_is_a_truth(self) -> None:
        text = store.dumps(recording("getppid")).replace('"attached":true', '"attached":1')
        with pytest.raises(RecordingError, match="attached must be true or false"):
            store.loads(text, "it")
