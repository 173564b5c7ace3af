"""A command and a profile in; it runs under the profile, and the proof that it does, or what is wrong, comes out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from functools import partial

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
    from .session import Attend
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
    trial = _Trial(
        command=tuple(command),
        path=path,
        profile=oci.loads(read_text(path, limit=oci.LARGEST, error=EngineError), path),
        settings=replace(settings, denials=True),
        wishes=wishes,
        progress=progress,
        say=say,
    )
    engine = engine_for(command).name
    if engine == "docker":
        return _docker(trial)
    trial = replace(trial, wishes=replace(wishes, tracer=notify.chosen(wishes.tracer, say)))
    if engine != "podman":
        return _proof(trial, _of_process)
    # What cannot be proved is refused before anything runs.
    PodmanEngine().enforced(PodmanEngine().parse(command), path)
    return _proof(trial, _of_podman)


@frozen
class _Trial:
    """A command, the profile that it is to run under, and how; whom to tell."""

    command: tuple[str, ...]
    path: str
    profile: Profile
    settings: Settings
    wishes: Wishes
    progress: Callable[[str], None]
    say: Callable[[str], None]

    def expected(self) -> int:
        """The exit status to have, from a run without the profile where nobody said."""
        if self.wishes.expected is not None:
            return self.wishes.expected
        self.progress("a run without the profile, to know its exit status")
        return run_plain(self.command)

    def runs(self) -> Iterator[int]:
        """The number of each run under the profile, announced."""
        for number in range(1, self.wishes.repeat + 1):
            self.progress(f"run {number} of {self.wishes.repeat} under the profile")
            yield number


def _proof(trial: _Trial, run: Callable[[_Trial, Sequence[str]], Recorded]) -> Proof:
    """What recorded runs under the profile prove; `run` makes one, of a container with these options besides."""
    expected = trial.expected()
    recorded = [run(trial, ()) for _ in trial.runs()]
    recordings = [each.recording for each in recorded]
    first = recordings[0]
    process = first.engine == PROCESS_ENGINE
    going: Leaving | NotMeasured
    if trial.wishes.no_new_privileges and not process and not first.no_new_privileges:
        trial.progress("a run with no-new-privileges")
        quiet = replace(trial, wishes=replace(trial.wishes, stacks=False))
        going = left(first, run(quiet, NO_NEW_PRIVILEGES).recording)
    else:
        going = leaving(first, baselines())
    return Proof(
        verification=verification(
            trial.profile,
            _environment(own_capabilities()[0] if process else first.capabilities),
            recordings,
            [denial for recording in recordings for denial in recording.denials],
            known=_known(),
            statuses=[each.status for each in recorded],
            expected=expected,
            lost=sum(recording.losses.denials + recording.losses.calls for recording in recordings),
        ),
        leaving=going,
    )


def _docker(trial: _Trial) -> Proof:
    """The same with docker, whose containers are recorded where its engine has a runtime of ours."""
    if trial.wishes.tracer == "notify":
        raise EngineError(
            "notify does not see containers of docker", hint="verify them as root, with --tracer ebpf"
        )
    run = docker_runs.checked(trial.command, trial.path)
    try:
        docker_recording.runtime_of(run)
    except EngineError as error:
        if trial.wishes.no_new_privileges:
            raise
        return _from_outside(trial, run, str(error))
    docker_recording.checked(trial.command)
    return _proof(trial, partial(_of_docker, run))


def _from_outside(trial: _Trial, run: RunCommand, why: str) -> Proof:
    """The proof of a container of docker's that is not recorded, and why: which calls were made is not known."""
    expected = trial.expected()
    stacks = trial.wishes.stacks
    watched = [docker_runs.run_under(run, trial.path, trial.progress, stacks=stacks) for _ in trial.runs()]
    return Proof(
        verification=verification(
            trial.profile,
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


def _environment(capabilities: tuple[str, ...]) -> Environment:
    return Environment(machine=platform.machine(), kernel=platform.release(), capabilities=capabilities)


def _known() -> Sequence[str]:
    """The names that this machine's own ABI has."""
    return sorted(syscalls.names(NATIVE_ABIS.get(platform.machine(), "x86_64")))


def _of_podman(trial: _Trial, options: Sequence[str]) -> Recorded:
    command, path, settings, progress = trial.command, trial.path, trial.settings, trial.progress
    if trial.wishes.tracer == "notify":
        stacks = trial.wishes.stacks
        return notify.record_podman(
            command, settings, progress, trial.say, {}, profile=path, options=options, stacks=stacks
        )
    return _attended(
        trial,
        lambda attend: record_podman(
            command, settings, progress, "", profile=path, options=options, attend=attend
        ),
    )


def _of_docker(run: RunCommand, trial: _Trial, options: Sequence[str]) -> Recorded:
    command, path, settings, progress = trial.command, trial.path, trial.settings, trial.progress
    recorded = _attended(
        trial,
        lambda attend: docker_recording.record_docker(
            command, settings, progress, "", profile=path, options=options, attend=attend
        ),
    )
    docker_runs.check_confined(run, recorded.recording.confined)
    return replace(recorded, recording=docker_runs.named(recorded.recording))


def _of_process(trial: _Trial, _options: Sequence[str]) -> Recorded:
    command, profile, settings, progress = trial.command, trial.profile, trial.settings, trial.progress
    if trial.wishes.tracer == "notify":
        stacks = trial.wishes.stacks
        return notify.record_process(
            command, settings, progress, trial.say, {}, profile=profile, stacks=stacks
        )
    with confinement(profile, announced=True) as confine:
        return _attended(
            trial,
            lambda attend: record_process(command, settings, progress, {}, confine=confine, attend=attend),
        )


def _attended(trial: _Trial, record: Callable[[Attend | None], Recorded]) -> Recorded:
    """What `record` gives, with the stacks of what was denied where those are wished for."""
    witnesses: list[Witness] = []
    return with_stacks(record(attending(witnesses) if trial.wishes.stacks else None), witnesses)
