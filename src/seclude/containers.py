"""One container's recording, from createRuntime to poststop: outputs checked, target begun, outputs written."""

from __future__ import annotations

import os

from . import __version__, bundle
from .errors import OutputError, ProfileError, SecludeError, TraceError
from .inputs import read_text
from .model.frozen import frozen
from .outputs import Output, read_policy
from .ports import Target
from .registrations import Registration, Registrations, Request, is_of_session, start_of
from .trace.ebpf import EbpfTracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .model.profile import Profile
    from .model.recording import Recording

UNSAVED = "unsaved"


@frozen
class Places:
    """Where the recorder is pinned, where registrations are kept, and the policy file.

    `trusted`: root chose the paths of what is read and written. Elsewhere, users of an engine's interface did, who are
    held to a policy even where root has written none.
    """

    bpffs: str
    state: str
    policy: str
    trusted: bool = True


# What only the end of a recording needs is imported there: each import delays the start of a container.


def _read_profile(path: str) -> Profile:
    from .formats import oci

    try:
        return oci.loads(read_text(path, limit=oci.LARGEST, error=ProfileError), path)
    except ProfileError as error:
        # Whoever chose the path may not be allowed to read the file: its lines are not shown.
        raise ProfileError(error.message.split("\n")[0], hint=error.hint) from None


def _is_profile(text: str) -> bool:
    from .formats import oci

    return oci.looks_like_profile(text)


def _is_recording(text: str) -> bool:
    from . import store

    return store.looks_like_recording(text)


def _outputs(profile: str, recording: str) -> dict[str, Output]:
    wanted = {}
    if profile:
        wanted["profile"] = Output(profile, "seccomp profile", _is_profile)
    if recording:
        wanted["recording"] = Output(recording, "recording", _is_recording)
    return wanted


def begin(container: str, pid: int, bundle_path: str, request: Request, places: Places) -> None:
    """Check all that can be checked, then record process `pid` as the container; raises SecludeError, nothing left."""
    if os.geteuid() != 0:
        raise TraceError("recording containers needs root", hint="run the engine as root")
    _check_places(request, places)
    arguments = _arguments(request)
    known = bundle.read_container(bundle_path, container, os.getppid())
    target = Target(
        pid=pid,
        unconfined=not known.confined,
        base_filters=filters_of(pid),
        mnt_namespace=_own_namespace(pid, "mnt"),
        pid_namespace=_own_namespace(pid, "pid"),
        counts=request.counts,
        denials=request.denials,
        stacks=request.stacks,
        arguments=arguments,
    )
    tracer = EbpfTracer(bpffs=places.bpffs)
    with Registrations(places.state) as registrations:
        if container in registrations.containers():
            return  # two hooks files of ours were read: the first start of the hook was enough
        _clear_stillborn(tracer, registrations)
        number = tracer.begin(target)
        try:
            registrations.add(
                Registration(number=number, started=start_of(pid), pid=pid, request=request, known=known)
            )
        except SecludeError:
            _end(tracer, number, registrations)
            raise


def _check_places(request: Request, places: Places) -> None:
    """Raise OutputError for a path that may not be written or, where its chooser is not trusted, read."""
    policy = read_policy(places.policy, trusted=places.trusted)
    for output in _outputs(request.profile, request.recording).values():
        # `seclude record` reads the recording from a directory of its own, which no policy need name.
        output.check(None if places.trusted and is_of_session(output.path, places.state) else policy)
    if request.base and not places.trusted:
        # What is read comes out again in the profile.
        policy.admit(request.base)
        if os.path.realpath(request.base) != request.base:
            raise OutputError(
                f"{request.base}: a part of the path is a symbolic link", hint="give the real path"
            )


def _arguments(request: Request) -> Mapping[str, Sequence[int]]:
    """Call -> the arguments whose values are kept: for the base's conditions, and for new ones."""
    found: Mapping[str, Sequence[int]] = {}
    if request.base:
        from .synthesize import conditional_arguments

        found = conditional_arguments(_read_profile(request.base))
    if request.arguments:
        from .conditions import watched

        found = watched(found)
    return found


def _end(tracer: EbpfTracer, number: int, registrations: Registrations) -> None:
    """The last one out takes the recorder along, tables and all: an idle machine pays nothing."""
    if registrations.containers():
        tracer.end(number)
    else:
        tracer.unpin()


def _own_namespace(pid: int, kind: str) -> int:
    """The inode number of a process's namespace, 0 where it is the one that we run in (`--pid=host`)."""
    try:
        theirs = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError as error:
        raise TraceError(f"process {pid} has no {kind} namespace: {error.strerror}") from error
    return 0 if theirs == os.stat(f"/proc/self/ns/{kind}").st_ino else theirs


