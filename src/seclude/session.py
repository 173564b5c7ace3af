"""A command in, a process or podman's; it is recorded to its end, and its exit status and what was seen come out."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from . import __version__, bpffs, store
from .baseline import PROCESS_ENGINE
from .children import LOOK, now_and_then, run_child, signals_left_to
from .confined_runs import announce, may_kill, read_profile
from .containers import Places, clear_stillborn, stillborn_recording
from .engines.podman import HOOKS_FILE, PodmanEngine, hooks_file
from .engines.process import Child, Descendants
from .errors import EngineError, RecordingError, TraceError
from .marking import ANNOUNCED
from .model.frozen import frozen, replace
from .model.recording import Recording
from .outputs import POLICY
from .ports import Target
from .registrations import SESSION, STATE, Registrations
from .trace.ebpf import EbpfTracer
from .witness import Witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .commandline import RunCommand
    from .trace.watch import DenialWatch

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@frozen
class Settings:
    """Where the recorder is pinned and registrations are kept, and what is recorded beyond the calls."""

    bpffs: str = bpffs.DEFAULT
    state: str = STATE
    policy: str = POLICY
    counts: bool = False
    denials: bool = False
    arguments: bool = False
    stacks: bool = False


if TYPE_CHECKING:
    Watching = Callable[[], DenialWatch | None]
    Attend = Callable[[Watching], AbstractContextManager[Callable[[], object]]]
    """What looks at denials as they happen: gets the denial watch, gives a function that is called often."""


@frozen
class Recorded:
    """How a recorded command ended: its exit status as a shell tells it, and the recording.

    `interrupted`: a signal that ends programs reached us meanwhile, and was left to the command.
    """

    status: int
    recording: Recording
    interrupted: bool = False


class NothingRecorded(RecordingError):
    """The engine's client ended with `status` before there was anything to record; `interrupted` as in Recorded."""

    def __init__(self, client: str, status: int, *, interrupted: bool) -> None:
        super().__init__(
            f"{client} ended with status {status} and nothing was recorded",
            hint=f"see what {client} said above" if status else "see `seclude hook status`",
        )
        self.status = status
        self.interrupted = interrupted


def hook_arguments(settings: Settings) -> dict[str, str]:
    """The command line of the hook for these settings."""
    return {"--bpffs": settings.bpffs, "--state-dir": settings.state, "--policy": settings.policy}


def request_annotations(settings: Settings, recording: str, base: str = "") -> dict[str, str]:
    """What asks the hook for a recording in the file `recording`; `base` as for record_podman."""
    annotations = {"io.seclude.recording": os.path.realpath(recording)}
    for name in ("counts", "denials", "arguments", "stacks"):
        if getattr(settings, name):
            annotations[f"io.seclude.{name}"] = "true"
    if base:
        annotations["io.seclude.base"] = os.path.realpath(base)
    return annotations


def record_process(
    command: Sequence[str],
    settings: Settings,
    progress: Callable[[str], None],
    arguments: dict[str, tuple[int, ...]],
    *,
    confine: Callable[[], None] | None = None,
    attend: Attend | None = None,
) -> Recorded:
    """Record a plain process and all its descendants, to the end of the last one. Raises SecludeError.

    `confine` runs in the process before its exec; under the filter that it loads the exec itself may be refused, which
    is the status that shells give for it.
    """
    witnesses: list[Witness] = []
    if settings.stacks and attend is None:
        attend = attending(witnesses)
    tracer = EbpfTracer()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Descendants() as descendants, Child(command, confine or announce) as child:
        number = tracer.begin(
            Target(
                pid=child.pid,
                unconfined=True,
                counts=settings.counts,
                denials=settings.denials,
                stacks=settings.stacks,
                arguments=arguments,
            )
        )

        def so_far() -> None:
            progress(f"{len({call.name for call in tracer.observe(number).calls})} calls so far")

        def left_behind() -> None:
            progress("the command has ended, its descendants have not (Ctrl-C to stop)")

        try:
            with _attended(attend, tracer.watch) as look:
                with signals_left_to(child) as heard:
                    status = run_child(child, look, so_far, refusable=confine is not None)
                try:
                    descendants.wait(now_and_then(left_behind, look), LOOK)
                except KeyboardInterrupt:
                    heard.append(signal.SIGINT)
                    progress("stopped; what the descendants call from now on is not recorded")
                look()
            observed = tracer.observe(number)
        finally:
            tracer.end(number)
            tracer.close()
    recording = Recording(
        created=created,
        duration=observed.duration,
        seclude=__version__,
        tracer=tracer.name,
        kernel=platform.release(),
        machine=platform.machine(),
        engine=PROCESS_ENGINE,
        command=tuple(command),
        no_new_privileges=False,
        counted=settings.counts,
        calls=observed.calls,
        arguments=observed.arguments,
        losses=observed.losses,
        denials=observed.denials,
        origins=observed.origins,
    )
    return with_stacks(Recorded(status=status, recording=recording, interrupted=bool(heard)), witnesses)


