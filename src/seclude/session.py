"""One recording or one enforced run from the command line: a command in, its exit status and what was seen out."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count

from . import __version__, bpffs, store
from .baseline import PROCESS_ENGINE
from .containers import Places, clear_stillborn, stillborn_recording
from .engines.docker import DockerEngine
from .engines.podman import HOOKS_FILE, PodmanEngine, hooks_file
from .engines.process import Child, Descendants
from .errors import EngineError, RecordingError, TraceError
from .formats import libseccomp, oci
from .inputs import read_text
from .marking import ANNOUNCED
from .model.capabilities import CAPABILITIES
from .model.frozen import frozen, replace
from .model.recording import Recording
from .outputs import POLICY
from .ports import Target
from .registrations import STATE, Registrations
from .trace.ebpf import EbpfTracer
from .witness import Witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .commandline import RunCommand
    from .model.profile import Profile
    from .trace.watch import DenialWatch

NOT_EXECUTED = 126
"""The exit status that shells give for a command that cannot be executed."""

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

LOOK = 0.02
"""Seconds between two looks at denials: for so long a process may be stopped for it."""


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
    with Descendants() as descendants, Child(command, confine or _announce) as child:
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
                with _signals_left_to(child) as heard:
                    status = _run(child, look, so_far, refusable=confine is not None)
                try:
                    descendants.wait(_now_and_then(left_behind, look), LOOK)
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


def _announce() -> None:
    """Say to the command, in whose process this runs before its exec, that a recorder is there."""
    os.environ[ANNOUNCED] = "1"


def _kills(profile: Profile) -> bool:
    """Whether a marker, which the profile need not allow, may end the process that makes it."""
    actions = {profile.outcome[0], *(rule.outcome[0] for rule in profile.rules)}
    return bool(actions & {"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"})


def _run(child: Child, look: Callable[[], object], progress: Callable[[], None], *, refusable: bool) -> int:
    """Let a child go, to its end; its exit status."""
    look()
    tick = _now_and_then(progress, look)
    try:
        child.go(tick, LOOK)
    except EngineError:
        if not refusable:
            raise
        return NOT_EXECUTED
    return child.wait(tick, LOOK)


def _now_and_then(progress: Callable[[], None], look: Callable[[], object]) -> Callable[[], None]:
    """Called every LOOK seconds, it looks each time and reports progress twice a second."""
    times = count(1)

    def tick() -> None:
        look()
        if next(times) % int(0.5 / LOOK) == 0:
            progress()

    return tick


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
    if bpffs.ensure(settings.bpffs):
        progress(f"mounted a BPF file system at {settings.bpffs}")
    with Registrations(settings.state):
        pass  # it exists now, and is ours
    directory = tempfile.mkdtemp(prefix="session-", dir=settings.state)
    try:
        hooks, result = os.path.join(directory, "hooks.d"), os.path.join(directory, "recording.json")
        os.mkdir(hooks)
        with open(os.path.join(hooks, HOOKS_FILE), "w", encoding="utf-8") as file:
            file.write(hooks_file(hook_arguments(settings), PACKAGE))
        annotations = request_annotations(settings, result, base)
        if profile:
            options = [*options, "--security-opt", f"seccomp={os.path.abspath(profile)}"]
        if not profile or not _kills(_read(profile)):
            options = [*options, "--env", f"{ANNOUNCED}=1"]
        tracer = EbpfTracer(bpffs=settings.bpffs)
        try:
            with (
                Child(engine.hooked(run, hooks, annotations, options)) as child,
                _signals_left_to(child) as heard,
                _attended(attend, tracer.watch) as look,
            ):
                status = _run(child, look, lambda: progress("the container is running"), refusable=False)
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
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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


@contextmanager
def _signals_left_to(child: Child) -> Iterator[list[int]]:
    """Ctrl-C reaches the command by itself, and what ends us is passed on: we stay to write what was seen.

    The list grows by each of these signals.
    """
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)

    def pass_on(number: int, _: object) -> None:
        heard.append(number)
        os.kill(child.pid, number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGQUIT)}
    before |= {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    with Child(command, before_exec) as child, _signals_left_to(child) as signals:
        status = _run(child, look, lambda: progress("the container is running"), refusable=False)
    if heard is not None:
        heard += signals
    return status


def run_plain(command: Sequence[str]) -> int:
    """Run a command as it is; its exit status."""
    with Child(command) as child, _signals_left_to(child):
        child.go()
        return child.wait()


def run_process(command: Sequence[str], profile: str) -> int:
    """Run a plain process under a profile; its exit status. Raises SecludeError."""
    with confinement(_read(profile)) as confine, Child(command, confine) as child, _signals_left_to(child):
        child.go()
        return child.wait()


@contextmanager
def confinement(profile: Profile, *, announced: bool = False) -> Iterator[Callable[[], None]]:
    """What puts a child under the profile, as long as the block lasts. Raises SecludeError.

    `announced`: the child is recorded and shall mark what it does, unless the profile may kill it for that.
    """
    bounding, effective = own_capabilities()
    with libseccomp.build(
        profile, capabilities=bounding, machine=platform.machine(), kernel=platform.release()
    ) as filter_:
        # Where the kernel lets us do without, set-user-id programs keep working, as in a container.
        no_new_privileges = not effective >> CAPABILITIES.index("CAP_SYS_ADMIN") & 1

        def confine() -> None:
            if announced and not _kills(profile):
                _announce()
            filter_.load(no_new_privileges=no_new_privileges)

        yield confine


def run_podman(command: Sequence[str], profile: str) -> int:
    """Run a container under a profile; podman's exit status. Raises SecludeError."""
    engine = PodmanEngine()
    return run_plain(engine.enforced(engine.parse(command), _checked(profile)))


def run_docker(command: Sequence[str], profile: str) -> int:
    """Run a container under a profile; docker's exit status. Raises SecludeError."""
    engine = DockerEngine()
    return run_plain(engine.enforced(engine.parse(command), _checked(profile)))


def _checked(profile: str) -> str:
    """The absolute path of a profile that can be read; raises SecludeError."""
    _read(profile)
    return os.path.abspath(profile)


def _read(profile: str) -> Profile:
    return oci.loads(read_text(profile, limit=oci.LARGEST, error=EngineError), profile)


def own_capabilities() -> tuple[tuple[str, ...], int]:
    """(names of the bounding set, bits of the effective set) of this process (proc(5), status)."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    bounding = int(fields.get("CapBnd", "0"), 16)
    names = tuple(name for bit, name in enumerate(CAPABILITIES) if bounding >> bit & 1)
    return names, int(fields.get("CapEff", "0"), 16)
