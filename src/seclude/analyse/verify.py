"""A profile and what a command did under it in, the proof or what is wrong out."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.decision import BY_ARCHITECTURE, BY_ARGUMENTS, BY_RULE, Decision, decide
from ..model.denial import OTHER_NUMBER, Denial
from ..model.environment import NATIVE_ABIS, Environment
from ..model.frozen import frozen, replace
from ..model.profile import Profile
from ..model.recording import Recording

REMEDIES = {
    BY_RULE: "a rule of the profile refuses it: change that rule if the program may make this call",
    BY_ARGUMENTS: "the profile allows {name} with other arguments only: record a run that makes this one",
    BY_ARCHITECTURE: "add the architecture of {abi} calls to the profile: record the program that makes them",
}
_NO_RULE = "record a run that makes it: seclude record --from PROFILE -o PROFILE -- CMD"
_OTHER = "the number is in no table: nothing can allow it"


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
    """The allowed calls that were made, and those that never were."""

    made: tuple[str, ...]
    never: tuple[str, ...]


@frozen
class NotRecorded:
    """Stands where the usage would be if the calls had been recorded: the reason why only denials are known."""

    reason: str


@frozen
class Verification:
    """`allowed`: the names that the profile allows here, with whatever arguments; `usage`: which of them were made.

    `statuses`: of each run under the profile; `expected`: the status to have, None where there was nothing to go by.
    """

    allowed: tuple[str, ...]
    usage: Usage | NotRecorded
    refusals: tuple[Refusal, ...]
    logged: tuple[Denial, ...]
    statuses: tuple[int, ...]
    expected: int | None
    lost: int = 0

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
    )


def _usage(allowed: Sequence[str], recordings: Sequence[Recording]) -> Usage:
    made = frozenset[str]().union(*(recording.names() for recording in recordings))
    return Usage(
        made=tuple(sorted(made.intersection(allowed))), never=tuple(sorted({*allowed}.difference(made)))
    )


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
