"""Recordings in, who made which call out: call -> test -> its first time, and back from tests to calls.

A recording of a large suite has millions of entries, each of which is looked at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nsmallest
from math import inf

from ..model.recording import NO_CONTEXT, Call, FirstSeen, Recording

STAGES = ("setup", "call", "teardown")
"""What the pytest plugin adds to the name of a test, after a bar."""


def without_stage(context: str) -> str:
    """The test that a context belongs to: pytest's setup, call and teardown of a test are one test."""
    name, bar, stage = context.rpartition("|")
    return name if bar and stage in STAGES else context


class Seen:
    """All recordings together: `calls` (name -> test -> the first Call in it) leave out what was refused.

    `tests` are all names of tests, and "" if something was made outside of any. `counts` are the times a call was made,
    where that was counted; `abis` where it was made; `refused` are the entries of phase denied.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.calls: dict[str, dict[str, Call]] = {}
        self.counts: dict[str, int] = {}
        self.abis: dict[str, set[str]] = {}
        self.refused: list[Call] = []
        self.processes: set[tuple[int, int]] = set()
        self.programs: set[str] = set()
        self._tests_of: dict[str, str] = {}
        for number, recording in enumerate(recordings):
            self._add(number, recording)
        self.tests = frozenset[str]().union(*self.calls.values())

    @property
    def named_tests(self) -> int:
        """How many tests there are, without what was outside of any."""
        return len(self.tests) - ("" in self.tests)

    def makers(self, name: str) -> int:
        """How many tests made the call."""
        made = self.calls.get(name, {})
        return len(made) - ("" in made)

    def _add(self, number: int, recording: Recording) -> None:
        tests_of = self._tests_of
        last_phase = last_abi = last_name = ""
        made: dict[str, Call] = {}
        processes: set[int] = set()
        pid, program = -1, ""
        for call in recording.calls:
            phase, name, first = call.phase, call.name, call.first
            # They come sorted, so that the lookups by name are made once for all contexts.
            if name != last_name or call.abi != last_abi or phase != last_phase:
                last_phase, last_abi, last_name = phase, call.abi, name
                if phase != "denied":
                    made = self.calls.setdefault(name, {})
                    self.abis.setdefault(name, set()).add(call.abi)
            if phase == "denied":
                self.refused.append(call)
                continue
            # What the runtime calls belongs to no test, whatever was marked meanwhile.
            context = call.context if phase == "app" else NO_CONTEXT
            if context not in tests_of:
                tests_of[context] = without_stage(context)
            test = tests_of[context]
            if test not in made or order(call) < order(made[test]):
                made[test] = call
            if type(first) is FirstSeen:
                # Mostly it is the same process as before.
                if first.pid != pid:
                    pid = first.pid
                    processes.add(pid)
                if (first.executable or first.comm) != program:
                    program = first.executable or first.comm
                    self.programs.add(program)
            if call.count:
                self.counts[name] = self.counts.get(name, 0) + call.count
        self.processes.update((number, pid) for pid in processes)


def first_makers(made: Mapping[str, Call], most: int) -> list[tuple[str, Call]]:
    """(test, call) of the first few, in the order of `order` and then by name."""
    ranked = (
        (call.phase != "app", call.first.time if type(call.first) is FirstSeen else inf, test)
        for test, call in made.items()
    )
    return [(test, made[test]) for _, _, test in nsmallest(most, ranked)]


def order(call: Call) -> tuple[bool, float]:
    """Sorts entries of one call by what they say about who needs it.

    The application before the runtime, then by time; those without first-seen facts last.
    """
    first = call.first
    return (call.phase != "app", first.time if type(first) is FirstSeen else inf)
