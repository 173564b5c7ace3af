"""What the tests no longer make: named with who made it, and only that."""

import pytest

from seclude import store
from seclude.analyse.gone import MOST_FINDINGS, gone
from seclude.model.configuration import Configuration
from seclude.model.configuration import TestCommand as Command
from seclude.pipeline import Pipeline, Run
from seclude.session import Settings

from .test_completeness import recording

BEFORE = recording(
    [
        ("", "execve brk"),
        ("", "capset", "runtime"),
        ("a.py::one|call", "read accept4"),
        ("a.py::one|teardown", "accept4"),
        ("a.py::two|call", "read listen brk"),
        ("a.py::three|call", "listen"),
        ("", "ptrace", "denied"),
    ]
)


def messages(before, now):
    found = gone(before, now, profile_path="p.json", hint="look")
    assert {(each.rule, each.severity, each.path, each.hint) for each in found} <= {
        ("no-longer-made", "note", "p.json", "look")
    }
    return {each.call: each.message.partition(": ")[2] for each in found}


def test_who_made_it():
    assert messages([BEFORE], []) == {
        "accept4": "in the run before, a.py::one alone made it",
        "listen": "in the run before, a.py::three, a.py::two made it",
        "read": "in the run before, a.py::one, a.py::two made it",
        "brk": "in the run before, it was made outside any test and by a.py::two",
        "execve": "in the run before, it was made outside any test",
        "capset": "in the run before, it was made by the runtime",
    }
    assert list(messages([BEFORE], ["brk", "execve", "capset"])) == ["accept4", "listen", "read"]


def test_what_is_still_made_is_not_named():
    assert messages([BEFORE], BEFORE.names()) == {}
    assert messages([], ["read"]) == {}


def test_many_are_cut():
    before = recording([("", " ".join(f"call_{number:03}" for number in range(MOST_FINDINGS + 7)))])
    found = gone([before], [], profile_path="p.json", hint="")
    assert len(found) == MOST_FINDINGS + 1
    assert found[-1].message == "7 further calls are no longer made"


@pytest.fixture
def pipeline(tmp_path):
    told = Configuration(image="app", tests=(Command(name="all", run=("./test.sh",)),))
    (tmp_path / ".seclude").mkdir()
    run = Run(configuration=told, settings=Settings(), directory=str(tmp_path), root=str(tmp_path))
    said = []
    return Pipeline(run, said.append), tmp_path / ".seclude", said


def test_recordings_of_the_run_before(pipeline):
    made, kept, said = pipeline
    now = [recording([("", "execve"), ("a.py::one", "read")])]
    assert made._gone(now) == ()
    (kept / "recording-1.json").write_text(store.dumps(now[0]))
    (kept / "recording-2.json").write_text(store.dumps(recording([("b.py::x", "mkdir")])))
    (found,) = made._gone(now)
    assert found.message == "mkdir is no longer made: in the run before, b.py::x alone made it"
    assert found.hint == "bring the test back if the code still needs the call; the profile keeps it"
    assert said == []


def test_a_recording_that_cannot_be_read_stops_nothing(pipeline):
    made, kept, said = pipeline
    (kept / "recording-1.json").write_text("{")
    assert made._gone([BEFORE]) == ()
    (note,) = said
    assert "recording-1.json: line 1" in note and note.endswith("what is no longer made is not known")
