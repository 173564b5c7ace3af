"""`seclude run`: a command and a profile in; the command runs under it and its exit status comes out."""

from __future__ import annotations

import click

from ..confined_runs import run_docker, run_podman, run_process
from ..engines import engine_for

RUNS = {"podman": run_podman, "docker": run_docker, "process": run_process}
"""The name of an engine -> how a command of it is run under a profile."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--profile", "-p", required=True, metavar="PROFILE", help="The profile to enforce.")
@click.argument("command_line", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(profile: str, command_line: tuple[str, ...]) -> int:
    """Run CMD under PROFILE; everything that it does not allow fails as it says.

    Where CMD is `podman run ...` or `docker run ...` it gets --security-opt seccomp=PROFILE; any other command gets the
    filter itself.
    """
    return RUNS[engine_for(command_line).name](command_line, profile)
