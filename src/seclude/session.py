"""One recording or one enforced run from the command line: a command in, its exit status and what was seen out."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from . import __version__, bpffs, store
from .baseline import PROCESS_ENGINE
from .containers import Places, clear_stillborn
from .engines.podman import HOOKS_FILE, PodmanEngine, hooks_file
from .engines.process import Child, Descendants
from .errors import EngineError, RecordingError, TraceError
from .formats import libseccomp, oci
from .inputs import read_text
from .model.frozen import frozen
from .model.recording import Recording
from .outputs import POLICY
from .ports import Target
from .registrations import STATE, Registrations
from .trace.ebpf import EbpfTracer

# include/uapi/linux/capability.h, by bit
CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
        "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
        "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
        "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    ).split()
)
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@frozen
class Settings:
    """Where the recorder is pinned and registrations are kept, and what is recorded beyond the calls."""

    bpffs: str = bpffs.DEFAULT
    state: str = STATE
    policy: str = POLICY
    counts: bool = False
    denials: bool = False


@frozen
class Recorded:
    """How a recorded command ended: its exit status as a shell tells it, and the recording."""

    status: int
    recording: Recording


def hook_arguments(settings: Settings) -> dict[str, str]:
    """The command line of the hook for these settings."""
    return {"--bpffs": settings.bpffs, "--state-dir": settings.state, "--policy": settings.policy}


def record_process(
    command: Sequence[str],
    settings: Settings,
    progress: Callable[[str], None],
    arguments: dict[str, tuple[int, ...]],
) -> Recorded:
    """Record a plain process and all its descendants, to the end of the last one. Raises SecludeError."""
    tracer = EbpfTracer()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Descendants() as descendants, Child(command) as child:
        number = tracer.begin(
            Target(
                pid=child.pid,
                unconfined=True,
                counts=settings.counts,
                denials=settings.denials,
                arguments=arguments,
            )
        )

        def tick() -> None:
            progress(f"{len({call.name for call in tracer.observe(number).calls})} calls so far")

        try:
            with _signals_left_to(child):
                child.go()
                status = child.wait(tick)
            try:
                descendants.wait(
                    lambda: progress("the command has ended, its descendants have not (Ctrl-C to stop)")
                )
            except KeyboardInterrupt:
                progress("stopped; what the descendants call from now on is not recorded")
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
    )
    return Recorded(status=status, recording=recording)


def record_podman(
    command: Sequence[str], settings: Settings, progress: Callable[[str], None], base: str
) -> Recorded:
    """Record the container that a `podman run` starts, through the OCI hook. Raises SecludeError.

    `base`: the profile (a path, or empty) whose conditions on arguments the recording must be able to answer.
    """
    engine = PodmanEngine()
    run = engine.parse(command)
    if run.detached:
        raise EngineError(
            "a detached container is still running when podman returns",
            hint="leave out --detach; or `seclude hook install` and the annotation io.containers.trace-syscall, "
            "whose profile is complete when `podman wait` returns",
        )
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
        annotations = {"io.seclude.recording": os.path.realpath(result)}
        if settings.counts:
            annotations["io.seclude.counts"] = "true"
        if settings.denials:
            annotations["io.seclude.denials"] = "true"
        if base:
            annotations["io.seclude.base"] = os.path.realpath(base)
        with Child(engine.hooked(run, hooks, annotations)) as child, _signals_left_to(child):
            child.go()
            status = child.wait(lambda: progress("the container is running"))
        if not os.path.exists(result):
            clear_stillborn(Places(bpffs=settings.bpffs, state=settings.state, policy=settings.policy))
            raise RecordingError(
                f"podman ended with status {status} and nothing was recorded",
                hint="see what podman said above" if status else "see `seclude hook status`",
            )
        return Recorded(status=status, recording=store.read(result))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _signals_left_to(child: Child) -> Iterator[None]:
    """Ctrl-C reaches the command by itself, and what ends us is passed on: we stay to write what was seen."""

    def pass_on(number: int, _: object) -> None:
        os.kill(child.pid, number)

    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    before |= {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_process(command: Sequence[str], profile: str) -> int:
    """Run a plain process under a profile; its exit status. Raises SecludeError."""
    read = oci.loads(read_text(profile, limit=oci.LARGEST, error=EngineError), profile)
    bounding, effective = _capabilities()
    with libseccomp.build(
        read, capabilities=bounding, machine=platform.machine(), kernel=platform.release()
    ) as filter_:
        # Where the kernel lets us do without, set-user-id programs keep working, as in a container.
        no_new_privileges = not effective >> CAPABILITIES.index("CAP_SYS_ADMIN") & 1
        loaded = Child(command, lambda: filter_.load(no_new_privileges=no_new_privileges))
        with loaded as child, _signals_left_to(child):
            child.go()
            return child.wait()


def run_podman(command: Sequence[str], profile: str) -> int:
    """Run a container under a profile; podman's exit status. Raises SecludeError."""
    oci.loads(read_text(profile, limit=oci.LARGEST, error=EngineError), profile)
    engine = PodmanEngine()
    enforced = engine.enforced(engine.parse(command), os.path.abspath(profile))
    with Child(enforced) as child, _signals_left_to(child):
        child.go()
        return child.wait()


def _capabilities() -> tuple[tuple[str, ...], int]:
    """(names of the bounding set, bits of the effective set) of this process (proc(5), status)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    bounding = int(fields.get("CapBnd", "0"), 16)
    names = tuple(name for bit, name in enumerate(CAPABILITIES) if bounding >> bit & 1)
    return names, int(fields.get("CapEff", "0"), 16)
