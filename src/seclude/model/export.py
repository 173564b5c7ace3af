"""What formats share: a profile in, one without the engines' extensions out; and what a format left unsaid, by name.

A loss never lets in a call that the profile refuses, unless its text says so: formats that could only say more than
the profile does refuse it.
"""

from __future__ import annotations

import errno

from ..errors import ProfileError
from .environment import Environment
from .frozen import frozen, replace
from .profile import ERRNO, EVERYWHERE, NATIVE, Argument, Profile, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Outcome = tuple[str, int]
    Conditions = tuple[Argument, ...]
    Meaning = tuple[tuple[Conditions, Outcome], ...]

WITH_DATA = (ERRNO, "SCMP_ACT_TRACE")
"""The actions that carry an errno, or a number for the tracer."""

MOST_NAMED = 12
"""Calls that a loss names; of more it says how many."""

_CANONICAL = {errno.EAGAIN: "EAGAIN", errno.EDEADLK: "EDEADLK", errno.EOPNOTSUPP: "EOPNOTSUPP"}
"""Numbers with two names, of which not every program knows the other."""


@frozen
class Loss:
    """Something that a format could not say: an id such as "spo/default-errno", and what happens instead."""

    id: str
    text: str


@frozen
class Written:
    """A profile in another format. `notes`: what to know or to do."""

    text: str
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()


@frozen
class Read:
    """A profile from another format; `losses`: what of it a profile could not say."""

    profile: Profile
    losses: tuple[Loss, ...] = ()


@frozen
class Settings:
    """What decides how a profile is written or read. `environment` is where it will be applied; `name` and
    `namespace` of a Kubernetes object; `api_version` of the Security Profiles Operator; `groups`: use systemd's sets;
    `sets`: a text of `systemd-analyze syscall-filter` in place of the table that comes with us.
    """

    environment: Environment
    name: str = "seclude"
    namespace: str = ""
    api_version: str = "v1"
    groups: bool = False
    sets: str = ""


class Losses:
    """Collects losses in the order in which they were met; the calls of one loss are named together."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._found: dict[tuple[str, str], list[str]] = {}

    def add(self, id_: str, text: str, call: str = "") -> None:
        """One loss; `text` may have "{}" where the calls go."""
        calls = self._found.setdefault((f"{self._form}/{id_}", text), [])
        if call and call not in calls:
            calls.append(call)

    def all(self) -> tuple[Loss, ...]:
        """Every loss once."""
        return tuple(
            Loss(id=id_, text=text.replace("{}", named(calls))) for (id_, text), calls in self._found.items()
        )


def named(calls: Sequence[str]) -> str:
    """The names for a sentence: "read, write and 5 more"."""
    shown = ", ".join(calls[:MOST_NAMED])
    left = len(calls) - MOST_NAMED
    return f"{shown} and {left} more" if left > 0 else shown


def lossless(losses: Sequence[Loss], form: str) -> None:
    """Raise ProfileError, which names every loss, if there is any."""
    if losses:
        told = "; ".join(f"{loss.text} [{loss.id}]" for loss in losses)
        raise ProfileError(f"{form} cannot say all of this profile: {told}", hint="--lossy accepts this")


class Exporter:
    """What the formats that write have in common; each has a `name` and says what it writes in `written`."""

    name = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def written(self, profile: Profile) -> Written:
        """The text, with what it leaves unsaid; raises ProfileError for what must not be left unsaid."""
        raise NotImplementedError

    def dumps(self, profile: Profile) -> str:
        """The text alone; raises ProfileError for what cannot be said."""
        written = self.written(profile)
        lossless(written.losses, self.name)
        return written.text


def words(calls: Iterable[str], form: str) -> None:
    """Raise ProfileError for a name that is none, and that a format without quotes would take for something else."""
    for name in calls:
        if not (name.isascii() and name.replace("_", "a").isalnum()):
            raise ProfileError(f"{name[:80]!r} is no name of a system call, and {form} has no quotes")


def errno_name(number: int) -> str:
    """The name of an errno, or its digits where it has none."""
    return _CANONICAL.get(number) or errno.errorcode.get(number, str(number))


def resolved(profile: Profile, environment: Environment) -> Profile:
    """What engines hand to libseccomp there: no includes, excludes, archMap, errno by name, nor rules without effect.

    Calls that are treated alike share a rule.
    """
    rules: dict[tuple[Conditions, Outcome], list[str]] = {}
    alone: list[Rule] = []
    for name, meaning in by_call(profile, environment).items():
        if len(meaning) == 1:
            rules.setdefault(meaning[0], []).append(name)
        else:
            # The first rule that fits decides, so the order of one call's rules must stay.
            alone += [_rule((name,), args, outcome) for args, outcome in meaning]
    shared = [_rule(tuple(sorted(names)), *key) for key, names in rules.items()]
    action, data = profile.outcome
    return replace(
        profile,
        default_action=action,
        default_errno_ret=data if action in WITH_DATA else None,
        default_errno="",
        architectures=environment.architectures(profile),
        arch_map=(),
        rules=(*shared, *alone),
    )


def _rule(names: tuple[str, ...], args: Conditions, outcome: Outcome) -> Rule:
    action, data = outcome
    number = data if action in WITH_DATA else None
    return Rule(names=names, action=action, args=args, errno_ret=number)


def architectures(profile: Profile, environment: Environment) -> tuple[str, ...]:
    """The architectures that the filter holds for there, the native one first where it is known."""
    found = (environment.architecture, *environment.architectures(profile))
    return tuple(dict.fromkeys(name for name in found if name and name != NATIVE))


def by_call(profile: Profile, environment: Environment) -> Mapping[str, Meaning]:
    """Call -> what decides it there, (conditions, outcome) in the order in which they are asked; else the default.

    As model.decision.decide: rules with the default's outcome do not count, one without conditions is the only one.
    Two conditions on one argument are alternatives, hence two entries.
    """
    found: dict[str, list[tuple[Conditions, Outcome]]] = {}
    for rule in profile.rules:
        if not environment.applies(rule) or rule.outcome == profile.outcome:
            continue
        telling = tuple(each for each in rule.args if not each.vacuous())
        free = rule.unconditional()
        parts = [()] if free else [(each,) for each in telling] if rule.alternatives else [telling]
        for name in dict.fromkeys(rule.names):
            found.setdefault(name, []).extend((part, rule.outcome) for part in parts)
    return {
        name: next((((), outcome),) for args, outcome in entries if not args)
        if any(not args for args, _ in entries)
        else tuple(dict.fromkeys(entries))
        for name, entries in found.items()
    }


def extended(profile: Profile) -> bool:
    """Whether it says anything that depends on where it is applied: includes, excludes or archMap."""
    conditional = (rule.includes != EVERYWHERE or rule.excludes != EVERYWHERE for rule in profile.rules)
    return bool(profile.arch_map) or any(conditional)


def resolution(profile: Profile, environment: Environment) -> tuple[str, ...]:
    """The note that says for which machine and capabilities the profile was resolved, if that matters."""
    if not extended(profile):
        return ()
    capabilities = ", ".join(environment.capabilities) or "no capabilities"
    return (f"resolved for {environment.machine}, kernel {environment.kernel}, {capabilities}",)
