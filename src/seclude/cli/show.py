"""`seclude show`: a profile or a recording in, an account of it on standard output, for people or as JSON."""

from __future__ import annotations

import json
import sys

import click

from .. import store
from ..errors import ProfileError, SecludeError
from ..formats import jsontext, oci
from ..inputs import read_text
from ..model.profile import Filter, Profile
from ..model.recording import FORMAT, FirstSeen, Recording
from .overview import Overview, Table, Words, conditions, contexts, made, profile_overview, recording_overview

WIDTH = 100
"""Columns of text that goes to no terminal."""

_CUT = ("executable", "arguments", "call with arguments")
_WRAPPED = ("conditions", "where", "comment", "context", "values", "test", "tests", "only here")
"""What gives way on a narrow terminal: the former are cut, the latter broken into lines."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, nothing left out.")
@click.argument("path", metavar="PROFILE|RECORDING")
def command(path: str, as_json: bool) -> int:
    """Show what a profile allows, or what a recording saw and where it was first seen."""
    shown = read(path)
    if as_json:
        values = profile_values(shown) if isinstance(shown, Profile) else recording_values(shown)
        click.echo(json.dumps(values))
        return 0
    overview = (
        profile_overview(shown, path) if isinstance(shown, Profile) else recording_overview(shown, path)
    )
    if sys.stdout.isatty():
        draw(overview)
    else:
        click.echo(plain(overview), nl=False)
    return 0


def read(path: str) -> Profile | Recording:
    """The profile or recording in a file, told apart by what is in it; raises SecludeError."""
    text = read_text(path, limit=store.LARGEST, error=SecludeError)
    if store.looks_like_recording(text):
        return store.loads(text, path)
    value = jsontext.decode(text, path)
    if isinstance(value, dict) and value.get("format") == FORMAT:
        return store.loads(text, path)
    if not isinstance(value, dict) or not {"defaultAction", "syscalls"} & set(value):
        raise SecludeError(
            f"{path} is neither a profile nor a recording",
            hint=f'a profile has "defaultAction", a recording "format": "{FORMAT}"',
        )
    if len(text) > oci.LARGEST:
        raise ProfileError(f"{path} is larger than {oci.LARGEST} characters")
    return oci.loads(text, path)


# Text


def plain(overview: Overview) -> str:
    """The overview as aligned lines without colour."""
    lines = [overview.title, ""]
    longest = max((len(label) for label, _ in overview.facts), default=0)
    lines += [f"  {label:<{longest}}  {text}" for label, text in overview.facts]
    for part in overview.parts:
        lines += ["", part.title, ""]
        lines += _aligned(part) if isinstance(part, Table) else _columns(part, WIDTH)
        if isinstance(part, Table) and part.note:
            lines.append(f"  {part.note}")
    return "\n".join(lines) + "\n"


def _aligned(table: Table) -> list[str]:
    rows = [tuple(column.upper() for column in table.columns), *table.rows]
    kept = _filled(table)
    widths = {index: max(len(row[index]) for row in rows) for index in kept}
    right = {index for index, column in enumerate(table.columns) if column in table.right}
    return [
        "  "
        + "  ".join(
            row[index].rjust(widths[index]) if index in right else row[index].ljust(widths[index])
            for index in kept
        ).rstrip()
        for row in rows
    ]


def _filled(table: Table) -> list[int]:
    """The columns that have anything in them."""
    return [index for index in range(len(table.columns)) if any(row[index] for row in table.rows)]


def _columns(words: Words, width: int) -> list[str]:
    """The names downwards in as many columns as fit."""
    if not words.words:
        return ["  (none)"]
    cell = max(len(word) for word in words.words) + 2
    across = max(1, (width - 2) // cell)
    down = -(-len(words.words) // across)
    return [
        ("  " + "".join(word.ljust(cell) for word in words.words[start::down])).rstrip()
        for start in range(down)
    ]


def draw(overview: Overview) -> None:
    """The overview on the terminal, in colour unless NO_COLOR is set.

    Nothing in it is read as markup: names come from the container.
    """
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(markup=False, highlight=False, emoji=False)
    console.print(Text(overview.title, style="bold"))
    facts = RichTable.grid(padding=(0, 2))
    for label, text in overview.facts:
        facts.add_row(
            Text(f"  {label}", style="dim"), Text(text, style="bold red" if _alarming(label, text) else "")
        )
    console.print(facts)
    for part in overview.parts:
        console.print(Text(f"\n{part.title}", style="bold"))
        if isinstance(part, Words):
            console.print(Text("\n".join(_columns(part, console.width))), soft_wrap=True)
            continue
        table = RichTable(box=None, pad_edge=True, header_style="dim")
        kept = _filled(part)
        for index in kept:
            column = part.columns[index]
            table.add_column(
                Text(column),
                justify="right" if column in part.right else "left",
                style="bold" if column == "call" else "",
                overflow="fold",
                no_wrap=column not in _CUT and column not in _WRAPPED,
            )
        for row in part.rows:
            cells = ((row[index], part.columns[index] in _CUT) for index in kept)
            table.add_row(
                *(
                    Text(cell, no_wrap=cut or None, overflow="ellipsis" if cut else None)
                    for cell, cut in cells
                )
            )
        console.print(table)
        if part.note:
            console.print(Text(f"  {part.note}", style="dim"))


def _alarming(label: str, text: str) -> bool:
    return label == "lost" and text != "nothing"


# JSON


def profile_values(profile: Profile) -> dict[str, object]:
    """The profile as plain values, engines' words for what they have a word for."""
    return {
        "kind": "profile",
        "default_action": profile.outcome[0],
        "default_errno": profile.outcome[1],
        "architectures": list(profile.architectures),
        "arch_map": {entry.architecture: list(entry.sub_architectures) for entry in profile.arch_map},
        "flags": None if profile.flags is None else list(profile.flags),
        "listener_path": profile.listener_path,
        "rules": [
            {
                "action": rule.outcome[0],
                "errno": rule.outcome[1],
                "calls": list(rule.names),
                "conditions": conditions(rule),
                "includes": _limits(rule.includes),
                "excludes": _limits(rule.excludes),
                "comment": rule.comment,
            }
            for rule in profile.rules
        ],
    }


