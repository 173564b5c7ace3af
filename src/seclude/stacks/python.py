"""Names Python code: a thread of a CPython process in, its functions, files and lines out."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from ..model.denial import Frame
from ..model.frozen import frozen
from .process import Process

SECONDS = 5.0
MOST_FRAMES = 64
MOST_OUTPUT = 8 * 1024 * 1024
MOST_MEMORY = 4 * 1024 * 1024 * 1024
LONGEST_NAME = 200
LONGEST_PATH = 1024
LONGEST_REASON = 200
SPY = "py-spy"


@frozen
class PythonStack:
    """The frames of a thread, innermost first, or none and the `reason` why there are none."""

    frames: tuple[Frame, ...] = ()
    reason: str = ""


def is_python(pid: int) -> bool:
    """Whether the process runs a CPython interpreter, as far as the names of its files tell."""
    try:
        with Process(pid) as process:
            return process.executable().startswith("python") or any(
                mapping.name.startswith("libpython") for mapping in process.mappings()
            )
    except OSError:
        return False


def python_frames(pid: int, tid: int = 0, *, seconds: float = SECONDS) -> PythonStack:
    """The stack of thread `tid` (0: the first) of process `pid`, both as the host numbers them.

    The process is not stopped for it: what runs on meanwhile has another stack, or none that can be read. py-spy
    reads the memory of a process that can be hostile, so it gets limits of time, memory and output.
    """
    spy = _executable()
    if not spy:
        return PythonStack(reason=f"{SPY} is not installed")
    try:
        with Process(pid) as process:
            inner = process.inner_thread(tid or pid)
            alone = process.threads() == 1
    except OSError:
        return PythonStack(reason=f"process {pid} has no thread {tid or pid}")
    status, output, errors = _run([spy, "dump", "--pid", str(pid), "--json", "--nonblocking"], seconds)
    if status is None:
        return PythonStack(reason=f"{SPY} took longer than {seconds:g} s")
    if status:
        said = errors.strip().splitlines() or [f"exit status {status}"]
        return PythonStack(reason=f"{SPY}: {said[0].removeprefix('Error: ')[:LONGEST_REASON]}")
    try:
        threads = json.loads(output)
        return _stack(threads, inner, alone=alone, is_first=tid in (0, pid))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return PythonStack(reason=f"{SPY} answered what is not understood: {str(error)[:LONGEST_REASON]}")


def _stack(threads: Sequence[dict[str, Any]], inner: int, *, alone: bool, is_first: bool) -> PythonStack:
    """The stack of the thread that its own pid namespace knows as `inner`; `alone` if the process has no other."""
    # From 3.11 on the interpreter keeps what gettid(2) told it. Before that py-spy would have to stop the process
    # to learn it; but it lists the threads from the newest to the first.
    fitting = [thread for thread in threads if thread["os_thread_id"] == inner]
    unknown = all(thread["os_thread_id"] is None for thread in threads)
    if not fitting and ((len(threads) == 1 and (alone or unknown)) or (is_first and unknown)):
        fitting = list(threads[-1:])
    if not fitting:
        return PythonStack(reason=f"thread {inner} is none of the {len(threads)} that run Python code")
    frames = tuple(
        Frame(
            module=str(frame["filename"])[-LONGEST_PATH:],
            function=str(frame["name"])[:LONGEST_NAME],
            line=max(0, int(frame["line"])),
        )
        for frame in fitting[0]["frames"][:MOST_FRAMES]
    )
    return PythonStack(frames=frames, reason="" if frames else f"thread {inner} runs no Python code")


def _executable() -> str:
    """The path of py-spy: of this environment, else of the PATH; empty if there is none."""
    beside = os.path.join(os.path.dirname(sys.executable), SPY)
    if os.access(beside, os.X_OK):
        return beside
    try:
        files = metadata.files(SPY) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = str(file.locate())
        if file.name == SPY and os.access(path, os.X_OK):
            return path
    return shutil.which(SPY) or ""


def _run(command: Sequence[str], seconds: float) -> tuple[int | None, str, str]:
    """Exit status (None: it was not done in time), output and errors of a command that has limits."""
    # In memory, where a limit on the size of files holds; a pipe would have to be read against the clock.
    with (
        os.fdopen(os.memfd_create("output"), "r+b") as output,
        os.fdopen(os.memfd_create("errors"), "r+b") as errors,
    ):
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd="/")
        except OSError as error:
            return error.errno or 1, "", os.strerror(error.errno or 0)
        try:
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
            resource.prlimit(child.pid, resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        except (OSError, ValueError):
            pass  # it has ended by now, or has tighter limits
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            try:
                child.wait(1)
            except subprocess.TimeoutExpired:
                pass  # in the middle of a read that the container's file system does not answer
            return None, "", ""
        texts = [
            os.pread(file.fileno(), MOST_OUTPUT, 0).decode("utf-8", "replace") for file in (output, errors)
        ]
        return status, texts[0], texts[1]
