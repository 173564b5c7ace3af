"""A command and a profile in; it runs under the profile, and the proof that it does, or what is wrong, comes out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence

from . import docker_recording, docker_runs, syscalls
from .analyse.privileges import Leaving, NotMeasured, leaving, left
from .analyse.verify import NotRecorded, Verification, verification
from .baseline import PROCESS_ENGINE, baselines
from .children import run_plain
from .confined_runs import confinement, own_capabilities
from .engines import engine_for
from .engines.podman import PodmanEngine
from .errors import EngineError
from .formats import oci
from .inputs import read_text
from .model.environment import NATIVE_ABIS, Environment
from .model.frozen import frozen, replace
from .model.profile import Profile
from .notify import recording as notify
from .session import (
    Recorded,
    Settings,
    attending,
    record_podman,
    record_process,
    with_stacks,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .commandline import RunCommand
    from .model.recording import Recording
    from .witness import Witness

NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
MOST_RUNS = 1000


@frozen
class Wishes:
    """How to verify: `repeat` runs under the profile; `expected` status, None to run once without the profile and see.

    `stacks`: stop processes for a moment where they are refused something, to read their stacks.
    `no_new_privileges`: run a container once more with it, to see which calls would leave the profile.
    `tracer`: what names the denials, "ebpf" or "notify"; "auto" for what can be used here.
    """

    repeat: int = 1
    expected: int | None = None
    stacks: bool = True
    no_new_privileges: bool = False
    tracer: str = "auto"


@frozen
class Proof:
    """What came out, and which calls no-new-privileges would take out of the profile."""

    verification: Verification
    leaving: Leaving | NotMeasured


def verify(
    command: Sequence[str],
    path: str,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
    say: Callable[[str], None],
) -> Proof:
    """Run `command` (a container of podman or docker, or a plain process) under the profile in a file.

    `say` is told which tracer was chosen and why, and what that has to tell. Raises SecludeError.
    """
    if not 1 <= wishes.repeat <= MOST_RUNS:
        raise EngineError(f"{wishes.repeat} runs are out of range", hint=f"1 to {MOST_RUNS}")
    profile = oci.loads(read_text(path, limit=oci.LARGEST, error=EngineError), path)
    engine = engine_for(command).name
    if engine == "docker":
        if wishes.tracer == "notify":
            raise EngineError(
                "notify does not see containers of docker", hint="verify them as root, with --tracer ebpf"
            )
        return _docker(command, path, profile, settings, wishes, progress)
    settings = replace(settings, denials=True)
    wishes = replace(wishes, tracer=notify.chosen(wishes.tracer, say))
    container = engine == "podman"
    if container:
        # What cannot be proved is refused before anything runs.
        PodmanEngine().enforced(PodmanEngine().parse(command), path)
    expected = _expected(command, wishes, progress)
    recorded = []
    for _ in _runs(wishes, progress):
        if container:
            recorded.append(_container(command, path, settings, wishes, progress, say))
        else:
            recorded.append(_process(command, profile, settings, wishes, progress, say))
    first = recorded[0].recording
    capabilities = first.capabilities if container else own_capabilities()[0]
    going = _leaving(command, path, settings, wishes, progress, say, first)
    return _proof(profile, capabilities, recorded, expected, going)


def _docker(
    command: Sequence[str],
    path: str,
    profile: Profile,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
) -> Proof:
    """The same with docker, whose containers are recorded where its engine has a runtime of ours."""
    run = docker_runs.checked(command, path)
    try:
        docker_recording.runtime_of(run)
    except EngineError as error:
        if wishes.no_new_privileges:
            raise
        return _from_outside(command, run, path, profile, wishes, progress, str(error))
    docker_recording.checked(command)
    settings = replace(settings, denials=True)
    expected = _expected(command, wishes, progress)
    recorded = [
        _of_docker(command, path, settings, progress, stacks=wishes.stacks) for _ in _runs(wishes, progress)
    ]
    docker_runs.check_confined(run, all(each.recording.confined for each in recorded))
    first = recorded[0].recording
    going: Leaving | NotMeasured
    if wishes.no_new_privileges and not first.no_new_privileges:
        progress("a run with no-new-privileges")
        with_it = _of_docker(command, path, settings, progress, stacks=False, options=NO_NEW_PRIVILEGES)
        going = left(first, with_it.recording)
    else:
        going = leaving(first, baselines())
    return _proof(profile, first.capabilities, recorded, expected, going)


def _proof(
    profile: Profile,
    capabilities: tuple[str, ...],
    recorded: Sequence[Recorded],
    expected: int,
    going: Leaving | NotMeasured,
) -> Proof:
    """What the recorded runs under the profile prove; `capabilities` is the bounding set that they had."""
    recordings = [each.recording for each in recorded]
    return Proof(
        verification=verification(
            profile,
            _environment(capabilities),
            recordings,
            [denial for recording in recordings for denial in recording.denials],
            known=_known(),
            statuses=[each.status for each in recorded],
            expected=expected,
            lost=sum(recording.losses.denials + recording.losses.calls for recording in recordings),
        ),
        leaving=going,
    )


def _from_outside(
    command: Sequence[str],
    run: RunCommand,
    path: str,
    profile: Profile,
    wishes: Wishes,
    progress: Callable[[str], None],
    why: str,
) -> Proof:
    """The proof of a container of docker's that is not recorded, and why: which calls were made is not known."""
    expected = _expected(command, wishes, progress)
    watched = [
        docker_runs.run_under(run, path, progress, stacks=wishes.stacks) for _ in _runs(wishes, progress)
    ]
    return Proof(
        verification=verification(
            profile,
            _environment(docker_runs.capabilities(run)),
            NotRecorded(reason="with docker", why=why),
            [denial for each in watched for denial in each.denials],
            known=_known(),
            statuses=[each.status for each in watched],
            expected=expected,
            lost=sum(each.lost for each in watched),
        ),
        leaving=NotMeasured(reason="the container was not recorded"),
    )


