"""`seclude mark`: a name and a command in; the command runs in that context, in place of this process."""

from __future__ import annotations

import os
import shutil

import click

from ..errors import EngineError
from ..marking import mark


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", metavar="NAME")
@click.argument("command_line", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(name: str, command_line: tuple[str, ...]) -> int:
    """Run CMD in the context NAME: what it and its descendants call is recorded under that name.

    A process can mark itself only, not the shell that started it: hence the command. Without a recorder CMD just runs.
    """
    words = command_line[1:] if command_line[0] == "--" else command_line
    path = shutil.which(words[0]) if words else None
    if path is None:
        raise EngineError(
            f"{words[0] if words else ''!r} is no command that can be run",
            hint="give a path, or a name found through PATH",
        )
    mark(name)
    try:
        os.execv(path, words)  # noqa: S606 (the command is the user's own)
    except OSError as error:
        raise EngineError(f"{words[0]} cannot be started: {error.strerror}") from error
