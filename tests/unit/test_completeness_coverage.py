"""Coverage joined with recordings: lines, the functions in a file, what is ranked first, and bad input."""

import json
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seclude import store
from seclude.analyse.callers import calls_of_function, functions
from seclude.analyse.uncovered import function_calls, uncovered
from seclude.cli import complete
from seclude.coverage_reports import lines
from seclude.model.coverage import CoverageError, FileLines
from seclude.syscalls import all_names

from .test_completeness import recording

SOURCE = """\
import os, socket as net
import urllib.request
from subprocess import run as start
from os import path
from . import shutil

def a():
    with open("f") as file:
        os.mkdir("d")
    if path.exists("x"):
        start(
            ["true"],
        )

def b():
    net.socket()
    urllib.request.urlopen("http://x")
    shutil.rmtree("x")
    file.open("x")
    unknown.mkdir()
"""
FILE = FileLines(
    path="app.py", missing=(16, 17, 18), tests=((8, ("t.py::one|run",)), (9, ("t.py::two|run",)))
)


def report(**files):
    return json.dumps({"meta": {"format": 3}, "files": files})


def entry(missing, contexts):
    return {"missing_lines": missing, "contexts": contexts, "summary": {}}


class TestReport:
    def test_lines_and_tests(self):
        text = report(b=entry([], {}), a=entry([4, 5], {"12": ["t.py::x|run", ""], "2": [""]}))
        assert lines(text, "c.json") == (
            FileLines(path="a", missing=(4, 5), tests=((2, ()), (12, ("t.py::x|run",)))),
            FileLines(path="b", missing=()),
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("<coverage/>", "is no report of coverage.py"),
            ("{}", "has no `files`"),
            ('{"files": [1]}', "has no `files`"),
            (report(a=1), "'a' has no list `missing_lines`"),
            (report(a={"missing_lines": [True]}), "'a' has no list `missing_lines`"),
            (report(a=entry([1], [])), "the `contexts` of 'a' are no object"),
            (report(a=entry([1], {"1": [2]})), "the contexts of 'a', line 1, are no names"),
            (report(a=entry([1], {"x": ["t"]})), "a line's number is 'x', not a number"),
        ],
    )
    def test_bad(self, text, message):
        with pytest.raises(CoverageError, match=re.escape(message)):
            lines(text, "c.json")


class TestFunctions:
    def test_found_by_their_imports(self):
        assert function_calls(SOURCE) == (
            (8, "open"),
            (9, "os.mkdir"),
            (10, "os.path.exists"),
            (11, "subprocess.run"),
            (16, "socket.socket"),
            (17, "urllib.request.urlopen"),
        )

    @pytest.mark.parametrize("text", ["def (", "\0", "(" * 10_000])
    def test_no_python(self, text):
        assert function_calls(text) is None

    @given(st.text(max_size=60))
    def test_any_text(self, text):
        function_calls(text)

    def test_the_table_names_calls_that_exist(self):
        assert {call for name in functions() for call in calls_of_function(name)} <= all_names()
        assert calls_of_function("os.nothing") == ()


class TestUncovered:
    def test_unrecorded_calls_come_first(self):
        other = FileLines(path="b.py", missing=(1,))
        found = uncovered(
            [other, FILE],
            {"app.py": SOURCE, "b.py": "open('x')"},
            {"openat", "mkdir", "socket", "connect", "sendmsg"},
            ["t.py::one"],
        )
        assert (found.tests, found.joined, found.unread, found.notes) == (2, 1, (), ())
        first, second = found.files
        assert (first.path, first.missing, first.unrecorded) == ("app.py", 4, ("recvfrom",))
        assert [(line.line, line.unrecorded, line.tests) for line in first.lines] == [
            (17, ("recvfrom",), ()),
            # Only a test that was not recorded ran it.
            (9, (), ("t.py::two",)),
            (16, (), ()),
        ]
        assert (second.path, second.unrecorded) == ("b.py", ())

    def test_another_project(self):
        found = uncovered([FILE], {"app.py": SOURCE}, set(), ["other::test"])
        assert found.joined == 0
        assert "is it of another project?" in found.notes[0]
        assert [line.line for line in found.files[0].lines] == [17, 16]

    def test_without_contexts(self):
        found = uncovered([FileLines(path="app.py", missing=(8,))], {"app.py": SOURCE}, set(), ["t.py::one"])
        assert found.notes[0].startswith("the coverage report has no tests")

    def test_sources_that_are_not_there(self):
        files = [FILE, FileLines(path="c.py", missing=(1,)), FileLines(path="d.py", missing=())]
        found = uncovered(files, {"c.py": "def ("}, set(), [])
        assert (found.files, found.unread) == ((), ("app.py", "c.py"))


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(complete.command, list(map(str, arguments)), standalone_mode=False)

    @pytest.fixture
    def place(self, tmp_path):
        seen = recording([("t.py::one|call", "openat mkdir"), ("t.py::three|call", "read")])
        (tmp_path / "r.json").write_text(store.dumps(seen))
        source = tmp_path / "source"
        source.mkdir()
        (source / "app.py").write_text(SOURCE)
        (tmp_path / "outside.py").write_text("import os\nos.mkdir('x')\n")
        contexts = {str(line): list(names) for line, names in FILE.tests}
        files = {"app.py": entry(list(FILE.missing), contexts), "../outside.py": entry([2], {})}
        files["x\x1b[31m\n.py"] = entry([1], {})
        (tmp_path / "c.json").write_text(report(**files))
        return tmp_path

    def test_table(self, place):
        done = self.run("--coverage", place / "c.json", "--source", place / "source", place / "r.json")
        assert done.exception is None
        assert "1 of the 2 tests of the coverage report are recorded" in done.output
        assert "  app.py: could need connect, recvfrom, sendto, socket\n" in done.output
        assert "    line 17: urllib.request.urlopen (socket, connect, sendto, recvfrom)\n" in done.output
        # What lies outside the sources is not read, whatever the report names.
        assert (
            "not looked at, no Python source below --source: ../outside.py, x\\x1b[31m\\n.py\n" in done.output
        )
        assert done.output.replace("\n", "").isprintable()

    def test_what_is_recorded_is_only_counted(self, place):
        (place / "c.json").write_text(report(**{"app.py": entry([8], {})}))
        done = self.run("--coverage", place / "c.json", "--source", place / "source", place / "r.json")
        assert "  1 file with such code could need calls that are recorded already\n" in done.output
        (place / "c.json").write_text(report(**{"app.py": entry([1], {})}))
        done = self.run("--coverage", place / "c.json", "--source", place / "source", place / "r.json")
        assert "  no line that calls a function known to make calls\n" in done.output

    def test_json(self, place):
        done = self.run(
            "--format", "json", "--coverage", place / "c.json", "--source", place / "source", place / "r.json"
        )
        found = json.loads(done.output)["uncovered"]
        assert found["files"][0]["lines"][0] == {
            "line": 17,
            "function": "urllib.request.urlopen",
            "calls": ["socket", "connect", "sendto", "recvfrom"],
            "unrecorded": ["socket", "connect", "sendto", "recvfrom"],
            "tests": [],
        }

    def test_svg_has_no_place_for_it(self, place):
        done = self.run("--format", "svg", "--coverage", place / "c.json", place / "r.json")
        assert "--coverage is not drawn" in str(done.exception)
