"""A profile and what a command did under it in, the proof or what is wrong out."""

from __future__ import annotations

from collections.abc import Sequence

from ..belated import belated
from ..model.decision import BY_ARCHITECTURE, BY_ARGUMENTS, BY_RULE, Decision, decide
from ..model.denial import OTHER_NUMBER, Denial
from ..model.environment import NATIVE_ABIS, Environment
from ..model.frozen import frozen, replace
from ..model.profile import PERMITTING, Profile, Rule
from ..model.recording import Recording

REMEDIES = {
    BY_RULE: "a rule of the profile refuses it: change that rule if the program may make this call",
    BY_ARGUMENTS: "the profile allows {name} with other arguments only: record a run that makes this one",
    BY_ARCHITECTURE: "add the architecture of {abi} calls to the profile: record the program that makes them",
}
_NO_RULE = "record a run that makes it: seclude record --from PROFILE -o PROFILE -- CMD"
_OTHER = "the number is in no table: nothing can allow it"


_KILLED = 128 + 31
"""The status of who made a call for which the kernel kills (SIGSYS)."""

_UNASKED = ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP")


@frozen
class Refusal:
    """A call as one program made it in one context, refused `count` times by `processes` processes.

    `denial` is the first of them, with its arguments and frames; `cause` one of those in model.decision.
    """

    denial: Denial
    count: int
    processes: int
    cause: str
    remedy: str


@frozen
class Usage:
    """The allowed calls that were made, and those that never were; in neither what the tracer could not see, and what
    was only not made this time (belated.py)."""

    made: tuple[str, ...]
    never: tuple[str, ...]


@frozen
class NotRecorded:
    """Stands where the usage would be if the calls had been recorded: the reason why only denials are known.

    `why`: what is missing and the next step, empty where there is none.
    """

    reason: str
    why: str = ""


@frozen
class Verification:
    """`allowed`: the names that the profile allows here, with whatever arguments; `usage`: which of them were made.

    `statuses`: of each run under the profile; `expected`: the status to have, None where there was nothing to go by.
    `unnamed`: which refusals the tracer would not have named, a phrase each.
    """

    allowed: tuple[str, ...]
    usage: Usage | NotRecorded
    refusals: tuple[Refusal, ...]
    logged: tuple[Denial, ...]
    statuses: tuple[int, ...]
    expected: int | None
    lost: int = 0
    unnamed: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was refused or lost, and every run ended as expected."""
        return not self.refusals and not self.lost and self.as_expected

    @property
    def as_expected(self) -> bool:
        """Whether every run ended alike and, where that is known, as it does without the profile."""
        return len({*self.statuses, *(() if self.expected is None else (self.expected,))}) <= 1


def allowed_names(profile: Profile, environment: Environment, names: Sequence[str]) -> tuple[str, ...]:
    """Of `names`, those that the profile allows with at least some arguments, sorted."""
    rules = [rule for rule in profile.rules if environment.applies(rule)]
    permitted = {name for rule in rules if rule.permits for name in rule.names}
    if not profile.permits:
        return tuple(sorted(permitted.intersection(names)))
    refused = {name for rule in rules if not rule.permits and rule.unconditional() for name in rule.names}
    return tuple(sorted(permitted.union(set(names) - refused).intersection(names)))


def verification(
    profile: Profile,
    environment: Environment,
    seen: Sequence[Recording] | NotRecorded,
    denials: Sequence[Denial],
    *,
    known: Sequence[str],
    statuses: Sequence[int],
    expected: int | None,
    lost: int = 0,
) -> Verification:
    """What the runs under the profile say of it. `known`: the names that this machine's own ABI has."""
    allowed = allowed_names(profile, environment, known)
    return Verification(
        allowed=allowed,
        usage=seen if isinstance(seen, NotRecorded) else _usage(allowed, seen),
        refusals=refusals(profile, environment, [denial for denial in denials if denial.refused]),
        logged=tuple(denial for denial in denials if not denial.refused),
        statuses=tuple(statuses),
        expected=expected,
        lost=lost,
        unnamed=() if isinstance(seen, NotRecorded) else _unnamed(profile, environment, seen, statuses),
    )


