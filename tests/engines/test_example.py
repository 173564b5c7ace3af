"""The example application under its profile: it works, and each exploit that works without it is stopped and named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from podman_bed import Result
from recording import Recorder

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
