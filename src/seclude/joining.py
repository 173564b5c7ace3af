"""Recordings of several commands in, one recording out, in which each command is a context.

What any two recordings have together (calls, values of arguments, losses) is for the analysis of a fleet as well.
"""

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
    from collections.abc import Iterable

    from .model.denial import Denial

    Key = tuple[str, str, int, str, str]
    Place = tuple[str, str]

MOST_CALLS = 65536
"""Calls in all contexts together: as many as the recorder keeps of one target (bpf/recorder.h, TARGET_FACTS), so that
the file can be read again whatever the commands do."""

MOST_DENIALS = 16384
MOST_VALUES = 1024
"""Distinct values of the arguments of one call, beyond which they count as not all known."""


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


def _order(call: Call) -> tuple[int, int, str, str, int]:
    return PHASES.index(call.phase), ABIS.index(call.abi), call.name, call.context, call.number


class Joined:
    """The calls, values of arguments and losses of recordings that are taken in one after another.

    Beyond `most_calls` what a further context calls belongs to the context that stands for all those beyond the
    recorder's limits, and is told as lost detail: the set of calls stays whole.
    """

    def __init__(self, most_calls: int = MOST_CALLS, most_values: int = MOST_VALUES) -> None:
        self._most_calls = most_calls
        self._most_values = most_values
        self._calls: dict[Key, Call] = {}
        self._counts: dict[Key, int] = {}
        self._values: dict[Place, _Values] = {}
        self._lost: dict[str, int] = {}

    def add_call(self, call: Call, context: str) -> None:
        """Take in a call as one of the context; of its first sights the first that was kept stays."""
        key = (call.phase, call.abi, call.number, call.name, context)
        before = self._calls.get(key)
        if before is None and len(self._calls) >= self._most_calls and context != NO_CONTEXT:
            self.lose("contexts", 1)
            context = OVERFLOW
            key = (call.phase, call.abi, call.number, call.name, context)
            before = self._calls.get(key)
        if before is None:
            self._calls[key] = call if call.context == context else replace(call, context=context)
        elif isinstance(before.first, Dropped) and isinstance(call.first, FirstSeen):
            self._calls[key] = replace(before, first=call.first)
        self._counts[key] = self._counts.get(key, 0) + call.count

    def add_arguments(self, arguments: Iterable[ArgumentValues], made: set[Place]) -> None:
        """Take in the values that one recording has kept; `made` are (ABI, name) of all the calls in it.

        Values are complete only if every recording with the call has kept them all.
        """
        kept = set()
        for item in arguments:
            place = (item.abi, item.name)
            kept.add(place)
            self._values.setdefault(place, _Values(self._most_values)).add(item)
        for place in made - kept:
            # Nothing is known of the arguments with which this one made it.
            self._values.setdefault(place, _Values(self._most_values)).whole = False

    def add_losses(self, losses: Losses) -> None:
        """Take in what one recording has lost."""
        for name in Losses.__fields__:  # type: ignore[attr-defined]
            self.lose(name, getattr(losses, name))

    def lose(self, name: str, number: int) -> None:
        """So many more are lost of one kind, a field of Losses."""
        self._lost[name] = self._lost.get(name, 0) + number

    def calls(self) -> tuple[Call, ...]:
        """All calls, with the sum of their counts, in the order of a recording."""
        calls = [
            call if call.count == self._counts[key] else replace(call, count=self._counts[key])
            for key, call in self._calls.items()
        ]
        return tuple(sorted(calls, key=_order))

    def arguments(self) -> tuple[ArgumentValues, ...]:
        """The values of each call's arguments of which any are known."""
        return tuple(values.item(*place) for place, values in sorted(self._values.items()) if values.indices)

    def losses(self) -> Losses:
        """What all recordings have lost, and what was lost in here."""
        return Losses(**self._lost)


class _Values:
    """The values of one call's arguments, of the indices that every recording with any has kept."""

    def __init__(self, most: int) -> None:
        self.indices: tuple[int, ...] | None = None  # none were kept so far
        self.whole = True
        self._most = most
        self._seen: set[tuple[int, ...]] = set()

    def add(self, item: ArgumentValues) -> None:
        self.whole = self.whole and item.complete
        if self.indices is None:
            self.indices = item.indices
        elif item.indices != self.indices:
            # Where values of one index are known and of another not, what is known of both is what counts.
            kept = tuple(index for index in self.indices if index in item.indices)
            self._seen = {_picked(self.indices, kept, values) for values in self._seen}
            self.indices = kept
        for values in item.values:
            picked = _picked(item.indices, self.indices, values)
            if picked not in self._seen and len(self._seen) >= self._most:
                self.whole = False
                return
            self._seen.add(picked)

    def item(self, abi: str, name: str) -> ArgumentValues:
        values = tuple(sorted(self._seen))
        return ArgumentValues(
            abi=abi, name=name, indices=self.indices or (), values=values, complete=self.whole
        )


def _picked(indices: tuple[int, ...], wanted: tuple[int, ...], values: tuple[int, ...]) -> tuple[int, ...]:
    return values if indices == wanted else tuple(values[indices.index(index)] for index in wanted)


def made(recording: Recording) -> set[Place]:
    """(ABI, name) of the calls that were not merely refused."""
    return {(call.abi, call.name) for call in recording.calls if call.phase != "denied"}


class Joining:
    """Takes recordings one after another, each with the name of its command; `recording` is all of them.

    A context that several commands enter, such as a test that two of them run, is one. Times go on from one recording
    to the next.
    """

    def __init__(self, most_calls: int = MOST_CALLS) -> None:
        self._recordings: list[Recording] = []  # without what is in those below
        self._joined = Joined(most_calls)
        self._denials: list[Denial] = []
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
        self._joined.add_arguments(named.arguments, made(named))
        self._joined.add_losses(named.losses)
        for call in named.calls:
            self._joined.add_call(self._later(call), call.context)
        room = max(0, MOST_DENIALS - len(self._denials))
        self._denials += named.denials[:room]
        self._joined.lose("denials", len(named.denials[room:]))
        self._seconds += named.duration
        self._recordings.append(replace(named, calls=(), arguments=(), denials=()))

    def _later(self, call: Call) -> Call:
        first = call.first
        if self._seconds and isinstance(first, FirstSeen):
            return replace(call, first=replace(first, time=first.time + self._seconds))
        return call

    def recording(self) -> Recording:
        """All recordings as one; raises RecordingError if there was none."""
        if not self._recordings:
            raise RecordingError("nothing was recorded", hint="see what the commands said above")
        first, all_of_them = self._recordings[0], self._recordings
        return replace(
            first,
            duration=self._seconds,
            container="" if len(all_of_them) > 1 else first.container,
            command=_common([each.command for each in all_of_them]),
            confined=all(each.confined for each in all_of_them),
            no_new_privileges=all(each.no_new_privileges for each in all_of_them),
            counted=all(each.counted for each in all_of_them),
            capabilities=tuple(dict.fromkeys(name for each in all_of_them for name in each.capabilities)),
            calls=self._joined.calls(),
            arguments=self._joined.arguments(),
            denials=tuple(self._denials),
            losses=self._joined.losses(),
        )


def _common(commands: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The words with which all the commands begin."""
    words: list[str] = []
    for each in zip(*commands, strict=False):
        if len(set(each)) > 1:
            break
        words.append(each[0])
    return tuple(words)