def _usage(allowed: Sequence[str], recordings: Sequence[Recording]) -> Usage:
    made = frozenset[str]().union(*(recording.names() for recording in recordings))
    unseen = {name for recording in recordings for name in (*recording.unseen, *belated(recording))}
    return Usage(
        made=tuple(sorted(made.intersection(allowed))),
        never=tuple(sorted({*allowed}.difference(made, unseen))),
    )


def _unnamed(
    profile: Profile, environment: Environment, recordings: Sequence[Recording], statuses: Sequence[int]
) -> tuple[str, ...]:
    """What only eBPF sees: that the kernel killed, or sent a signal; and a refusal of what cannot be asked about."""
    if all(recording.tracer != "notify" for recording in recordings):
        return ()
    rules = [rule for rule in profile.rules if environment.applies(rule)]
    actions = {outcome[0] for outcome in (profile.outcome, *(rule.outcome for rule in rules))}
    unseen = {name for recording in recordings for name in recording.unseen}
    return (
        *(f"calls that are answered with {action}" for action in sorted(actions.intersection(_UNASKED))),
        *(["calls of an architecture that is not in the profile"] if _KILLED in statuses else []),
        *(f"{name}, which can be refused" for name in sorted(unseen) if _refusable(profile, rules, name)),
    )


def _refusable(profile: Profile, rules: Sequence[Rule], name: str) -> bool:
    """Whether a call is answered with an errno, for at least some arguments."""
    naming = [rule for rule in rules if name in rule.names and rule.outcome != profile.outcome]
    plain = [rule.outcome for rule in naming if rule.unconditional()]
    outcomes = plain[:1] or [profile.outcome, *(rule.outcome for rule in naming)]
    return any(action not in (*PERMITTING, *_UNASKED) for action, _ in outcomes)


def never_made(verifications: Sequence[Verification]) -> frozenset[str]:
    """The allowed calls that none of these runs made; none where that is not known of one of them."""
    never = [frozenset(each.usage.never if isinstance(each.usage, Usage) else ()) for each in verifications]
    return never[0].intersection(*never) if never else frozenset()


def refusals(profile: Profile, environment: Environment, denials: Sequence[Denial]) -> tuple[Refusal, ...]:
    """The denials of one call by one program in one context as one, in the order in which they came."""
    found: dict[tuple[object, ...], Refusal] = {}
    seen: dict[tuple[object, ...], set[int]] = {}
    for denial in denials:
        decision = decide(profile, environment, denial.abi, denial.name, denial.arguments)
        whose = (denial.executable, denial.context)
        key = (denial.abi, denial.number, denial.action, denial.data, decision.cause, whose)
        seen.setdefault(key, set()).add(denial.pid)
        known = found.get(key)
        if known is None:
            found[key] = Refusal(
                denial=denial,
                count=denial.count,
                processes=1,
                cause=decision.cause,
                remedy=_remedy(denial, decision, environment),
            )
        else:
            first = known.denial if known.denial.python or not denial.python else denial
            found[key] = replace(
                known, denial=first, count=known.count + denial.count, processes=len(seen[key])
            )
    return tuple(found.values())


def _remedy(denial: Denial, decision: Decision, environment: Environment) -> str:
    if denial.number == OTHER_NUMBER or denial.name.startswith("#"):
        return _OTHER
    if decision.cause == BY_RULE and decision.action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"):
        # The profile allows it, so something else refused it: another filter, or rules that an engine added.
        return "this profile allows it: another filter of the process refuses it"
    native = NATIVE_ABIS.get(environment.machine, "")
    text = REMEDIES.get(decision.cause, _NO_RULE)
    return text.format(name=denial.name, abi=denial.abi if denial.abi != native else "its")
