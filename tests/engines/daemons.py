"""Engines that are daemons, apart from the machine's own, for tests: a command line in; one that runs and ends out."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from podman_bed import Result, left, processes_below, run_to_end
from podman_config import cache_dir, scratch

PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin"


class Unsupported(Exception):
    """The machine lacks what an engine needs."""


def missing_of(*programs: str) -> str:
    """Why there can be no bed for an engine that needs these programs; empty if there can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in (*programs, "unshare", "setpriv"):
        if not shutil.which(program, path=PATH):
            return f"{program} is not installed"
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return "the kernel has no overlay file system"
    return ""


class DaemonBed(ABC):
    """An engine of its own, in a mount namespace of its own; `directory` holds all that it writes.

    `environment` is for commands that shall use it.
    """

    MOUNTED = ""
    """Below which directory of the bed's nothing may be mounted in the end, as the machine sees it."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.environment = dict(environment)
        self._log = directory / "log"

    def _begin(self, *command: str | Path, apart: Sequence[str] = (), before: Sequence[str] = ()) -> None:
        """Starts the engine; `apart` are more of unshare's options, `before` is what becomes it in the namespace."""
        # Its mounts are seen in its namespace alone, and it ends with us, however we end.
        self._engine = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private", *apart),
                *(*before, "setpriv", "--pdeathsig", "TERM"),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log.open("a"),
            stderr=subprocess.STDOUT,
            env=self.environment,
        )

    def _said(self) -> str:
        """The end of the engine's log."""
        return self._log.read_text()[-2000:]

    def _end(self) -> None:
        self._engine.terminate()
        try:
            self._engine.wait(60)
        except subprocess.TimeoutExpired:
            self._engine.kill()
            self._engine.wait(60)

    @abstractmethod
    def _remove_containers(self) -> list[str]:
        """Ends and removes all containers; a line for each of them."""

    def close(self) -> list[str]:
        """Ends and removes all that was started, then the engine; gives what remained in spite of that."""
        found = self._remove_containers()
        self._end()
        found += [f"process {line}" for line in left(lambda: processes_below(self.directory))]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return found + [line for line in mounts if f" {self.directory}/{self.MOUNTED}" in line]

    def host(self, *argv: str | Path, env: Mapping[str, str] | None = None, timeout: float = 120) -> Result:
        """Runs a command on the host, with the bed's engine as the one that it finds."""
        environment = self.environment | dict(env or {})
        return run_to_end(argv, environment, timeout=timeout, stdin=subprocess.DEVNULL)


B = TypeVar("B", bound=DaemonBed)


@contextmanager
def open_daemon_bed(cache: Path | None, make: Callable[[Path, Path], B]) -> Iterator[B]:
    """What `make` gives for a directory and the images' cache, to the end of the block; AssertionError for remains."""
    cache = cache or cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with scratch() as directory:
        bed = make(directory, cache)
        try:
            yield bed
        finally:
            found = bed.close()
        assert not found, "left behind: " + "; ".join(found)


T = TypeVar("T")


@contextmanager
def opened_or_skipped(missing: str, opening: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """What is opened, to the end of the block; skips the test for what is `missing` or found to be unsupported."""
    if missing:
        pytest.skip(missing)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(opening())
        except Unsupported as reason:
            pytest.skip(str(reason))
        yield opened


def wait_for(condition: Callable[[], T], seconds: float = 60) -> T:
    """What the condition gives once that is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return met
