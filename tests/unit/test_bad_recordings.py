"""Recordings that are not as they should be: each command says what is wrong, or what can be said."""

import json

import pytest
from click.testing import CliRunner

from seclude import store
from seclude.cli import complete, report, tests, why
from seclude.errors import RecordingError
from seclude.model.frozen import replace
from seclude.model.recording import Call, FirstSeen

from .test_completeness import recording

COMMANDS = {
    "complete": (complete.command, []),
    "complete-coverage": (complete.command, ["--coverage", "coverage.json"]),
    "tests": (tests.command, []),
    "why": (why.command, ["--all"]),
    "report": (report.command, ["-o", "page.html"]),
}
SUITE = recording(
    [("", "execve brk"), ("a.py::one|call", "read openat"), ("a.py::two|call", "read socket")], kernel="6.1.0"
)


def run(name, *paths):
    command, options = COMMANDS[name]
    return CliRunner().invoke(command, [*options, *paths], standalone_mode=False)


def of_aarch64(number, name, context):
    seen = FirstSeen(
        time=number / 100, pid=7, tid=7, comm="app", executable="/app", arguments=(0, 1, 2, 3, 4, 5)
    )
    return Call(abi="aarch64", phase="app", context=context, number=number, name=name, first=seen)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"missing_lines": [1], "contexts": {"2": ["b.py::other|run"]}, "summary": {}}
    (tmp_path / "coverage.json").write_text(json.dumps({"meta": {"format": 3}, "files": {"b.py": entry}}))
    return tmp_path


TEXT = store.dumps(SUITE)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (
            TEXT.replace('"version":1', '"version":2', 1),
            "r.json has version 2; this seclude reads version 1",
            "record again, or use the seclude that wrote it",
        ),
        (TEXT[: len(TEXT) // 2], "r.json: line 1, column ", ""),
        (TEXT + TEXT, "r.json: line 2, column 1: something follows the JSON value", ""),
        ("", "r.json: line 1, column 1: a JSON value is expected", ""),
        ('{"defaultAction":"SCMP_ACT_ERRNO"}', "r.json is no recording", '"format": "seclude-recording"'),
        (b"\x7fELF\xff\xfe", "r.json is not UTF-8 text: byte 4", ""),
        (TEXT.replace('"abi":"x86_64"', '"abi":"mips"', 1), "unknown ABI 'mips'", "one of x86_64"),
        (TEXT.replace('"number":0', '"number":"0"', 1), "calls[0].number must be a whole number", ""),
    ],
    ids=["version", "truncated", "two", "empty", "profile", "binary", "abi", "type"],
)
def test_no_recording(place, name, content, said, hint):
    (place / "r.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(name, "r.json")
    assert isinstance(done.exception, RecordingError), done.exception
    assert said in done.exception.message
    assert hint in done.exception.hint
    assert not (place / "page.html").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_file(place, name):
    (place / "d").mkdir()
    for path, said in (("none.json", "none.json cannot be read"), ("d", "d is no regular file")):
        done = run(name, path)
        assert isinstance(done.exception, RecordingError)
        assert said in done.exception.message


@pytest.mark.parametrize("name", COMMANDS)
def test_one_bad_recording_among_good_ones(place, name):
    (place / "good.json").write_text(TEXT)
    (place / "bad.json").write_text(TEXT[:-10])
    done = run(name, "good.json", "bad.json")
    assert isinstance(done.exception, RecordingError)
    assert "bad.json: line 1" in done.exception.message


def test_of_another_machine(place):
    """Numbers of aarch64 are named by its own table, wherever they are looked at."""
    calls = [
        of_aarch64(63, "read", "a.py::one|call"),
        of_aarch64(56, "openat", "a.py::one|call"),
        of_aarch64(63, "read", "a.py::two|call"),
        of_aarch64(198, "socket", "a.py::two|call"),
    ]
    seen = replace(recording([], machine="aarch64"), calls=tuple(calls))
    (place / "r.json").write_text(store.dumps(seen))
    done = run("complete", "r.json")
    assert (done.exception, "openat  a.py::one" in done.output) == (None, True), done.output
    done = run("tests", "r.json")
    assert (done.exception, "socket  a.py::two" in done.output) == (None, True), done.output
    done = CliRunner().invoke(why.command, ["socket", "r.json"], standalone_mode=False)
    assert done.exception is None and "a.py::two" in done.output
    assert run("report", "r.json").exception is None
    page = (place / "page.html").read_text()
    assert "6.1.0 on aarch64" in page
    assert 'id="call-openat"' in page


class TestFewTests:
    """No test and one: what can be said is said, the rest is refused with the next step."""

    @pytest.fixture
    def none(self, place):
        (place / "r.json").write_text(store.dumps(recording([("", "execve brk read")])))
        return "r.json"

    @pytest.fixture
    def one(self, place):
        (place / "r.json").write_text(store.dumps(recording([("", "execve"), ("a.py::one", "read")])))
        return "r.json"

    def test_none(self, none, place):
        done = run("complete", none)
        assert (done.exception, done.return_value) == (None, 0)
        assert "cannot be said: the recording has one unit" in " ".join(done.output.split())
        assert "mark the tests (pytest --seclude" in done.output
        done = run("tests", none)
        assert isinstance(done.exception, RecordingError)
        assert "docs/marks.md" in done.exception.hint
        done = run("why", none)
        assert done.exception is None and "(outside any test)" in done.output
        assert run("report", none).exception is None
        page = (place / "page.html").read_text()
        assert "No test was marked" in page

    def test_one(self, one, place):
        done = run("complete", one)
        assert "cannot be said: the recording has one unit" in " ".join(done.output.split())
        done = run("tests", one)
        assert done.exception is None and "read  a.py::one" in done.output
        done = run("why", one)
        assert done.exception is None and "a.py::one" in done.output
        assert run("report", one).exception is None
        assert "cannot be said: the recording has one unit" in (place / "page.html").read_text()

    def test_nothing_at_all(self, place):
        (place / "r.json").write_text(store.dumps(recording([])))
        assert "cannot be said: no test made a call" in " ".join(run("complete", "r.json").output.split())
        for name in ("tests", "report"):
            assert isinstance(run(name, "r.json").exception, RecordingError)
        assert run("why", "r.json").exception is None


def test_coverage_of_another_project(place):
    (place / "r.json").write_text(TEXT)
    done = run("complete-coverage", "r.json")
    assert done.exception is None
    assert "0 of the 1 tests of the coverage report are recorded" in done.output
    assert "is it of another project?" in " ".join(done.output.split())
