"""`seclude why`: a call and recordings in; the tests and processes that made it out, or those of its relatives."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from ..analyse.attribution import Answer, Maker, why, why_all
from ..decode import decoded
from ..errors import SecludeError
from ..families import family_of
from ..model.denial import Frame
from ..model.origin import Origin
from ..model.recording import OVERFLOW, FirstSeen, Recording
from ..syscalls import all_names, nearest
from .console import printable
from .denials import stacks
from .overview import LONGEST_CELL, Overview, Table, Words
from .recordings import read_recordings
from .show import draw, plain

MOST_ROWS = 600
MOST_NAMED = 3
MOST_STACKS = 20
OUTSIDE = "(outside any test)"


@click.command(
    epilog="Examples: seclude why socket app.rec ;  seclude why --all app.rec ;  seclude why --format json mount *.rec"
)
@click.option("--all", "every", is_flag=True, help="Of each call that was made.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.argument("words", metavar="[CALL] RECORDING...", nargs=-1, required=True)
def command(every: bool, form: str, words: tuple[str, ...]) -> int:
    """Say which tests and processes made CALL, when first, and with which arguments.

    Where nobody made it: who made other calls of its family, which do the same work in other ways.
    """
    name, paths = ("", words) if every else (words[0], words[1:])
    if not every and name not in all_names() and not name.startswith("#"):
        near = nearest(name)
        raise SecludeError(
            f"no system call is called {name!r}",
            hint=f"did you mean {near!r}?" if near else "the call comes first, then the recordings",
        )
    if not paths:
        raise click.UsageError("Missing argument 'RECORDING...'.")
    recordings = read_recordings(paths)
    if every:
        answers = why_all(recordings)
        show(
            form,
            all_overview(answers, paths),
            {"calls": [values(answer, paths, all_of_it=False) for answer in answers]},
        )
    else:
        answer = why(name, recordings)
        show(form, overview(answer, paths, recordings), values(answer, paths))
    return 0


def show(form: str, shown: Overview, as_json: object) -> None:
    """The answer on standard output."""
    if form == "json":
        click.echo(json.dumps(as_json))
    elif sys.stdout.isatty():
        draw(shown)
    else:
        click.echo(plain(shown), nl=False)


def cell(text: str) -> str:
    return printable(text, longest=LONGEST_CELL)


def numbered(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def left_out(number: int) -> str:
    return f"and {number - MOST_ROWS} more: JSON has all" if number > MOST_ROWS else ""


# Text


def overview(answer: Answer, paths: Sequence[str], recordings: Sequence[Recording]) -> Overview:
    """One call: who made it, and its relatives."""
    parts: list[Table | Words] = []
    if answer.makers:
        counted = any(recording.counted for recording in recordings)
        parts.append(_makers(answer, paths, counted=counted))
        if any(maker.origins for maker in answer.makers):
            parts.append(_code(answer))
    if answer.relatives and not answer.makers:
        rows = [(cell(each.name), _whom(each.tests, each.outside)) for each in answer.relatives]
        parts.append(
            Table(title="of its family these were made", columns=("call", "tests"), rows=tuple(rows))
        )
    facts = [("family", family_of(answer.name))]
    if answer.only:
        facts.append(("only", f"{cell(answer.only)}: without this test nobody makes it"))
    return Overview(
        title=f"{cell(answer.name)}: {_headline(answer)}",
        facts=tuple((label, text) for label, text in facts if text),
        parts=tuple(parts),
    )


def _headline(answer: Answer) -> str:
    if not answer.makers:
        return "nobody made it"
    by = [numbered(len(answer.tests), "test")] if answer.tests else []
    if any(maker.call.phase == "runtime" for maker in answer.makers):
        by.append("the runtime")
    if any(maker.outside and maker.call.phase == "app" for maker in answer.makers):
        by.append("the application outside any test")
    return "made by " + ", ".join(by)


def _makers(answer: Answer, paths: Sequence[str], *, counted: bool) -> Table:
    columns = ["test", "step", "seconds", "process", "executable", "call with arguments"]
    if counted:
        columns.insert(2, "times")
    if len(paths) > 1:
        columns.insert(0, "recording")
    rows = []
    for maker in answer.makers[:MOST_ROWS]:
        row = _maker(maker) | {"recording": cell(paths[maker.source])}
        rows.append(tuple(row[column] for column in columns))
    return Table(
        title=f"{numbered(len(answer.makers), 'context')}, each with its first time",
        columns=tuple(columns),
        rows=tuple(rows),
        right=("times", "seconds"),
        note=left_out(len(answer.makers)),
    )


def _code(answer: Answer) -> Table:
    """The stacks, each once, with the first that had it."""
    places: dict[tuple[tuple[Frame, ...], tuple[Frame, ...]], list[tuple[Maker, Origin]]] = {}
    for maker in answer.makers:
        for origin in maker.origins:
            places.setdefault((origin.python, origin.native), []).append((maker, origin))
    rows = []
    for found in list(places.values())[:MOST_STACKS]:
        maker, origin = found[0]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        for number, (label, text) in enumerate(stacks(origin)):
            rows.append((*((_place(maker), f"{origin.pid}{more}") if not number else ("", "")), label, text))
    left = len(places) - MOST_STACKS
    return Table(
        title="the code that called it, innermost first",
        columns=("test", "pid", "", "place"),
        rows=tuple(rows),
        note=f"and {left} other stacks: JSON has all" if left > 0 else "",
    )


def _maker(maker: Maker) -> dict[str, str]:
    call, first = maker.call, maker.call.first
    row = {"test": _place(maker), "step": maker.step, "times": str(call.count)}
    if not isinstance(first, FirstSeen):
        return row | {
            "seconds": "",
            "process": "",
            "executable": "",
            "call with arguments": cell(first.reason),
        }
    abi = "" if call.abi in ("x86_64", "aarch64") else f" ({call.abi})"
    return row | {
        "seconds": f"{first.time:.6f}",
        "process": f"{cell(first.comm)} {first.pid}",
        "executable": cell(first.executable),
        "call with arguments": cell(decoded(call.abi, call.name, first.arguments)) + abi,
    }


def _place(maker: Maker) -> str:
    if maker.call.phase == "runtime":
        return "(the runtime)"
    return OUTSIDE if maker.outside and maker.test != OVERFLOW else cell(maker.test)


def _whom(tests: Sequence[str], outside: bool) -> str:
    named = [cell(test) for test in tests[:MOST_NAMED]]
    if len(tests) > MOST_NAMED:
        named.append(f"and {len(tests) - MOST_NAMED} more")
    return ", ".join([*([OUTSIDE] if outside else []), *named])


def all_overview(answers: Sequence[Answer], paths: Sequence[str]) -> Overview:
    """Every call with its tests, those that hang on fewest tests first."""
    rows = [
        (cell(answer.name), str(len(answer.tests)), _whom(answer.tests, answer.outside))
        for answer in answers[:MOST_ROWS]
    ]
    alone = sum(bool(answer.only) for answer in answers)
    return Overview(
        title=f"calls of {', '.join(map(cell, paths))}",
        facts=(
            ("calls", str(len(answers))),
            ("by one test only", str(alone)),
            ("outside any test", str(sum(answer.outside for answer in answers))),
        ),
        parts=(
            Table(
                title="calls and their tests",
                columns=("call", "number", "tests"),
                rows=tuple(rows),
                right=("number",),
                note=left_out(len(answers)),
            ),
        ),
    )


# JSON


def values(answer: Answer, paths: Sequence[str], *, all_of_it: bool = True) -> dict[str, object]:
    """The answer as plain values; `all_of_it`: with each context's first time, and the relatives."""
    shown: dict[str, object] = {
        "call": answer.name,
        "tests": list(answer.tests),
        "outside": answer.outside,
        "only": answer.only,
    }
    if all_of_it:
        shown["makers"] = [_maker_values(maker, paths) for maker in answer.makers]
        shown["relatives"] = [
            {"call": each.name, "tests": list(each.tests), "outside": each.outside}
            for each in answer.relatives
        ]
    return shown


def _maker_values(maker: Maker, paths: Sequence[str]) -> dict[str, object]:
    call, first = maker.call, maker.call.first
    shown: dict[str, object] = {
        "recording": paths[maker.source],
        "test": maker.test,
        "step": maker.step,
        "context": call.context,
        "phase": call.phase,
        "abi": call.abi,
        "count": call.count,
    }
    if isinstance(first, FirstSeen):
        shown["first"] = {
            "time": first.time,
            "pid": first.pid,
            "tid": first.tid,
            "comm": first.comm,
            "executable": first.executable,
            "arguments": list(first.arguments),
            "decoded": decoded(call.abi, call.name, first.arguments),
        }
    if maker.origins:
        shown["origins"] = [
            {
                "pid": origin.pid,
                "tid": origin.tid,
                "python": [_frame_values(frame) for frame in origin.python],
                "native": [_frame_values(frame) for frame in origin.native],
            }
            for origin in maker.origins
        ]
    return shown


def _frame_values(frame: Frame) -> dict[str, object]:
    place: dict[str, object] = {"line": frame.line} if frame.line else {"offset": frame.offset}
    return {"module": frame.module, "function": frame.function, **place}
