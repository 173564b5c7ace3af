"""Recordings in, the profile that allows what they saw out: from nothing, or on top of one that stays whole."""

from __future__ import annotations

from .additions import Additions, additions
from .conditions import BEYOND, caveats, conditions
from .errors import ProfileError, RecordingError
from .model.environment import NATIVE_ABIS, Environment
from .model.frozen import frozen, replace
from .model.profile import ALLOW, ERRNO, LARGEST_ERRNO, Profile, Rule, errno_value
from .model.recording import ABIS
from .portable import siblings
from .startup import caveats as caveats_of_start
from .syscalls import ARCHITECTURES
from .syscalls import names as syscall_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model.profile import Argument
    from .model.recording import Recording


@frozen
class Synthesis:
    """The profile, and what its reader should know: what could not be allowed, or was left denied."""

    profile: Profile
    notes: tuple[str, ...]


def conditional_arguments(profile: Profile) -> dict[str, tuple[int, ...]]:
    """Call name -> sorted indices of the arguments that its rules, of whatever action, put conditions on.

    Of these a recorder has to keep the values, so that `synthesize` can tell what the profile says to them.
    """
    indices: dict[str, set[int]] = {}
    for rule in profile.rules:
        for argument in rule.args:
            for name in rule.names:
                indices.setdefault(name, set()).add(argument.index)
    return {name: tuple(sorted(found)) for name, found in sorted(indices.items())}


def synthesize(
    recordings: Sequence[Recording],
    *,
    base: Profile | None = None,
    baseline: Iterable[str] = (),
    default_errno: str = "",
    insist: bool = False,
    arguments: str = "none",
    portable: bool = False,
) -> Synthesis:
    """A profile that allows the runtime's and the application's calls in all recordings, and the `baseline`.

    Without `base`: everything else is refused with EPERM, or with `default_errno` (a name such as ENOSYS).
    With `base`: all of it stays, and as much is appended as the recorded calls need and its rules do not deny.
    `insist` accepts recordings that have lost calls. `arguments` (conditions.LEVELS) and `portable` (see portable.py)
    make a new profile's rules tighter and wider; a base is extended as it is. Raises RecordingError if there is nothing
    to go by, or calls were lost; ProfileError for an unknown `default_errno`.
    """
    notes = _check(recordings, insist)
    unseen = frozenset(name for recording in recordings for name in recording.unseen)
    if unseen:
        baseline = unseen.union(baseline)
        notes.append(f"allowed without having been seen, which notify cannot: {', '.join(sorted(unseen))}")
    if default_errno and not 0 < (errno_value(default_errno) or 0) <= LARGEST_ERRNO:
        raise ProfileError(f"unknown errno {default_errno[:80]!r}", hint="a name such as EPERM or ENOSYS")
    if base is None:
        made = _fresh(recordings, frozenset(baseline), default_errno)
        profile = _shaped(made, recordings, frozenset(baseline), arguments, portable, notes)
    else:
        if arguments != "none" or portable:
            notes.append("the base profile is extended as it is: no conditions, no siblings of calls")
        if default_errno:
            notes.append(f"the errno of refused calls stays the base profile's, not {default_errno}")
        added = additions(base, recordings, frozenset(baseline))
        notes.extend(added.notes)
        profile = _extended(base, recordings, added, notes)
    notes.extend(caveats_of_start(recordings, profile))
    return Synthesis(profile=profile, notes=tuple(dict.fromkeys(notes)))


def _check(recordings: Sequence[Recording], insist: bool) -> list[str]:
    """Notes on what the recordings lack; raises RecordingError where it is too much."""
    if not any(recording.names() for recording in recordings):
        raise RecordingError(
            "no system call was recorded" if recordings else "there is no recording",
            hint="give it something to do meanwhile, or a longer --duration"
            if any(recording.attached for recording in recordings)
            else "record a container or a command that runs",
        )
    notes = []
    for recording in recordings:
        lost = recording.losses.calls
        if lost and not insist:
            raise RecordingError(
                f"the recorder lost {lost} calls: a profile made from this may deny what is needed",
                hint="record again, or insist on making a profile from it",
            )
        if lost:
            notes.append(f"the recorder lost {lost} calls: the profile may deny what is needed")
        nameless = any(name.startswith("#") for phase, _, name in recording.kinds() if phase != "denied")
        made = (call for call in recording.calls if nameless and call.phase != "denied")
        for abi, number in sorted({(call.abi, call.number) for call in made if not call.named}):
            notes.append(f"{abi} call number {number} has no name, so a profile cannot allow it")
    # A hostile program can call any number; the list of them is no use beyond its beginning.
    return notes if len(notes) <= 20 else [*notes[:20], f"and {len(notes) - 20} more of this kind"]


