"""Who made which call in, the tests in groups that made the same calls out, those first that alone make a call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from .page import Alike
from .redaction import Redaction
from .seen import Seen

MOST_GROUPS = 400
MOST_NAMES = 12
MOST_CALLS = 150
"""Groups, names of a group's tests, and calls of each list that are shown."""

COMMON_PERCENT = 90
_FEWEST_FOR_COMMON = 4
"""Of so few tests each is better shown with all of its calls."""


def alike(seen: Seen, shown: Redaction) -> tuple[tuple[Alike, ...], int, tuple[str, ...]]:
    """(groups, the number of those left out, the calls that COMMON_PERCENT of the tests make)."""
    makers = {name: seen.makers(name) for name in seen.calls}
    tests = seen.named_tests
    common = frozenset(
        name
        for name, number in makers.items()
        if tests >= _FEWEST_FOR_COMMON and number * 100 >= COMMON_PERCENT * tests
    )
    rare = frozenset(name for name, number in makers.items() if number == 1)
    groups = _groups(seen)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[0] & rare), -len(item[0]), min(item[1])))
    drawn = tuple(_group(calls, sorted(names), common, rare, shown) for calls, names in ranked[:MOST_GROUPS])
    return drawn, len(ranked) - len(drawn), tuple(sorted(common))


def _groups(seen: Seen) -> dict[frozenset[str], list[str]]:
    """The sets of calls that tests make -> those tests, by way of a table with a byte for each test and call."""
    tests = sorted(seen.tests - {""})
    places = {test: number for number, test in enumerate(tests)}
    rows = []
    for made in seen.calls.values():
        row = bytearray(len(tests))
        for test in made:
            if test:
                row[places[test]] = 1
        rows.append(row)
    alike: dict[tuple[int, ...], list[str]] = {}
    for test, column in zip(tests, zip(*rows, strict=True), strict=False):
        alike.setdefault(column, []).append(test)
    return {frozenset(compress(seen.calls, column)): names for column, names in alike.items()}


def _group(
    calls: frozenset[str],
    names: Sequence[str],
    common: frozenset[str],
    rare: frozenset[str],
    shown: Redaction,
) -> Alike:
    # A call that one test makes is not among those of two tests that are alike, so these are of one test.
    only = sorted(calls & rare)
    beyond = sorted(calls - common - rare)
    return Alike(
        names=tuple(shown.test(name) for name in names[:MOST_NAMES]),
        more=max(0, len(names) - MOST_NAMES),
        total=len(calls),
        calls=tuple(beyond[:MOST_CALLS]),
        more_calls=max(0, len(beyond) - MOST_CALLS),
        unused_common=tuple(sorted(common - calls)[:MOST_CALLS]),
        only=tuple(only[:MOST_CALLS]),
    )
