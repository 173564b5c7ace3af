"""Runs what another may hold up: a function in, its result out, or a substitute once the time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STUCK = 4
"""So many calls may hang at once; after that nothing is tried until one has come back."""


class Patience:
    """Gives each call `seconds`.

    A container can map files of a file system that it serves itself (FUSE) and never answer; a read of such a file
    cannot be interrupted from within the thread that makes it. So it is made in another, which is left behind.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._stuck: list[threading.Thread] = []

    def result(self, function: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """What `function` returns or raises, or what `otherwise` returns if it takes too long."""
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= STUCK:
            return otherwise()
        results: list[T] = []
        failures: list[BaseException] = []

        def work() -> None:
            try:
                results.append(function())
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=work, daemon=True, name="seclude-stacks")
        thread.start()
        thread.join(self.seconds)
        if results:
            return results[0]
        if failures:
            raise failures[0]
        self._stuck.append(thread)
        return otherwise()
