"""A `docker run` in; it runs to its end through a runtime that records, and its exit status and recording come out.

Docker reads no hooks files, so its engine must know a runtime of ours. That runtime finds what is asked of it in a
request, which root leaves in the state directory and whose token the container's environment carries.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from . import bundlehooks, store
from .bundlehooks import REQUEST, VARIABLE
from .children import run_watched
from .commandline import RunCommand
from .confined_runs import may_kill, read_profile
from .containers import Places, clear_stillborn, finish
from .engines.docker import DockerEngine
from .errors import EngineError, SecludeError, TraceError
from .launcher import Launcher, read_launcher
from .marking import ANNOUNCED
from .model.frozen import replace
from .registrations import Registration, Registrations
from .session import (
    NothingRecorded,
    Recorded,
    Settings,
    attending,
    request_annotations,
    session_directory,
    with_stacks,
)
from .trace.ebpf import EbpfTracer

if TYPE_CHECKING:
    from .session import Attend
    from .witness import Witness

RUNTIME = "seclude"
"""The name of the runtime unless the command says another."""

SECONDS = 20
PATIENCE = 10.0
"""Seconds that the recording of an ended container is waited for. Docker's engine cleans up before its client ends
(moby, daemon/monitor.go, handleContainerExit), unless it is gone or in a hurry."""

GRACE = 1.0
"""Seconds after which a container that still runs when docker's client is gone is taken to go on without it."""


NOT_STARTED = (125, 126, 127)
"""What docker ends with where it could not start the container, or its command (docker-run(1))."""


def record_docker(
    command: Sequence[str],
    settings: Settings,
    progress: Callable[[str], None],
    base: str,
    *,
    profile: str = "",
    options: Sequence[str] = (),
    attend: Attend | None = None,
) -> Recorded:
    """Record the container that a `docker run` starts. Raises SecludeError.

    `base`, `profile`, `options` and `attend`: as for podman. Where the recorder is pinned and recordings are registered
    is the installed runtime's to say, not the settings'.
    """
    run = checked(command)
    name, found = runtime_of(run)
    witnesses: list[Witness] = []
    if settings.stacks and attend is None:
        attend = attending(witnesses)
    places = Places(bpffs=found.bpffs, state=found.state, policy=found.policy)
    with session_directory(found.bpffs, found.state, progress) as directory:
        result = os.path.realpath(os.path.join(directory, "recording.json"))
        token = bundlehooks.write_request(found.state, request_annotations(settings, result, base))
        try:
            chosen = [] if run.values("--runtime") else ["--runtime", name]
            arguments = [*options, *chosen, "--env", f"{VARIABLE}={REQUEST}{token}"]
            heard: list[int] = []
            status = _run(_line(run, profile, arguments), places, progress, heard, attend)
            # For a container that it could not make crun calls no poststop.
            _await(result, places, progress, GRACE if status in NOT_STARTED else PATIENCE)
            recording = store.read(result) if os.path.exists(result) else None
            never_ran = status in NOT_STARTED and recording is not None and not recording.names("app")
            # Under a profile that refuses what the runtime needs there is something to tell all the same.
            if recording is None or (never_ran and not profile):
                clear_stillborn(places)
                raise NothingRecorded("docker", status, interrupted=bool(heard))
            image = recording.image or run.image
            recorded = Recorded(
                status=status, recording=replace(recording, image=image), interrupted=bool(heard)
            )
            return with_stacks(recorded, witnesses)
        finally:
            os.unlink(bundlehooks.request_path(found.state, token))


def _line(run: RunCommand, profile: str, arguments: list[str]) -> list[str]:
    """The command with these arguments, under a profile if one is given; raises SecludeError."""
    if not profile or not may_kill(read_profile(profile)):
        arguments = [*arguments, "--env", f"{ANNOUNCED}=1"]
    if not profile:
        return run.command(arguments=arguments)
    return DockerEngine().enforced(run, os.path.abspath(profile), arguments)


def _run(
    line: Sequence[str],
    places: Places,
    progress: Callable[[str], None],
    heard: list[int],
    attend: Attend | None,
) -> int:
    """Run docker's client to its end, looked at meanwhile by whoever attends; its exit status."""
    tracer = EbpfTracer(bpffs=places.bpffs)
    attended: AbstractContextManager[Callable[[], object]]
    attended = nullcontext(lambda: None) if attend is None else attend(tracer.watch)
    try:
        with attended as look:
            status = run_watched(line, progress, look, heard)
            look()
    finally:
        tracer.close()
    return status


