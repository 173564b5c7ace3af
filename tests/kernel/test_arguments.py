"""Conditions made of a real recording: the recorded command runs under them, other arguments are refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from plain import SECLUDE, run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="recording takes root"),
]
# A thread has been joined before it makes its last calls, which a process that ends at once may spare it.
PROGRAM = (
    "import fcntl, mmap, os, socket, sys, threading\n"
    "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
    "while len(os.listdir('/proc/self/task')) > 1: pass\n"
    "socket.socket(socket.AF_UNIX).close()\n"
    "fcntl.fcntl(0, fcntl.F_GETFD)\n"
    "mmap.mmap(-1, 4096).close()\n"
    "for step in sys.argv[1:]: exec(step)\n"
)


def record(path: Path, level: str) -> Path:
    profile, recording = path / "p.json", path / "r.json"
    command = (*SECLUDE, "record", "-o", profile, "--recording", recording, "--args", level, "--")
    done = run(*command, sys.executable, "-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    return profile


def verify(profile: Path, *steps: str) -> tuple[int, dict[str, str]]:
    """(exit status, denied call -> cause)"""
    done = run(*SECLUDE, "verify", "-p", profile, "--json", "--", sys.executable, "-c", PROGRAM, *steps)
    result = json.loads([line for line in done.stderr.splitlines() if line.startswith("{")][-1])
    return done.returncode, {each["call"]: each["cause"] for each in result["denied"]}


@pytest.mark.parametrize("level", ["safe", "all"])
def test_the_recorded_command_runs(tmp_path: Path, level: str) -> None:
    profile = record(tmp_path, level)
    assert any(rule.get("args") for rule in json.loads(profile.read_text())["syscalls"])
    assert verify(profile) == (0, {})


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    profile = record(tmp_path, "safe")
    guarded = "try: {}\nexcept OSError: pass"
    status, denied = verify(
        profile,
        guarded.format("socket.socket(socket.AF_INET)"),
        guarded.format("mmap.mmap(-1, 4096, prot=7)"),
    )
    assert (status, denied) == (2, {"socket": "arguments", "mmap": "arguments"})


def test_without_conditions_any_argument_is_allowed(tmp_path: Path) -> None:
    profile = record(tmp_path, "none")
    assert not any(rule.get("args") for rule in json.loads(profile.read_text())["syscalls"])
    assert verify(profile, "socket.socket(socket.AF_INET).close()") == (0, {})


def test_a_recording_without_values_gives_none(tmp_path: Path) -> None:
    """`generate --args` needs a recording that kept them."""
    record(tmp_path, "none")
    made = tmp_path / "made.json"
    done = run(*SECLUDE, "generate", "--args", "all", "-o", made, tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    assert not any(rule.get("args") for rule in json.loads(made.read_text())["syscalls"])


def test_a_portable_profile_still_runs_it(tmp_path: Path) -> None:
    record(tmp_path, "safe")
    made = tmp_path / "made.json"
    done = run(*SECLUDE, "generate", "--args", "safe", "--portable", "-o", made, tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    assert "SCMP_ARCH_AARCH64" in json.loads(made.read_text())["architectures"]
    assert verify(made) == (0, {})
