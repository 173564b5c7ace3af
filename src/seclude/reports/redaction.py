"""What a page may show of a process: names, paths and arguments in, the text that is fit to be passed on out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ..decode import decoded
from ..model.change import Maker
from ..model.denial import OTHER_PROCESSES, Denial, Frame, error_in_words
from ..model.recording import OVERFLOW, Call, FirstSeen
from .page import DeniedEntry, Use
from .seen import without_stage

MOST_FRAMES = 12
"""Frames that are shown of each stack."""

OUTSIDE = "(outside of any test)"

_DIRECTORIES = re.compile(r"(?<![\w.])/(?:[^/\s:]+/)+")
"""The directories of an absolute path, wherever in a text it is."""


class Redaction:
    """Decides what is shown; `arguments`: everything is. Otherwise files have no directories, calls no arguments."""

    def __init__(self, *, arguments: bool) -> None:
        self._all = arguments

    def path(self, path: str) -> str:
        """A file's path, or its name alone."""
        return path if self._all else path.rstrip("/").rpartition("/")[2] or path[:1]

    def text(self, text: str) -> str:
        """A name that may have paths in it, such as a test's."""
        return text if self._all else _DIRECTORIES.sub("", text)

    def test(self, name: str) -> str:
        """A test's name, with words for what belongs to none."""
        if not name:
            return OUTSIDE
        return "(tests beyond the recorder's limit)" if name == OVERFLOW else self.text(name)

    def command(self, command: Sequence[str]) -> str:
        """A command line, or the name of its program alone."""
        if self._all or not command:
            return shlex.join(command)
        rest = len(command) - 1
        return self.path(command[0]) + (f" (and {rest} argument{'s' * (rest > 1)})" if rest else "")

    def call(self, abi: str, name: str, arguments: Sequence[int]) -> str:
        """A call with its arguments by name, or its name alone."""
        return decoded(abi, name, arguments) if self._all else name

    def maker(self, made: Maker) -> str:
        """Who made a call, in a line."""
        program = self.path(made.executable)
        shown = made.comm or "?"
        if program and program.rpartition("/")[2] != made.comm:
            shown += f" ({program})"
        return shown + (f" in {self.test(without_stage(made.context))}" if made.context else "")

    def use(self, call: Call, test: str) -> Use:
        """Who made the call first in a test."""
        first = call.first
        if not isinstance(first, FirstSeen):
            return Use(
                test=self.test(test), phase=call.phase, process="", executable=f"({first.reason})", seconds=""
            )
        return Use(
            test=self.test(test),
            phase=call.phase,
            process=_process(first.comm, first.pid, first.tid),
            executable=self.path(first.executable),
            seconds=f"{first.time:.3f}",
            arguments=decoded(call.abi, call.name, first.arguments) if self._all else "",
        )

    def denial(self, denial: Denial, test: str) -> DeniedEntry:
        """A denial with its stacks, the innermost frames first."""
        if denial.pid == OTHER_PROCESSES:
            process = "one of many processes"
        else:
            process = _process(denial.comm, denial.pid, denial.tid)
            program = self.path(denial.executable)
            process += f" ({program})" if program else ""
        frames = []
        for kind, stack in (("python", denial.python), ("native", denial.native)):
            frames += [(kind, self._frame(place)) for place in stack[:MOST_FRAMES]]
            if len(stack) > MOST_FRAMES:
                frames.append((kind, f"({len(stack) - MOST_FRAMES} more)"))
        return DeniedEntry(
            call=self.call(denial.abi, denial.name, denial.arguments),
            outcome=denial.outcome,
            count=denial.count,
            process=process,
            test=self.test(test),
            frames=tuple(frames),
        )

    def refusal(self, call: Call, test: str) -> DeniedEntry:
        """A refused call of which the recording has no denial: without stacks."""
        use = self.use(call, test)
        first = call.first
        known = isinstance(first, FirstSeen)
        return DeniedEntry(
            call=self.call(call.abi, call.name, first.arguments)
            if isinstance(first, FirstSeen)
            else call.name,
            outcome=error_in_words(-first.result) if isinstance(first, FirstSeen) else "refused",
            count=call.count,
            process=f"{use.process} ({use.executable})" if known else "",
            test=use.test,
        )

    def _frame(self, place: Frame) -> str:
        where = f":{place.line}" if place.line else f"+{place.offset:#x}"
        return f"{self.path(place.module) or '?'}{where} {place.function}".rstrip()


def _process(comm: str, pid: int, tid: int) -> str:
    return f"{comm or '?'} {pid}" + ("" if pid == tid else f"/{tid}")
