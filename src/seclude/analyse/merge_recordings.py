"""Recordings of a fleet in, one after the other; out one for each kind of place, or a single one with notes.

What decides over a profile besides the calls (machine, kernel, capabilities, runtime, ...) is never mixed: recordings
that differ in it are kept apart. Of each recording only what is new stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import RecordingError
from ..model.denial import Denial
from ..model.frozen import replace
from ..model.profile import kernel_version
from ..model.recording import (
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

MOST_CALLS = 65536
"""Calls of all contexts together; the recorder keeps as many of one container (bpf/recorder.h, TARGET_FACTS)."""

MOST_VALUES = 1024
"""Distinct values of the arguments of one call, beyond which they count as not all known."""

MOST_DENIALS = 16384
_SHOWN = 4
_PROCESS = "process"

Key = tuple[str, str, int, str, str]


class Fleet:
    """Takes recordings one after the other. `detailed` keeps contexts and denials, which a profile does not need."""

    def __init__(self, *, detailed: bool) -> None:
        self._detailed = detailed
        self._kinds: dict[Recording, _Kind] = {}
        self.count = 0

    def add(self, recording: Recording) -> None:
        """Take in one more."""
        kind = replace(
            recording,
            created="",
            duration=0.0,
            seclude="",
            image="",
            container="",
            command=(),
            counted=False,
            calls=(),
            arguments=(),
            losses=Losses(),
            denials=(),
        )
        if kind not in self._kinds:
            self._kinds[kind] = _Kind(kind, detailed=self._detailed)
        self._kinds[kind].add(recording)
        self.count += 1

    def kinds(self) -> tuple[Recording, ...]:
        """One recording for each kind of place, in the order in which these were met."""
        return tuple(kind.recording() for kind in self._kinds.values())

    def single(self) -> tuple[Recording, tuple[str, ...]]:
        """One recording for all, and a note for each matter in which they differ; raises RecordingError for none.

        What it says of such a matter is, as a rule, what makes a profile allow more. Baselines, and rules of a
        `--from` profile that ask for a machine, kernel or capability, may come out otherwise than for the parts.
        """
        if not self._kinds:
            raise RecordingError("there is no recording to merge", hint="name files or directories")
        kinds = self.kinds()
        if len(kinds) == 1:
            return kinds[0], ()
        whole = _Kind(next(iter(self._kinds)), detailed=self._detailed)
        for recording in kinds:
            whole.add(recording)
        merged = whole.recording()
        notes: list[str] = []
        for field in type(merged).__fields__:  # type: ignore[attr-defined]
            counts: dict[Any, int] = {}
            for kind, members in self._kinds.items():
                value = getattr(kind, field)
                counts[value] = counts.get(value, 0) + members.count
            if len(counts) > 1:
                value = _CHOICES.get(field, _first)(tuple(counts))
                merged = replace(merged, **{field: value})
                notes.append(_note(field, counts, value))
        notes.append("`seclude generate` of the recordings themselves keeps these apart")
        return merged, tuple(notes)


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _oldest(values: Sequence[str]) -> str:
    return min(values, key=lambda value: kernel_version(value) or (0, 0))


def _shared(values: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for name in values[0] if all(name in each for each in values))


_CHOICES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "kernel": _oldest,
    "engine": lambda values: next((each for each in values if each != _PROCESS), values[0]),
    # An unknown runtime gets the baseline of every one that we know.
    "runtime": lambda values: "",
    "runtime_version": lambda values: "",
    "confined": all,
    "no_new_privileges": all,
    "attached": any,
    "unseen": lambda values: tuple(sorted(set[str]().union(*values))),
    "capabilities": _shared,
}
"""Field -> what the merged recording has, if the recordings differ; the first one's value where nothing is said."""


