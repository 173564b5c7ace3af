"""What a recording need not show is allowed all the same: threads that end later, sleeps that somebody stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from plain import SECLUDE, call_of, profile_of, record, run, state_of, wait_for

from seclude import syscalls
from seclude.model.environment import NATIVE_ABIS

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading the recorder takes root"),
]
# The process ends while its thread waits; with an argument the thread goes first.
THREAD = (
    "import os, sys, threading\n"
    "go, gate = threading.Event(), threading.Lock()\n"
    "gate.acquire()\n"
    "def work(): go.set(); gate.acquire()\n"
    "thread = threading.Thread(target=work); thread.start(); go.wait()\n"
    "if len(sys.argv) > 1:\n"
    "    gate.release(); thread.join()\n"
    "    while len(os.listdir('/proc/self/task')) > 1: pass\n"
    "os._exit(0)\n"
)


def allowed(profile: Path) -> set[str]:
    return {name for rule in json.loads(profile.read_text())["syscalls"] for name in rule["names"]}


def test_a_thread_that_ends_later_ends(tmp_path: Path) -> None:
    command = (sys.executable, "-I", "-S", "-c", THREAD)
    seen = record(tmp_path, *command)
    assert (seen.done.returncode, "exit" in seen.names()) == (0, False)
    more = profile_of(tmp_path / "more.json", *allowed(seen.profile), *("getdents64 madvise futex".split()))
    assert run(*SECLUDE, "run", "-p", more, "--", *command, "end").returncode == 0


def test_a_sleep_that_is_stopped_goes_on(tmp_path: Path) -> None:
    command = ("sh", "-c", 'echo $$; exec sleep "$1"', "sh")
    seen = record(tmp_path, *command, "0.01")
    assert "restart_syscall" not in seen.names()
    words = [*SECLUDE, "run", "-p", str(seen.profile), "--", *command, "600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        try:
            wait_for(lambda: call_of(pid) in number("nanosleep", "clock_nanosleep"))
            os.kill(pid, signal.SIGSTOP)
            wait_for(lambda: state_of(pid) == "T")
            os.kill(pid, signal.SIGCONT)
            wait_for(lambda: call_of(pid) in number("restart_syscall"))
        finally:
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == 128 + signal.SIGKILL


def number(*names: str) -> set[int | None]:
    return {syscalls.number_of(NATIVE_ABIS[os.uname().machine], name) for name in names}
