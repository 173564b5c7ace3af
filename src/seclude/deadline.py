"""A number of seconds and a deed in; whatever still runs when they are over is ended by the deed."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 1.0
PATIENCE = 15
"""Deeds in a row that found nothing to end, after which the block itself is left by a KeyboardInterrupt."""


class Deadline:
    """While entered, `end` is called `seconds` from now and once a second after that, in the main thread.

    `end` ends what the block waits for, and says whether there was any of it. `passed`: whether it was called.
    """

    def __init__(self, seconds: float, end: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._end = end
        self._idle = 0
        self.passed = False

    def __enter__(self) -> Deadline:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        # A child that is forked meanwhile does not inherit it (setitimer(2)).
        signal.setitimer(signal.ITIMER_REAL, self._seconds, EVERY)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, *_: object) -> None:
        self.passed = True
        self._idle = 0 if self._end() else self._idle + 1
        if self._idle > PATIENCE:
            # What is waited for is out of reach, such as a daemon that is no descendant of ours any more. Patient anew:
            # if it rings while the block is left, that must not interrupt __exit__, which stops the ringing.
            self._idle = 0
            raise KeyboardInterrupt
