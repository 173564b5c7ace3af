"""Marks of real test suites: what the recording says of each test is what strace saw, in one process and in several."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from plain import SECLUDE, SOURCES, Recorded, record, run

from seclude.analyse.attribution import attribution, makers, why
from seclude.model.environment import NATIVE_ABIS
from seclude.syscalls import number_of

pytestmark = pytest.mark.kernel
ABI = NATIVE_ABIS[platform.machine()]
DISTINCTIVE = (
    "getpriority sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min "
    "sched_rr_get_interval getitimer times getpgid getsid getresuid getresgid capget getcpu sync_file_range tee "
    "vmsplice splice inotify_init1 eventfd2 timerfd_create signalfd4 mincore msync mlock munlock "
    "personality fdatasync readahead fadvise64 ioprio_get get_mempolicy memfd_create membarrier getxattr flock "
    "timer_delete timer_getoverrun mq_unlink"
).split()
"""Calls that neither Python nor pytest makes, each with arguments that it refuses."""

ALONE, SHARED, FIRST, LAST, CHILD, THREAD = DISTINCTIVE[:32], *DISTINCTIVE[32:37]
SUITE = """
import ctypes, os, subprocess, sys, threading
import pytest

_CALL = ctypes.CDLL(None).syscall
_CALL.argtypes = [ctypes.c_long] * 7
NUMBERS = {numbers!r}

def make(name):
    _CALL(NUMBERS[name], -1, 0, 0, 0, 0, 0)

@pytest.mark.parametrize("name", {alone!r})
def test_alone(name):
    make(name)

@pytest.mark.parametrize("name", ["a", "b\\x1b[31m", "c"])
def test_shared(name):
    make({shared!r})

@pytest.fixture
def around():
    make({first!r})
    yield
    make({last!r})

def test_around(around):
    pass

def test_child():
    pid = os.fork()
    if not pid:
        make({child!r})
        os._exit(0)
    os.waitpid(pid, 0)

def test_thread():
    thread = threading.Thread(target=make, args=({thread!r},))
    thread.start()
    thread.join()
    # It makes its last calls after it has been joined.
    while os.path.exists(f"/proc/self/task/{{thread.native_id}}"):
        pass
