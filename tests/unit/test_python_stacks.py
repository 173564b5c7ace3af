"""What py-spy answers, as frames: fake py-spys that answer rightly, wrongly, endlessly or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from seclude.model.denial import Frame
from seclude.stacks import python
from seclude.stacks.python import PythonStack, is_python, python_frames

PID = os.getpid()


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in place of py-spy: write its lines. It gets more time than users would give it."""
    path = tmp_path / "py-spy"
    monkeypatch.setitem(python_frames.__kwdefaults__, "seconds", 60.0)
    monkeypatch.setattr(python, "_executable", lambda: str(path))
    return path


def does(spy: Path, script: str) -> None:
    spy.write_text(f"#!/bin/sh\n{script}\n")
    spy.chmod(0o755)


def answers(spy: Path, *threads: Any) -> None:
    (spy.parent / "answer").write_text(json.dumps(threads))
    does(spy, f"cat {spy.parent}/answer")


def thread(number: int | None, *names: str) -> dict[str, Any]:
    frames = [{"name": name, "filename": f"/{name}.py", "line": 3, "short_filename": name} for name in names]
    return {"os_thread_id": number, "thread_id": 140081844602560, "frames": frames}


def frame(name: str) -> Frame:
    return Frame(module=f"/{name}.py", function=name, line=3)


def test_takes_the_thread_that_is_asked_for(spy: Path) -> None:
    answers(spy, thread(PID + 1, "other"), thread(PID, "inner", "outer"))
    for found in (python_frames(PID), python_frames(PID, PID)):
        assert found == PythonStack(frames=(frame("inner"), frame("outer")))


def test_before_3_11_the_first_thread_is_the_last_in_the_list(spy: Path) -> None:
    answers(spy, thread(None, "second"), thread(None, "first"))
    assert python_frames(PID).frames == (frame("first"),)


@pytest.mark.parametrize(("alone", "number"), [(True, 7), (True, None), (False, None)])
def test_the_only_thread_is_the_one(alone: bool, number: int | None) -> None:
    assert python._stack([thread(number, "it")], 9, alone=alone, is_first=False).frames == (frame("it"),)


@pytest.mark.parametrize("threads", [[thread(7, "it")], [thread(None, "a"), thread(None, "b")], []])
def test_another_threads_stack_is_not_given(threads: list[dict[str, Any]]) -> None:
    found = python._stack(threads, 9, alone=False, is_first=False)
    assert found.frames == ()
    assert found.reason == f"thread 9 is none of the {len(threads)} that run Python code"


def test_names_and_frames_are_limited(spy: Path) -> None:
    long = thread(PID, *["n" * 10_000] * 100)
    long["frames"][0]["line"] = -5
    answers(spy, long)
    found = python_frames(PID)
    assert len(found.frames) == python.MOST_FRAMES
    assert found.frames[0].line == 0
    assert len(found.frames[0].function) == python.LONGEST_NAME
    assert len(found.frames[0].module) == python.LONGEST_PATH
    assert found.frames[0].module.endswith("n.py")


@pytest.mark.parametrize(
    "answer", ["", "{", "7", "[7]", "[{}]", "null", '[{"os_thread_id": null, "frames": [{}]}]', "[" * 100_000]
)
def test_an_answer_that_is_none(spy: Path, answer: str) -> None:
    (spy.parent / "answer").write_text(answer)
    does(spy, f"cat {spy.parent}/answer")
    found = python_frames(PID)
    assert found.frames == ()
    assert found.reason.startswith("py-spy answered what is not understood: ")


def test_what_py_spy_complains_of_is_the_reason(spy: Path) -> None:
    does(spy, "echo 'Error: Failed to find python version' >&2; echo 'Stack backtrace:' >&2; exit 1")
    assert python_frames(PID) == PythonStack(reason="py-spy: Failed to find python version")
    does(spy, "exit 3")
    assert python_frames(PID) == PythonStack(reason="py-spy: exit status 3")


def test_an_answer_without_end_is_cut_off(spy: Path) -> None:
    does(spy, 'until [ "$(ulimit -f)" != unlimited ]; do :; done; exec yes')
    found = python_frames(PID, seconds=60)
    assert (found.frames, found.reason) == ((), "py-spy: exit status -25")  # SIGXFSZ


def test_no_answer_in_time(spy: Path) -> None:
    does(spy, "exec sleep 6000")
    assert python_frames(PID, seconds=0.3) == PythonStack(reason="py-spy took longer than 0.3 s")


def test_no_py_spy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "_executable", lambda: "")
    assert python_frames(PID) == PythonStack(reason="py-spy is not installed")


def test_a_py_spy_that_cannot_be_started(spy: Path) -> None:
    spy.write_text("")
    assert python_frames(PID) == PythonStack(reason="py-spy: Permission denied")


def test_finds_py_spy_beside_python_then_in_the_package_then_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(python._executable()).name == "py-spy"
    monkeypatch.setattr(python.sys, "executable", str(tmp_path / "python"))
    assert Path(python._executable()).name == "py-spy"
    monkeypatch.setattr(python.metadata, "files", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert python._executable() == ""
    does(tmp_path / "py-spy", "exit 0")
    assert python._executable() == str(tmp_path / "py-spy")


def test_which_processes_are_python() -> None:
    assert is_python(PID)
    assert not is_python(4_194_305)
    assert python_frames(4_194_305).reason == "process 4194305 has no thread 4194305"
    assert python_frames(PID, 1).reason == f"process {PID} has no thread 1"