def _expected(command: Sequence[str], wishes: Wishes, progress: Callable[[str], None]) -> int:
    """The exit status to have, from a run without the profile where nobody said."""
    if wishes.expected is not None:
        return wishes.expected
    progress("a run without the profile, to know its exit status")
    return run_plain(command)


def _runs(wishes: Wishes, progress: Callable[[str], None]) -> Iterator[int]:
    for number in range(1, wishes.repeat + 1):
        progress(f"run {number} of {wishes.repeat} under the profile")
        yield number


def _environment(capabilities: tuple[str, ...]) -> Environment:
    return Environment(machine=platform.machine(), kernel=platform.release(), capabilities=capabilities)


def _known() -> Sequence[str]:
    """The names that this machine's own ABI has."""
    return sorted(syscalls.names(NATIVE_ABIS.get(platform.machine(), "x86_64")))


def _container(
    command: Sequence[str],
    path: str,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
    say: Callable[[str], None],
    options: Sequence[str] = (),
) -> Recorded:
    if wishes.tracer == "notify":
        return notify.record_podman(
            command, settings, progress, say, {}, profile=path, options=options, stacks=wishes.stacks
        )
    witnesses: list[Witness] = []
    recorded = record_podman(
        command,
        settings,
        progress,
        "",
        profile=path,
        options=options,
        attend=attending(witnesses) if wishes.stacks else None,
    )
    return with_stacks(recorded, witnesses)


def _of_docker(
    command: Sequence[str],
    path: str,
    settings: Settings,
    progress: Callable[[str], None],
    *,
    stacks: bool,
    options: Sequence[str] = (),
) -> Recorded:
    """One run of a container of docker's under the profile, recorded. Raises SecludeError."""
    witnesses: list[Witness] = []
    recorded = docker_recording.record_docker(
        command,
        settings,
        progress,
        "",
        profile=path,
        options=options,
        attend=attending(witnesses) if stacks else None,
    )
    recorded = with_stacks(recorded, witnesses)
    return replace(recorded, recording=docker_runs.named(recorded.recording))


def _process(
    command: Sequence[str],
    profile: Profile,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
    say: Callable[[str], None],
) -> Recorded:
    if wishes.tracer == "notify":
        return notify.record_process(
            command, settings, progress, say, {}, profile=profile, stacks=wishes.stacks
        )
    witnesses: list[Witness] = []
    with confinement(profile, announced=True) as confine:
        recorded = record_process(
            command,
            settings,
            progress,
            {},
            confine=confine,
            attend=attending(witnesses) if wishes.stacks else None,
        )
    return with_stacks(recorded, witnesses)


def _leaving(
    command: Sequence[str],
    path: str,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
    say: Callable[[str], None],
    recording: Recording,
) -> Leaving | NotMeasured:
    if not wishes.no_new_privileges or recording.engine == PROCESS_ENGINE or recording.no_new_privileges:
        return leaving(recording, baselines())
    progress("a run with no-new-privileges")
    quiet = replace(wishes, stacks=False)
    return left(
        recording, _container(command, path, settings, quiet, progress, say, NO_NEW_PRIVILEGES).recording
    )
