"""Recordings in, how complete they are out: how likely the next test makes a call that was not recorded.

Everything follows from which unit makes which call. The share of units that make a call nobody else makes is what
leaving out one unit after the other shows, and so the estimate for the next one (Good and Turing's idea, asked of
units). What the tests themselves do not stand for, such as an attack or a rare error, no estimate can know.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from math import exp, floor, hypot, lgamma, log, log1p, sqrt

from ..model.completeness import (
    Completeness,
    CurvePoint,
    Estimate,
    Incidence,
    LoneCall,
    Unknown,
)
from ..model.recording import OVERFLOW
from .incidence import by_file, by_recording, by_test, file_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..model.recording import Recording

CONFIDENCE = 0.95
WANTED = 0.05
"""The risk that `more_runs` is about."""

MOST_POINTS = 60
FEW = 20
"""With fewer units the bound says more than the estimate."""

DISAGREEMENT = 2.0
_NORMAL = 1.96
"""95 % of a normal distribution lies within so many standard deviations."""

_ONE_SIDED = 1.645
"""95 % of a normal distribution lies below so many standard deviations."""


def completeness(recordings: Sequence[Recording]) -> Completeness:
    """What the recordings say of the next test, with the notes on how far to trust it."""
    tests = by_test(recordings)
    calls = len(tests.outside.union(tests.makers))
    if not tests.makers:
        return Completeness(
            estimate=Unknown(reason="cannot be said: no test made a call", units=len(tests.names)),
            calls=calls,
            outside=len(tests.outside),
        )
    first = estimate(tests)
    larger = [by_file(tests)]
    # One recording is one unit, of which nothing can be said, and those without contexts are the units already.
    if len(recordings) > 1 and any(not name.startswith("recording ") for name in tests.names):
        larger.append(by_recording(recordings))
    estimates = [estimate(incidence) for incidence in larger]
    others = tuple(each for each in estimates if isinstance(each, Estimate))
    apart = leave_file_out(tests)
    return Completeness(
        estimate=first,
        others=others,
        apart=apart,
        calls=calls,
        outside=len(tests.outside),
        curve=curve(tests),
        lone_calls=lone_calls(tests),
        notes=tuple(_notes(recordings, first, others, apart)),
    )


def estimate(incidence: Incidence) -> Estimate | Unknown:
    """R1/t and what goes with it; of fewer than two units nothing can be said."""
    kind, units = incidence.kind, len(incidence.names)
    if units < 2:
        what = {"test": "the recording has one unit", "file": "one file", "suite": "one recording"}
        reason = what.get(kind, "one unit") if units else "no unit"
        return Unknown(reason=f"cannot be said: {reason}", units=units)
    makers = list(incidence.inside().values())
    singles = [made for made in makers if made.bit_count() == 1]
    doubles = [made for made in makers if made.bit_count() == 2]
    alone = _any_of(singles)
    lone = alone.bit_count()
    pairs = len({made for made in doubles if not made & alone})
    binomial = upper_bound(lone, units)
    return Estimate(
        kind=kind,
        units=units,
        lone=lone,
        risk=lone / units,
        bound=_together(lone / units, binomial, _ONE_SIDED * sqrt(2 * pairs) / units),
        binomial=binomial,
        pairs=pairs,
        single=len(singles),
        double=len(doubles),
        new_calls=len(singles) / units,
        missing=chao2(units, len(singles), len(doubles)),
        more_runs=max(0, floor(lone / WANTED + 1e-9) + 1 - units),
    )


def share_bound(found: Estimate, tests: int) -> float:
    """The upper bound, with one-sided 95 % confidence, of the share of the next `tests` that make a new call.

    `bound` is on a probability. What a few tests do has luck of its own, whose variance p(1-p)/tests comes on top.
    """
    luck = _ONE_SIDED * sqrt(found.bound * (1 - found.bound) / tests)
    return _together(found.risk, found.bound, luck)


def _together(middle: float, bound: float, further: float) -> float:
    """A bound widened by an independent error of size `further`: errors add as squares (Zou and Donner 2008)."""
    return min(1.0, max(bound, middle + hypot(bound - middle, further)))


def chao2(units: int, single: int, double: int) -> float:
    """The calls that are missing at least: Chao2 without the observed, bias-corrected (Chao 2005, equation 9)."""
    return (units - 1) / units * single * (single - 1) / (2 * (double + 1))


def upper_bound(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound of Clopper and Pearson: the largest p that still explains so few hits.

    1 - 0.05 ** (1/t), which is about 3/t, where there were none.
    """
    if hits >= trials:
        return 1.0
    whole = lgamma(trials + 1)
    ways = [whole - lgamma(k + 1) - lgamma(trials - k + 1) for k in range(hits + 1)]
    low, high = hits / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(ways, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(ways: Sequence[float], trials: int, chance: float) -> float:
    """The probability of fewer hits than `ways` has entries, the logarithms of the ways to have 0, 1, ... of `trials`.

    In logarithms, as the terms of large trials underflow.
    """
    if chance <= 0.0:
        return 1.0
    if chance >= 1.0:
        return float(len(ways) > trials)
    yes, no = log(chance), log1p(-chance)
    return sum(exp(way + k * yes + (trials - k) * no) for k, way in enumerate(ways))


def leave_file_out(tests: Incidence) -> float:
    """The share of tests that make a call which nothing outside their file makes; -1 with fewer than two files."""
    if len({file_of(name) for name in tests.names} - {""}) < 2:
        return -1.0
    # A test whose name tells no file is a group of its own.
    groups = [file_of(name) or name for name in tests.names]
    members: dict[str, int] = {}
    for number, group in enumerate(groups):
        members[group] = members.get(group, 0) | 1 << number
    apart = _any_of(
        made for made in tests.inside().values() if not made & ~members[groups[made.bit_length() - 1]]
    )
    return apart.bit_count() / len(groups)


def _any_of(patterns: Iterable[int]) -> int:
    found = 0
    for pattern in patterns:
        found |= pattern
    return found


def lone_calls(incidence: Incidence) -> tuple[LoneCall, ...]:
    """The calls that one unit alone makes, by unit."""
    alone = sorted(
        (made.bit_length() - 1, call) for call, made in incidence.inside().items() if made.bit_count() == 1
    )
    return tuple(LoneCall(call=call, unit=incidence.names[number]) for number, call in alone)


def curve(incidence: Incidence) -> tuple[CurvePoint, ...]:
    """Calls against units, as the mean over all orders of the units, computed and not drawn by lot.

    A call that q of t units make is missing in n units with probability C(t - q, n) / C(t, n) (hypergeometric, Hurlbert
    1971). Two calls are both missing if all units of either are, so that the variance needs only how many pairs of
    calls have how many units between them.
    """
    units, outside = len(incidence.names), len(incidence.outside)
    if not units:
        return ()
    makers = incidence.inside()
    patterns = list(Counter(makers.values()).items())
    one = Counter[int]()
    both = Counter[int]()
    for index, (pattern, times) in enumerate(patterns):
        one[pattern.bit_count()] += times
        both[pattern.bit_count()] += times * times
        for other, more in patterns[index + 1 :]:
            both[(pattern | other).bit_count()] += 2 * times * more
    total = len(makers)
    logs = [0.0, *accumulate(log(number) for number in range(1, units + 1))]
    points = []
    for picked in _numbers(units):
        missing = sum(times * _absent(logs, units, size, picked) for size, times in one.items())
        squares = sum(times * _absent(logs, units, size, picked) for size, times in both.items())
        spread = _NORMAL * sqrt(max(0.0, squares - missing * missing))
        mean = outside + total - missing
        points.append(
            CurvePoint(
                units=picked,
                calls=mean,
                low=max(float(outside), mean - spread),
                high=min(float(outside + total), mean + spread),
            )
        )
    return tuple(points)


def _numbers(units: int) -> list[int]:
    """All numbers of units, or some of them at equal distances, the first and the last included."""
    if units <= MOST_POINTS:
        return list(range(1, units + 1))
    return sorted({1 + round(step * (units - 1) / (MOST_POINTS - 1)) for step in range(MOST_POINTS)})


def _absent(logs: Sequence[float], units: int, size: int, picked: int) -> float:
    """The probability that none of `size` units is among `picked` of all; `logs` are the logarithms of factorials."""
    if size + picked > units:
        return 0.0
    return exp(logs[units - size] - logs[units - size - picked] - logs[units] + logs[units - picked])


def _notes(
    recordings: Sequence[Recording],
    first: Estimate | Unknown,
    others: Sequence[Estimate],
    apart: float,
) -> list[str]:
    notes = []
    if isinstance(first, Unknown):
        notes.append(
            "mark the tests (pytest --seclude, seclude mark NAME), or give recordings of several test commands"
        )
    elif first.units < FEW:
        notes.append(f"{first.units} tests are few: go by the upper bound")
    if isinstance(first, Estimate):
        notes += [_disagreement(first, other) for other in others if _disagree(first, other)]
        if apart > DISAGREEMENT * max(first.risk, 0.5 / first.units):
            notes.append(
                f"{100 * apart:.1f} % of the tests make a call that no test of another file makes: tests of one file "
                "are alike, and the next test is only as safe as said if it is of a kind that is there already"
            )
    if any(call.context == OVERFLOW for recording in recordings for call in recording.calls):
        notes.append(
            "there were more tests than the recorder keeps apart: what the rest called counts as made anyway, and the "
            "estimate is too good"
        )
    if any(recording.losses.calls or recording.losses.contexts for recording in recordings):
        notes.append("the recorder lost calls or names of tests: the estimate may be wrong either way")
    if any(recording.attached for recording in recordings):
        notes.append("a recording began while the program ran: what it calls to start is missing in it")
    return notes


def _disagree(first: Estimate, other: Estimate) -> bool:
    # Of t units that all are covered the risk is not 0 but somewhere below 1/t: half of that is taken.
    low, high = sorted(max(each.risk, 0.5 / each.units) for each in (first, other))
    return high > DISAGREEMENT * low


def _disagreement(first: Estimate, other: Estimate) -> str:
    unit = {"file": "test file", "suite": "recording"}.get(other.kind, other.kind)
    return (
        f"by {unit}s the risk is {100 * other.risk:.1f} % ({other.lone} of {other.units}), "
        f"by tests {100 * first.risk:.1f} %: a new {unit} is another matter than one more test"
    )