"""
FILE = "test_suite.py"
STRACED = re.compile(r"(\d+) +([a-z_0-9]+)\((.*)")


def expected() -> dict[str, set[str]]:
    """Distinctive call -> the tests that make it."""
    tests = {name: {f"{FILE}::test_alone[{name}]"} for name in ALONE}
    tests[SHARED] = {f"{FILE}::test_shared[{name}]" for name in ("a", "b\\x1b[31m", "c")}
    for name, test in ((FIRST, "around"), (LAST, "around"), (CHILD, "child"), (THREAD, "thread")):
        tests[name] = {f"{FILE}::test_{test}"}
    return tests


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    numbers = {name: number_of(ABI, name) for name in DISTINCTIVE}
    assert None not in numbers.values()
    directory = tmp_path / "suite"
    directory.mkdir()
    text = SUITE.format(
        numbers=numbers, alone=ALONE, shared=SHARED, first=FIRST, last=LAST, child=CHILD, thread=THREAD
    )
    (directory / FILE).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    # The plugin by its module, whether or not this seclude is installed, and no other one.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.chdir(directory)
    return directory


def pytest_command(*more: str) -> list[str]:
    plugins = ["-p", "seclude.pytest_plugin", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *plugins, *more, FILE]


def found(recorded: Recorded) -> dict[str, set[str]]:
    made = makers([recorded.recording])
    return {name: {maker.test for maker in made.get(name, ())} for name in expected()}


def straced(log: str, contexts: Sequence[str]) -> dict[str, set[str]]:
    """Context -> calls, for the output of `strace -f` of one run in one process at a time, which entered `contexts`."""
    order, context = iter(contexts), ""
    calls: dict[str, set[str]] = {}
    for line in log.splitlines():
        call = STRACED.match(line)
        if call and call[2] == "prctl" and call[3].startswith("0x5ec1de00"):
            context = next(order)
        elif call:
            calls.setdefault(context, set()).add(call[2])
    assert next(order, None) is None
    return calls


def test_each_test_has_the_calls_that_strace_saw(suite: Path, tmp_path: Path) -> None:
    """One run, looked at by both: every call of every step of every test, not the distinctive ones only."""
    log = tmp_path / "strace"
    # The order in which the tests run, and so the order of the markers: of each three steps, then none.
    listed = run(*pytest_command("--collect-only", "-q")).stdout
    nodes = [line for line in listed.splitlines() if "::" in line]
    assert len(nodes) == len(ALONE) + 6 >= 30
    contexts = [
        context
        for node in nodes
        for context in (*(f"{node}|{step}" for step in ("setup", "call", "teardown")), "")
    ]
    recorded = record(tmp_path, "strace", "-f", "-o", log, *pytest_command())
    assert recorded.done.returncode == 0, recorded.done
    assert "seclude: each test is marked for the recorder" in recorded.done.stdout
    assert f"seclude: {len(nodes)} tests marked" in recorded.done.stdout
    truth = straced(log.read_text(errors="replace"), contexts)
    seen: dict[str, set[str]] = {}
    for call in recorded.recording.calls:
        seen.setdefault(call.context, set()).add(call.name)
    losses = recorded.recording.losses
    assert not losses.calls + losses.facts + losses.contexts + losses.markers
    assert seen.keys() - {""} == truth.keys() - {""}
    for context in truth.keys() - {""}:
        assert seen[context] == truth[context], context
    assert found(recorded) == expected()


@pytest.mark.parametrize("workers", [0, 4])
def test_workers_do_not_mix(suite: Path, tmp_path: Path, workers: int) -> None:
    if workers:
        pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    more = ["-p", "xdist", "-n", str(workers)] if workers else []
    recorded = record(tmp_path, *pytest_command(*more))
    assert recorded.done.returncode == 0, recorded.done
    assert found(recorded) == expected()
    result = attribution([recorded.recording])
    assert len(result.tests) == len(ALONE) + 6
    alone = {name: next(iter(tests)) for name, tests in expected().items() if len(tests) == 1}
    assert alone.items() <= result.singletons.items()
    assert {maker.step for maker in why(FIRST, [recorded.recording]).makers} == {"setup"}
    assert {maker.step for maker in why(LAST, [recorded.recording]).makers} == {"teardown"}
    # A test that alone makes a call is among those that are enough.
    assert set(alone.values()) <= {test for test, _ in result.enough}


def test_the_plugin_is_inert_without_a_recorder(suite: Path) -> None:
    done = run("strace", "-f", *pytest_command())
    assert done.returncode == 0
    assert "0x5ec1de00" not in done.stderr
    assert "seclude" not in done.stdout
    assert "seclude: each test" in run(*pytest_command("--seclude")).stdout


def test_a_command_in_a_context(tmp_path: Path) -> None:
    recorded = record(
        tmp_path, "sh", "-c", f'{" ".join(map(repr, SECLUDE))} mark "$0" -- sync; sync -d /', "a\nb"
    )
    assert recorded.done.returncode == 0, recorded.done
    made = makers([recorded.recording])
    assert {maker.test for maker in made["sync"]} == {"a\nb"}
    assert {maker.test for maker in made["fdatasync"]} == {""}
    # The exec itself is the marked process's.
    assert {maker.test for maker in made["execve"]} == {"", "a\nb"}


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (
            """perl -e 'my $name = shift; syscall(%d, 0x5ec1de00, $name, 0, 0, 0); exec @ARGV' step sync""",
            "perl",
        ),
        (
            """python3 -c 'import ctypes,os,sys; ctypes.CDLL(None).prctl(0x5ec1de00, sys.argv[1].encode(), """
            """0, 0, 0); os.execvp(sys.argv[2], sys.argv[2:])' step sync""",
            "python3",
        ),
    ],
)
def test_equivalents_for_the_shell(tmp_path: Path, command: str, needs: str) -> None:
    """As docs/marks.md has them."""
    if run("sh", "-c", f"command -v {needs}").returncode:
        pytest.skip(f"{needs} is not installed")
    text = command.replace("%d", str(number_of(ABI, "prctl")))
    recorded = record(tmp_path, "sh", "-c", text)
    assert recorded.done.returncode == 0, recorded.done
    assert {maker.test for maker in makers([recorded.recording])["sync"]} == {"step"}
    assert not recorded.recording.losses.markers
    documented = (SOURCES.parent / "docs" / "marks.md").read_text()
    if ABI == "x86_64":
        assert text.replace("' step sync", "' NAME CMD...") in documented


def test_the_equivalent_for_c(tmp_path: Path) -> None:
    """As docs/marks.md has it, with a name of which no page was read yet."""
    documented = (SOURCES.parent / "docs" / "marks.md").read_text()
    line = "prctl(0x5ec1de00, strncpy((char[248]){0}, name, 247), 0, 0, 0);"
    assert line in documented
    source = tmp_path / "marks.c"
    source.write_text(
        "#include <string.h>\n#include <sys/prctl.h>\n#include <unistd.h>\n"
        "static const char pages[1 << 20] = {[1 << 19] = 'a', [(1 << 19) + 1] = 'b'};\n"
        f"int main(void) {{ const char *name = pages + (1 << 19); {line} sync(); return 0; }}\n"
    )
    compiled = run("cc", "-Wall", "-o", tmp_path / "marks", source)
    assert compiled.returncode == 0, compiled.stderr
    recorded = record(tmp_path, tmp_path / "marks")
    assert {maker.test for maker in makers([recorded.recording])["sync"]} == {"ab"}
    assert not recorded.recording.losses.markers


def test_names_of_any_length_stay_apart(tmp_path: Path) -> None:
    program = (
        "import os; from seclude import mark, marked\n"
        "mark('é' * 300 + 'a'); os.sync()\n"
        "with marked('x\\0y'): os.getpriority(0, 0)\n"
        "mark('é' * 300 + 'b'); os.sync()\n"
    )
    os_environ = {**os.environ, "PYTHONPATH": str(SOURCES)}
    recorded = record(
        tmp_path, "env", f"PYTHONPATH={os_environ['PYTHONPATH']}", sys.executable, "-c", program
    )
    assert recorded.done.returncode == 0, recorded.done
    made = makers([recorded.recording])
    tests = {maker.test for maker in made["sync"]}
    assert len(tests) == 2
    assert all(test.startswith("é" * 100) and len(test.encode()) <= 247 for test in tests)
    assert {maker.test for maker in made["getpriority"]} == {"x\\0y"}
    assert not recorded.recording.losses.markers
