"""The code that made each call: `seclude record --stacks` of real processes, and `seclude why` of what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plain import SECLUDE, record, run, wait_for

from seclude.model.origin import Origin

pytestmark = pytest.mark.kernel

PROGRAM = """
import os, sys, threading
sys.path.insert(0, {sources!r})
from seclude.marking import mark

def ask():
    os.sched_getparam(0)

def first():
    ask()

def second():
    ask()

def elsewhere():
    os.getpriority(0, 0)

mark("first"); first(); first()
mark("second"); second()
mark("")
thread = threading.Thread(target=elsewhere); thread.start(); thread.join()
while len(os.listdir("/proc/self/task")) > 1: pass
pid = os.fork()
if not pid:
    os.getsid(0)
    os._exit(0)
os.waitpid(pid, 0)
try:
    os.chroot("/nonexistent")
except OSError:
    pass
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("origins")
    sources = str(Path(__file__).resolve().parents[2] / "src")
    (place / "program.py").write_text(PROGRAM.format(sources=sources))
    return place


@pytest.fixture(scope="module")
def origins(directory: Path) -> dict[tuple[str, str], Origin]:
    # Without the site module there are fewer calls at the start, each of which is stopped for.
    recorded = record(directory, sys.executable, "-S", "-E", directory / "program.py", options=["--stacks"])
    assert recorded.done.returncode == 0, recorded.done.stderr
    assert not recorded.recording.denials
    assert not recorded.names("denied")
    made = {(call.name, call.context) for call in recorded.recording.calls if call.phase == "app"}
    found = {(each.name, each.context): each for each in recorded.recording.origins}
    # Of exec nothing is left to look at, and of what ends a process nobody returns.
    assert made - found.keys() <= {("execve", ""), ("exit_group", ""), ("exit", ""), ("rt_sigreturn", "")}
    assert found.keys() <= made
    return found


def functions(origin: Origin) -> list[str]:
    return [frame.function for frame in origin.python]


def test_each_context_has_its_own(origins: dict[tuple[str, str], Origin]) -> None:
    assert functions(origins["sched_getparam", "first"]) == ["ask", "first", "<module>"]
    assert functions(origins["sched_getparam", "second"]) == ["ask", "second", "<module>"]
    line = 1 + PROGRAM.split("\n").index("    os.sched_getparam(0)")
    assert origins["sched_getparam", "first"].python[0].line == line


def test_a_thread_and_a_child(origins: dict[tuple[str, str], Origin]) -> None:
    asked = origins["getpriority", ""]
    assert functions(asked)[0] == "elsewhere"
    assert asked.tid != asked.pid
    assert origins["getsid", ""].pid != asked.pid


def test_a_call_that_the_kernel_refuses_is_one_that_was_made(origins: dict[tuple[str, str], Origin]) -> None:
    assert functions(origins["chroot", ""]) == ["<module>"]


def test_native_code(origins: dict[tuple[str, str], Origin]) -> None:
    [inner, *_] = origins["sched_getparam", "first"].native
    assert inner.function == "sched_getparam"
    assert inner.module.startswith("libc.so")


def test_why_says_so(origins: dict[tuple[str, str], Origin], directory: Path) -> None:
    recording = directory / "recording.json"
    text = run(*SECLUDE, "why", "sched_getparam", recording).stdout
    assert "the code that called it" in text
    assert text.index("program.py:7 ask") < text.index("program.py:10 first")
    value = json.loads(run(*SECLUDE, "why", "--format", "json", "sched_getparam", recording).stdout)
    [first, second] = value["makers"]
    assert [frame["function"] for frame in second["origins"][0]["python"]] == ["ask", "second", "<module>"]
    assert first["origins"][0]["native"][0]["function"] == "sched_getparam"


def test_nothing_is_left_stopped(directory: Path) -> None:
    """The recorder is killed while it has processes stopped: they go on all the same."""
    script = directory / "many.sh"
    # What it starts first makes calls that nobody has made before, for each of which it is stopped.
    begun, end = directory / "begun", directory / "end"
    script.write_text(f"echo begun >{begun}; for i in 1 2 3 4 5 6 7 8; do /bin/true; done; echo done >{end}")
    words = [*SECLUDE, "record", "--stacks", "-o", directory / "k.json", "--", "sh", script]
    with subprocess.Popen(list(map(str, words)), env=os.environ | {"LC_ALL": "C"}) as recorder:
        wait_for(begun.exists)
        recorder.kill()
    wait_for(end.exists)


@pytest.mark.parametrize("words", [["--tracer", "notify"], ["--pid", "1"]])
def test_what_it_cannot_do(words: list[str], tmp_path: Path) -> None:
    command = [] if "--pid" in words else ["--", "true"]
    done = run(*SECLUDE, "record", "--stacks", "-o", tmp_path / "p.json", *words, *command)
    assert done.returncode == 1
    assert "--stacks" in done.stderr
