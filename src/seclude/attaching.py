"""Recording what runs already: a container or process and a duration in, what it called meanwhile out."""

from __future__ import annotations

import os
import platform
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from . import __version__, bundle
from .attachable import Subject
from .containers import filters_of
from .engines.running import running
from .errors import EngineError, SecludeError, TraceError
from .model.frozen import frozen, replace
from .model.recording import Observation, Recording
from .registrations import Registrations
from .session import Settings
from .trace.ebpf import EbpfTracer

LOOK = 0.2
"""Seconds after which a signal is noticed at the latest."""

TELL = 1.0
"""Seconds between two reports of progress."""

NICE = 10
"""Our priority while we ask an engine or wait: the server that we look at shall not feel it."""

LONGEST = 366 * 24 * 3600.0
MOST_LISTINGS = 1000
"""How often processes are listed at most until there is no new one; only what forks without end takes so many."""

SHORTEST_ID = 12
"""Digits from which on a name is taken for the beginning of an id before an engine is asked: `db` is a name too."""


@frozen
class Attached:
    """The recording, and why it ended: "the time is up", "it was stopped", or "... has ended"."""

    recording: Recording
    reason: str


def checked_duration(seconds: float | None) -> float | None:
    """The same number of seconds; raises SecludeError for one that means nothing, such as 0 or nan."""
    if seconds is not None and not 0 < seconds <= LONGEST:
        raise SecludeError(
            f"--duration {seconds:g} is no time to record for",
            hint=f"more than 0 and at most {LONGEST:.0f} seconds; without it, up to Ctrl-C or the end",
        )
    return seconds


def need_root() -> None:
    """Raise TraceError unless we may record what runs."""
    if os.geteuid() != 0:
        raise TraceError(
            "recording what runs already needs root", hint="run `sudo seclude record --container ...`"
        )


@contextmanager
def standing_back() -> Iterator[None]:
    """While entered, this process and what it starts leave the processors to others."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(before, NICE))
    try:
        yield
    finally:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, before)
        except PermissionError:
            pass  # root without CAP_SYS_NICE goes on as it is


def record_running(
    subject: Subject,
    settings: Settings,
    progress: Callable[[str], None],
    arguments: Mapping[str, Sequence[int]],
    *,
    duration: float | None = None,
) -> Attached:
    """Record what a container or process calls from now on: for `duration` seconds, up to a signal, or to its end.

    Nothing is stopped or started, and nothing is pinned: should we be killed, the recording is gone and the container
    is as it was. SIGINT, SIGTERM and SIGHUP end the recording, not us. Raises SecludeError.
    """
    target = replace(subject.target, counts=settings.counts, denials=settings.denials, arguments=arguments)
    tracer = EbpfTracer()
    try:
        with _ending_signals() as stopped:
            number = tracer.begin(target)
            found = _adopt(tracer, number, subject)
            progress(f"attached to {subject.title}, {found} {'process' if found == 1 else 'processes'}")

            def so_far() -> None:
                progress(f"{len({call.name for call in tracer.observe(number).calls})} calls so far")

            with standing_back():
                reason = _wait(subject, duration, stopped, so_far)
            observed = tracer.observe(number)
    finally:
        tracer.close()
    return Attached(recording=_recording(subject, settings, tracer.name, observed), reason=reason)


def _adopt(tracer: EbpfTracer, number: int, subject: Subject) -> int:
    """Mark all processes that are there; how many are marked then.

    Here those are marked that a listing finds, by name; the kernel marks who is started meanwhile and, at the end,
    who was listed by none. Listings go on until there is no new one, because only they know members by their control
    group: those that left the container's namespaces and are nobody's descendants.
    """
    for _ in range(MOST_LISTINGS):
        filters = {}
        for pid in subject.tree.processes():
            try:
                filters[pid] = filters_of(pid)
            except TraceError:
                continue  # it has ended
        if not tracer.adopt(number, filters):
            return tracer.settle()
    raise TraceError(
        f"{subject.title} starts processes faster than they can be marked",
        hint=f"{MOST_LISTINGS} listings found new ones each time; record it from its start",
    )


def _wait(
    subject: Subject, duration: float | None, stopped: Callable[[], bool], tell: Callable[[], None]
) -> str:
    """Why there is nothing more to wait for."""
    now = time.monotonic()
    deadline = now + duration if duration is not None else float("inf")
    told = now
    while True:
        if select.select([subject.process], [], [], max(0.0, min(LOOK, deadline - now)))[0]:
            return f"{subject.title} has ended"
        if stopped():
            return "it was stopped"
        now = time.monotonic()
        if now >= deadline:
            return "the time is up"
        if now - told >= TELL:
            told = now
            tell()


@contextmanager
def _ending_signals() -> Iterator[Callable[[], bool]]:
    """While entered, signals that would end us are only noticed: whether there was one. What is ignored stays so."""
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _recording(subject: Subject, settings: Settings, tracer: str, observed: Observation) -> Recording:
    known = subject.known
    facts = {name: getattr(known, name) for name in known.__fields__ if name != "runtime_path"}  # type: ignore[attr-defined]
    return Recording(
        **facts,
        seclude=__version__,
        tracer=tracer,
        kernel=platform.release(),
        machine=platform.machine(),
        runtime_version=bundle.runtime_version(known.runtime_path),
        counted=settings.counts,
        duration=observed.duration,
        calls=observed.calls,
        arguments=observed.arguments,
        losses=observed.losses,
        denials=observed.denials,
        attached=True,
    )


# Containers that are recorded from their start


def refuse_recorded(subject: Subject, state: str) -> None:
    """Raise EngineError if the container is being recorded from its start."""
    registrations = Registrations(state)
    if subject.known.container not in registrations.containers():
        return
    registration = registrations.get(subject.known.container)
    if registration is not None and registration.alive():
        raise EngineError(
            f"{subject.title} is being recorded from its start",
            hint=f"`seclude snapshot {subject.known.container[:12]}` gives what was seen so far",
        )


def recorded_container(name: str, state: str) -> str:
    """The id of the container under recording that has this name, id or beginning of an id; raises EngineError."""
    recorded = Registrations(state).containers()
    if name in recorded:
        return name
    reason = ""
    if len(name) < SHORTEST_ID or not recorded:
        try:
            identity = running(name).identity
        except EngineError as error:
            reason = error.message
        else:
            if identity in recorded:
                return identity
            raise EngineError(
                f"container {name} is not being recorded",
                hint=f"`seclude record --container {name}` records it from now on",
            )
    matching = [identity for identity in recorded if name and identity.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        several = ", ".join(identity[:24] for identity in matching[:3])
        raise EngineError(
            f"{name} begins the ids of {len(matching)} recorded containers: {several}",
            hint="give more of the id",
        )
    raise EngineError(
        f"no container {name[:80]!r} is being recorded" + (f"; {reason}" if reason else ""),
        hint="see `seclude hook status`",
    )
