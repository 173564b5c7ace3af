"""Recordings of a fleet in, one after the other; out one for each kind of place, or a single one with notes.

What decides over a profile besides the calls (machine, kernel, capabilities, runtime, ...) is never mixed: recordings
that differ in it are kept apart. Of each recording only what is new stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import RecordingError
from ..joining import MOST_CALLS, MOST_DENIALS, MOST_VALUES, Joined, made
from ..model.denial import Denial
from ..model.frozen import replace
from ..model.profile import kernel_version
from ..model.recording import NO_CONTEXT, Losses, Recording

_SHOWN = 4
_PROCESS = "process"


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
        self._joined = Joined(MOST_CALLS, MOST_VALUES)
        self._denials: dict[Denial, list[Any]] = {}
        self._same: dict[str, set[Any]] = {"image": set(), "container": set(), "command": set()}
        self._created, self._seclude, self._seconds = "", "", 0.0
        self._counted = True
        self.count = 0

    def add(self, recording: Recording) -> None:
        for call in recording.calls:
            self._joined.add_call(call, call.context if self._detailed else NO_CONTEXT)
        places = made(recording)
        # With what was only refused nobody has made it.
        kept = (item for item in recording.arguments if (item.abi, item.name) in places)
        self._joined.add_arguments(kept, places)
        self._joined.add_losses(recording.losses)
        if self._detailed:
            self._add_denials(recording.denials)
        for field, values in self._same.items():
            if len(values) < 2:
                values.add(getattr(recording, field))
        self._created = max(self._created, recording.created)
        self._seclude = self._seclude or recording.seclude
        self._seconds += recording.duration
        self._counted = self._counted and recording.counted
        self.count += 1

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
                self._joined.lose("denials", denial.count)

    def recording(self) -> Recording:
        """All of them as one."""
        denials = [replace(first, count=count, last=last) for first, count, last in self._denials.values()]
        told = {field: next(iter(values)) for field, values in self._same.items() if len(values) == 1}
        return replace(
            self._kind,
            created=self._created,
            duration=self._seconds,
            seclude=self._seclude,
            counted=self._counted,
            calls=self._joined.calls(),
            arguments=self._joined.arguments(),
            losses=self._joined.losses(),
            denials=tuple(sorted(denials, key=lambda denial: denial.first)),
            **told,
        )