def check(command: Sequence[str]) -> None:
    """Raise EngineError or TraceError where the container that a command starts could not be recorded."""
    runtime_of(checked(command))


def checked(command: Sequence[str]) -> RunCommand:
    """The parts of a `docker run` that can be recorded to its end; raises SecludeError."""
    run = DockerEngine().parse(command)
    if run.detached:
        raise EngineError(
            "a detached container is still running when docker returns",
            hint=f"leave out --detach; or `docker run --runtime {RUNTIME} --env {VARIABLE}=of:/absolute/output ...`, "
            "whose profile is complete when `docker wait` returns",
        )
    if any(value.partition("=")[0] == VARIABLE for name in ("--env", "-e") for value in run.values(name)):
        raise EngineError(f"--env {VARIABLE} asks for another recording", hint="leave that option out")
    if os.geteuid() != 0:
        raise TraceError(
            "recording containers needs root", hint="run `sudo seclude record -- docker run ...`"
        )
    return run


def runtime_of(run: RunCommand) -> tuple[str, Launcher]:
    """The name and the launcher of the runtime that will start the container; raises EngineError if none records."""
    info = _info(run)
    if any("rootless" in str(option) for option in info.get("SecurityOptions") or ()):
        raise EngineError(
            "docker's engine runs rootless, and the kernel refuses eBPF there",
            hint="record with a rootful engine, or with podman",
        )
    known = info.get("Runtimes")
    paths = {
        str(name): str(entry.get("path", ""))
        for name, entry in (known.items() if isinstance(known, dict) else ())
        if isinstance(entry, dict)
    }
    wanted = (RUNTIME, *run.values("--runtime"))[-1]
    if run.values("--runtime")[:-1]:
        raise EngineError("--runtime is given twice", hint="give it once")
    if wanted not in paths:
        if not run.values("--runtime"):
            raise EngineError(
                f"docker's engine has no runtime {wanted}, through which its containers are recorded",
                hint="`seclude runtime install --engine docker`, then `systemctl reload docker`",
            )
        raise EngineError(f"docker's engine has no runtime {wanted}", hint="leave out --runtime")
    launcher = read_launcher(paths[wanted])
    if launcher is None:
        hint = (
            "leave out --runtime, or `seclude runtime install` for one that leads to this"
            if run.values("--runtime")
            else "run seclude where docker's engine runs; `docker context show` and DOCKER_HOST say where that is"
        )
        raise EngineError(f"docker's runtime {wanted} ({paths[wanted]}) is none of seclude's here", hint=hint)
    return wanted, launcher


def _info(run: RunCommand) -> dict[str, Any]:
    """What docker's engine says of itself; raises EngineError where it says nothing."""
    command = [run.program, *run.options, "info", "--format", "{{json .}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"docker's engine gives no answer within {SECONDS} s") from error
    except OSError as error:
        raise EngineError(f"{run.program} cannot be run: {error.strerror}") from error
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    # Clients differ in how they say that no engine answers: by their status, or among the values.
    if isinstance(found, dict) and found.get("ServerVersion"):
        return found
    errors = found.get("ServerErrors") if isinstance(found, dict) else None
    said = str(errors[0]) if isinstance(errors, list) and errors else done.stderr
    lines = said.strip().splitlines() or ["nothing was said"]
    raise EngineError(
        f"docker's engine does not answer: {lines[-1][:300]}", hint="start it, or see `docker info`"
    )


def _await(result: str, places: Places, progress: Callable[[str], None], patience: float) -> None:
    """Wait for the recording, which the runtime's clean-up writes; where nobody calls it, write it ourselves.

    `patience`: seconds that the clean-up after an ended container gets.
    """
    begun = time.monotonic()
    while not os.path.exists(result):
        registration = _registered(result, places)
        if registration is None:
            return  # it was never begun, or has ended this moment
        waited = time.monotonic() - begun
        if waited > (GRACE if registration.alive() else patience):
            if registration.alive():
                progress(
                    "docker is gone and the container runs on; what it calls from now on is not recorded"
                )
            else:
                progress("docker did not clean up after the container; the recording is written all the same")
            _finish(registration, result, places)
            return
        time.sleep(0.02)


def _registered(result: str, places: Places) -> Registration | None:
    for registration in Registrations(places.state):
        if registration.request.recording == result:
            return registration
    return None


def _finish(registration: Registration, result: str, places: Places) -> None:
    try:
        finish(registration.known.container, places)
    except SecludeError:
        # The clean-up came after all, between our look and our deed.
        if not os.path.exists(result):
            raise
