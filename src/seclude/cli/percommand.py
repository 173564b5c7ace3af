"""`seclude record` of several test commands: options in; each command told of as it ends, and the suite, out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import click

from ..configuration.keys import LARGEST
from ..errors import SecludeError
from ..inputs import read_text
from ..model.frozen import frozen
from ..outputs import Output
from ..suite import Command, Ended, Suite, SuiteRecorder, lines, named, words
from .console import Console
from .results import Tap, junit, looks_like_junit, standard_output_for_tap

F = TypeVar("F", bound=Callable[..., Any])


def per_command_options(function: F) -> F:
    """--per-command, --test, --tap and --junit."""
    for option in reversed(
        (
            click.option(
                "--per-command",
                "per_command",
                default="",
                metavar="FILE",
                help="Run each line of FILE (- for standard input) as a test command, after CMD if there is one; "
                "each is a context.",
            ),
            click.option(
                "--test",
                "tests",
                multiple=True,
                metavar="CMD",
                help="One more test command; may be repeated.",
            ),
            click.option("--tap", is_flag=True, help="Say how the test commands ended, as TAP."),
            click.option(
                "--junit",
                default="",
                metavar="FILE",
                help="Write how the test commands ended, as JUnit's XML.",
            ),
        )
    ):
        function = option(function)
    return function


@frozen
class Several:
    """The test commands that were asked for; with none, CMD itself is what is recorded."""

    commands: tuple[Command, ...]
    tap: bool
    junit: Output | None

    def recorder(self, prefix: Sequence[str], settings: Any, **wanted: Any) -> SuiteRecorder:
        """What will run them after the words of `prefix`; raises EngineError before anything runs."""
        return SuiteRecorder(self.commands, prefix, settings, **wanted)

    def record(self, recorder: SuiteRecorder, console: Console) -> Suite:
        """Run them all, with what was asked for said and written meanwhile. Raises SecludeError."""
        total = len(self.commands)
        with ExitStack() as stack:
            tap = None
            if self.tap:
                tap = Tap(stack.enter_context(standard_output_for_tap()), total)
                tap.begin()
                stack.callback(tap.finish)
            number = 0

            def tell(ended: Ended) -> None:
                nonlocal number
                number += 1
                why = f": {ended.reason}" if ended.reason else ""
                console.say(
                    f"[{number}/{total}] {ended.name}: status {ended.status}, {ended.seconds:.1f} s{why}"
                )
                if tap:
                    tap.tell(ended)

            suite = recorder.record(tell, console.progress)
        if suite.interrupted:
            console.say(f"interrupted: {total - len(suite.ended)} of {total} commands were not run")
        return suite

    def write(self, suite: Suite) -> None:
        """The file of --junit, if it was asked for; raises OutputError."""
        if self.junit is not None:
            self.junit.write(junit(suite, self.commands))


def several(
    per_command: str, tests: Sequence[str], *, tap: bool, junit_path: str, absolute: Callable[[str], str]
) -> Several:
    """The test commands and what is to be said of them; raises SecludeError, naming the line that is wrong."""
    found = lines(_text(per_command), _shown(per_command)) if per_command else []
    found += [words(text, f"--test {number}") for number, text in enumerate(tests, 1)]
    if not found and (tap or junit_path):
        option = "--tap" if tap else "--junit"
        raise SecludeError(
            f"{option} is about several test commands", hint="give them by --per-command FILE or --test CMD"
        )
    output = None
    if junit_path:
        output = Output(absolute(junit_path), "file of JUnit's", looks_like_junit)
        output.check()
    return Several(commands=named(found), tap=tap, junit=output)


def _shown(path: str) -> str:
    return "standard input" if path == "-" else path


def _text(path: str) -> str:
    if path != "-":
        return read_text(path, limit=LARGEST, error=SecludeError)
    raw = sys.stdin.buffer.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise SecludeError(f"standard input is larger than {LARGEST} bytes", hint="record in parts")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise SecludeError(f"standard input is not UTF-8 text: byte {failure.start}") from failure


def values(ended: Sequence[Ended]) -> list[dict[str, object]]:
    """How each command ended, as plain values."""
    return [
        {"name": each.name, "status": each.status, "seconds": round(each.seconds, 3), "reason": each.reason}
        for each in ended
    ]
