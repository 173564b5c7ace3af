"""What several profiles say of one call in, the rules that say what their merge comes to out, exactly or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..complements import faithful
from ..errors import ProfileError
from ..model.decision import in_order
from ..model.profile import ALLOW, LARGEST_VALUE, MASKED_EQUAL, NARROW, Argument
from .diagrams import Conditions, Outcome, TooComplex
from .merge_inputs import ANYWHERE, Clause, Meaning, guards_of, order
from .merge_outcomes import SUBTRACT, UNION, chosen, permits, refusal, refuses
from .merge_places import Place, Places, TooManyPlaces
from .merge_regions import EVERYTHING, MOST_NODES, NOWHERE, Regions, candidates

Regional = dict[Outcome, int]
"""Outcome -> the region in which it is what happens; together they are everything."""


_ALLOWED: Outcome = (ALLOW, 0)


class Operands(NamedTuple):
    """What is said of one call: by the profiles that are merged, or by the one that others are taken from."""

    meanings: frozenset[Meaning]
    taken: frozenset[Meaning] = frozenset()


class Solution(NamedTuple):
    """Rules on one call. `ordered`: they are one profile's own and must stay in this order."""

    clauses: tuple[Clause, ...]
    ordered: bool = False


class Calls:
    """One operation on any number of calls; what has been worked out once is remembered.

    `first` and `taken`: what the profiles do with a call that they do not name.
    """

    def __init__(self, operation: str, first: Iterable[Outcome], taken: Iterable[Outcome] = ()) -> None:
        self.operation = operation
        defaults = list(first)
        self._refusal = refusal(defaults[0])
        self.default = self._constant(defaults, taken)
        self._regions: dict[int, Regions] = {}
        self._solved: dict[Operands, Solution] = {}

    def rules(self, name: str, operands: Operands) -> Solution:
        """The rules on the call; raises ProfileError that names it and says why there are none."""
        if operands not in self._solved:
            try:
                self._solved[operands] = self._solution(operands)
            except TooComplex:
                raise _refused(name, "the conditions on its arguments are too many to be compared") from None
            except TooManyPlaces:
                raise _refused(name, "its rules mention too many capabilities to look at each set") from None
            except _Inexpressible as reason:
                raise _refused(name, str(reason)) from None
        return self._solved[operands]

    def same(self, one: Operands, two: Operands, arch: str | None) -> bool:
        """Whether both come to the same, on one architecture (Go's name) or in every place.

        What is too much to compare is taken for different.
        """
        if one == two:
            return True
        self._begin()
        try:
            places = Places(guards_of((*one.meanings, *one.taken, *two.meanings, *two.taken)))
            where = places.all if arch is None else places.on(arch)
            widths = tuple(self._regions)
            return all(
                self._at(place, places, one, width) == self._at(place, places, two, width)
                for width in widths
                for place in where
            )
        except (TooComplex, TooManyPlaces):
            return False

    def _constant(self, first: Iterable[Outcome], taken: Iterable[Outcome]) -> Outcome:
        if self.operation != SUBTRACT:
            return chosen(self.operation, first)
        (outcome,) = set(first)
        if not refuses(outcome) and any(map(permits, taken)):
            return self._refusal
        return outcome

    def _solution(self, operands: Operands) -> Solution:
        constants = [each.constant for each in (*operands.meanings, *operands.taken)]
        known = [each for each in constants if each is not None]
        if len(known) == len(constants):
            taken = [each.default if not each.clauses else each.clauses[0].outcome for each in operands.taken]
            first = known[: len(operands.meanings)]
            return self._plain(self._constant(first, taken))
        if self.operation == UNION and _ALLOWED in known:
            return self._plain(_ALLOWED)
        try:
            return self._by_place(operands)
        except TooManyPlaces:
            together = self._together(operands)
            if together is None:
                raise
            return together

    def _plain(self, outcome: Outcome) -> Solution:
        return Solution(() if outcome == self.default else (Clause(ANYWHERE, (), outcome),))

    def _together(self, operands: Operands) -> Solution | None:
        """A union of clauses that all have one outcome above every default: these clauses, whatever their guards."""
        clauses = {clause for meaning in operands.meanings for clause in meaning.clauses}
        outcomes = {clause.outcome for clause in clauses} | {self.default}
        if self.operation != UNION or len(outcomes) != 2 or chosen(UNION, outcomes) == self.default:
            return None
        found = tuple(sorted(clauses, key=place_in_profile))
        return Solution(found) if faithful(clause.conditions for clause in found) else None

    def _begin(self) -> None:
        """Regions are compared within one call only: what others have left behind does not count against its limit."""
        if not self._regions or any(each.spent > MOST_NODES // 4 for each in self._regions.values()):
            self._regions = {width: Regions(width=width) for width in (LARGEST_VALUE, NARROW)}

    def _by_place(self, operands: Operands) -> Solution:
        self._begin()
        every = (*operands.meanings, *operands.taken)
        places = Places(guards_of(every))
        targets = {place: self._at(place, places, operands, LARGEST_VALUE) for place in places.all}
        own = self._own(operands, places, targets)
        try:
            made = self._made(every, places, targets)
            self._check_narrow(made, operands, places)
        except (_Inexpressible, TooComplex):
            # What a profile says itself is kept, however libseccomp compiles it: nothing is added to it.
            if own is None:
                raise
            return own
        return own if own is not None and len(own.clauses) <= len(made.clauses) else made

    def _at(self, place: Place, places: Places, operands: Operands, width: int) -> Regional:
        """What the operation comes to in one place."""
        regions = self._regions[width]
        found = [self._said(each, place, places, width) for each in operands.meanings]
        if self.operation == SUBTRACT:
            return self._difference(found[0], operands, place, places, width)
        outcomes = {outcome for each in found for outcome in each}
        result: Regional = {}
        left = EVERYTHING
        while outcomes and left != NOWHERE:
            outcome = chosen(self.operation, outcomes)
            outcomes.remove(outcome)
            here = NOWHERE
            for each in found:
                here = regions.either(here, each.get(outcome, NOWHERE))
            _put(result, outcome, regions.both(here, left))
            left = regions.without(left, here)
        return result

    def _difference(
        self, said: Regional, operands: Operands, place: Place, places: Places, width: int
    ) -> Regional:
        regions = self._regions[width]
        gone = NOWHERE
        for each in operands.taken:
            for outcome, region in self._said(each, place, places, width).items():
                gone = regions.either(gone, region) if permits(outcome) else gone
        result: Regional = {}
        refused = NOWHERE
        for outcome, region in said.items():
            stays = region if refuses(outcome) else regions.without(region, gone)
            _put(result, outcome, stays)
            refused = regions.either(refused, regions.without(region, stays))
        _put(result, self._refusal, regions.either(result.get(self._refusal, NOWHERE), refused))
        return result

    def _said(self, meaning: Meaning, place: Place, places: Places, width: int) -> Regional:
        rules = [
            (tuple(item for item in clause.conditions if not item.vacuous(width=width)), clause.outcome)
            for clause in meaning.clauses
            if place in places.where(clause.guard)
        ]
        if len({outcome for _, outcome in rules}) > 1:
            rules = list(in_order(rules, width))
        return self._regions[width].by_outcome(rules, meaning.default)

    def _own(self, operands: Operands, places: Places, targets: Mapping[Place, Regional]) -> Solution | None:
        """The rules of a profile that alone says what the operation comes to."""
        for meaning in sorted(operands.meanings, key=lambda each: (len(each.clauses), order(each))):
            clauses = tuple(each for each in meaning.clauses if each.outcome != self.default)
            kept = Meaning(clauses, self.default)
            if all(
                self._said(kept, place, places, LARGEST_VALUE) == target for place, target in targets.items()
            ):
                ours = tuple(sorted(clauses, key=place_in_profile))
                if self._trusted(ours, places) and all(
                    self._said(Meaning(ours, self.default), place, places, LARGEST_VALUE) == target
                    for place, target in targets.items()
                ):
                    return Solution(ours)
                if meaning.default == self.default:
                    return Solution(clauses, ordered=True)
        return None

    def _trusted(self, clauses: Sequence[Clause], places: Places) -> bool:
        """Whether libseccomp compiles the clauses to what they say wherever they are in force."""
        if len({clause.outcome for clause in clauses}) > 1 and any(each.conditions for each in clauses):
            return False
        return all(
            _compiled(clause.conditions for clause in clauses if place in places.where(clause.guard))
            for place in places.all
        )

    def _made(
        self, meanings: Sequence[Meaning], places: Places, targets: Mapping[Place, Regional]
    ) -> Solution:
        """Rules for each place, each with the fewest and widest guards that let it in where it is needed."""
        originals = [clause.conditions for meaning in meanings for clause in meaning.clauses]
        pools = candidates(originals)
        needed: dict[tuple[Conditions, Outcome], set[Place]] = {}
        for place, target in targets.items():
            for conditions, outcome in self._at_once(target, pools):
                needed.setdefault((conditions, outcome), set()).add(place)
        regions = self._regions[LARGEST_VALUE]
        clauses: list[Clause] = []
        for (conditions, outcome), where in needed.items():
            region = regions.of(conditions)
            possible = {
                place
                for place, target in targets.items()
                if regions.within(region, target.get(outcome, NOWHERE))
                and (place in where or target.get(outcome) == EVERYTHING)
            }
            clauses += [Clause(guard, conditions, outcome) for guard in places.guards(where, possible)]
        return Solution(tuple(sorted(clauses, key=place_in_profile)))

    def _at_once(
        self, target: Regional, pools: tuple[Sequence[Conditions], Sequence[Conditions]]
    ) -> list[tuple[Conditions, Outcome]]:
        """Rules for one place, in a shape that libseccomp compiles to what they say."""
        wanted = {outcome: region for outcome, region in sorted(target.items()) if outcome != self.default}
        if EVERYTHING in wanted.values():
            return [((), outcome) for outcome in wanted]
        single, several = pools
        for pool in ((*single, *several), (*several, *single), single):
            try:
                found = [
                    (conditions, outcome)
                    for outcome, region in wanted.items()
                    for conditions in self._regions[LARGEST_VALUE].alternatives(region, pool)
                ]
            except TooComplex:
                continue
            found.sort(key=lambda rule: place_in_profile(Clause(ANYWHERE, *rule)))
            if faithful(conditions for conditions, _ in found):
                return found
        raise _Inexpressible("libseccomp would not compile the rules that it takes to what they say")

    def _check_narrow(self, made: Solution, operands: Operands, places: Places) -> None:
        """What holds for 64 bits holds for 32, unless a condition asks for bits above these."""
        conditions = [item for clause in made.clauses for item in clause.conditions]
        conditions += [
            item
            for meaning in (*operands.meanings, *operands.taken)
            for clause in meaning.clauses
            for item in clause.conditions
        ]
        if not any(map(_above, conditions)):
            return
        for place in places.all:
            said = self._said(Meaning(made.clauses, self.default), place, places, NARROW)
            if said != self._at(place, places, operands, NARROW):
                raise _Inexpressible("no rules say it for 64-bit and for 32-bit architectures at once")

    def holds(self, clauses: Sequence[Clause], operands: Operands) -> bool:
        """Whether the clauses, beside the default, say exactly what the operation comes to."""
        said = Meaning(tuple(each for each in clauses if each.outcome != self.default), self.default)
        constants = [each.constant for each in (said, *operands.meanings, *operands.taken)]
        if None not in constants:
            return self._plain(said.constant or self.default) == self._solution(operands)
        if self.operation == UNION and _ALLOWED in constants[1:]:
            return said.constant == _ALLOWED
        self._begin()
        try:
            places = Places(guards_of((said, *operands.meanings, *operands.taken)))
        except TooManyPlaces:
            together = self._together(operands)
            return together is not None and set(together.clauses) == set(clauses)
        return all(
            self._said(said, place, places, LARGEST_VALUE) == self._at(place, places, operands, LARGEST_VALUE)
            for place in places.all
        )


class _Inexpressible(Exception):
    """Why there are no rules that say it."""


def _refused(name: str, why: str) -> ProfileError:
    return ProfileError(
        f"{name[:80]}: the profiles cannot be merged exactly: {why}",
        hint="give this call the same rules in all profiles, or rules with fewer conditions",
    )


def _put(result: Regional, outcome: Outcome, region: int) -> None:
    if region != NOWHERE:
        result[outcome] = region


def _compiled(conditions: Iterable[Conditions]) -> bool:
    # A rule without conditions replaces the others (seclude.additions), and so leaves nothing to compile wrongly.
    found = list(conditions)
    return () in found or faithful(found)


def _above(argument: Argument) -> bool:
    """Whether a condition means something else once its upper half is cut off."""
    if argument.op == MASKED_EQUAL:
        return argument.value_two & argument.value > NARROW or not argument.value & NARROW
    return argument.value > NARROW


def place_in_profile(clause: Clause) -> tuple[object, ...]:
    """Where a clause stands: rules for all places first; of those with conditions the ones with the most.

    libseccomp compiles a rule with several conditions rightly only before their opposites (complements.faithful).
    """
    plain = clause.guard == ANYWHERE and not clause.conditions
    return (not plain, -len(clause.conditions), clause.outcome, order(clause.conditions), order(clause.guard))
