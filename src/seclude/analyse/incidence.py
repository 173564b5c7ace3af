"""Recordings in, which unit makes which call out: tests, the files they stand in, or whole recordings as units."""

from __future__ import annotations

from ..model.completeness import Incidence, Unit
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
    units: dict[str, set[str]] = {}
    outside: set[str] = set()
    for number, recording in enumerate(recordings, 1):
        contexts = _contexts(recording)
        named = [context for context in contexts if context not in (NO_CONTEXT, OVERFLOW)]
        if not named:
            units.setdefault(f"recording {number}", set()).update(*contexts.values())
            continue
        for context, calls in contexts.items():
            chosen = units.setdefault(test_of(context), set()) if context in named else outside
            chosen |= calls
    return _incidence("test", units, outside)


def by_file(tests: Incidence) -> Incidence:
    """Files as units, of those tests whose names tell the file."""
    units: dict[str, set[str]] = {}
    for unit in tests.units:
        if path := file_of(unit.name):
            units.setdefault(path, set()).update(unit.calls)
    others = (unit.calls for unit in tests.units if not file_of(unit.name))
    return _incidence("file", units, tests.outside.union(*others))


def by_recording(recordings: Sequence[Recording]) -> Incidence:
    """Whole recordings as units."""
    units = {
        f"recording {number}": set[str]().union(*_contexts(recording).values())
        for number, recording in enumerate(recordings, 1)
    }
    return _incidence("suite", units, frozenset())


def _contexts(recording: Recording) -> dict[str, set[str]]:
    """Context -> what the application called in it. A name is one call in every ABI, as it is in a profile."""
    found: dict[str, set[str]] = {}
    for call in recording.calls:
        if call.phase == "app":
            found.setdefault(call.context, set()).add(call.name)
    return found


def _incidence(kind: str, units: Mapping[str, set[str]], outside: set[str] | frozenset[str]) -> Incidence:
    return Incidence(
        kind=kind,
        units=tuple(Unit(name=name, calls=frozenset(calls)) for name, calls in sorted(units.items())),
        outside=frozenset(outside),
    )
