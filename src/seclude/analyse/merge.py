"""Profiles in, one that means their union, their intersection or their difference out: exactly, or an error.

A call is decided in every place (architecture, capabilities, kernel) and for all arguments as the operation says:

- union: by the most permissive of what the profiles say; merge_outcomes has the order.
- intersection: by the strictest.
- difference: as by the first profile, but what one of the others certainly lets be made is refused.

Only rules are written that libseccomp compiles to what they say (complements.faithful), or that one of the profiles
has itself; what cannot be said by those is refused with the name of the call. The result is compared with the profiles
before it is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..errors import ProfileError
from ..model.profile import ERRNO, Profile, Rule
from .diagrams import Outcome
from .merge_calls import Calls, Operands, Solution, place_in_profile
from .merge_inputs import Clause, Inputs, Meaning
from .merge_outcomes import INTERSECTION, OPERATIONS, REFUSED, SUBTRACT, UNION
from .merge_settings import GO_NAMES, PAIRS, Pair, Settings, merged

TRACE = "SCMP_ACT_TRACE"

__all__ = ["INTERSECTION", "OPERATIONS", "SUBTRACT", "UNION", "merge"]


def merge(profiles: Iterable[Profile], operation: str = UNION) -> Profile:
    """The profile that means the operation on all of `profiles`, which are read one after the other.

    Raises ProfileError where no profile means that exactly, or none is given; ValueError for another operation.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"{operation!r} is none of {', '.join(OPERATIONS)}")
    gathered = _Gathered(profiles, operation)
    settings = merged(operation, gathered.settings)
    unnamed = gathered.defaults()
    calls = Calls(
        operation, [each.default for each in unnamed.meanings], [each.default for each in unnamed.taken]
    )
    names = sorted(gathered.names())
    solutions = {name: calls.rules(name, gathered.operands(name)) for name in names}
    _check_architectures(calls, gathered, names)
    result = Profile(
        default_action=calls.default[0],
        default_errno_ret=_errno(calls.default),
        architectures=settings.architectures,
        arch_map=settings.arch_map,
        rules=_written(solutions, gathered),
        flags=settings.flags,
        listener_path=settings.listener[0],
        listener_metadata=settings.listener[1],
    )
    _check(result, calls, gathered, names)
    return result


class _Gathered:
    """What all profiles say. Those whose architectures differ are kept apart, to see whether that matters."""

    def __init__(self, profiles: Iterable[Profile], operation: str) -> None:
        self._merged: dict[frozenset[Pair], Inputs] = {}
        self._taken: dict[frozenset[Pair], Inputs] = {}
        self._covered: dict[Settings, frozenset[Pair]] = {}
        for profile in profiles:
            settings = Settings.of(profile)
            if settings not in self._covered:
                self._covered[settings] = settings.covered()
            side = self._taken if operation == SUBTRACT and self._merged else self._merged
            side.setdefault(self._covered[settings], Inputs()).add(profile)
        if not self._merged:
            raise ProfileError("there is no profile to merge", hint="give one or more")

    @property
    def settings(self) -> tuple[Settings, ...]:
        """The different settings, those of the first profile first."""
        return tuple(self._covered)

    def unlike(self, pair: Pair) -> bool:
        """Whether the rules of some profiles hold for the pair, of which the merge has to know something."""
        return len({pair in covered for covered in (*self._merged, *self._taken)}) > 1

    def defaults(self, pair: Pair | None = None) -> Operands:
        """What is said of a call that no profile names."""
        return self._operands(pair, lambda inputs: frozenset(Meaning((), each) for each in inputs.defaults))

    def names(self) -> frozenset[str]:
        sides = (*self._merged.values(), *self._taken.values())
        return frozenset[str]().union(*(inputs.names() for inputs in sides))

    def operands(self, name: str, pair: Pair | None = None) -> Operands:
        """What is said of one call, by all profiles or by those whose rules hold for `pair`."""
        return self._operands(pair, lambda inputs: inputs.meanings(name))

    def _operands(self, pair: Pair | None, said: Callable[[Inputs], frozenset[Meaning]]) -> Operands:
        merged_, taken = (
            frozenset[Meaning]().union(
                *(said(inputs) for covered, inputs in side.items() if pair is None or pair in covered)
            )
            for side in (self._merged, self._taken)
        )
        return Operands(merged_, taken)

    def comment(self, names: Iterable[str], outcome: Outcome) -> str:
        """What all rules that gave these calls the outcome say of it; nothing where they do not agree."""
        found: set[str] = set()
        for inputs in self._merged.values():
            if inputs.comments:
                found = found.union(*(inputs.comments.get((name, outcome), ()) for name in names))
        return found.pop() if len(found) == 1 else ""


def _check_architectures(calls: Calls, gathered: _Gathered, names: Iterable[str]) -> None:
    """Refuse a merge whose rules would hold for an architecture for which some of the profiles say nothing.

    A rule holds for all architectures of a profile. Where one of the profiles does not have an architecture, its
    rules must not come to hold there, and what it takes away from must not lose its rules there.
    """
    if calls.operation == INTERSECTION:
        return  # what a profile does not have, the intersection has not
    unnamed = gathered.defaults()
    for pair in PAIRS:
        if not gathered.unlike(pair) or not gathered.defaults(pair).meanings:
            continue
        arch = GO_NAMES.get(pair[0])
        for name in (*names, ""):
            everywhere = gathered.operands(name) if name else unnamed
            there = gathered.operands(name, pair) if name else gathered.defaults(pair)
            if not calls.same(everywhere, there, arch):
                raise ProfileError(
                    f"SCMP_ARCH_{pair[1]} is an architecture of some of the profiles only, and the merged rule on "
                    f"{name[:80] or 'calls that no rule names'} would differ there",
                    hint="a rule holds for all architectures of its profile; let all profiles have the same",
                )


def _written(solutions: Mapping[str, Solution], gathered: _Gathered) -> tuple[Rule, ...]:
    """The rules, each with all calls on which it is the same."""
    single: dict[Clause, list[str]] = {}
    blocks: dict[tuple[Clause, ...], list[str]] = {}
    for name, solution in solutions.items():
        if solution.ordered:
            blocks.setdefault(solution.clauses, []).append(name)
        else:
            for clause in solution.clauses:
                single.setdefault(clause, []).append(name)
    rules = [(clause, single[clause]) for clause in sorted(single, key=place_in_profile)]
    for clauses, names in sorted(blocks.items(), key=lambda item: item[1]):
        rules += [(clause, names) for clause in clauses]
    return tuple(
        Rule(
            names=tuple(sorted(names)),
            action=clause.outcome[0],
            args=clause.conditions,
            comment=gathered.comment(names, clause.outcome),
            includes=clause.guard[0],
            excludes=clause.guard[1],
            errno_ret=_errno(clause.outcome),
        )
        for clause, names in rules
    )


def _errno(outcome: Outcome) -> int | None:
    """What has to be written of an outcome beside its action: nothing where engines take the same by themselves."""
    action, data = outcome
    return None if action not in (ERRNO, TRACE) or data == REFUSED[1] else data


def _check(result: Profile, calls: Calls, gathered: _Gathered, names: Iterable[str]) -> None:
    """Read the result as any profile is read, and hold it against the profiles that it was made of."""
    read = Inputs()
    read.add(result)
    for name in names:
        (meaning,) = read.meanings(name)
        if meaning.default != calls.default or not calls.holds(meaning.clauses, gathered.operands(name)):
            raise ProfileError(
                f"{name[:80]}: the merged rules do not mean what they should",
                hint="this is an error in seclude; please report it with the profiles",
            )
