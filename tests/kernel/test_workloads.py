"""The workloads do what their catalogue says, as strace sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest
from catalogue import MEMORY, SET_CALLS, SETS, SLEEPER, WORKLOADS, Workload, set_workload

pytestmark = pytest.mark.kernel


def _small(workload: Workload, directory: Path) -> list[str]:
    """The workload's arguments, with counts that strace gets through in a second and the test's directory."""
    smaller = {"100000": "500", "5000": "20", "/tmp": str(directory)}
    return [smaller.get(argument, argument) for argument in workload.command[1:]]


def _traced(path: Path) -> set[str]:
    """The names of the calls in an strace output file; those by other ABIs are named by their own tables."""
    return set(re.findall(r"^(?:\d+ +)?([a-z_0-9]+)\(", path.read_text(errors="replace"), re.MULTILINE))


def _strace(command: Iterable[str | Path], out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["strace", "-f", "-qq", "-s", "0", "-o", out, *command], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workload_makes_its_calls(workload: Workload, workloads: Path, tmp_path: Path) -> None:
    assert shutil.which("strace"), "strace is not installed"
    done = _strace([workloads / workload.command[0], *_small(workload, tmp_path)], tmp_path / "strace.out")
    assert done.returncode == (-workload.signal or workload.status), done.stderr
    assert done.stdout.splitlines()[-1] == workload.line
    made = _traced(tmp_path / "strace.out")
    assert made >= workload.native | workload.x86


@pytest.mark.parametrize("number", [0, 1, 31, 49])
def test_set_makes_its_calls_and_no_others(number: int, workloads: Path, tmp_path: Path) -> None:
    workload = set_workload(number)
    done = _strace(workload.argv(str(workloads)), tmp_path / "strace.out")
    assert (done.returncode, done.stdout.strip()) == (workload.status, workload.line), done.stderr
    assert _traced(tmp_path / "strace.out") & SET_CALLS == workload.native


def test_no_set_contains_another() -> None:
    sets = [set_workload(number).native for number in range(SETS)]
    assert all(one - other and other - one for one, other in combinations(sets, 2))


def test_distinctive_calls_belong_to_one_workload() -> None:
    owners: dict[str, set[str]] = {}
    for workload in (*WORKLOADS, SLEEPER, MEMORY):
        for call in workload.native:
            owners.setdefault(call, set()).add(workload.name)
    shared = {call: names for call, names in owners.items() if len(names) > 1}
    assert shared == {"getrusage": {"names", "long-names", "ugly-names"}}
    assert not SET_CALLS & set(owners)


def test_sleeper_answers_sigterm(workloads: Path) -> None:
    with subprocess.Popen(SLEEPER.argv(str(workloads)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == SLEEPER.line
        process.terminate()
        assert process.wait(60) == SLEEPER.status


def test_arguments_are_passed_on(workloads: Path) -> None:
    done = subprocess.run([workloads / "arguments", "socket", "1", "99"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (61, ["socket(1) ok", "socket(99) EAFNOSUPPORT"])


def test_loop_waits_for_its_file(workloads: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with subprocess.Popen([workloads / "loop", "1000", go], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        go.touch()
        assert float(process.stdout.readline()) > 0
        assert process.wait(60) == 0
