"""How complete a recording is: the estimates, the curve and what stands alone, as one frozen value for reports."""

from __future__ import annotations

from .frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("test", "file", "suite")
"""What one unit is: a test, all tests of one file, one recording."""


@frozen
class Incidence:
    """Which unit makes which call. `outside`: what the application calls in no unit, such as when it starts.

    `makers`: call -> the units that make it, as bits (1 << n for names[n]): thousands of units with hundreds of calls
    each are counted and joined in no time. A call of `outside` is in every recording, whichever unit is left out, so
    that no unit stands alone with it; it may be in `makers` too.
    """

    kind: str
    names: tuple[str, ...]
    makers: Mapping[str, int]
    outside: frozenset[str] = frozenset()

    def inside(self) -> dict[str, int]:
        """Call -> the units that make it, of the calls that depend on which units there are."""
        return {call: units for call, units in self.makers.items() if call not in self.outside}

    def calls_of(self, number: int) -> frozenset[str]:
        """What one unit makes, calls that are made outside anyway included."""
        return frozenset(call for call, units in self.makers.items() if units >> number & 1)


@frozen
class Unknown:
    """Stands where an estimate would be, with the reason why there is none."""

    reason: str
    units: int = 0


@frozen
class Estimate:
    """What t = `units` units say of the next one that is like them.

    `lone` (R1): units that make a call which nothing else makes; `risk` = R1/t, the probability that the next unit
    makes a call that was not recorded. `binomial`: the upper bound of Clopper and Pearson for R1 of t. `pairs`: pairs
    of others that make a call which nothing but these two makes; `bound`: the upper bound with these in it. Both are
    with one-sided 95 % confidence. `single` and `double` (Q1, Q2): calls of exactly one and exactly two units;
    `new_calls` = Q1/t, how many new ones the next unit makes.
    `missing`: at least so many calls are made by units like these and were not recorded (Chao2, bias-corrected).
    `more_runs`: further units until the risk is below 5 %, if the units that stand alone get no more.
    """

    kind: str
    units: int
    lone: int
    risk: float
    bound: float
    binomial: float
    pairs: int
    single: int
    double: int
    new_calls: float
    missing: float
    more_runs: int


@frozen
class CurvePoint:
    """`calls` that `units` units picked at random make on average; 95 % of the picks are between `low` and `high`."""

    units: int
    calls: float
    low: float
    high: float


@frozen
class LoneCall:
    """A call that one unit alone makes: without that unit it would not be in the profile."""

    call: str
    unit: str


@frozen
class Completeness:
    """All that can be said. `estimate` is of the smallest units there are, `others` of larger ones.

    `apart`: the share of tests that make a call which no test of another file makes (-1: there are no two files).
    `outside`: calls made in no unit; `calls`: all that the application made; `notes`: sentences on what to make of it.
    """

    estimate: Estimate | Unknown
    others: tuple[Estimate, ...] = ()
    apart: float = -1.0
    calls: int = 0
    outside: int = 0
    curve: tuple[CurvePoint, ...] = ()
    lone_calls: tuple[LoneCall, ...] = ()
    notes: tuple[str, ...] = ()
