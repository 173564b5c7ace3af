"""A command and a profile in; it runs under the profile, and the proof that it does, or what is wrong, comes out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from . import syscalls
from .analyse.privileges import Leaving, NotMeasured, leaving, left
from .analyse.verify import Verification, verification
from .baseline import PROCESS_ENGINE, baselines
from .engines import engine_for
from .errors import EngineError
from .formats import oci
from .inputs import read_text
from .model.environment import NATIVE_ABIS, Environment
from .model.frozen import frozen, replace
from .model.profile import Profile
from .session import (
    Recorded,
    Settings,
    confinement,
    own_capabilities,
    record_podman,
    record_process,
    run_plain,
)
from .witness import Witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model.recording import Recording
    from .session import Attend, Watching

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
    """Run `command` (`podman run ...`, or a plain process) under the profile in a file; raises SecludeError."""
    if not 1 <= wishes.repeat <= MOST_RUNS:
        raise EngineError(f"{wishes.repeat} runs are out of range", hint=f"1 to {MOST_RUNS}")
    profile = oci.loads(read_text(path, limit=oci.LARGEST, error=EngineError), path)
    settings = replace(settings, denials=True)
    container = engine_for(command).name == "podman"
    expected = wishes.expected
    if expected is None:
        progress("a run without the profile, to know its exit status")
        expected = run_plain(command)
    recorded = []
    for number in range(1, wishes.repeat + 1):
        progress(f"run {number} of {wishes.repeat} under the profile")
        if container:
            recorded.append(_container(command, path, settings, wishes, progress))
        else:
            recorded.append(_process(command, profile, settings, wishes, progress))
    recordings = [each.recording for each in recorded]
    machine = platform.machine()
    capabilities = recordings[0].capabilities if container else own_capabilities()[0]
    return Proof(
        verification=verification(
            profile,
            Environment(machine=machine, kernel=platform.release(), capabilities=capabilities),
            recordings,
            known=sorted(syscalls.names(NATIVE_ABIS.get(machine, "x86_64"))),
            statuses=[each.status for each in recorded],
            expected=expected,
            lost=sum(recording.losses.denials + recording.losses.calls for recording in recordings),
        ),
        leaving=_leaving(command, path, settings, wishes, progress, recordings[0]),
    )


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
        attend=_attending(witnesses) if wishes.stacks else None,
    )
    return _with_stacks(recorded, witnesses)


def _process(
    command: Sequence[str],
    profile: Profile,
    settings: Settings,
    wishes: Wishes,
    progress: Callable[[str], None],
) -> Recorded:
    witnesses: list[Witness] = []
    with confinement(profile) as confine:
        recorded = record_process(
            command,
            settings,
            progress,
            {},
            confine=confine,
            attend=_attending(witnesses) if wishes.stacks else None,
        )
    return _with_stacks(recorded, witnesses)


def _attending(witnesses: list[Witness]) -> Attend:
    """Has a witness look at each denial, and leaves it in `witnesses`."""

    @contextmanager
    def attend(watch: Watching) -> Iterator[Callable[[], object]]:
        with Witness(watch, pause=True) as witness:
            witnesses.append(witness)
            yield witness.look

    return attend


def _with_stacks(recorded: Recorded, witnesses: Sequence[Witness]) -> Recorded:
    recording = recorded.recording
    for witness in witnesses:
        recording = replace(recording, denials=witness.with_stacks(recording.denials))
    return replace(recorded, recording=recording)


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
