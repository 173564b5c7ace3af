"""The group of all commands; each is a file here and is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from .. import __version__

COMMANDS = {
    "record": "Record the system calls of a container or a process and write its profile.",
    "snapshot": "Write the profile so far of a container that is being recorded.",
    "generate": "Write a profile from recordings.",
    "show": "Show a profile or a recording.",
    "run": "Run a container or a process under a profile.",
    "verify": "Prove that a command runs under a profile; name each call that is denied.",
    "watch": "Show denials live, of running containers or processes.",
    "mark": "Name what the calling process does next: a test, a step.",
    "why": "Say which processes and tests made a call.",
    "tests": "Say which calls only one test makes, and which tests are enough.",
    "complete": "Say how complete a recording is, and how likely the next new call.",
    "scan": "Say which calls the programs of an image can reach at all.",
    "report": "Draw a recording as a page of HTML.",
    "explain": "Say why a call was denied and what to do about it.",
    "minimize": "Find out which calls of a profile a command really needs.",
    "merge": "Merge profiles by meaning: union, intersection or difference.",
    "diff": "Say how two profiles differ, call by call, and what that means.",
    "lint": "Find what is wrong, useless or dangerous in a profile.",
    "check": "Say what a profile does with one call.",
    "compile": "Compile a profile to the kernel's filter, and check that it means the same.",
    "export": "Write a profile in another program's format.",
    "import": "Read another program's format as a profile.",
    "push": "Store profiles in a container registry.",
    "pull": "Fetch a profile from a container registry.",
    "ci": "Build, record the tests, prove the profile, review the change, write it.",
    "init": "Write a configuration and a workflow for this repository.",
    "baseline": "Measure what an OCI runtime itself needs, and list what is known.",
    "doctor": "Check what this machine offers and what is missing.",
    "hook": "Install, inspect and clean up the OCI hook.",
    "runtime": "Install the OCI runtime that records containers of docker, containerd and CRI-O.",
}


class LazyGroup(click.Group):
    """Knows its commands' names and summaries without importing them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        # `import` is a keyword, and no module can have its name.
        module = import_module(".import_" if name == "import" else f".{name}", __package__)
        command: click.Command = module.command
        command.help = command.help or COMMANDS[name]
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", context) from error


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="seclude", message="%(prog)s %(version)s")
def group() -> None:
    """Record the system calls a container makes and write the tightest seccomp profile that still lets it run.

    Exit status: 0 clean, 1 error, 2 findings; `record` and `run` end with the status of the command they ran.
    """