def attending(witnesses: list[Witness]) -> Attend:
    """Has a witness look at each denial and, where that was asked for, each call; leaves it in `witnesses`."""

    @contextmanager
    def attend(watch: Watching) -> Iterator[Callable[[], object]]:
        with Witness(watch, pause=True) as witness:
            witnesses.append(witness)
            yield witness.look

    return attend


def with_stacks(recorded: Recorded, witnesses: Sequence[Witness]) -> Recorded:
    """The same, with the stacks that the witnesses have read."""
    recording = recorded.recording
    for witness in witnesses:
        recording = witness.completed(recording)
    return replace(recorded, recording=recording)


@contextmanager
def _attended(attend: Attend | None, watch: Watching) -> Iterator[Callable[[], object]]:
    if attend is None:
        yield lambda: None
    else:
        with attend(watch) as look:
            yield look


@contextmanager
def session_directory(place: str, state: str, progress: Callable[[str], None]) -> Iterator[str]:
    """A directory below `state` for the files of one recording, to the end of the block; the recorder can be pinned.

    `place` is the BPF file system's, which is mounted if need be. Raises SecludeError.
    """
    if bpffs.ensure(place):
        progress(f"mounted a BPF file system at {place}")
    with Registrations(state):
        pass  # it exists now, and is ours
    directory = tempfile.mkdtemp(prefix=SESSION, dir=state)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def record_podman(
    command: Sequence[str],
    settings: Settings,
    progress: Callable[[str], None],
    base: str,
    *,
    profile: str = "",
    options: Sequence[str] = (),
    attend: Attend | None = None,
) -> Recorded:
    """Record the container that a `podman run` starts, through the OCI hook. Raises SecludeError.

    `base`: the profile (a path, or empty) whose conditions on arguments the recording must be able to answer;
    `profile`: the one that the container runs under, empty for the engine's own; `options`: more of podman run's.
    """
    engine = PodmanEngine()
    run = attached(command)
    witnesses: list[Witness] = []
    if settings.stacks and attend is None:
        attend = attending(witnesses)
    if os.geteuid() != 0:
        raise TraceError(
            "recording containers needs root", hint="run `sudo seclude record -- podman run ...`"
        )
    with session_directory(settings.bpffs, settings.state, progress) as directory:
        hooks, result = os.path.join(directory, "hooks.d"), os.path.join(directory, "recording.json")
        os.mkdir(hooks)
        with open(os.path.join(hooks, HOOKS_FILE), "w", encoding="utf-8") as file:
            file.write(hooks_file(hook_arguments(settings), PACKAGE))
        annotations = request_annotations(settings, result, base)
        if profile:
            options = [*options, "--security-opt", f"seccomp={os.path.abspath(profile)}"]
        if not profile or not may_kill(read_profile(profile)):
            options = [*options, "--env", f"{ANNOUNCED}=1"]
        tracer = EbpfTracer(bpffs=settings.bpffs)
        try:
            with (
                Child(engine.hooked(run, hooks, annotations, options)) as child,
                signals_left_to(child) as heard,
                _attended(attend, tracer.watch) as look,
            ):
                status = run_child(child, look, lambda: progress("the container is running"), refusable=False)
        finally:
            tracer.close()
        if not os.path.exists(result):
            places = Places(bpffs=settings.bpffs, state=settings.state, policy=settings.policy)
            # Under a profile that refuses what the runtime needs there is something to tell all the same.
            stillborn = stillborn_recording(places, os.path.realpath(result)) if profile else None
            clear_stillborn(places)
            if stillborn is not None:
                return Recorded(status=status, recording=stillborn, interrupted=bool(heard))
            raise NothingRecorded("podman", status, interrupted=bool(heard))
        recorded = Recorded(status=status, recording=store.read(result), interrupted=bool(heard))
        return with_stacks(recorded, witnesses)


def attached(command: Sequence[str]) -> RunCommand:
    """The parts of a `podman run` that returns when its container has ended; raises EngineError for any other."""
    run = PodmanEngine().parse(command)
    if run.detached:
        raise EngineError(
            "a detached container is still running when podman returns",
            hint="leave out --detach; or `seclude hook install` and the annotation io.containers.trace-syscall, "
            "whose profile is complete when `podman wait` returns",
        )
    return run