def filters_of(pid: int) -> int:
    """How many seccomp filters a process runs under; 1 where the kernel only says that there are some."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError as error:
        raise TraceError(f"process {pid} has ended: {error.strerror}") from error
    if "Seccomp_filters" in fields:
        return int(fields["Seccomp_filters"])
    return 1 if int(fields.get("Seccomp", "0")) == 2 else 0


def finish(container: str, places: Places) -> tuple[str, ...]:
    """Write what was asked of a container's recording and end it; the notes for the user.

    Nothing happens where nothing is registered: runtimes also call poststop for a container whose start we refused.
    Raises SecludeError; what could not be written where it was wanted is kept in the state directory.
    """
    registrations = Registrations(places.state)
    registration = registrations.get(container)
    if registration is None:
        return ()
    tracer = EbpfTracer(bpffs=places.bpffs)
    try:
        recording = recording_of(registration, tracer)
        try:
            return write(registration.request, recording)
        except Exception as error:
            # Whatever it is, nobody can record this run of the container again.
            raise _kept_aside(recording, container, places, error) from error
    finally:
        with registrations:
            registrations.remove(container)
            _clear_stillborn(tracer, registrations)
            _end(tracer, registration.number, registrations)


def snapshot(container: str, places: Places) -> tuple[Request, Recording]:
    """What was asked of a container's recording, and the recording as it stands; it goes on. Raises TraceError."""
    with Registrations(places.state) as registrations:  # so that nobody ends it meanwhile
        registration = registrations.get(container)
        tracer = EbpfTracer(bpffs=places.bpffs)
        if registration is None or not tracer.pinned():
            raise TraceError(f"container {container} is not being recorded", hint="see `seclude hook status`")
        try:
            return registration.request, recording_of(registration, tracer)
        finally:
            tracer.close()


def _clear_stillborn(tracer: EbpfTracer, registrations: Registrations) -> None:
    """End recordings whose container failed to start after our hook (no such entrypoint): poststop is not called."""
    numbers = tracer.stillborn()
    if not numbers:
        return
    for registration in registrations:
        if registration.number in numbers:
            registrations.remove(registration.known.container)
            tracer.end(registration.number)


def stillborn_recording(places: Places, path: str) -> Recording | None:
    """The recording of the container that failed to start after our hook, to be written to `path`; None if none is."""
    tracer = EbpfTracer(bpffs=places.bpffs)
    with Registrations(places.state) as registrations:  # so that nobody takes the recorder away meanwhile
        try:
            numbers = tracer.stillborn()
            for registration in registrations:
                if registration.number in numbers and registration.request.recording == path:
                    return recording_of(registration, tracer)
        finally:
            tracer.close()
    return None


def clear_stillborn(places: Places) -> None:
    """The same for whoever started a container and saw it fail; takes the recorder along if nothing else needs it."""
    tracer = EbpfTracer(bpffs=places.bpffs)
    with Registrations(places.state) as registrations:
        _clear_stillborn(tracer, registrations)
        if not registrations.containers():
            tracer.unpin()


def recording_of(registration: Registration, tracer: EbpfTracer) -> Recording:
    """The recording of a registered container as it stands."""
    from .model.recording import Recording

    known = registration.known
    version = bundle.ask_version(known.runtime_path)  # it starts while we read
    try:
        observed = tracer.observe(registration.number)
    finally:
        runtime_version = version()
    facts = {name: getattr(known, name) for name in known.__fields__ if name != "runtime_path"}  # type: ignore[attr-defined]
    kernel = os.uname()
    return Recording(
        **facts,
        seclude=__version__,
        tracer=tracer.name,
        kernel=kernel.release,
        machine=kernel.machine,
        runtime_version=runtime_version,
        counted=registration.request.counts,
        duration=observed.duration,
        calls=observed.calls,
        arguments=observed.arguments,
        losses=observed.losses,
        denials=observed.denials,
        origins=observed.origins,
    )


def write(request: Request, recording: Recording) -> tuple[str, ...]:
    """Write the recording and the profile made from it, as far as they are wanted; the notes for the user.

    A container that ran unconfined did not show what its runtime needs under a filter: that comes from the baseline.
    """
    from . import store
    from .baseline import automatic
    from .formats import oci
    from .synthesize import synthesize

    outputs = _outputs(request.profile, request.recording)
    if request.recording:
        outputs["recording"].write(store.dumps(recording))
    if not request.profile:
        return ()
    base = _read_profile(request.base) if request.base else None
    synthesis = synthesize([recording], base=base, baseline=automatic(recording))
    outputs["profile"].write(oci.dumps(synthesis.profile))
    return tuple(synthesis.notes)


def _kept_aside(recording: Recording, container: str, places: Places, error: Exception) -> SecludeError:
    from . import store

    if not isinstance(error, SecludeError):
        error = SecludeError(f"{type(error).__name__}: {error}")
    directory = os.path.join(places.state, UNSAVED)
    aside = os.path.join(directory, f"{container}.json")
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        Output(aside, "recording", _is_recording).write(store.dumps(recording))
    except (OSError, OutputError):
        return error
    return SecludeError(error.message, hint=f"the recording is kept: `seclude generate {aside} -o PROFILE`")


def collect(places: Places, *, everything: bool = False) -> tuple[str, ...]:
    """Remove the registrations of ended containers (or all of them), and the recorder if none is left; their ids."""
    tracer = EbpfTracer(bpffs=places.bpffs)
    removed = []
    with Registrations(places.state) as registrations:
        for container in registrations.containers():
            try:
                registration = registrations.get(container)
            except SecludeError:
                if not everything:
                    raise
                registration = None
            if registration is not None and registration.alive() and not everything:
                continue
            registrations.remove(container)
            removed.append(container)
            if registration is not None and tracer.pinned() and not everything:
                tracer.end(registration.number)
        if not registrations.containers():
            tracer.unpin()
    return tuple(removed)
