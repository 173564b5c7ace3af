"""`seclude init`: looks at a directory, writes its configuration and workflow, and says what it guessed."""

from __future__ import annotations

import json
import os

import click

from ..configuration.keys import ENGINES
from ..errors import EXIT_CLEAN
from ..initial import SYSTEMS, Plan, plan, write
from .console import printable

EPILOG = "Examples: seclude init --ci github ;  seclude init --ci github --from-seed-style ;  seclude init --ci gitlab"


@click.command(epilog=EPILOG)
@click.option(
    "--ci", "system", type=click.Choice(SYSTEMS), default=None, help="Also write a workflow for it."
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=ENGINES[0],
    show_default=True,
    help="What the tests run with; process: no container at all.",
)
@click.option(
    "--from-seed-style",
    "self_hosted",
    is_flag=True,
    help="For a self-hosted runner with Fedora; also print what its sudo must allow (with --ci github).",
)
@click.option(
    "--pin", default="", metavar="COMMIT", help="The commit of seclude's action that the workflow uses."
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option(
    "--directory", default=".", metavar="DIR", help="Where the Containerfile is; seclude.toml goes there."
)
@click.option("--json", "as_json", is_flag=True, help="Say the result as JSON.")
def command(
    system: str | None,
    engine: str,
    self_hosted: bool,
    pin: str,
    force: bool,
    directory: str,
    as_json: bool,
) -> int:
    """Write seclude.toml and a workflow for this repository, from what is found in it; nothing in it is run.

    Nothing is written where one of the files is there already, unless with --force.
    """
    made = plan(directory, system=system or "", self_hosted=self_hosted, pin=pin, engine=engine)
    write(made, force=force)
    if as_json:
        click.echo(json.dumps(_values(made)))
    else:
        click.echo(report(made), nl=False)
    return EXIT_CLEAN


def report(made: Plan) -> str:
    """What was written, guessed and is to be checked, a line each, then the lines for sudo."""
    lines = [f"wrote    {os.path.relpath(file.path, made.root)}" for file in made.files]
    lines += [f"guessed  {guess}" for guess in made.guesses]
    lines += [f"check    {check}" for check in made.checks]
    lines.append(
        "next     seclude ci records the tests here and writes the profile; commit it with these files"
    )
    shown = "".join(f"{printable(line)}\n" for line in lines)
    return shown + (f"\n{printable(made.sudoers, lines=True, longest=20_000)}" if made.sudoers else "")


def _values(made: Plan) -> dict[str, object]:
    return {
        "wrote": [os.path.relpath(file.path, made.root) for file in made.files],
        "guesses": made.guesses,
        "checks": made.checks,
        "sudoers": made.sudoers,
    }
