"""Sets of arguments as decision diagrams: conditions in, regions out, and from a region few conditions that say it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from ..complements import OPPOSITES
from ..model.profile import EQUAL, LARGEST_VALUE, MASKED_EQUAL, Argument
from .diagrams import _BITS, _FALSE, _TRUE, Conditions, Diagrams, Outcome, TooComplex
from .merge_inputs import order

MOST_NODES = 200_000
MOST_CUBES = 64
MOST_POINTS = 16
MOST_CANDIDATES = 300
"""Beyond these, conditions are not looked for any further."""

NOWHERE, EVERYTHING = _FALSE, _TRUE
"""The empty region, and that of all arguments."""

_WIDEST = ("SCMP_CMP_NE", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", MASKED_EQUAL, EQUAL)

Rules = Sequence[tuple[Conditions, Outcome]]


class Regions(Diagrams):
    """Regions of arguments of one width; a region is a number, equal for equal regions. Raises TooComplex."""

    def __init__(self, *, width: int = LARGEST_VALUE) -> None:
        super().__init__(width=width, limit=MOST_NODES)
        self._of: dict[Conditions, int] = {}

    def of(self, conditions: Conditions) -> int:
        """Where all the conditions hold."""
        if conditions not in self._of:
            region = _TRUE
            for argument in conditions:
                region = self.both(self._holds(argument), region)
            self._of[conditions] = region
        return self._of[conditions]

    def both(self, one: int, two: int) -> int:
        return self._choose(one, two, _FALSE)

    def either(self, one: int, two: int) -> int:
        return self._choose(one, _TRUE, two)

    def without(self, one: int, two: int) -> int:
        return self._choose(two, _FALSE, one)

    def within(self, one: int, two: int) -> bool:
        """Whether the first lies in the second."""
        return self.without(one, two) == _FALSE

    def joined(self, alternatives: Iterable[Conditions]) -> int:
        """Where one of the alternatives holds."""
        region = _FALSE
        for conditions in alternatives:
            region = self.either(region, self.of(conditions))
        return region

    def by_outcome(self, rules: Rules, default: Outcome) -> dict[Outcome, int]:
        """Each outcome's region, for rules of which the first without conditions counts, else the first that holds."""
        for conditions, outcome in rules:
            if not conditions:
                return {outcome: _TRUE}
        found: dict[Outcome, int] = {}
        left = _TRUE
        for conditions, outcome in rules:
            here = self.both(self.of(conditions), left)
            found[outcome] = self.either(found.get(outcome, _FALSE), here)
            left = self.without(left, here)
        found[default] = self.either(found.get(default, _FALSE), left)
        return {outcome: region for outcome, region in found.items() if region != _FALSE}

    def alternatives(self, region: int, candidates: Sequence[Conditions]) -> tuple[Conditions, ...]:
        """Conditions of which one holds exactly in the region: the candidates that fit, and what else it takes.

        No alternative can be left out. Raises TooComplex where more than MOST_CUBES would be needed.
        """
        fitting = [each for each in candidates if self.within(self.of(each), region)]
        if len(fitting) <= MOST_CUBES:
            fitting = [
                each
                for number, each in enumerate(fitting)
                if not any(self._covers(other, each, number) for other in enumerate(fitting))
            ]
        chosen: list[Conditions] = []
        covered = _FALSE
        for each in fitting:
            if covered != region and not self.within(self.of(each), covered):
                chosen.append(each)
                covered = self.either(covered, self.of(each))
        if covered != region:
            chosen += self._cubes(self.without(region, covered), region)
        for each in tuple(reversed(chosen)):
            rest = [other for other in chosen if other != each]
            if self.joined(rest) == region:
                chosen = rest
        return tuple(chosen)

    def _covers(self, other: tuple[int, Conditions], each: Conditions, number: int) -> bool:
        """Whether another candidate makes this one needless: a larger one, or the same region said before."""
        if other[0] == number or not self.within(self.of(each), self.of(other[1])):
            return False
        return self.of(each) != self.of(other[1]) or other[0] < number

    def _cubes(self, lower: int, upper: int) -> list[Conditions]:
        """Masked comparisons that cover `lower` and stay in `upper`, none of which is needless.

        Minato 1993, "Fast generation of prime-irredundant covers from binary decision diagrams".
        """
        cubes, _ = self._cover(lower, upper)
        return [self._conditions(cube) for cube in cubes]

    def _cover(self, lower: int, upper: int) -> tuple[list[dict[int, int]], int]:
        if lower == _FALSE:
            return [], _FALSE
        if upper == _TRUE:
            return [{}], _TRUE
        variable = min(self._variable(lower), self._variable(upper))
        lows = [self._child(lower, variable, bit) for bit in (0, 1)]
        highs = [self._child(upper, variable, bit) for bit in (0, 1)]
        zeros, zero = self._cover(self.without(lows[0], highs[1]), highs[0])
        ones, one = self._cover(self.without(lows[1], highs[0]), highs[1])
        rest = self.either(self.without(lows[0], zero), self.without(lows[1], one))
        both, shared = self._cover(rest, self.both(highs[0], highs[1]))
        found = [{variable: 0} | cube for cube in zeros] + [{variable: 1} | cube for cube in ones] + both
        if len(found) > MOST_CUBES:
            raise TooComplex
        return found, self.either(self._node(variable, zero, one), shared)

    def _conditions(self, cube: dict[int, int]) -> Conditions:
        """Bits (variable -> value) as one comparison for each argument."""
        masks: dict[int, int] = {}
        values: dict[int, int] = {}
        for variable, value in cube.items():
            index, bit = variable // _BITS, _BITS - 1 - variable % _BITS
            masks[index] = masks.get(index, 0) | 1 << bit
            values[index] = values.get(index, 0) | value << bit
        return tuple(
            Argument(index=index, op=EQUAL, value=values[index])
            if masks[index] == self._width
            else Argument(index=index, op=MASKED_EQUAL, value=masks[index], value_two=values[index])
            for index in sorted(masks)
        )