def _note(field: str, counts: Mapping[Any, int], chosen: Any) -> str:
    shown = [f"{_text(value)} ({count})" for value, count in list(counts.items())[:_SHOWN]]
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return (
        f"the recordings differ in {field.replace('_', ' ')}: {', '.join(shown)}{more}; "
        f"the merged one says {_text(chosen)}"
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return f"{len(value)} of them"
    return str(value)[:60] or "nothing"


class _Kind:
    """What is left of all recordings of one kind."""

    def __init__(self, kind: Recording, *, detailed: bool) -> None:
        self._kind = kind
        self._detailed = detailed
        self._calls: dict[Key, Call] = {}
        self._counts: dict[Key, int] = {}
        self._values: dict[tuple[str, str], _Values] = {}
        self._denials: dict[Denial, list[Any]] = {}
        self._lost: dict[str, int] = {}
        self._same: dict[str, set[Any]] = {"image": set(), "container": set(), "command": set()}
        self._created, self._seclude, self._seconds = "", "", 0.0
        self._counted = True
        self.count = 0

    def add(self, recording: Recording) -> None:
        for call in recording.calls:
            self._add_call(call)
        self._add_values(recording)
        if self._detailed:
            self._add_denials(recording.denials)
        for name in Losses.__fields__:  # type: ignore[attr-defined]
            self._lose(name, getattr(recording.losses, name))
        for field, values in self._same.items():
            if len(values) < 2:
                values.add(getattr(recording, field))
        self._created = max(self._created, recording.created)
        self._seclude = self._seclude or recording.seclude
        self._seconds += recording.duration
        self._counted = self._counted and recording.counted
        self.count += 1

    def _lose(self, name: str, number: int) -> None:
        self._lost[name] = self._lost.get(name, 0) + number

    def _add_call(self, call: Call) -> None:
        context = call.context if self._detailed else NO_CONTEXT
        key = (call.phase, call.abi, call.number, call.name, context)
        before = self._calls.get(key)
        if before is None and len(self._calls) >= MOST_CALLS and context != NO_CONTEXT:
            self._lose("contexts", 1)
            context = OVERFLOW
            key = (call.phase, call.abi, call.number, call.name, context)
            before = self._calls.get(key)
        if before is None:
            self._calls[key] = call if call.context == context else replace(call, context=context)
        elif isinstance(before.first, Dropped) and isinstance(call.first, FirstSeen):
            self._calls[key] = replace(before, first=call.first)
        self._counts[key] = self._counts.get(key, 0) + call.count

    def _add_values(self, recording: Recording) -> None:
        made = {(call.abi, call.name) for call in recording.calls if call.phase != "denied"}
        for item in recording.arguments:
            place = (item.abi, item.name)
            if place in made:  # with what was only refused nobody has made it
                self._values.setdefault(place, _Values(item.indices)).add(item)
                made.discard(place)
        for place in made:
            # Nothing is known of the arguments with which this one made it.
            self._values.setdefault(place, _Values(())).whole = False

    def _add_denials(self, denials: Iterable[Denial]) -> None:
        for denial in denials:
            same = replace(denial, pid=0, tid=0, count=0, first=0.0, last=0.0)
            known = self._denials.get(same)
            if known is not None:
                known[1] += denial.count
                known[2] = max(known[2], denial.last)
            elif len(self._denials) < MOST_DENIALS:
                self._denials[same] = [denial, denial.count, denial.last]
            else:
                self._lose("denials", denial.count)

    def recording(self) -> Recording:
        """All of them as one."""
        calls = [
            call if call.count == self._counts[key] else replace(call, count=self._counts[key])
            for key, call in self._calls.items()
        ]
        denials = [replace(first, count=count, last=last) for first, count, last in self._denials.values()]
        told = {field: next(iter(values)) for field, values in self._same.items() if len(values) == 1}
        return replace(
            self._kind,
            created=self._created,
            duration=self._seconds,
            seclude=self._seclude,
            counted=self._counted,
            calls=tuple(sorted(calls, key=_order)),
            arguments=tuple(
                values.item(*place) for place, values in sorted(self._values.items()) if values.indices
            ),
            losses=Losses(**self._lost),
            denials=tuple(sorted(denials, key=lambda denial: denial.first)),
            **told,
        )


class _Values:
    """The values of one call's arguments, of the indices that every recording with it has kept."""

    def __init__(self, indices: tuple[int, ...]) -> None:
        self.indices = indices
        self.whole = True
        self._seen: set[tuple[int, ...]] = set()

    def add(self, item: ArgumentValues) -> None:
        self.whole = self.whole and item.complete
        if item.indices != self.indices:
            # Where values of one index are known and of another not, what is known of both is what counts.
            kept = tuple(index for index in self.indices if index in item.indices)
            self._seen = {_picked(self.indices, kept, values) for values in self._seen}
            self.indices = kept
        for values in item.values:
            if len(self._seen) >= MOST_VALUES:
                self.whole = False
                return
            self._seen.add(_picked(item.indices, self.indices, values))

    def item(self, abi: str, name: str) -> ArgumentValues:
        return ArgumentValues(
            abi=abi, name=name, indices=self.indices, values=tuple(sorted(self._seen)), complete=self.whole
        )


def _picked(indices: tuple[int, ...], wanted: tuple[int, ...], values: tuple[int, ...]) -> tuple[int, ...]:
    return values if indices == wanted else tuple(values[indices.index(index)] for index in wanted)


def _order(call: Call) -> tuple[int, int, str, str, int]:
    return PHASES.index(call.phase), ABIS.index(call.abi), call.name, call.context, call.number
