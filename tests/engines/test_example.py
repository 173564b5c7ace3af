"""The example application under its profile: it works, and each exploit that works without it is stopped and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from podman_bed import Bed, Result
from recording import Recorder

from seclude import store
from seclude.baseline import automatic

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flask-api"
CONTAINER: dict[str, Any] = {
    "image": "programs",
    "options": ("--volume", f"{EXAMPLE}:/opt/demo:ro", "--workdir", "/opt/demo"),
}
DENIED = {
    "reverse-shell": {"vfork", "clone"},
    "shadow": {"vfork", "clone"},
    "ptrace": {"ptrace"},
    "mount": {"mount"},
    "unshare": {"unshare"},
}
"""Exploit -> the calls that it is denied."""

BY_DEFAULT = {"mount": "stopped"}
"""What podman's default profile and capabilities stop."""


@pytest.fixture(scope="module")
def profile(installed: Recorder) -> Iterator[Path]:
    """What `seclude record` makes of the example's tests."""
    path = installed.path(".json")
    line = installed.bed.run_arguments("./test.sh", **CONTAINER)
    installed.seclude("record", "-o", path, "--", *line).succeeded()
    yield path


def exploited(recorder: Recorder, name: str, **more: Any) -> Result:
    return recorder.bed.run("python3", "-B", "exploits.py", name, **CONTAINER, **more)


def test_its_tests_pass_under_the_profile(recorder: Recorder, profile: Path) -> None:
    line = recorder.bed.run_arguments("./test.sh", **CONTAINER)
    done = recorder.seclude("verify", "-p", profile, "--expect-status", "0", "--json", "--", *line)
    assert done.status == 0, done
    assert "6 passed" in done.out


def test_the_committed_profile_is_enough(recorder: Recorder) -> None:
    """Made by `seclude ci` with runc; whatever the test machine's library does otherwise may only add to it."""
    names = recorder.bed.allowed(EXAMPLE / "seccomp.json")
    assert {"execve", "clone3", "accept4"} <= names
    assert not names & {"vfork", "fork", "clone", "ptrace", "mount", "unshare"}


@pytest.mark.parametrize("exploit", DENIED)
def test_an_exploit(recorder: Recorder, profile: Path, exploit: str) -> None:
    without = exploited(recorder, exploit)
    assert without.lines[-1] == f"{exploit}: {BY_DEFAULT.get(exploit, 'worked')}", without
    line = recorder.bed.run_arguments("python3", "-B", "exploits.py", exploit, **CONTAINER)
    done = recorder.seclude("verify", "-p", profile, "--expect-status", "1", "--json", "--", *line)
    assert (done.status, done.lines[-1]) == (2, f"{exploit}: stopped"), done
    result = json.loads(next(line for line in done.err.splitlines() if line.startswith("{")))
    assert {denied["call"] for denied in result["denied"]} == DENIED[exploit]
    if exploit in ("reverse-shell", "shadow"):
        frames = [frame for denial in result["denials"] for frame in denial["python"]]
        assert ("/opt/demo/app.py", "command") in {(frame["module"], frame["function"]) for frame in frames}


def without(path: Path, test: str) -> None:
    """Remove a test, the last but for others that were removed, from its file."""
    text, found, _ = path.read_text().partition(f"\n\ndef {test}(")
    assert found
    path.write_text(text)


def test_the_only_test_of_a_call_is_removed(recorder: Recorder, bed: Bed, tmp_path: Path) -> None:
    """Before, each call has its tests or a reason; afterwards the run names what is missing and its test."""
    directory = tmp_path / "flask-api"
    shutil.copytree(EXAMPLE, directory)
    (directory / ".git").mkdir()
    settings, tests = directory / "seclude.toml", directory / "test_server.py"
    base = f"podman build --build-arg BASE={bed.images['programs']}"
    settings.write_text(settings.read_text().replace("podman build", base))
    # Both serve, so that each call of serving has two tests.
    without(tests, "test_many_at_once")
    only = "test_server.py::test_what_is_served"

    def run() -> dict[str, Any]:
        done = recorder.seclude("ci", "--report-dir", "reports", cwd=directory, timeout=300)
        assert done.status == 0, done
        report: dict[str, Any] = json.loads((directory / "reports" / "report.json").read_text())
        return report

    report = run()
    before = store.read(str(directory / ".seclude" / "recording-1.json"))
    shown = recorder.seclude("why", "--all", "--format", "json", directory / ".seclude" / "recording-1.json")
    answers = {each["call"]: each for each in json.loads(shown.succeeded().out)["calls"]}
    allowed = bed.allowed(directory / "seccomp.json")
    explained = {call for call, each in answers.items() if each["tests"] or each["outside"]}
    assert allowed - explained <= {*report["unused"], *automatic(before)}
    lone = {call for call, each in answers.items() if each["only"] == only}
    assert lone >= {"accept4", "bind", "listen"}

    without(tests, "test_what_is_served")
    report = run()
    after = store.read(str(directory / ".seclude" / "recording-1.json"))
    noted = {
        finding["call"]: finding["message"]
        for finding in report["findings"]
        if finding["rule"] == "no-longer-made"
    }
    assert set(noted) == before.names() - after.names()
    assert noted.keys() >= {"accept4", "bind", "listen"}
    for call in lone - after.names():
        assert noted[call] == f"{call} is no longer made: in the run before, {only} alone made it"
    # What the tests no longer show stays allowed until somebody decides.
    assert bed.allowed(directory / "seccomp.json") >= allowed
    # Of the others one or the other may have been made while the profile was proved.
    assert {"accept4", "bind", "listen"} <= set(report["unused"])
