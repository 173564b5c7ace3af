"""Several test commands under the real recorder, tests of unittest, and the gate on calls that a profile lacks."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from plain import SECLUDE, SOURCES, profile_of, run

from seclude import store
from seclude.analyse.attribution import attribution, makers, why
from seclude.model.environment import NATIVE_ABIS
from seclude.model.recording import Recording
from seclude.syscalls import number_of

pytestmark = pytest.mark.kernel

UNITTEST = """
import os, unittest

class Steps(unittest.TestCase):
    @classmethod
    def setUpClass(cls): os.getpgid(0)
    def setUp(self): os.getpriority(0, 0)
    def tearDown(self): os.getresuid()
    def test_syncs(self): os.sync()
    def test_fails(self):
        self.addCleanup(os.getresgid)
        self.fail()
    def test_child(self):
        pid = os.fork()
        if not pid:
            os.sched_getscheduler(0)
            os._exit(0)
        os.waitpid(pid, 0)

class Awaits(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self): os.getsid(0)
    async def test_awaits(self): os.times()
"""


def record(directory: Path, *words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """`seclude record` in a directory, with files there called p.json and r.rec."""
    return run(*SECLUDE, "record", *words, cwd=directory, **options)


def read(directory: Path) -> Recording:
    return store.read(str(directory / "r.rec"))


def makers_of(directory: Path, call: str) -> set[str]:
    return set(why(call, [read(directory)]).tests)


def test_each_command_is_a_context(tmp_path: Path) -> None:
    commands = [
        "# what a file may have",
        "sync",
        "",
        "sh -c 'sync; kill -9 $$'",
        "nosuch-command --x",
        "sync",
        f"{sys.executable} -S -c 'import os; os.getpriority(0, 0)'",
        "sh -c 'exit 3'",
    ]
    (tmp_path / "commands").write_text("\n".join(commands))
    done = record(
        tmp_path, "-o", "p.json", "--recording", "r.rec", "--per-command", "commands", "--test", "true",
        "--tap", "--junit", "j.xml",
    )  # fmt: skip
    assert done.returncode == 137, done
    python = commands[6]
    assert done.stdout.splitlines()[:3] == ["TAP version 14", "1..7", "ok 1 - sync"]
    results = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok"))]
    assert [line.partition(" - ")[0] for line in results] == [
        "ok 1", "not ok 2", "not ok 3", "ok 4", "ok 5", "not ok 6", "ok 7",
    ]  # fmt: skip
    assert "ok 4 - sync (2)" in results
    for status in (137, 127, 3):
        assert f"exitstatus: {status}\n" in done.stdout
    assert "[3/7] nosuch-command --x: status 127" in done.stderr
    assert "'nosuch-command' is no command" in done.stderr
    assert makers_of(tmp_path, "sync") == {"sync", "sh -c 'sync; kill -9 $$'", "sync (2)"}
    assert makers_of(tmp_path, "kill") == {"sh -c 'sync; kill -9 $$'"}
    (getpriority,) = makers_of(tmp_path, "getpriority")
    assert getpriority.startswith(python.split()[0])
    whole = read(tmp_path)
    assert len(attribution([whole]).tests) == 6
    allowed = json.loads((tmp_path / "p.json").read_text())["syscalls"][0]["names"]
    assert set(allowed) >= {"sync", "getpriority", "kill"}
    assert ElementTree.parse(tmp_path / "j.xml").getroot()[0].get("failures") == "3"
    assert "by 6 tests; " in done.stderr and "`seclude tests r.rec` has all" in done.stderr
    for command in (("tests", "r.rec"), ("why", "kill", "r.rec"), ("complete", "r.rec"), ("show", "r.rec")):
        shown = run(*SECLUDE, *command, cwd=tmp_path)
        assert shown.returncode == 0, shown


def test_words_before_each_command(tmp_path: Path) -> None:
    done = record(
        tmp_path, "--recording", "r.rec", "--json", "--test", "sh -c 'echo $A'", "--test", "sync", "--",
        "env", "A=b",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "b\n"), done
    values = json.loads(done.stderr)
    assert [(each["name"], each["status"]) for each in values["commands"]] == [
        ("sh -c 'echo $A'", 0), ("sync", 0),
    ]  # fmt: skip
    assert (values["tests"], values["singletons"]["sync"]) == (2, "sync")


def test_commands_that_mark_keep_their_marks(tmp_path: Path) -> None:
    """What a command calls outside its own contexts is the command's."""
    program = f"import sys, os; sys.path.insert(0, {str(SOURCES)!r}); import seclude; seclude.mark('inner'); os.sync()"
    inner = shlex.join([sys.executable, "-c", program])
    done = record(tmp_path, "--recording", "r.rec", "--test", inner, "--test", "true")
    assert done.returncode == 0, done
    assert makers_of(tmp_path, "sync") == {"inner"}
    assert {test.name for test in attribution([read(tmp_path)]).tests} > {"inner", "true"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_suite(tmp_path: Path, number: signal.Signals) -> None:
    waits = "sh -c 'echo on >&2; exec sleep 60'"
    tests = [word for test in ("sync", waits, "touch never") for word in ("--test", test)]
    words = ("record", "--recording", "r.rec", "--junit", "j.xml", *tests)
    started = subprocess.Popen(
        [*SECLUDE, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stderr is not None
    while started.stderr.readline().rstrip("\n") != "on":
        pass
    if number == signal.SIGINT:
        os.killpg(started.pid, number)  # as a terminal does
    else:
        os.kill(started.pid, number)
    said = started.stderr.read()
    assert started.wait(60) == 128 + number, said
    assert "interrupted: 1 of 3 commands were not run" in said
    assert not (tmp_path / "never").exists()
    assert makers_of(tmp_path, "sync") == {"sync"}
    assert ElementTree.parse(tmp_path / "j.xml").getroot()[0].get("skipped") == "1"


def test_a_command_that_ends_itself_by_a_signal_ends_nothing_else(tmp_path: Path) -> None:
    done = record(tmp_path, "--recording", "r.rec", "--test", "sh -c 'kill -INT $$'", "--test", "sync")
    assert done.returncode == 130 and makers_of(tmp_path, "sync") == {"sync"}, done


# The gate


def test_calls_that_a_profile_lacks(tmp_path: Path) -> None:
    words = ("--fail-on-new", "p.json", "--test", "true", "--test", "sync")
    assert record(tmp_path, "-o", "p.json", "--test", "true", "--test", "sync").returncode == 0
    names = json.loads((tmp_path / "p.json").read_text())["syscalls"][0]["names"]
    profile_of(tmp_path / "p.json", *(name for name in names if name != "sync"))
    before = (tmp_path / "p.json").read_text()
    done = record(tmp_path, *words)
    assert done.returncode == 2, done
    assert "sync: sync: the profile does not allow it" in done.stderr
    assert (tmp_path / "p.json").read_text() == before
    done = record(tmp_path, "--json", *words)
    assert json.loads(done.stderr)["unexpected"] == [{"kind": "new", "test": "sync", "calls": ["sync"]}]
    # A command that fails says so, whatever the gate says.
    assert record(tmp_path, *words, "--test", "sh -c 'exit 5'").returncode == 5
    assert record(tmp_path, "--fail-on-new", "p.json", "--", "true").returncode == 0
    done = record(tmp_path, "--fail-on-new", "p.json", "--", "sync")
    assert done.returncode == 2 and "(outside any test): sync: " in done.stderr, done


def test_what_tests_say_of_themselves(tmp_path: Path) -> None:
    profile_of(tmp_path / "p.json", "read")
    expected = {
        "format": "seclude-expectations", "version": 1,
        "tests": {"sync": {"allow": [], "deny": ["sync"]}},
    }  # fmt: skip
    (tmp_path / "e.json").write_text(json.dumps(expected))
    done = record(tmp_path, "--recording", "r.rec", "--expectations", "e.json", "--test", "sync")
    assert done.returncode == 2 and "sync: sync: the test denies it" in done.stderr, done


def test_pytest_fails_on_new_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_t.py").write_text("import os\ndef test_a(): pass\ndef test_b(): os.sync()\n")
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "seclude.pytest_plugin", "-p", "no:cacheprovider"]
    assert record(tmp_path, "-o", "p.json", "--", *command).returncode == 0
    names = json.loads((tmp_path / "p.json").read_text())["syscalls"][0]["names"]
    profile_of(tmp_path / "p.json", *(name for name in names if name != "sync"))
    done = record(tmp_path, "--fail-on-new", "p.json", "--", *command)
    assert "seclude: test_t.py::test_b: sync: the profile does not allow it" in done.stderr, done
    assert done.returncode == 2
    assert "sync (test_t.py::test_b)" in done.stderr


# Other runners, as docs/marks.md has them

DOCUMENTED = (SOURCES.parent / "docs" / "marks.md").read_text()


@pytest.fixture
def on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`seclude`, as scripts find it."""
    script = tmp_path / "bin" / "seclude"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.join(SECLUDE)} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("on_the_path")
def test_marks_in_bats(tmp_path: Path) -> None:
    if not shutil.which("bats"):
        pytest.skip("bats is not installed")
    line = 'mark() { seclude mark "$BATS_TEST_DESCRIPTION" -- "$@"; }'
    assert line in DOCUMENTED
    tests = '@test "one" { run mark sync; [ "$status" -eq 0 ]; }\n@test "two" { run mark true; }\n'
    (tmp_path / "t.bats").write_text(f"{line}\n{tests}")
    done = record(tmp_path, "--recording", "r.rec", "--", "bats", "t.bats")
    assert done.returncode == 0 and "ok 2 two" in done.stdout, done
    assert makers_of(tmp_path, "sync") == {"one"}


@pytest.mark.usefixtures("on_the_path")
def test_marks_in_prove(tmp_path: Path) -> None:
    if not shutil.which("prove"):
        pytest.skip("prove is not installed")
    line = 'exec seclude mark "$1" -- perl "$@"'
    assert line in DOCUMENTED and "prove --exec ./marked t" in DOCUMENTED
    (tmp_path / "marked").write_text(f"#!/bin/sh\n{line}\n")
    (tmp_path / "marked").chmod(0o755)
    (tmp_path / "t").mkdir()
    for name, call in (("a", f"syscall({number_of(NATIVE_ABIS[platform.machine()], 'sync')});"), ("b", "")):
        (tmp_path / "t" / f"{name}.t").write_text(f"use Test::More tests => 1; {call} ok(1);")
    done = record(tmp_path, "--recording", "r.rec", "--", "prove", "-j2", "--exec", "./marked", "t")
    assert done.returncode == 0, done
    assert makers_of(tmp_path, "sync") == {"t/a.t"}
    assert {test.name for test in attribution([read(tmp_path)]).tests} == {"t/a.t", "t/b.t"}


# unittest


def test_tests_of_unittest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_u.py").write_text(UNITTEST)
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    done = record(tmp_path, "--recording", "r.rec", "--", sys.executable, "-m", "seclude.unittest")
    assert done.returncode == 1 and "FAILED (failures=1)" in done.stderr, done
    made = makers([read(tmp_path)])
    places = {
        call: {(maker.test, maker.step) for maker in made[call]}
        for call in (
            "sync",
            "getpriority",
            "getresuid",
            "getresgid",
            "sched_getscheduler",
            "getsid",
            "times",
            "getpgid",
        )
    }
    steps = ["test_u.Steps.test_child", "test_u.Steps.test_fails", "test_u.Steps.test_syncs"]
    assert places == {
        "sync": {(steps[2], "call")},
        "getpriority": {(step, "setup") for step in steps},
        "getresuid": {(step, "teardown") for step in steps},
        "getresgid": {(steps[1], "teardown")},
        "sched_getscheduler": {(steps[0], "call")},
        "getsid": {("test_u.Awaits.test_awaits", "setup")},
        "times": {("test_u.Awaits.test_awaits", "call")},
        "getpgid": {("", "")},
    }
    assert not read(tmp_path).losses.markers


def test_with_the_tracer_that_needs_no_privilege(tmp_path: Path) -> None:
    words = ["--tracer", "notify", "--test", "true", "--test", "ls /", "--recording", "r.rec"]
    done = record(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path).tracer == "notify"
    assert attribution([read(tmp_path)]).singletons["getdents64"] == "ls /"
