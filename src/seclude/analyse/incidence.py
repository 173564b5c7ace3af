"""Recordings in, which unit makes which call out: tests, the files they stand in, or whole recordings as units."""

from __future__ import annotations

from ..model.completeness import Incidence
from ..model.recording import NO_CONTEXT, OVERFLOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..model.recording import Recording

PARTS = ("|setup", "|call", "|teardown")
"""What the pytest plugin puts after a test's name: the three belong to one test."""


def test_of(context: str) -> str:
    """The test a context belongs to: without the part of the test, and without pytest's parameters.

    One function run with a hundred parameters says little more than with one; as a hundred units it would pass for
    a hundred witnesses.
    """
    name = context
    # coverage.py says "run" for what pytest says "call" for.
    for part in (*PARTS, "|run"):
        name = name.removesuffix(part)
    path, colons, rest = name.partition("::")
    if colons and rest.endswith("]") and "[" in rest:
        return path + colons + rest[: rest.index("[")]
    return name


def file_of(test: str) -> str:
    """The file of a pytest node id, or empty: other names do not tell it."""
    path, colons, _ = test.partition("::")
    return path if colons else ""


def by_test(recordings: Sequence[Recording]) -> Incidence:
    """Tests as units. A recording without contexts is one unit.

    The same test in several recordings is one unit: run again it is no further witness. The recorder's context for all
    beyond its limit is many tests in one, and counts as outside.
    """
    seen = [_contexts(recording) for recording in recordings]
    tests = [_tests(calls, f"recording {number}") for number, calls in enumerate(seen, 1)]
    names = sorted({test for each in tests for test in each.values()})
    places = {name: number for number, name in enumerate(names)}
    outside = set()
    rows: dict[str, bytearray] = {}
    for calls, test_by_context in zip(seen, tests, strict=True):
        numbers = {context: places[test] for context, test in test_by_context.items()}
        for call, contexts in calls.items():
            row = rows.setdefault(call, bytearray(len(names)))
            for context in contexts:
                if context in numbers:
                    row[numbers[context]] = 1
                else:
                    outside.add(call)
    return Incidence(kind="test", names=tuple(names), makers=_makers(rows), outside=frozenset(outside))


def by_file(tests: Incidence) -> Incidence:
    """Files as units, of those tests whose names tell the file."""
    members: dict[str, int] = {}
    for number, test in enumerate(tests.names):
        path = file_of(test)
        members[path] = members.get(path, 0) | 1 << number
    loose = members.pop("", 0)
    paths = sorted(members)
    rows = {
        call: bytearray(bool(units & members[path]) for path in paths) for call, units in tests.makers.items()
    }
    others = (call for call, units in tests.makers.items() if units & loose)
    return Incidence(
        kind="file", names=tuple(paths), makers=_makers(rows), outside=tests.outside.union(others)
    )


def by_recording(recordings: Sequence[Recording]) -> Incidence:
    """Whole recordings as units."""
    made = [_contexts(recording).keys() for recording in recordings]
    rows = {call: bytearray(call in each for each in made) for call in set[str]().union(*made)}
    names = tuple(f"recording {number}" for number in range(1, len(made) + 1))
    return Incidence(kind="suite", names=names, makers=_makers(rows))


def chosen(incidence: Incidence, numbers: Sequence[int]) -> Incidence:
    """Some of the units alone."""
    rows = {
        call: bytearray(units >> number & 1 for number in numbers) for call, units in incidence.makers.items()
    }
    return Incidence(
        kind=incidence.kind,
        names=tuple(incidence.names[number] for number in numbers),
        makers=_makers(rows),
        outside=incidence.outside,
    )


def _contexts(recording: Recording) -> dict[str, set[str]]:
    """What the application called -> the contexts that did. A name is one call in every ABI, as it is in a profile."""
    found: dict[str, set[str]] = {}
    name, contexts = "", set[str]()
    for call in recording.calls:
        if call.phase == "app":
            # They come sorted by name, so that a million of them take a few hundred lookups of it.
            if call.name != name:
                name = call.name
                contexts = found.setdefault(name, set())
            contexts.add(call.context)
    return found


def _tests(calls: Mapping[str, set[str]], alone: str) -> dict[str, str]:
    """Context -> its test, of those that are no test's left out; where there is no other, all of them are `alone`."""
    named = set[str]().union(*calls.values()).difference((NO_CONTEXT, OVERFLOW))
    return {context: test_of(context) for context in named} or dict.fromkeys((NO_CONTEXT, OVERFLOW), alone)


def _makers(rows: Mapping[str, bytearray]) -> dict[str, int]:
    """Call -> units as bits, from one byte for each unit; by way of binary digits, which takes linear time."""
    digits = bytes.maketrans(b"\0\1", b"01")
    return {call: int(row[::-1].translate(digits), 2) for call, row in rows.items() if any(row)}
