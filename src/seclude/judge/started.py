"""One run of a command: a command and a time limit in; its exit status, its output's hash and its last words out."""

from __future__ import annotations

import hashlib
import os
import selectors
import time
from collections.abc import Callable, Sequence

from ..engines.process import Child
from ..model.frozen import frozen

_SHOWN = 2000
"""Bytes of what a command wrote to standard error last."""


@frozen
class Ended:
    """How one run ended: exit status as a shell tells it (None: in no time), or why it could not start."""

    status: int | None
    seconds: float
    output: str
    said: str
    refusal: str = ""


class Started(Child):
    """A child in a session of its own, with nothing to read, whose output comes to us."""

    def __init__(self, command: Sequence[str], load: Callable[[], None]) -> None:
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        self._output, self._errors = ours
        nothing = os.open(os.devnull, os.O_RDONLY)

        def before() -> None:
            os.setsid()
            for number, descriptor in enumerate((nothing, *theirs)):
                os.dup2(descriptor, number)
            load()

        try:
            super().__init__(command, before)
        except BaseException:
            os.close(self._output)
            os.close(self._errors)
            raise
        finally:
            for descriptor in (nothing, *theirs):
                os.close(descriptor)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        os.close(self._output)
        os.close(self._errors)

    def run(self, timeout: float, ended: Callable[[], None]) -> Ended:
        """Let it go and wait for its end, but not longer than `timeout` seconds; then call `ended`.

        Not `go` and `wait`: they wait for ever where the filter leaves the child without its exec or its exit.
        """
        began = time.monotonic()
        os.write(self._go, b"g")
        got = {self._failure: b"", self._errors: b""}
        digest = hashlib.sha256()

        def take(descriptor: int) -> bool:
            try:
                data = os.read(descriptor, 65536)
            except BlockingIOError:
                return False
            if descriptor == self._output:
                digest.update(data)
            else:
                got[descriptor] = (got[descriptor] + data)[-_SHOWN:]
            return bool(data)

        sources = (self._failure, self._output, self._errors)
        exited = os.pidfd_open(self.pid)
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in sources:
                    os.set_blocking(descriptor, False)
                for descriptor in (exited, *sources):
                    selector.register(descriptor, selectors.EVENT_READ)
                while True:
                    ready = selector.select(max(0.0, began + timeout - time.monotonic()))
                    descriptors = [key.fd for key, _ in ready]
                    if exited in descriptors or not descriptors or time.monotonic() > began + timeout:
                        break
                    for descriptor in descriptors:
                        if not take(descriptor):
                            selector.unregister(descriptor)
        finally:
            os.close(exited)
        seconds = time.monotonic() - began
        status = None
        if exited in descriptors:
            self._status = os.waitpid(self.pid, 0)[1]
            code = os.waitstatus_to_exitcode(self._status)
            status = code if code >= 0 else 128 - code
        ended()
        for descriptor in sources if status is not None else ():
            while take(descriptor):
                pass
        return Ended(
            status=status,
            seconds=seconds,
            output=digest.hexdigest(),
            said=got[self._errors].decode("utf-8", "replace").strip(),
            refusal=got[self._failure].decode("utf-8", "replace"),
        )
