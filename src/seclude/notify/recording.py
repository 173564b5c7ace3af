"""Recordings without privilege, by user notification: a command in, its exit status and what was seen out."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__, bundle
from ..baseline import PROCESS_ENGINE
from ..children import LOOK, NOT_EXECUTED, run_watched
from ..confined_runs import announce, may_kill, own_capabilities, read_profile
from ..doctor import kernel
from ..doctor.check import OK
from ..engines.podman import HOOKS_FILE, PodmanEngine, precreate_file
from ..errors import EngineError, TraceError
from ..inputs import read_text
from ..marking import ANNOUNCED
from ..model.frozen import replace
from ..model.recording import Observation, Recording
from ..ports import Target
from ..session import PACKAGE, NothingRecorded, Recorded, Settings, attached
from ..trace.ebpf import EbpfTracer
from ..trace.notify import NotifyTracer
from ..trace.seccomp_notify import Handover
from .agent import Agent
from .judging import DELIVERING, Judging, judgement_of_process
from .precreate import JUDGED, REFUSED
from .waiting import WaitingStacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.profile import Profile

SOCKET = "listener.sock"
PATIENCE = 10.0
"""Seconds that receivers get to end after the container has."""

_COST = "expect about 8 us a call"


def chosen(wanted: str, say: Callable[[str], None]) -> str:
    """ "ebpf" or "notify": what is wanted, and for "auto" notify where eBPF is refused, with the reason said."""
    if wanted != "auto":
        return wanted
    capabilities = kernel.capabilities()
    if capabilities.state == OK:
        reason = EbpfTracer().unusable()
    elif "user namespace" in capabilities.found:
        reason = "eBPF refused in a user namespace"
    else:
        reason = f"eBPF refused, {capabilities.found}"
    if not reason:
        return "ebpf"
    say(f"{reason}: using notify; {_COST}")
    return "notify"


def record_process(
    command: Sequence[str],
    settings: Settings,
    progress: Callable[[str], None],
    say: Callable[[str], None],
    arguments: dict[str, tuple[int, ...]],
    *,
    profile: Profile | None = None,
    stacks: bool = False,
) -> Recorded:
    """Record a plain process and all its descendants, to the end of the last one. Raises SecludeError.

    `profile`: what it refuses is refused, and named in the recording; `stacks`: with the code that called. Where it
    refuses the exec the status is the one that shells give for that.
    """
    _check(settings, judged=profile is not None)
    tracer = NotifyTracer(say, WaitingStacks() if stacks else None)
    created = _now()
    bounding, effective = own_capabilities()
    judgement, questions = judgement_of_process(profile, bounding) if profile else (None, b"")
    number = tracer.begin(_target(settings, arguments, unconfined=True))
    no_new_privileges = not effective >> _SYS_ADMIN & 1
    handover = Handover()
    heard_of: list[int] = []

    def before_exec() -> None:
        if profile is None or not may_kill(profile):
            announce()
        handover.install(no_new_privileges=no_new_privileges, questions=questions)

    def look() -> None:
        listener = handover.listener()
        if listener >= 0:
            heard_of.append(listener)
            tracer.listen(number, listener, from_exec=True, judgement=judgement)
        tracer.attend()

    heard: list[int] = []
    try:
        try:
            status = run_watched(command, lambda _: None, look, heard, before_exec)
        except EngineError:
            if profile is None or not heard_of:
                raise
            status = NOT_EXECUTED
        _await_descendants(tracer, progress, heard)
        observed = tracer.observe(number)
    finally:
        handover.close()
        tracer.close()
    recording = Recording(
        created=created,
        engine=PROCESS_ENGINE,
        command=tuple(command),
        no_new_privileges=no_new_privileges,
        **_common(settings, observed),
    )
    return Recorded(status=status, recording=recording, interrupted=bool(heard))


_SYS_ADMIN = 21  # include/uapi/linux/capability.h


def _await_descendants(tracer: NotifyTracer, progress: Callable[[str], None], heard: list[int]) -> None:
    """Until nobody is left who could be asked; Ctrl-C ends the wait, and whoever is left goes on unrecorded."""
    said = time.monotonic() + 0.5
    try:
        while tracer.attend():
            if time.monotonic() > said:
                progress("the command has ended, its descendants have not (Ctrl-C to stop)")
                said = float("inf")
            time.sleep(LOOK)
    except KeyboardInterrupt:
        heard.append(signal.SIGINT)
        progress("stopped; what the descendants call from now on is not recorded")


def record_podman(
    command: Sequence[str],
    settings: Settings,
    progress: Callable[[str], None],
    say: Callable[[str], None],
    arguments: dict[str, tuple[int, ...]],
    *,
    profile: str = "",
    options: Sequence[str] = (),
    stacks: bool = False,
) -> Recorded:
    """Record the container that a `podman run` starts, rootless or not. Raises SecludeError.

    `profile`: a path; the container runs as under that, and what it refuses is named in the recording, `stacks`: with
    the code that called. `options`: more of podman run's.
    """
    _check(settings, judged=bool(profile))
    engine = PodmanEngine()
    run = attached(command)
    tracer = NotifyTracer(say, WaitingStacks() if stacks else None)
    number = tracer.begin(_target(settings, arguments, unconfined=False))
    directory = tempfile.mkdtemp(prefix="seclude-", dir=_short_directory())
    heard: list[int] = []
    try:
        hooks, path = os.path.join(directory, "hooks.d"), os.path.join(directory, SOCKET)
        os.mkdir(hooks)
        with open(os.path.join(hooks, HOOKS_FILE), "w", encoding="utf-8") as file:
            file.write(precreate_file(path, PACKAGE))
        judging = None
        if profile:
            judging = Judging(path + JUDGED)
            with open(path + JUDGED, "x", encoding="utf-8"):
                pass
            options = [*options, "--security-opt", f"seccomp={os.path.abspath(profile)}"]
        if not profile or not may_kill(read_profile(profile)):
            options = [*options, "--env", f"{ANNOUNCED}=1"]
        with Agent(path, tracer, number, judging) as agent:
            line = engine.hooked(run, hooks, {}, options)
            status = run_watched(line, progress, agent.look, heard)
            until = time.monotonic() + PATIENCE
            while tracer.attend() and time.monotonic() < until:
                time.sleep(LOOK)
        observed = tracer.observe(number)
        if os.path.exists(path + REFUSED):
            reason = read_text(path + REFUSED, limit=4096, error=EngineError)
            raise EngineError(reason, hint="record with another profile, or as root with eBPF")
        if agent.known is None:
            raise NothingRecorded("podman", status, interrupted=bool(heard))
        known: Any = agent.known
        facts = {name: getattr(known, name) for name in known.__fields__ if name != "runtime_path"}
        delivering = DELIVERING.get(known.runtime, frozenset())
        recorded = tuple(
            call for call in observed.calls if call.phase != "runtime" or call.name not in delivering
        )
        observed = replace(observed, calls=recorded)
        recording = Recording(
            **facts,
            runtime_version=bundle.runtime_version(known.runtime_path),
            unseen=agent.unseen,
            **_common(settings, observed),
        )
        return Recorded(status=status, recording=recording, interrupted=bool(heard))
    finally:
        tracer.close()
        shutil.rmtree(directory, ignore_errors=True)


def _check(settings: Settings, *, judged: bool) -> None:
    """Raise TraceError for denials where no profile is told."""
    if settings.denials and not judged:
        raise TraceError(
            "notify does not see refused calls: a filter answers them before anybody is asked",
            hint="leave out --denials, or record as root with eBPF; `seclude verify` names what a profile refuses",
        )


def _short_directory() -> str:
    """Where the socket may be: its whole path must fit 107 bytes, and nobody else may replace it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(runtime) < 60 and os.path.isdir(runtime) and os.access(runtime, os.W_OK):
        return runtime
    return tempfile.gettempdir()


def _target(settings: Settings, arguments: dict[str, tuple[int, ...]], *, unconfined: bool) -> Target:
    return Target(
        pid=0, unconfined=unconfined, counts=settings.counts, denials=settings.denials, arguments=arguments
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _common(settings: Settings, observed: Observation) -> dict[str, Any]:
    """What a recording says of the machine, and what was seen."""
    return {
        "seclude": __version__,
        "tracer": NotifyTracer.name,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "counted": settings.counts,
        "duration": observed.duration,
        "calls": observed.calls,
        "arguments": observed.arguments,
        "losses": observed.losses,
        "denials": observed.denials,
    }
