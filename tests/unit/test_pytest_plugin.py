"""The pytest plugin: registered, light, inert unless it is asked, and what it writes of the markers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import seclude
from seclude import expectations, marking, pytest_plugin
from seclude.analyse.attribution import STEPS, Expected, split

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
import pytest
pytestmark = pytest.mark.seclude(deny=["mount"])

@pytest.mark.seclude(allow=["bind"], deny=["ptrace"])
def test_a():
    pass

class TestB:
    def test_b(self):
        pass
"""


def run_pytest(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "seclude.pytest_plugin", "--strict-markers", *arguments]
    variables = {name: value for name, value in os.environ.items() if name != marking.ANNOUNCED}
    variables |= {"PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment
    return subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True)


def test_it_is_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"seclude": "seclude.pytest_plugin"}


def test_it_is_inert_unless_asked(tmp_path: Path) -> None:
    done = run_pytest(tmp_path)
    assert (done.returncode, "seclude:" in done.stdout) == (0, False), done
    for done in (run_pytest(tmp_path, "--seclude"), run_pytest(tmp_path, SECLUDE_RECORDING="1")):
        assert done.returncode == 0, done
        assert "seclude: each test is marked for the recorder" in done.stdout
        assert "seclude: 2 tests marked" in done.stdout


def test_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import seclude.pytest_plugin; seclude.marking.mark('x');"
        "print(*sorted(set(sys.modules) - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) - {"seclude"} == {"_ctypes", "seclude.marking", "seclude.pytest_plugin"}


def test_marking_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "marking.py").write_bytes(Path(marking.__file__).read_bytes())
    program = (
        "import sys, marking; marking.mark('x'); print('seclude' in sys.modules, 'ctypes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False False\n"), done


def test_without_ctypes_nothing_happens() -> None:
    program = (
        "import sys; sys.modules['_ctypes'] = None; import seclude; seclude.mark('x'); seclude.mark('y')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_the_names_of_the_package_stay_functions() -> None:
    assert seclude.mark is marking.mark
    assert seclude.marked is marking.marked
    with seclude.marked("x"):
        pass


@pytest.mark.parametrize("name", ["t", "é" * 123, "é" * 200, "a\0b" * 100, "\ud800" * 90, "😀" * 70])
def test_names_are_bounded(name: str) -> None:
    kept = marking.bounded(name)
    assert len(kept) <= marking.LONGEST
    assert kept.decode() and b"\0" not in kept
    assert marking.bounded(name) != marking.bounded(name + "x")


def test_long_names_are_the_same_in_every_step() -> None:
    item = cast(pytest.Item, SimpleNamespace(nodeid="t.py::test[" + "é" * 300 + "]"))
    kept = pytest_plugin.test(item)
    assert len(kept + b"|teardown") <= marking.LONGEST
    assert {split((kept + b"|" + step.encode()).decode()) for step in STEPS} == {
        (kept.decode(), step) for step in STEPS
    }


def test_expectations(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--collect-only", "--seclude-expectations", "expected.json")
    assert done.returncode == 0, done
    assert expectations.read(str(tmp_path / "expected.json")) == {
        "test_suite.py::test_a": Expected(allow=frozenset({"bind"}), deny=frozenset({"mount", "ptrace"})),
        "test_suite.py::TestB::test_b": Expected(deny=frozenset({"mount"})),
    }
    assert json.loads((tmp_path / "expected.json").read_text())["version"] == expectations.VERSION


@pytest.mark.parametrize("marker", ["'read'", "deny='read'", "forbid=['read']", "deny=[1]", "deny=1"])
def test_a_marker_that_is_wrong(tmp_path: Path, marker: str) -> None:
    (tmp_path / "test_wrong.py").write_text(
        f"import pytest\n\n@pytest.mark.seclude({marker})\ndef test_a(): pass\n"
    )
    done = run_pytest(tmp_path, "--seclude-expectations", "expected.json")
    assert done.returncode == 4, done
    assert "test_wrong.py::test_a" in done.stdout + done.stderr
