"""Denials live: what to look at in, denials as they come or grow out, until it ends or time is up."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

from .engines.running import container_of, namespaces_of, running
from .errors import EngineError, TraceError
from .model.denial import Denial
from .model.frozen import frozen, replace
from .trace.watch import DenialWatch
from .witness import Witness

INTERVAL = 0.2
"""Seconds between two looks; with stacks a tenth of that, since processes are stopped until then."""

ROOM = 8192
"""Entries of the kernel's table (bpf/watch.h, MAX_DENIALS) from which on those of ended processes are removed."""


@frozen
class Scope:
    """What to look at: a running container, a process with its descendants, or all that has a filter."""

    container: str = ""
    pid: int = 0
    everything: bool = False


class Watching:
    """A watch over a scope. Use as a context manager; raises SecludeError where it cannot begin.

    `stacks`: stop each process for a moment at its first denial of a call, to read its stacks; without it the stacks
    are what can still be read afterwards.
    """

    def __init__(self, scope: Scope, *, stacks: bool = False) -> None:
        if os.geteuid() != 0:
            raise TraceError("watching denials needs root", hint="run `sudo seclude watch ...`")
        self._name = scope.container
        self._first = self._first_process(scope)
        # It holds on to the process, whose number may be another's later.
        self._process = self._opened(self._first) if self._first else -1
        self._interval = INTERVAL / 10 if stacks else INTERVAL
        ancestor = self._first if scope.pid else 0
        self._watch = DenialWatch()

        def configure(watch: DenialWatch, until: int) -> None:
            watch.configure(everything=scope.everything, ancestor=ancestor, pause_until=until)

        try:
            self._watch.start()
            if scope.container:
                self._follow(self._first)
            configure(self._watch, 0)
            self._witness = Witness(lambda: self._watch, pause=stacks, configure=configure)
        except BaseException:
            self._close()
            raise

    def _first_process(self, scope: Scope) -> int:
        if scope.container:
            found = running(scope.container)
            self._name = found.name
            return found.pid
        if scope.pid and not 0 < scope.pid < 1 << 22:
            raise EngineError(f"{scope.pid} is no process id", hint=f"1 to {(1 << 22) - 1}")
        return scope.pid

    @staticmethod
    def _opened(pid: int) -> int:
        try:
            return os.pidfd_open(pid)
        except OSError as error:
            raise EngineError(f"process {pid} does not run: {error.strerror}", hint="see `ps -e`") from error

    def _close(self) -> None:
        self._watch.close()
        if self._process >= 0:
            os.close(self._process)

    def _follow(self, pid: int) -> None:
        try:
            mnt, inner = namespaces_of(pid)
        except OSError as error:
            raise EngineError(f"container {self._name} has ended", hint="start it again") from error
        if not mnt and not inner:
            raise EngineError(
                f"container {self._name} has no namespace of its own", hint=f"watch its process: --pid {pid}"
            )
        self._watch.follow_namespaces(mnt=mnt, pid=inner)

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *exception: object) -> None:
        self._witness.__exit__()
        self._close()

    @property
    def lost(self) -> int:
        """Denials that found no place in the kernel's tables, or whose filter could not be read."""
        return self._watch.lost()

    def denials(self, seconds: float = 0) -> Iterator[tuple[Denial, ...]]:
        """What is new, or has a higher count, again and again: up to `seconds` (0: without end).

        Raises EngineError when the container or process that is watched has ended; what it did last comes before.
        """
        deadline = time.monotonic() + seconds if seconds else None
        while True:
            # A descriptor of a process can be read once it has ended, whether or not its parent has waited for it.
            ended = self._first and select.select([self._process], [], [], 0)[0]
            over = deadline is not None and time.monotonic() >= deadline
            yield self._look()
            if ended:
                what = f"container {self._name}" if self._name else f"process {self._first}"
                raise EngineError(f"{what} has ended", hint="start it again, then watch it")
            if over:
                return
            time.sleep(
                self._interval
                if deadline is None
                else max(0, min(self._interval, deadline - time.monotonic()))
            )

    def _look(self) -> tuple[Denial, ...]:
        sightings = self._witness.look()
        found = self._witness.with_stacks([sighting.denial for sighting in sightings])
        named = tuple(
            replace(denial, container=self._name or container_of(sighting.cgroup))
            for denial, sighting in zip(found, sightings, strict=True)
        )
        self._witness.make_room(ROOM)
        return named
