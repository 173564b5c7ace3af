"""`seclude complete`: recordings in, how likely the next test makes an unrecorded call, and the curve, out."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from ..analyse.completeness import completeness
from ..model.completeness import Completeness, Estimate, Unknown
from ..reports.curve import as_svg, in_blocks
from ..reports.text import plural
from .console import printable
from .recordings import read_recordings
from .uncovered import found_uncovered, uncovered_lines, uncovered_values

WIDTH = 100
MOST_LONE = 20
LONGEST_CELL = 250

_UNITS = {"test": "test", "file": "test file", "suite": "recording"}


@click.command(
    epilog="Examples: seclude complete recording.json ;  seclude complete --format svg recording.json >curve.svg"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "svg"]),
    default="table",
    show_default=True,
    help="For people, for programs, or the curve as a picture.",
)
@click.option(
    "--coverage",
    metavar="FILE",
    default="",
    help="What `coverage json --show-contexts` wrote: also say which code that no recorded test runs could need which "
    "calls.",
)
@click.option(
    "--source",
    metavar="DIR",
    default=".",
    show_default=True,
    help="Where the Python files of --coverage are.",
)
@click.argument("paths", metavar="RECORDING...", nargs=-1, required=True)
def command(form: str, coverage: str, source: str, paths: tuple[str, ...]) -> int:
    """Say how complete recordings are, and how likely the next test makes a call that was not recorded.

    Each test is a unit: a context that the tests marked, or, in recordings without any, each recording. The same test
    in several recordings is one. docs/completeness.md says what the figures assume, and how well they hold.
    """
    if coverage and form == "svg":
        raise click.UsageError("--coverage is not drawn; give it with --format table or json")
    recordings = read_recordings(paths)
    found = completeness(recordings)
    left = found_uncovered(recordings, coverage, source) if coverage else None
    if form == "json":
        click.echo(json.dumps(values(found) | ({"uncovered": uncovered_values(left)} if left else {})))
    elif form == "svg":
        click.echo(svg(found, paths), nl=False)
    else:
        width = max(40, shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH)
        click.echo(plain(found, width=width), nl=False)
        if left:
            click.echo("\n".join(["", *uncovered_lines(left), *notes(left.notes, width)]))
    return 0


# Sentences


def headline(found: Completeness) -> list[str]:
    """What there is to know, in sentences; the first is the probability."""
    first = found.estimate
    if isinstance(first, Unknown):
        return [f"How likely the next test makes a call that was not recorded {first.reason}."]
    lines = [
        f"The next test like these makes a call that was not recorded with a probability of {percent(first.risk)} "
        f"({first.lone} of {first.units} tests make a call that nothing else makes); "
        f"with 95 % confidence it is at most {percent(first.bound)}.",
        f"It makes {first.new_calls:.2g} new calls on average."
        + (
            f" At least {plural(round(first.missing), 'call')} that such tests make "
            f"{'is' if round(first.missing) == 1 else 'are'} missing."
            if first.missing >= 0.5
            else ""
        ),
    ]
    if first.more_runs:
        lines.append(
            f"After {plural(first.more_runs, 'more test')} it is below 5 %, if no further one makes calls of its own."
        )
    return lines


def percent(share: float) -> str:
    """A probability in percent; one that is not 0 or 1 is not said to be."""
    shown = f"{100 * share:.1f} %"
    if share and shown == "0.0 %":
        return "less than 0.1 %"
    return "more than 99.9 %" if share < 1 and shown == "100.0 %" else shown


def plain(found: Completeness, *, width: int = WIDTH) -> str:
    """Sentences, the other units, the curve, and the calls that one test alone makes; names are escaped."""
    lines: list[str] = []
    for sentence in headline(found):
        lines += textwrap.wrap(sentence, width)
    if found.others:
        lines += ["", "by larger units", ""]
        lines += [f"  {_row(other)}" for other in found.others]
    drawn = in_blocks(found.curve, width=width, floor=found.outside)
    if drawn:
        lines += ["", f"calls against tests: {_made(found)}", "", *drawn]
    if found.lone_calls:
        lines += ["", "made by one test alone", ""]
        longest = max(len(_cell(each.call)) for each in found.lone_calls[:MOST_LONE])
        lines += [
            f"  {_cell(each.call):<{longest}}  {_cell(each.unit)}" for each in found.lone_calls[:MOST_LONE]
        ]
        more = len(found.lone_calls) - MOST_LONE
        if more > 0:
            lines.append(f"  and {more} more (--format json has all)")
    return "\n".join((*lines, *notes(found.notes, width))) + "\n"


def notes(given: Sequence[str], width: int) -> list[str]:
    """Notes after a blank line, wrapped."""
    lines = [""] if given else []
    for note in given:
        lines += textwrap.wrap(note, width, initial_indent="note: ", subsequent_indent="      ")
    return lines


def _row(other: Estimate) -> str:
    unit = _UNITS[other.kind]
    return (
        f"{plural(other.units, unit)}: {percent(other.risk)}, at most {percent(other.bound)} "
        f"({other.lone} with a call of {'its' if other.lone == 1 else 'their'} own)"
    )


def _made(found: Completeness) -> str:
    said = plural(found.calls, "call")
    return f"{said}, {found.outside} of them outside any test" if found.outside else said


def _cell(text: str) -> str:
    return printable(text, longest=LONGEST_CELL)


# For programs


def values(found: Completeness) -> dict[str, object]:
    """All of it as plain values; `estimate` has a `reason` alone where nothing can be said."""
    return {
        "kind": "completeness",
        "estimate": _estimate(found.estimate),
        "others": [_estimate(other) for other in found.others],
        "apart": None if found.apart < 0 else found.apart,
        "calls": found.calls,
        "outside": found.outside,
        "curve": [
            {"units": each.units, "calls": each.calls, "low": each.low, "high": each.high}
            for each in found.curve
        ],
        "lone_calls": [{"call": each.call, "unit": each.unit} for each in found.lone_calls],
        "notes": list(found.notes),
    }


def _estimate(found: Estimate | Unknown) -> dict[str, object]:
    if isinstance(found, Unknown):
        return {"units": found.units, "reason": found.reason}
    return {
        "kind": found.kind,
        "units": found.units,
        "lone": found.lone,
        "risk": found.risk,
        "bound": found.bound,
        "binomial": found.binomial,
        "pairs": found.pairs,
        "single": found.single,
        "double": found.double,
        "new_calls": found.new_calls,
        "missing": found.missing,
        "more_runs": found.more_runs,
    }


def svg(found: Completeness, paths: Sequence[str]) -> str:
    """The curve, with the headline for those who cannot see it."""
    what = paths[0] if len(paths) == 1 else plural(len(paths), "recording")
    return as_svg(
        found.curve,
        title=f"System calls against tests: {what}",
        description=" ".join(headline(found)),
        floor=found.outside,
    )
