"""The example's tests by name: each call of its recording has the tests that made it, or is made outside of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recording import Recorder

from seclude import store
from seclude.analyse.attribution import attribution, why
from seclude.model.recording import Recording

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flask-api"
CONTAINER: dict[str, Any] = {
    "image": "programs",
    "options": ("--volume", f"{EXAMPLE}:/opt/demo:ro", "--workdir", "/opt/demo"),
}


@pytest.fixture(scope="module")
def recorded(installed: Recorder) -> Iterator[tuple[Path, Path]]:
    """(recording, profile) of the example's tests."""
    recording, profile = installed.path(".rec"), installed.path(".json")
    line = installed.bed.run_arguments("./test.sh", **CONTAINER)
    installed.seclude("record", "--recording", recording, "-o", profile, "--", *line).succeeded()
    yield recording, profile


def read(path: Path) -> Recording:
    return store.read(str(path))


def test_every_call_has_its_tests(recorded: tuple[Path, Path]) -> None:
    recording = read(recorded[0])
    found = attribution([recording])
    names = {test.name for test in found.tests}
    assert len(names) == 6, names
    assert {name.partition("::")[0] for name in names} == {"test_app.py", "test_server.py"}
    assert set(found.calls) == recording.names()
    made = set(found.outside).union(*(test.calls for test in found.tests))
    assert made == set(found.calls)
    served = {"test_server.py::test_what_is_served", "test_server.py::test_many_at_once"}
    assert set(why("accept4", [recording]).tests) == served
    assert not why("accept4", [recording]).outside


def test_the_command_says_so(recorder: Recorder, recorded: tuple[Path, Path]) -> None:
    recording, profile = recorded
    done = recorder.seclude("why", "accept4", recording)
    assert done.status == 0 and "test_server.py::test_many_at_once" in done.out, done
    done = recorder.seclude("tests", recording, "--profile", profile)
    assert done.status == 0, done
    # Without accept4 in the profile it is named with the tests that need it.
    value = json.loads(profile.read_text())
    for rule in value["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name != "accept4"]
    narrow = recorder.path(".json")
    narrow.write_text(json.dumps(value))
    done = recorder.seclude("tests", recording, "--profile", narrow, "--format", "json")
    assert done.status == 2, done
    unexpected = json.loads(done.out)["unexpected"]
    assert {each["test"] for each in unexpected if each["calls"] == ["accept4"]} == {
        "test_server.py::test_what_is_served",
        "test_server.py::test_many_at_once",
    }


def test_a_proof_names_the_test_that_was_denied(recorder: Recorder, recorded: tuple[Path, Path]) -> None:
    value = json.loads(recorded[1].read_text())
    for rule in value["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name != "listen"]
    narrow = recorder.path(".json")
    narrow.write_text(json.dumps(value))
    line = recorder.bed.run_arguments("./test.sh", **CONTAINER)
    done = recorder.seclude("verify", "-p", narrow, "--json", "--", *line)
    assert done.status == 2, done
    result = json.loads(next(line for line in done.err.splitlines() if line.startswith("{")))
    tests = {denial["context"] for denial in result["denials"] if denial["name"] == "listen"}
    assert tests and all(test.startswith("test_server.py::") for test in tests), result["denials"]


def test_the_code_of_calls_in_a_container(installed: Recorder, runtime: str) -> None:
    recording = installed.path(".rec")
    line = installed.bed.run_arguments("./test.sh", runtime=runtime, **CONTAINER)
    words = ("record", "--stacks", "--recording", recording, "--", *line)
    installed.seclude(*words, timeout=280).succeeded()
    [maker, *_] = why("accept4", [read(recording)]).makers
    [origin, *_] = maker.origins
    assert [frame.function for frame in origin.python][:1] == ["socket.accept"]
    assert any("/waitress/" in frame.module for frame in origin.python)
    done = installed.seclude("why", "accept4", recording)
    assert "the code that called it" in done.out and "accept" in done.out, done
