"""Recordings of several commands in, one recording out, in which each command is a context."""

from __future__ import annotations

from .errors import RecordingError
from .model.frozen import replace
from .model.recording import (
    ABIS,
    NO_CONTEXT,
    OVERFLOW,
    PHASES,
    ArgumentValues,
    Call,
    Dropped,
    FirstSeen,
    Losses,
    Recording,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model.denial import Denial

    Key = tuple[str, str, int, str, str]

MOST_CALLS = 65536
"""Calls in all contexts together: as many as the recorder keeps of one target (bpf/recorder.h, TARGET_FACTS), so that
the file can be read again whatever the commands do."""

MOST_DENIALS = 16384
MOST_VALUES = 1024
"""Distinct values of the arguments of one call."""


def in_context(recording: Recording, name: str) -> Recording:
    """The same recording, with what its application called outside any context in the context `name`."""
    calls = tuple(
        replace(call, context=name) if call.context == NO_CONTEXT and call.phase != "runtime" else call
        for call in recording.calls
    )
    denials = tuple(
        replace(denial, context=name) if denial.context == NO_CONTEXT else denial
        for denial in recording.denials
    )
    return replace(recording, calls=tuple(sorted(calls, key=_order)), denials=denials)


def _order(call: Call) -> tuple[int, int, str, str]:
    return PHASES.index(call.phase), ABIS.index(call.abi), call.name, call.context


class Joining:
    """Takes recordings one after another, each with the name of its command; `recording` is all of them.

    A context that several commands enter, such as a test that two of them run, is one. Times go on from one recording
    to the next. Beyond MOST_CALLS what a further context calls belongs to the context that stands for all those beyond
    the recorder's limits, and is told as lost detail: the set of calls stays whole.
    """

    def __init__(self, most_calls: int = MOST_CALLS) -> None:
        self._most_calls = most_calls
        self._recordings: list[Recording] = []  # without what is in the tables below
        self._calls: dict[Key, Call] = {}
        self._arguments: dict[tuple[str, str], ArgumentValues] = {}
        self._made: set[tuple[str, str]] = set()
        self._denials: list[Denial] = []
        self._lost_contexts = self._lost_denials = 0
        self._seconds = 0.0

    def add(self, recording: Recording, name: str) -> None:
        """Take in the recording of the command `name`; raises RecordingError if it is of another engine or machine."""
        named = in_context(recording, name)
        first = self._recordings[0] if self._recordings else named
        for what in ("engine", "machine", "runtime"):
            ours, theirs = getattr(first, what), getattr(named, what)
            if ours != theirs:
                raise RecordingError(
                    f"{name!r} was recorded with {what} {theirs!r}, the commands before it with {ours!r}",
                    hint="record them apart, and make one profile of both with `seclude generate`",
                )
        self._join_arguments(named)
        for call in named.calls:
            self._join_call(call)
        room = max(0, MOST_DENIALS - len(self._denials))
        self._denials += named.denials[:room]
        self._lost_denials += len(named.denials[room:])
        self._seconds += named.duration
        self._recordings.append(replace(named, calls=(), arguments=(), denials=()))

    def _join_call(self, call: Call) -> None:
        key = _key(call)
        if key not in self._calls and len(self._calls) >= self._most_calls and call.context != NO_CONTEXT:
            call = replace(call, context=OVERFLOW)
            key = _key(call)
            self._lost_contexts += 1
        before = self._calls.get(key)
        if before is not None:
            kept = before.first if isinstance(before.first, FirstSeen) else self._later(call.first)
            self._calls[key] = replace(before, count=before.count + call.count, first=kept)
        else:
            self._calls[key] = replace(call, first=self._later(call.first))

    def _later(self, first: FirstSeen | Dropped) -> FirstSeen | Dropped:
        return replace(first, time=first.time + self._seconds) if isinstance(first, FirstSeen) else first

    def _join_arguments(self, recording: Recording) -> None:
        """Values are complete only if every recording with the call has kept them all."""
        kept = {(item.abi, item.name): item for item in recording.arguments}
        made = {(call.abi, call.name) for call in recording.calls if call.phase != "denied"}
        for place, item in kept.items():
            before = self._arguments.get(place)
            if before is None:
                whole = item.complete and place not in self._made
                self._arguments[place] = replace(item, complete=whole)
                continue
            values = tuple(sorted({*before.values, *item.values}))
            whole = before.complete and item.complete and before.indices == item.indices
            if before.indices != item.indices or len(values) > MOST_VALUES:
                values, whole = before.values, False
            self._arguments[place] = replace(before, values=values, complete=whole)
        for place in (made & self._arguments.keys()) - kept.keys():
            self._arguments[place] = replace(self._arguments[place], complete=False)
        self._made |= made

    def recording(self) -> Recording:
        """All recordings as one; raises RecordingError if there was none."""
        if not self._recordings:
            raise RecordingError("nothing was recorded", hint="see what the commands said above")
        first, all_of_them = self._recordings[0], self._recordings
        losses = [each.losses for each in all_of_them]
        return replace(
            first,
            duration=self._seconds,
            container="" if len(all_of_them) > 1 else first.container,
            command=_common([each.command for each in all_of_them]),
            confined=all(each.confined for each in all_of_them),
            no_new_privileges=all(each.no_new_privileges for each in all_of_them),
            counted=all(each.counted for each in all_of_them),
            capabilities=tuple(dict.fromkeys(name for each in all_of_them for name in each.capabilities)),
            calls=tuple(sorted(self._calls.values(), key=_order)),
            arguments=tuple(self._arguments[place] for place in sorted(self._arguments)),
            denials=tuple(self._denials),
            losses=Losses(
                calls=sum(each.calls for each in losses),
                facts=sum(each.facts for each in losses),
                contexts=sum(each.contexts for each in losses) + self._lost_contexts,
                executables=sum(each.executables for each in losses),
                markers=sum(each.markers for each in losses),
                denials=sum(each.denials for each in losses) + self._lost_denials,
            ),
        )


def _key(call: Call) -> Key:
    return call.phase, call.abi, call.number, call.name, call.context


def _common(commands: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The words with which all the commands begin."""
    words: list[str] = []
    for each in zip(*commands, strict=False):
        if len(set(each)) > 1:
            break
        words.append(each[0])
    return tuple(words)
