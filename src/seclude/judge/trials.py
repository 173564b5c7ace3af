"""The ways of running a command under a profile: a profile and a time limit in, how the command ended out.

The command runs apart from our terminal and with nothing to read, and is ended for certain when its time is over: with
a filter in force even the end of a program can go wrong.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Protocol

from ..commandline import RunCommand
from ..confined_runs import own_capabilities
from ..engines.docker import DockerEngine
from ..engines.podman import PodmanEngine
from ..errors import EngineError, SecludeError
from ..formats import libseccomp, oci
from ..model.capabilities import CAPABILITIES
from ..model.profile import Profile
from .family import LONGEST_END, Family
from .started import Ended, Started

NOT_STARTED = (125, 126, 127)
"""What engines, runtimes and shells end with where a command could not be started."""

_PAUSING = ("catatonit", "podman pause")  # rootless podman leaves one behind on purpose


class Trial(Protocol):
    """One way of running the command under a profile."""

    def run(self, profile: Profile, timeout: float) -> Ended: ...

    def close(self) -> None: ...


class Process:
    """The command as a plain process under the filter itself."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        bounding, effective = own_capabilities()
        self._capabilities = bounding
        self._no_new_privileges = not effective >> CAPABILITIES.index("CAP_SYS_ADMIN") & 1
        self._family = Family()

    def run(self, profile: Profile, timeout: float) -> Ended:
        try:
            filter_ = libseccomp.build(
                profile,
                capabilities=self._capabilities,
                machine=platform.machine(),
                kernel=platform.release(),
            )
        except SecludeError as error:
            return Ended(status=None, seconds=0.0, output="", said="", refusal=error.message)
        with filter_:
            started = Started(self._command, lambda: filter_.load(no_new_privileges=self._no_new_privileges))
            with started as child:
                try:
                    # Before its output is read to the end: what it left running may never stop writing.
                    return child.run(timeout, lambda: self._family.end(child.pid))
                except BaseException:
                    self._family.end(child.pid)
                    raise

    def close(self) -> None:
        self._family.close()


class Container:
    """The command as the container that a `podman run` or `docker run` starts, found again by a label of our own."""

    def __init__(self, command: Sequence[str]) -> None:
        engine = DockerEngine() if DockerEngine().recognises(command) else PodmanEngine()
        self._run: RunCommand = engine.parse(command)
        # Docker kills at once what it removes by force.
        self._force = ("--force",) if engine.name == "docker" else ("--force", "--time", "0")
        if self._run.detached:
            raise EngineError(
                f"a detached container tells nothing: {engine.name} returns before it ends",
                hint="leave out --detach; if the container must be stopped, let the command do it",
            )
        self._label = f"io.seclude.judge={os.urandom(8).hex()}"
        self._directory = tempfile.mkdtemp(prefix="seclude-judge-")
        self._family = Family()
        # Both engines refuse --rm beside --restart, and whoever says --rm=false has reasons.
        own = any(word.partition("=")[0] in ("--rm", "--restart") for word in self._run.rest)
        self._removes = () if own else ("--rm",)

    def run(self, profile: Profile, timeout: float) -> Ended:
        path = os.path.join(self._directory, "candidate.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(oci.dumps(profile))
        added = ["--security-opt", f"seccomp={path}", "--label", self._label, *self._removes]
        clean = False
        with Started(self._run.command(arguments=added), lambda: None) as child:
            try:
                ended = child.run(timeout, lambda: None)
                # Where it ran, the engine has removed it; where it could not be started, its name may still be taken.
                clean = ended.status is not None
                if clean and (not self._removes or ended.status in NOT_STARTED):
                    self._remove()
                return ended
            finally:
                if not clean:
                    self._end(child)

    def _end(self, child: Started) -> None:
        """End the container, the engine's client, and whatever a start that hangs has left, in this order."""
        self._remove()
        self._family.wait(LONGEST_END / 2, *_PAUSING)
        self._family.end(child.pid, *_PAUSING)
        self._remove()

    def _remove(self) -> None:
        engine = [self._run.program, *self._run.options]
        quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": LONGEST_END}
        try:
            listed = subprocess.run(  # type: ignore[call-overload]
                [*engine, "ps", "--all", "--quiet", "--filter", f"label={self._label}"],
                stdout=subprocess.PIPE,
                **quiet,
            )
            if found := listed.stdout.decode().split():
                remove = [*engine, "rm", *self._force, *found]
                subprocess.run(remove, stdout=subprocess.DEVNULL, **quiet)  # type: ignore[call-overload]
        except subprocess.TimeoutExpired:
            pass  # a client that hangs may hold the container's lock; it is ended next, and this is tried again

    def close(self) -> None:
        self._remove()
        self._family.wait(LONGEST_END, *_PAUSING)
        self._family.close()
        shutil.rmtree(self._directory, ignore_errors=True)
