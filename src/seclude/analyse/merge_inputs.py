"""Profiles in, one after the other; what they say of each call, without repetition, out: for any number of profiles.

Only what differs is kept: of most calls there are two things to say (allowed, or not named), and these are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..complements import telling
from ..model.profile import EVERYWHERE, LARGEST_VALUE, Filter, Profile, Rule, kernel_version
from .diagrams import Conditions, Outcome

Guard = tuple[Filter, Filter]
ANYWHERE: Guard = (EVERYWHERE, EVERYWHERE)


class Clause(NamedTuple):
    """A rule on one call: in places that `guard` lets in, where all `conditions` hold."""

    guard: Guard
    conditions: Conditions
    outcome: Outcome


class Meaning(NamedTuple):
    """What a profile says of one call: clauses, in order and without those that repeat the default; the default."""

    clauses: tuple[Clause, ...]
    default: Outcome

    @property
    def constant(self) -> Outcome | None:
        """The outcome if it is the same everywhere and for all arguments, by form."""
        if not self.clauses:
            return self.default
        first = self.clauses[0]
        return first.outcome if first.guard == ANYWHERE and not first.conditions else None


class Inputs:
    """What some profiles say, call by call."""

    def __init__(self) -> None:
        self._profiles: Counter[Outcome] = Counter()
        self._plain: dict[tuple[Outcome, Outcome], Counter[str]] = {}
        self._others: dict[str, Counter[Meaning]] = {}
        self._clauses: dict[Rule, tuple[Clause, ...]] = {}
        self.comments: dict[tuple[str, Outcome], set[str]] = {}

    @property
    def defaults(self) -> frozenset[Outcome]:
        """What the profiles do with a call that they do not name."""
        return frozenset(self._profiles)

    def add(self, profile: Profile) -> None:
        """Take in one more profile."""
        default = profile.outcome
        self._profiles[default] += 1
        plain: list[tuple[Rule, Outcome]] = []
        others: list[Rule] = []
        for rule in profile.rules:
            outcome = rule.outcome
            if outcome == default:
                continue
            if rule.comment:
                self._remember(rule, outcome)
            if not rule.args and rule.includes == EVERYWHERE and rule.excludes == EVERYWHERE:
                plain.append((rule, outcome))
            else:
                others.append(rule)
        entangled = self._entangled(profile, default, others) if others else frozenset()
        seen: set[str] = set()
        for rule, outcome in plain:
            # Of several rules without conditions the first counts.
            names = set(rule.names) - seen - entangled
            self._plain.setdefault((default, outcome), Counter()).update(names)
            if len(plain) > 1:
                seen |= names

    def _entangled(self, profile: Profile, default: Outcome, others: Iterable[Rule]) -> frozenset[str]:
        """The calls on which there are rules with conditions or guards, which are taken in here."""
        names = frozenset(name for rule in others for name in rule.names)
        found: dict[str, list[Clause]] = {name: [] for name in names}
        for rule in profile.rules:
            if rule.outcome != default and not names.isdisjoint(rule.names):
                read = self._read(rule)
                for name in dict.fromkeys(rule.names):
                    if name in names:
                        found[name] += read
        for name, clauses in found.items():
            meaning = Meaning(tuple(dict.fromkeys(clauses)), default)
            self._others.setdefault(name, Counter())[meaning] += 1
        return names

    def _read(self, rule: Rule) -> tuple[Clause, ...]:
        nameless = Rule(
            names=(),
            action=rule.action,
            args=rule.args,
            includes=rule.includes,
            excludes=rule.excludes,
            errno_ret=rule.errno_ret,
            errno=rule.errno,
        )
        if nameless not in self._clauses:
            guard = (_sorted(rule.includes), _sorted(rule.excludes))
            self._clauses[nameless] = tuple(
                Clause(guard, tuple(sorted(dict.fromkeys(conditions), key=order)), rule.outcome)
                for conditions in telling(rule, LARGEST_VALUE)
            )
        return self._clauses[nameless]

    def _remember(self, rule: Rule, outcome: Outcome) -> None:
        for name in rule.names:
            self.comments.setdefault((name, outcome), set()).add(rule.comment)

    def names(self) -> frozenset[str]:
        """The calls that a rule names."""
        return frozenset(self._others).union(*self._plain.values())

    def meanings(self, name: str) -> frozenset[Meaning]:
        """All that is said of a call, by the default where a profile does not name it."""
        found = set(self._others.get(name, ()))
        told = Counter[Outcome]()
        for meaning, number in self._others.get(name, {}).items():
            told[meaning.default] += number
        for (default, outcome), counts in self._plain.items():
            if counts[name]:
                told[default] += counts[name]
                found.add(Meaning((Clause(ANYWHERE, (), outcome),), default))
        found |= {Meaning((), each) for each, number in self._profiles.items() if told[each] < number}
        return frozenset(found)


def order(item: object) -> str:
    """A key that sorts conditions and clauses alike in every run."""
    return repr(item)


def _sorted(filter_: Filter) -> Filter:
    """The filter in one form."""
    version = kernel_version(filter_.min_kernel) if filter_.min_kernel else None
    return Filter(
        arches=tuple(sorted(set(filter_.arches))),
        caps=tuple(sorted(set(filter_.caps))),
        min_kernel=f"{version[0]}.{version[1]}" if version else "",
    )


def guards_of(meanings: Iterable[Meaning]) -> Iterator[Guard]:
    """The guards of all clauses."""
    return (clause.guard for meaning in meanings for clause in meaning.clauses)
