"""`python -m seclude.unittest`: unittest's own command line, light, and inert without a recorder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from seclude import marking
from seclude import unittest as marks

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
SUITE = """
import asyncio, unittest

class Sync(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail()
    @unittest.expectedFailure
    def test_is_expected(self): self.fail()
    @unittest.skip("no reason")
    def test_is_skipped(self): pass
    def test_parts(self):
        for part in range(2):
            with self.subTest(part=part):
                self.assertEqual(part, 0)
    def test_cleans_up(self): self.addCleanup(print, "cleaned")

class Broken(unittest.TestCase):
    def setUp(self): raise RuntimeError("set up")
    def test_never(self): pass

class BrokenClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("class")
    def test_never(self): pass

class Async(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self): await asyncio.sleep(0)
    async def test_awaits(self): await asyncio.sleep(0)
"""


def run(directory: Path, module: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_suite.py").write_text(SUITE)
    variables = {name: value for name, value in os.environ.items() if name != marking.ANNOUNCED}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, cwd=directory, env=variables | {"PYTHONPATH": SOURCES} | more, capture_output=True, text=True
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What was printed, without the time that it took and the name of the program."""
    text = re.sub(r"in [0-9.]+s", "", done.stdout + done.stderr)
    return re.sub(r"\s+", " ", text.replace("-m seclude.unittest", "-m unittest"))


@pytest.mark.parametrize(
    "arguments",
    [(), ("-v",), ("-f",), ("-b", "test_suite.Sync"), ("nosuch",), ("-h",), ("-x",), ("discover",)],
)
def test_it_does_as_unittest_does(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    usual = run(tmp_path, "unittest", *arguments)
    for more in ({}, {marking.ANNOUNCED: "1"}):
        done = run(tmp_path, "seclude.unittest", *arguments, **more)
        assert (done.returncode, said(done)) == (usual.returncode, said(usual))


def test_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, unittest; before = set(sys.modules); import seclude.unittest;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split()) - {"__future__"}
    assert loaded == {"seclude", "seclude.marking", "seclude.unittest"}, done


class Case(unittest.TestCase):
    """A test that can be run by hand."""

    def setUp(self) -> None:
        marks.enter(b"in setUp")

    def runTest(self) -> None:
        marks.enter(b"in the test")

    def tearDown(self) -> None:
        marks.enter(b"in tearDown")


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(marks, "enter", lambda name: names.append(name.decode()))
    return names


def test_the_steps(entered: list[str]) -> None:
    case = Case()
    case.run(marks.Marks())
    step = f"{__name__}.Case.runTest|"
    assert entered == [
        f"{step}setup",
        "in setUp",
        f"{step}call",
        "in the test",
        f"{step}teardown",
        "in tearDown",
        "",
    ]
    assert "_callTestMethod" not in vars(case)


def test_a_result_of_ones_own(entered: list[str]) -> None:
    class Result(marks.Marks, unittest.TestResult):
        pass

    result = Result()
    unittest.TestSuite([Case(), Case()]).run(result)
    assert result.testsRun == 2 and entered.count("") == 2


def test_without_the_private_method_a_test_is_one_step(
    entered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "_STEP", "_not_there")
    Case().run(marks.Marks())
    assert [name for name in entered if not name.startswith("in ")] == [f"{__name__}.Case.runTest|setup", ""]


def test_long_names(entered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "id", lambda self: "é" * 300)
    Case().run(marks.Marks())
    assert max(len(name.encode()) for name in entered) <= marking.LONGEST
