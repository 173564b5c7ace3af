"""`seclude tests`: recordings in; what only one test calls, and a few tests that make every call, out."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .. import expectations
from ..analyse.attribution import Attribution, Surprise, attribution, surprises
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, RecordingError
from .contexts import KINDS, allowed_by, expectations_option, surprise_values
from .options import read_profile
from .overview import Overview, Table, Words
from .recordings import read_recordings
from .why import MOST_ROWS, OUTSIDE, cell, left_out, numbered, show


@click.command(
    epilog="Examples: seclude tests app.rec ;  seclude tests --profile app.json --expectations expected.json app.rec"
)
@click.option(
    "--profile",
    "-p",
    default="",
    metavar="PROFILE",
    help="Report the calls of each test that it does not allow.",
)
@expectations_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.argument("paths", metavar="RECORDING...", nargs=-1, required=True)
def command(profile: str, expected: str, form: str, paths: tuple[str, ...]) -> int:
    """Say which calls only one test makes, and which tests are enough to make them all.

    Exit status: 2 where a test makes a call that PROFILE does not allow or that the test itself denies.
    """
    recordings = read_recordings(paths)
    found = attribution(recordings)
    if not found.tests:
        raise RecordingError(
            f"no test is named in {', '.join(paths)}",
            hint="run pytest with seclude's plugin, or mark the tests yourself: docs/marks.md",
        )
    allowed = allowed_by(read_profile(profile), recordings, found.calls) if profile else None
    told = expectations.read(expected) if expected else {}
    wrong = surprises(found, allowed, told)
    asked = bool(profile or expected)
    show(form, overview(found, wrong, paths, asked=asked), values(found, wrong))
    return EXIT_FINDINGS if wrong else EXIT_CLEAN


def overview(found: Attribution, wrong: Sequence[Surprise], paths: Sequence[str], *, asked: bool) -> Overview:
    """The findings, what hangs on one test, tests that are enough, and every test with its numbers."""
    singletons = found.singletons
    facts = [
        ("tests", str(len(found.tests))),
        ("calls", f"{len(found.calls)}, {len(found.outside)} of them also outside any test"),
        ("by one test only", str(len(singletons))),
        *(("note", note) for note in found.notes),
    ]
    if asked:
        facts.append(("unexpected", str(sum(len(each.calls) for each in wrong))))
    parts: list[Table | Words] = []
    if wrong:
        parts.append(_wrong(wrong))
    if singletons:
        rows = [(cell(name), cell(test)) for name, test in list(singletons.items())[:MOST_ROWS]]
        parts.append(
            Table(
                title="calls that one test makes alone",
                columns=("call", "test"),
                rows=tuple(rows),
                note=left_out(len(singletons)),
            )
        )
    parts += [_enough(found), _each(found)]
    return Overview(title=f"tests of {', '.join(map(cell, paths))}", facts=tuple(facts), parts=tuple(parts))


def _wrong(wrong: Sequence[Surprise]) -> Table:
    rows = [(cell(each.test) or OUTSIDE, cell(", ".join(each.calls)), KINDS[each.kind]) for each in wrong]
    return Table(
        title="unexpected calls",
        columns=("test", "values", "comment"),
        rows=tuple(rows[:MOST_ROWS]),
        note=left_out(len(rows)),
    )


def _enough(found: Attribution) -> Table:
    number = len(found.enough)
    if not number:
        return Table(title="every call is also made outside any test", columns=("test",), rows=())
    rows = [(cell(test), str(len(adds)), cell(", ".join(adds))) for test, adds in found.enough[:MOST_ROWS]]
    return Table(
        title=f"{numbered(number, 'test')} of {len(found.tests)} make every call that is not made outside any "
        f"(at most {found.bound:.1f} times as many as the fewest possible)",
        columns=("test", "adds", "values"),
        rows=tuple(rows),
        right=("adds",),
        note=left_out(number),
    )


def _each(found: Attribution) -> Table:
    rows = [
        (cell(test.name), str(len(test.calls)), cell(", ".join(test.alone)))
        for test in found.tests[:MOST_ROWS]
    ]
    return Table(
        title="each test",
        columns=("test", "calls", "only here"),
        rows=tuple(rows),
        right=("calls",),
        note=left_out(len(found.tests)),
    )


def values(found: Attribution, wrong: Sequence[Surprise]) -> dict[str, object]:
    """All of it as plain values."""
    return {
        "tests": {test.name: {"calls": list(test.calls), "only": list(test.alone)} for test in found.tests},
        "outside": list(found.outside),
        "singletons": found.singletons,
        "enough": [{"test": test, "adds": list(adds)} for test, adds in found.enough],
        "enough_bound": found.bound,
        "unexpected": surprise_values(wrong),
        "notes": list(found.notes),
    }
