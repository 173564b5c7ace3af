"""A test command of a configuration in; it runs with the configured engine, and its recording or proof comes out."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager
from functools import cached_property

from . import docker_recording, docker_runs
from .deadline import Deadline
from .engines import engine_for
from .engines.running import processes
from .engines.tree import Tree, parent_of
from .errors import EngineError, SecludeError
from .model.configuration import Configuration, TestCommand
from .model.recording import Recording
from .recorders import Recorder, recorder_for
from .session import Recorded, Settings
from .verification import Wishes, verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .analyse.verify import Verification

LABEL = "io.seclude.run"
"""On the containers of docker that a run starts: by it they are found where one has to be removed."""

SECONDS = 20
"""What docker gets to answer."""


class Runs:
    """The tests of a configuration with one engine; `directory`, absolute, is the configuration's.

    `say` hears what a user of the profile should know. A subclass is an engine. `tracer`: as for recorder_for.
    """

    tracer = "auto"

    def __init__(
        self,
        told: Configuration,
        settings: Settings,
        directory: str,
        progress: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._told = told
        self._settings = settings
        self._directory = directory
        self._progress = progress
        self._say = say

    def check(self) -> None:
        """Raise SecludeError for what can be neither recorded nor proved, before anything runs."""

    def command(self, test: TestCommand) -> list[str]:
        """The command line that runs a test."""
        raise NotImplementedError

    def record(self, test: TestCommand) -> Recording:
        """Run a test to its end; raises SecludeError, also where it fails or takes longer than `timeout`."""
        recorded = self._recorded(test)
        if recorded.status:
            raise EngineError(
                f"test {test.name!r} ended with status {recorded.status}: no profile is made of tests that fail",
                hint="see what it said above; the profile is as it was",
            )
        if recorded.interrupted:
            raise EngineError(
                f"test {test.name!r} was interrupted: no profile is made of a part of it",
                hint="run it again; the profile is as it was",
            )
        return recorded.recording

    def verify(self, test: TestCommand, profile: str) -> Verification:
        """Run a test, `repeat` times, under the profile in a file (an absolute path). Raises SecludeError."""
        return verify(
            self.command(test), profile, self._settings, self._wishes(), self._progress, self._say
        ).verification

    def _recorded(self, test: TestCommand) -> Recorded:
        return self._recorder.record(self.command(test), self._settings, self._progress)

    @cached_property
    def _recorder(self) -> Recorder:
        """What records the tests; it is chosen once, and why is said once."""
        command = self.command(self._told.tests[0])
        return recorder_for(command, self.tracer, self._settings, self._say, base="", arguments={})

    def _wishes(self) -> Wishes:
        return Wishes(repeat=self._told.repeat, expected=0, tracer=self._recorder.tracer)

    def _too_long(self, test: TestCommand) -> EngineError:
        return EngineError(
            f"test {test.name!r} took longer than {self._told.timeout:g} s",
            hint="raise `timeout`, or see why it hangs; the profile is as it was",
        )


class PodmanRuns(Runs):
    """Each test in a container of podman's, which ends it by itself when its time is over."""

    def command(self, test: TestCommand) -> list[str]:
        limit = ["--timeout", str(max(1, round(self._told.timeout)))]
        return ["podman", "run", "--rm", *limit, *self._told.options, self._told.image, *test.run]

    def _recorded(self, test: TestCommand) -> Recorded:
        started = time.monotonic()
        recorded = super()._recorded(test)
        # A container that podman kills for its --timeout ends with 255, or 137 where the runtime says so.
        if recorded.status and time.monotonic() - started >= self._told.timeout:
            raise self._too_long(test)
        return recorded


class _BoundedRuns(Runs):
    """Tests that nobody but we end when their time is over."""

    def _end(self) -> bool:
        """End what runs of a test; whether there was any."""
        return _killed(_children() - self._others)

    @contextmanager
    def _bounded(self, test: TestCommand, times: int = 1) -> Iterator[Deadline]:
        # What our caller has started is none of the test's.
        self._others = _children()
        deadline = Deadline(self._told.timeout * times, self._end)
        try:
            with deadline:
                yield deadline
        except (SecludeError, KeyboardInterrupt) as error:
            if not deadline.passed:
                raise
            # Whatever went wrong then is what the end of the test did.
            raise self._too_long(test) from error

    def _recorded(self, test: TestCommand) -> Recorded:
        with self._bounded(test) as deadline:
            recorded = super()._recorded(test)
        if deadline.passed:
            raise self._too_long(test)
        return recorded

    def verify(self, test: TestCommand, profile: str) -> Verification:
        """The same; all runs together have as much time as they have one by one."""
        with self._bounded(test, self._told.repeat):
            return super().verify(test, profile)


class DockerRuns(_BoundedRuns):
    """Each test in a container of docker's, recorded through the installed runtime; none outlives its test."""

    tracer = "ebpf"

    @cached_property
    def _label(self) -> str:
        return f"{LABEL}={secrets.token_hex(8)}"

    def check(self) -> None:
        # The options are the same for all tests, and nothing after the image's name is docker's.
        command = self.command(self._told.tests[0])
        docker_runs.checked(command, self._told.profile)
        docker_recording.check(command)

    def command(self, test: TestCommand) -> list[str]:
        label = ["--label", self._label]
        return ["docker", "run", "--rm", *label, *self._told.options, self._told.image, *test.run]

    def _recorded(self, test: TestCommand) -> Recorded:
        try:
            return super()._recorded(test)
        finally:
            self._remove()

    def verify(self, test: TestCommand, profile: str) -> Verification:
        try:
            return super().verify(test, profile)
        finally:
            self._remove()

    def _end(self) -> bool:
        # Without a container yet, docker's client is what takes so long: it may be fetching the image.
        return self._remove() or super()._end()

    def _remove(self) -> bool:
        """Remove what is left of our containers, running or not; whether there was any."""
        found = _docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={self._label}").split()
        if found:
            _docker("rm", "--force", "--volumes", *found)
        return bool(found)


class ProcessRuns(_BoundedRuns):
    """Each test as a plain process in the configuration's directory; where eBPF is refused, by notify."""

    def check(self) -> None:
        for test in self._told.tests:
            engine = engine_for(test.run).name
            if engine != "process":
                raise EngineError(
                    f"test {test.name!r} runs {engine}, but the engine is process: its containers would not be "
                    "recorded with it",
                    hint=f'set engine = "{engine}" and image, and let the test be what runs in the container',
                )

    def command(self, test: TestCommand) -> list[str]:
        return list(test.run)

    def _recorded(self, test: TestCommand) -> Recorded:
        with chdir(self._directory):
            return super()._recorded(test)

    def verify(self, test: TestCommand, profile: str) -> Verification:
        with chdir(self._directory):
            return super().verify(test, profile)


RUNS: dict[str, type[Runs]] = {"podman": PodmanRuns, "docker": DockerRuns, "process": ProcessRuns}
"""Name of an engine (configuration.keys.ENGINES) -> how tests run with it."""


def _docker(*arguments: str) -> str:
    """What docker's client prints; nothing where it fails, as for a container that is gone by now."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _children() -> frozenset[int]:
    """Our child processes, and those that have become ours."""
    return frozenset(pid for pid in processes() if parent_of(pid) == os.getpid())


def _killed(children: Iterable[int]) -> bool:
    """Kill child processes with all their descendants; whether there was any."""
    found = False
    for pid in [pid for child in children for pid in Tree(first=child).processes()]:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
        found = True
    return found
