"""A command in; it runs to its end as our child, looked at meanwhile, with its signals left to it; its status out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from .engines.process import Child
from .errors import EngineError

NOT_EXECUTED = 126
"""The exit status that shells give for a command that cannot be executed."""

LOOK = 0.02
"""Seconds between two looks at denials: for so long a process may be stopped for it."""


def run_plain(command: Sequence[str]) -> int:
    """Run a command as it is; its exit status."""
    with Child(command) as child, signals_left_to(child):
        child.go()
        return child.wait()


def run_watched(
    command: Sequence[str],
    progress: Callable[[str], None],
    look: Callable[[], object],
    heard: list[int] | None = None,
    before_exec: Callable[[], None] | None = None,
) -> int:
    """Run an engine's client, or another command, to its end and look often meanwhile; its exit status.

    `heard` grows by the signals that were left to the client; `before_exec` runs in its process.
    """
    with Child(command, before_exec) as child, signals_left_to(child) as signals:
        status = run_child(child, look, lambda: progress("the container is running"), refusable=False)
    if heard is not None:
        heard += signals
    return status


def run_child(
    child: Child, look: Callable[[], object], progress: Callable[[], None], *, refusable: bool
) -> int:
    """Let a child go, to its end; its exit status."""
    look()
    tick = now_and_then(progress, look)
    try:
        child.go(tick, LOOK)
    except EngineError:
        if not refusable:
            raise
        return NOT_EXECUTED
    return child.wait(tick, LOOK)


def now_and_then(progress: Callable[[], None], look: Callable[[], object]) -> Callable[[], None]:
    """Called every LOOK seconds, it looks each time and reports progress twice a second."""
    times = count(1)

    def tick() -> None:
        look()
        if next(times) % int(0.5 / LOOK) == 0:
            progress()

    return tick


@contextmanager
def signals_left_to(child: Child) -> Iterator[list[int]]:
    """Ctrl-C reaches the command by itself, and what ends us is passed on: we stay to write what was seen.

    The list grows by each of these signals.
    """
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)

    def pass_on(number: int, _: object) -> None:
        heard.append(number)
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            pass  # it has ended, and we have waited for it

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGQUIT)}
    before |= {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that no container stays behind."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
