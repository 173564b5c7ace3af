"""What a recording says of tests in, lines for the end of a run out; and calls that a profile lacks, by test."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..analyse.attribution import Attribution, Surprise
from ..analyse.verify import allowed_names
from ..model.environment import Environment
from ..model.profile import Profile
from ..model.recording import Recording
from .console import printable
from .why import OUTSIDE, cell, numbered

F = TypeVar("F", bound=Callable[..., Any])

MOST_NAMED = 5
MOST_LINES = 40
KINDS = {"new": "the profile does not allow it", "denied": "the test denies it"}


def expectations_option(function: F) -> F:
    """--expectations, as the argument `expected`."""
    option = click.option(
        "--expectations",
        "expected",
        default="",
        metavar="FILE",
        help="Check what the tests say of themselves: the file of pytest's --seclude-expectations.",
    )
    return option(function)


def allowed_by(profile: Profile, recordings: Sequence[Recording], names: Sequence[str]) -> frozenset[str]:
    """Those of `names` that the profile allows where the recordings were made, whatever their arguments."""
    first = recordings[0]
    environment = Environment(
        machine=first.machine or platform.machine(), kernel=first.kernel, capabilities=first.capabilities
    )
    return frozenset(allowed_names(profile, environment, names))


def summary(found: Attribution, path: str) -> str:
    """All tests in a line: calls, tests, what one test makes alone; `path` of the recording, empty if not kept."""
    calls = {name for test in found.tests for name in test.calls}
    alone = list(found.singletons.items())
    named = ", ".join(
        f"{cell(name)} ({printable(test, longest=60)})" for name, test in alone[:MOST_NAMED]
    ) + (f" and {len(alone) - MOST_NAMED} more" if len(alone) > MOST_NAMED else "")
    by_one = f"; {len(alone)} by one test only: {named}" if alone else "; none by one test only"
    more = f"`seclude tests {path}` has all" if path else "keep --recording FILE for `seclude tests`"
    return f"{numbered(len(calls), 'call')} by {numbered(len(found.tests), 'test')}{by_one}; {more}"


def surprised(wrong: Sequence[Surprise]) -> list[str]:
    """A line for each test with calls that were not expected."""
    lines = [
        f"{cell(each.test) or OUTSIDE}: {cell(', '.join(each.calls))}: {KINDS[each.kind]}"
        for each in wrong[:MOST_LINES]
    ]
    if len(wrong) > MOST_LINES:
        lines.append(f"and {numbered(len(wrong) - MOST_LINES, 'test')} more: --json has all")
    return lines


def surprise_values(wrong: Sequence[Surprise]) -> list[dict[str, object]]:
    """The same as plain values."""
    return [{"kind": each.kind, "test": each.test, "calls": list(each.calls)} for each in wrong]
