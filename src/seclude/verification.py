"""A command and a profile in; it runs under the profile, and the proof that it does, or what is wrong, comes out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence

from . import docker_runs, syscalls
from .analyse.privileges import Leaving, NotMeasured, leaving, left
from .analyse.verify import NotRecorded, Verification, verification
from .baseline import PROCESS_ENGINE, baselines
from .children import run_plain
from .confined_runs import confinement, own_capabilities, run_process
from .engines import engine_for
from .engines.docker import not_yet
from .engines.podman import PodmanEngine
from .errors import EngineError
from .formats import oci
from .inputs import read_text
from .model.environment import NATIVE_ABIS, Environment
from .model.frozen import frozen, replace
from .model.profile import Profile
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
    from .model.recording import Recording
    from .witness import Witness

NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
MOST_RUNS = 1000


@frozen
class Wishes:
    """How to verify: `repeat` runs under the profile; `expected` status, None to run once without the profile and see.

    `stacks`: stop processes for a moment where they are refused something, to read their stacks.
    `no_new_privileges`: run a container once more with it, to see which calls would leave the profile.
    """

    repeat: int = 1
    expected: int | None = None
    stacks: bool = True
    no_new_privileges: bool = False


@frozen
class Proof:
    """What came out, and which calls no-new-privileges would take out of the profile."""

    verification: Verification
    leaving: Leaving | NotMeasured


def verify(
    command: Sequence[str], path: str, settings: Settings, wishes: Wishes, progress: Callable[[str], None]
) -> Proof:
    """Run `command` (a container of podman or docker, or a plain process) under the profile in a file.

    Raises SecludeError.
    """
    if not 1 <= wishes.repeat <= MOST_RUNS:
        raise EngineError(f"{wishes.repeat} runs are out of range", hint=f"1 to {MOST_RUNS}")
    profile = oci.loads(read_text(path, limit=oci.LARGEST, error=EngineError), path)
    engine = engine_for(command).name
    if engine == "docker":
        return _docker(command, path, profile, wishes, progress)
    settings = replace(settings, denials=True)
    container = engine == "podman"
    if container:
        # What cannot be proved is refused before anything runs.
        PodmanEngine().enforced(PodmanEngine().parse(command), path)
    expected = _expected(command, wishes, progress)
    recorded = []
    for _ in _runs(wishes, progress):
        if container:
            recorded.append(_container(command, path, settings, wishes, progress))
        else:
            recorded.append(_process(command, profile, settings, wishes, progress))
    recordings = [each.recording for each in recorded]
    return Proof(
        verification=verification(
            profile,
            _environment(recordings[0].capabilities if container else own_capabilities()[0]),
            recordings,
            [denial for recording in recordings for denial in recording.denials],
            known=_known(),
            statuses=[each.status for each in recorded],
            expected=expected,
            lost=sum(recording.losses.denials + recording.losses.calls for recording in recordings),
        ),
        leaving=_leaving(command, path, settings, wishes, progress, recordings[0]),
    )


def _docker(
    command: Sequence[str], path: str, profile: Profile, wishes: Wishes, progress: Callable[[str], None]
) -> Proof:
    """The same with docker, whose containers are not recorded: which calls were made is not known."""
    run = docker_runs.checked(command, path)
    if wishes.no_new_privileges:
        raise not_yet("measured with no-new-privileges")
    expected = _expected(command, wishes, progress)
    watched = [
        docker_runs.run_under(run, path, progress, stacks=wishes.stacks) for _ in _runs(wishes, progress)
    ]
    return Proof(
        verification=verification(
            profile,
            _environment(docker_runs.capabilities(run)),
            NotRecorded(reason="with docker"),
            [denial for each in watched for denial in each.denials],
            known=_known(),
            statuses=[each.status for each in watched],
            expected=expected,
            lost=sum(each.lost for each in watched),
        ),
        leaving=NotMeasured(reason="containers of docker are not recorded"),
    )


def by_status(command: Sequence[str], path: str, wishes: Wishes, progress: Callable[[str], None]) -> Proof:
    """The same of a plain process where denials cannot be seen, for want of eBPF: its exit status is all there is."""
    profile = oci.loads(read_text(path, limit=oci.LARGEST, error=EngineError), path)
    expected = _expected(command, wishes, progress)
    statuses = [run_process(command, path) for _ in _runs(wishes, progress)]
    return Proof(
        verification=verification(
            profile,
            _environment(own_capabilities()[0]),
            NotRecorded(reason="without eBPF"),
            [],
            known=_known(),
            statuses=statuses,
            expected=expected,
        ),
        leaving=NotMeasured(reason="nothing is recorded without eBPF"),
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
    options: Sequence[str] = (),
) -> Recorded:
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


def _process(
    command: Sequence[str],
    profile: Profile,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
) -> Recorded:
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
    recording: Recording,
) -> Leaving | NotMeasured:
    if not wishes.no_new_privileges or recording.engine == PROCESS_ENGINE or recording.no_new_privileges:
        return leaving(recording, baselines())
    progress("a run with no-new-privileges")
    quiet = replace(wishes, stacks=False)
    return left(recording, _container(command, path, settings, quiet, progress, NO_NEW_PRIVILEGES).recording)