def _limits(limits: Filter) -> dict[str, object]:
    return {"arches": list(limits.arches), "caps": list(limits.caps), "min_kernel": limits.min_kernel}


def recording_values(recording: Recording) -> dict[str, object]:
    """The recording as plain values: its facts, its calls over all contexts, and the contexts."""
    simple = (
        "created duration seclude tracer kernel machine engine runtime runtime_version image container confined "
        "no_new_privileges counted attached"
    ).split()
    lost = recording.losses
    return {
        "kind": "recording",
        **{name: getattr(recording, name) for name in simple},
        "command": list(recording.command),
        "capabilities": list(recording.capabilities),
        "lost": {
            "calls": lost.calls,
            "facts": lost.facts,
            "contexts": lost.contexts,
            "executables": lost.executables,
            "markers": lost.markers,
        },
        "calls": [
            {
                "phase": call.phase,
                "abi": call.abi,
                "name": call.name,
                "number": call.number,
                "count": call.count,
                "contexts": call.contexts,
                "first": _first_values(call.first) if isinstance(call.first, FirstSeen) else None,
            }
            for call in made(recording)
        ],
        "contexts": contexts(recording),
        "arguments": [
            {
                "abi": item.abi,
                "call": item.name,
                "indices": list(item.indices),
                "values": [list(values) for values in item.values],
                "complete": item.complete,
            }
            for item in recording.arguments
        ],
    }


def _first_values(first: FirstSeen) -> dict[str, object]:
    return {
        "time": first.time,
        "pid": first.pid,
        "tid": first.tid,
        "comm": first.comm,
        "executable": first.executable,
        "arguments": [f"{value:#x}" for value in first.arguments],
        "result": first.result,
    }
