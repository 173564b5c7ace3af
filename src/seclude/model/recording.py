"""What was seen, and by whom: one recording of one container or process tree, validated on construction."""

from __future__ import annotations

from ..errors import RecordingError
from .frozen import compact, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .denial import Denial
    from .origin import Origin

FORMAT = "seclude-recording"
VERSION = 1

ABIS = ("x86_64", "x86", "x32", "aarch64", "arm")
"""The tables a call number can belong to, in the recorder's order (bpf/recorder.h, enum abi)."""

PHASES = ("runtime", "app", "denied")
"""Who made the call: the OCI runtime after it loaded the filter, the application after the entrypoint's exec,
or nobody in the end, because seccomp refused it (the recorder's order: bpf/recorder.h, enum phase)."""

NO_CONTEXT = ""
OVERFLOW = "(other)"
"""The context or executable that stands for all those beyond the recorder's limits."""


@frozen
class Dropped:
    """Stands where the detail of a call would be, with the reason why it was not kept."""

    reason: str = "the recorder's table of details was full"


@compact
class FirstSeen:
    """The first time a call was made in its context: seconds since the recording began, ids as the host sees them.

    `result` is what a refused call returned (a negative errno); 0 for the others, whose end is not watched.
    """

    time: float
    pid: int
    tid: int
    comm: str
    executable: str
    arguments: tuple[int, ...]
    result: int = 0


@compact
class Call:
    """One system call as one context made it. `name` is "#NUMBER" where the ABI's table has no name for it.

    `count` is the number of times it was made, 0 where counts were not asked for.
    """

    abi: str
    phase: str
    context: str
    number: int
    name: str
    first: FirstSeen | Dropped
    count: int = 0

    def __post_init__(self) -> None:
        if self.abi not in ABIS:
            raise RecordingError(f"unknown ABI {self.abi!r}", hint=f"one of {', '.join(ABIS)}")
        if self.phase not in PHASES:
            raise RecordingError(f"unknown phase {self.phase!r}", hint=f"one of {', '.join(PHASES)}")

    @property
    def named(self) -> bool:
        """Whether the call has a name, without which no profile can allow it."""
        return not self.name.startswith("#")


@frozen
class ArgumentValues:
    """The distinct values that some arguments of one call had: each of `values` has one entry for each of `indices`.

    `complete` is False where there were more than the recorder keeps: then other values were seen too.
    """

    abi: str
    name: str
    indices: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    complete: bool


@frozen
class Losses:
    """What the recorder could not keep.

    `calls`: calls that may be missing altogether, so that no profile is made unless the user insists.
    The others lost a detail only (first-seen facts, a context's name, an executable's name, a marker whose name
    could not be read); the set of calls is whole. `denials`: refused calls that may be missing.
    """

    calls: int = 0
    facts: int = 0
    contexts: int = 0
    executables: int = 0
    markers: int = 0
    denials: int = 0


@frozen
class Observation:
    """What a tracer saw of one target, without who or where it was; `duration` in seconds."""

    duration: float
    calls: tuple[Call, ...]
    arguments: tuple[ArgumentValues, ...]
    losses: Losses
    denials: tuple[Denial, ...] = ()
    origins: tuple[Origin, ...] = ()


@frozen
class Recording:
    """What one container or process tree called. `calls` is sorted by (phase, abi, name, context).

    `denials`: what a filter refused or logged, where that was asked for, by time. The calls of phase `denied` are the
    refused ones, without the processes. `attached`: it ran already when the recording began, so that what it called to
    start is missing. `unseen`: permitted calls that the tracer cannot see, whether they were made or not.
    `origins`: the code that made the calls, where that was asked for, by time.
    """

    created: str
    duration: float
    seclude: str
    tracer: str
    kernel: str
    machine: str
    engine: str
    calls: tuple[Call, ...]
    runtime: str = ""
    runtime_version: str = ""
    image: str = ""
    container: str = ""
    command: tuple[str, ...] = ()
    confined: bool = False
    no_new_privileges: bool = False
    counted: bool = False
    capabilities: tuple[str, ...] = ()
    arguments: tuple[ArgumentValues, ...] = ()
    losses: Losses = Losses()
    denials: tuple[Denial, ...] = ()
    attached: bool = False
    unseen: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    def kinds(self) -> frozenset[tuple[str, str, str]]:
        """(phase, ABI, name) of all calls: some hundred, where there may be a million calls of thousands of tests."""
        found: frozenset[tuple[str, str, str]] | None = self.__dict__.get("_kinds")
        if found is None:
            found = frozenset({(call.phase, call.abi, call.name) for call in self.calls})
            # What is frozen is looked through once.
            object.__setattr__(self, "_kinds", found)
        return found

    def names(self, *phases: str, abi: str = "") -> frozenset[str]:
        """The named calls of the given phases (runtime and app unless said otherwise), of one ABI or of all."""
        wanted = phases or ("runtime", "app")
        return frozenset(
            name
            for phase, of, name in self.kinds()
            if phase in wanted and not name.startswith("#") and (not abi or of == abi)
        )

    def abis(self) -> tuple[str, ...]:
        """The ABIs that were used, in the order of ABIS."""
        used = {abi for phase, abi, _ in self.kinds() if phase != "denied"}
        return tuple(abi for abi in ABIS if abi in used)
