"""The options of `seclude record` for what runs already: names and numbers in, a recording out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from ..attachable import container_named, process_numbered
from ..attaching import checked_duration, need_root, record_running, refuse_recorded, standing_back
from ..model.frozen import frozen
from ..model.recording import Recording
from ..session import Settings
from .console import Console

F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Wish:
    """Which container or process to record, and for how many seconds; true if there is any."""

    container: str | None
    pid: int | None
    duration: float | None

    def __bool__(self) -> bool:
        return self.container is not None or self.pid is not None


def attach_options(function: F) -> F:
    """--container, --pid, --duration."""
    for option in reversed(
        (
            click.option("--container", metavar="NAME", help="Record this running container from now on."),
            click.option(
                "--pid", type=int, metavar="PID", help="Record this running process and its descendants."
            ),
            click.option(
                "--duration",
                type=float,
                metavar="S",
                help="With --container and --pid: for so many seconds, instead of up to Ctrl-C or the end.",
            ),
        )
    ):
        function = option(function)
    return function


def wished(container: str | None, pid: int | None, duration: float | None, *, instead: object) -> Wish:
    """What the options ask for. `instead`: anything that says to start something; raises UsageError for both."""
    wish = Wish(container=container, pid=pid, duration=checked_duration(duration))
    if wish and instead:
        raise click.UsageError("--container and --pid record what runs already: give no CMD and no tests")
    if container is not None and pid is not None:
        raise click.UsageError("give one of --container NAME and --pid PID")
    if duration is not None and not wish:
        raise click.UsageError("--duration goes with --container NAME or --pid PID")
    return wish


def recorded_running(
    wish: Wish, settings: Settings, console: Console, arguments: Mapping[str, Sequence[int]]
) -> Recording:
    """The recording of what is wished for; raises SecludeError."""
    need_root()
    with standing_back():
        if wish.container is not None:
            subject = container_named(wish.container)
        else:
            subject = process_numbered(wish.pid or 0)
    with subject:
        refuse_recorded(subject, settings.state)
        attached = record_running(subject, settings, console.progress, arguments, duration=wish.duration)
    console.say(attached.reason)
    return attached.recording
