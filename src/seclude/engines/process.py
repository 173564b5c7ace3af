"""Plain processes: a command in, a child that waits before its exec until it may go, and its exit status out."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Sequence

from ..errors import EngineError

PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h
_GO = b"g"


class ProcessEngine:
    """Starts commands as our children; takes any command."""

    name = "process"

    def recognises(self, command: Sequence[str]) -> bool:
        return True


class Child:
    """A forked child that has not yet called exec: `pid` can be marked, then `go` lets it.

    `before_exec` runs in the child at the last moment (a filter is loaded there). Use as a context manager: a child
    that was never let go ends without an exec. Raises EngineError if the command is not there.
    """

    def __init__(self, command: Sequence[str], before_exec: Callable[[], None] | None = None) -> None:
        path = shutil.which(command[0])
        if path is None:
            raise EngineError(
                f"{command[0]!r} is no command that can be run",
                hint="give a path, or a name found through PATH",
            )
        self._waiting, self._go = os.pipe()
        self._failure, failing = os.pipe()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._become(path, list(command), failing, before_exec)
        os.close(self._waiting)
        os.close(failing)

    def _become(
        self, path: str, command: list[str], failing: int, before_exec: Callable[[], None] | None
    ) -> None:
        try:
            os.close(self._go)
            os.close(self._failure)
            if os.read(self._waiting, 1) != _GO:
                os._exit(1)
            # Python ignores these, and what is ignored stays so through exec.
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            if before_exec is not None:
                before_exec()
            os.execv(path, command)  # noqa: S606 (the command is the user's own)
        except BaseException as error:
            os.write(failing, str(error).encode("utf-8", "replace")[:4096])
        finally:
            os._exit(127)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        for descriptor in (self._go, self._failure):
            if descriptor >= 0:
                os.close(descriptor)
        self._go = self._failure = -1
        if self._status is None:
            # Never let go, or interrupted: it must not be left behind.
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def go(self, tick: Callable[[], None] | None = None, every: float = 0.5) -> None:
        """Let the child exec; raises EngineError if it cannot. `tick` is called `every` seconds until it has."""
        os.write(self._go, _GO)
        os.close(self._go)
        self._go = -1
        while tick and not select.select([self._failure], [], [], every)[0]:
            tick()
        with os.fdopen(self._failure, "rb") as file:
            self._failure = -1
            reason = file.read().decode("utf-8", "replace")
        if reason:
            self._status = os.waitpid(self.pid, 0)[1]
            raise EngineError(f"the command cannot be started: {reason}")

    def wait(self, tick: Callable[[], None] | None = None, every: float = 0.5) -> int:
        """The exit status as a shell tells it: 0 to 255, 128 + N for signal N. `tick` is called `every` seconds."""
        descriptor = os.pidfd_open(self.pid)
        try:
            while not select.select([descriptor], [], [], every if tick else None)[0]:
                if tick:
                    tick()
        finally:
            os.close(descriptor)
        self._status = os.waitpid(self.pid, 0)[1]
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code


class Descendants:
    """While entered, processes that CMD leaves behind become our children, not init's: we see their end."""

    def __enter__(self) -> Descendants:
        self._set(1)
        return self

    def __exit__(self, *exception: object) -> None:
        self._set(0)

    @staticmethod
    def _set(value: int) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)

    def wait(self, tick: Callable[[], None] | None = None, every: float = 0.5) -> None:
        """Return once none is left; KeyboardInterrupt ends the wait. `tick` is called `every` seconds."""
        waited = 0.0
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                time.sleep(0.02)
                waited += 0.02
                if tick and waited >= every:
                    waited = 0.0
                    tick()