def candidates(originals: Iterable[Conditions]) -> tuple[tuple[Conditions, ...], tuple[Conditions, ...]]:
    """(conditions on one argument, conditions on several) that may say what a merge comes to; the originals first.

    Beside the originals: their opposites, their single parts, both sides of each value, and pairs of them.
    """
    given = sorted({each for each in originals if each}, key=order)
    parts = sorted({argument for each in given for argument in each}, key=order)
    single = [each for each in given if len(each) == 1]
    made = {(argument,) for argument in (*parts, *_beside(parts))}
    single += sorted(made - set(single), key=lambda each: (_WIDEST.index(each[0].op), order(each)))
    wide = {each for each in given if len(each) > 1}
    pairs: set[Conditions] = set()
    for one in given:
        for two in [*given, *((argument,) for argument in _opposites(parts))]:
            both = tuple(sorted({*one, *two}, key=order))
            if len(both) > 1 and len({argument.index for argument in both}) == len(both):
                pairs.add(both)
            if len(pairs) > MOST_CANDIDATES:
                break
    several = [*sorted(wide, key=order), *sorted(pairs - wide, key=order)]
    return tuple(single[:MOST_CANDIDATES]), tuple(several[:MOST_CANDIDATES])


def _opposites(parts: Iterable[Argument]) -> list[Argument]:
    """Where the conditions do not hold: of a masked one, for each of its bits the other value."""
    found = []
    for each in parts:
        if each.op != MASKED_EQUAL:
            found.append(Argument(index=each.index, value=each.value, op=OPPOSITES[each.op]))
            continue
        for bit in range(each.value.bit_length()):
            mask = each.value & 1 << bit
            if mask:
                other = mask & ~each.value_two
                found.append(Argument(index=each.index, value=mask, value_two=other, op=MASKED_EQUAL))
    return found


def _beside(parts: Sequence[Argument]) -> list[Argument]:
    found = _opposites(parts)
    points = sorted({(each.index, each.value) for each in parts if each.op != MASKED_EQUAL})
    if len(points) <= MOST_POINTS:
        found += [
            Argument(index=index, value=value, op=op)
            for index, value in points
            for op in _WIDEST
            if op != MASKED_EQUAL
        ]
    masked = [each for each in parts if each.op == MASKED_EQUAL]
    for one, two in combinations(masked[:MOST_POINTS], 2):
        shared = one.value & two.value
        if one.index == two.index and one.value_two & shared == two.value_two & shared:
            value = one.value_two & one.value | two.value_two & two.value
            mask = one.value | two.value
            found.append(Argument(index=one.index, value=mask, value_two=value, op=MASKED_EQUAL))
    return found
