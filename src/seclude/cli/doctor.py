"""`seclude doctor`: the machine in, a line for each check on standard output, with the next step where it needs one."""

from __future__ import annotations

import json
import os
import sys

import click

from ..doctor import DEGRADED, MISSING, OK, Check, diagnose
from ..errors import EXIT_CLEAN, EXIT_ERROR
from .console import printable
from .options import place_options

_COLOURS = {OK: "32", DEGRADED: "33", MISSING: "31"}  # green, yellow, red


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(bpffs_path: str, state_dir: str, as_json: bool) -> int:
    """Check what this machine offers for recording: each thing is ok, degraded or missing, with the next step.

    Exit status: 0 if processes and containers can be recorded, perhaps not everywhere; 1 if something is missing
    that every recording needs.
    """
    checks = diagnose(bpffs_path=bpffs_path, state_dir=state_dir)
    able = all(check.state != MISSING for check in checks)
    if as_json:
        click.echo(json.dumps({"able": able, "checks": [_values(check) for check in checks]}))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        click.echo("\n".join([*lines(checks, colour=colour), "", summary(checks)]))
    return EXIT_CLEAN if able else EXIT_ERROR


def lines(checks: tuple[Check, ...], *, colour: bool = False) -> list[str]:
    """State, name and what was found, in columns, nothing in them that a terminal acts upon."""
    state_width = max((len(check.state) for check in checks), default=0)
    name_width = max((len(check.name) for check in checks), default=0)
    shown = []
    for check in checks:
        state = check.state.ljust(state_width)
        if colour:
            state = f"\x1b[{_COLOURS[check.state]}m{state}\x1b[0m"
        shown.append(f"{state}  {check.name:<{name_width}}  {printable(check.found)}".rstrip())
        if check.next_step:
            shown.append(f"{'':{state_width}}  {'':{name_width}}  next: {printable(check.next_step)}")
    return shown


def summary(checks: tuple[Check, ...]) -> str:
    """One line: whether anything can be recorded, and how much could be better."""
    counts = {state: sum(check.state == state for check in checks) for state in (MISSING, DEGRADED)}
    if counts[MISSING]:
        return f"nothing can be recorded here yet: {counts[MISSING]} missing, {counts[DEGRADED]} degraded"
    return f"this machine can record; {counts[DEGRADED]} of {len(checks)} checks are degraded"


def _values(check: Check) -> dict[str, str]:
    return {
        "name": check.name,
        "state": check.state,
        "found": check.found,
        "next_step": check.next_step,
    }
