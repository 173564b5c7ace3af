"""`seclude watch`: a container, a process or everything in, denials as they happen out: a table, or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .. import store
from ..errors import EXIT_CLEAN, EXIT_FINDINGS
from ..model.denial import Denial
from ..watching import Scope, Watching
from .console import Console
from .denials import call, short, stacks

if TYPE_CHECKING:
    from rich.table import Table

Show = Callable[[Sequence[Denial]], None]
MOST_ROWS = 500
"""Rows that the table keeps; the oldest go first. JSON lines leave nothing out."""


@click.command(
    epilog="Example: seclude watch --container web;  seclude watch --all --json | tee denials.jsonl"
)
@click.option("--container", metavar="NAME", default="", help="A running container, by name or id.")
@click.option("--pid", type=int, default=0, metavar="PID", help="A process and its descendants.")
@click.option("--all", "everything", is_flag=True, help="Every process that has a seccomp filter.")
@click.option(
    "--duration", type=click.FloatRange(0), default=0, metavar="S", help="End after so many seconds."
)
@click.option(
    "--stacks",
    is_flag=True,
    help="Stop a process for some ms at its first denial of a call, to read its stack.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as also where the output is no terminal.")
def command(container: str, pid: int, everything: bool, duration: float, stacks: bool, as_json: bool) -> int:
    """Show the calls that seccomp refuses or logs, as they happen, whatever made the filters.

    A line of JSON is written when a process is first denied a call, and again when the count has grown (`count` is the
    total). Exit status: 0 if nothing was refused, 2 if something was, 1 on an error or if what is watched ends.
    """
    if bool(container) + bool(pid) + everything != 1:
        raise click.UsageError("give one of --container NAME, --pid PID, --all")
    console = Console(quiet=not sys.stderr.isatty())
    refused = False
    scope = Scope(container=container, pid=pid, everything=everything)
    with Watching(scope, stacks=stacks) as watching:
        show_with = _lines if as_json or not sys.stdout.isatty() else _table
        with show_with() as show:
            try:
                for denials in watching.denials(duration):
                    refused = refused or any(denial.refused for denial in denials)
                    show(denials)
            except KeyboardInterrupt:
                pass
        if watching.lost:
            console.say(f"warning: {watching.lost} denials were lost")
    return EXIT_FINDINGS if refused else EXIT_CLEAN


@contextmanager
def _lines() -> Iterator[Show]:
    def show(denials: Sequence[Denial]) -> None:
        for denial in denials:
            sys.stdout.write(store.dumps_denial(denial))
        sys.stdout.flush()

    yield show


@contextmanager
def _table() -> Iterator[Show]:
    """A live table, the latest on top; nothing in it is read as markup."""
    from rich.console import Console as RichConsole
    from rich.live import Live

    console = RichConsole(markup=False, highlight=False, emoji=False)
    rows: dict[tuple[object, ...], Denial] = {}

    def show(denials: Sequence[Denial]) -> None:
        for denial in denials:
            key = (denial.pid, denial.abi, denial.number, denial.action, denial.data, denial.first)
            rows.pop(key, None)
            rows[key] = denial
        while len(rows) > MOST_ROWS:
            del rows[next(iter(rows))]
        live.update(_drawn(list(rows.values()), console.height))

    with Live(_drawn([], console.height), console=console, refresh_per_second=5) as live:
        yield show


def _drawn(denials: Sequence[Denial], height: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", expand=True)
    for column, right in (
        ("count", True),
        ("call", False),
        ("result", False),
        ("process", False),
        ("where", False),
    ):
        table.add_column(
            Text(column), justify="right" if right else "left", overflow="ellipsis", no_wrap=True
        )
    for denial in list(reversed(denials))[: max(1, height - 3)]:
        places = stacks(denial)
        where = " ".join(filter(None, (short(denial.container), places[0][1] if places else "")))
        table.add_row(
            Text(str(denial.count)),
            Text(call(denial), style="bold"),
            Text(denial.outcome, style="" if not denial.refused else "red"),
            Text(f"{short(denial.comm)} {denial.pid}"),
            Text(where, style="dim"),
        )
    if not denials:
        table.add_row("", Text("nothing was denied so far", style="dim"), "", "", "")
    return table