def _abis(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The ABIs with named calls, the machine's own first."""
    native = NATIVE_ABIS.get(recordings[0].machine, "")
    used = {abi for recording in recordings for abi in recording.abis() if recording.names(abi=abi)}
    return tuple(sorted(used, key=lambda abi: (abi != native, ABIS.index(abi))))


def _fresh(recordings: Sequence[Recording], baseline: frozenset[str], default_errno: str) -> Profile:
    names = baseline.union(*(recording.names() for recording in recordings))
    return Profile(
        default_action=ERRNO,
        default_errno_ret=errno_value(default_errno) if default_errno else None,
        architectures=tuple(ARCHITECTURES[abi] for abi in _abis(recordings)),
        rules=(Rule(names=tuple(sorted(names)), action=ALLOW),),
    )


def _shaped(
    made: Profile,
    recordings: Sequence[Recording],
    baseline: frozenset[str],
    arguments: str,
    portable: bool,
    notes: list[str],
) -> Profile:
    """A fresh profile with conditions on arguments and with siblings of calls, as far as they are wanted."""
    names = frozenset(made.rules[0].names)
    # Of what a recording does not show of the runtime no argument is known.
    told = {
        name: alternatives
        for name, alternatives in conditions(recordings, arguments).items()
        if name not in baseline
    }
    architectures = made.architectures
    wide = names
    if portable:
        architectures = tuple(dict.fromkeys((*architectures, *map(ARCHITECTURES.__getitem__, _PORTABLE))))
        known = frozenset[str]().union(*(syscall_names(abi) for abi in {*_abis(recordings), *_PORTABLE}))
        wide = siblings(names).intersection(known) - {
            beyond for name, beyond in BEYOND.items() if name in told and beyond not in names
        }
    notes.extend(caveats(names, told))
    grouped: dict[tuple[Argument, ...], set[str]] = {}
    for name, alternatives in told.items():
        for alternative in alternatives:
            grouped.setdefault(alternative, set()).add(name)
    rules = [Rule(names=tuple(sorted(wide - set(told))), action=ALLOW)]
    rules += [
        Rule(names=tuple(sorted(each)), action=ALLOW, args=args)
        for args, each in sorted(grouped.items(), key=lambda item: (sorted(item[1]), repr(item[0])))
    ]
    if "clone" in told and "clone3" not in names:
        # glibc tries clone3 first, and clone only after ENOSYS (sysdeps/unix/sysv/linux/clone-internal.c).
        rules.append(Rule(names=("clone3",), action=ERRNO, errno_ret=errno_value("ENOSYS")))
    return replace(made, architectures=architectures, rules=tuple(rules))


_PORTABLE = ("x86_64", "aarch64")
"""The ABIs that a portable profile is for."""


def _extended(base: Profile, recordings: Sequence[Recording], added: Additions, notes: list[str]) -> Profile:
    used = _abis(recordings)
    architectures = base.architectures
    if base.arch_map:
        for recording in recordings:
            environment = Environment(machine=recording.machine, kernel=recording.kernel, capabilities=())
            covered = {environment.architecture, *environment.architectures(base)}
            notes.extend(
                f"{abi} calls stay refused: {ARCHITECTURES[abi]} is not in the base profile's archMap"
                for abi in recording.abis()
                if ARCHITECTURES[abi] not in covered
            )
    elif architectures or any(abi != NATIVE_ABIS.get(recordings[0].machine) for abi in used):
        # The native architecture is always in the filter (libseccomp, seccomp_init): a profile may name none.
        missing = [ARCHITECTURES[abi] for abi in used if ARCHITECTURES[abi] not in architectures]
        architectures = (*architectures, *missing)
    return replace(base, architectures=architectures, rules=(*base.rules, *added.rules))
