"""What OCI runtimes themselves call after they have loaded the filter: shipped or users' data in, call names out.

A container that was recorded under a filter has shown its runtime's calls, but for those that depend on timing; one
that ran unconfined has shown none.
"""

from __future__ import annotations

import os

from .belated import belated
from .errors import SecludeError
from .formats import jsontext
from .inputs import read_text
from .model.baseline import Baseline, More, NotMeasured
from .startup import STARTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from .model.recording import Recording

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "baselines.json")
FORMAT = "seclude-baselines"
VERSION = 2
LARGEST = 4 * 1024 * 1024
PROCESS_ENGINE = "process"


def baselines(path: str = DATA) -> tuple[Baseline, ...]:
    """All baselines in a file, the shipped ones unless said otherwise; raises SecludeError."""
    value = jsontext.decode(read_text(path, limit=LARGEST, error=SecludeError), path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise SecludeError(f"{path} holds no baselines", hint="`seclude baseline record -o FILE` writes some")
    if value.get("version") != VERSION:
        raise SecludeError(f"{path} is not of version {VERSION}", hint="record it again with this seclude")
    entries = value.get("baselines")
    if not isinstance(entries, list) or set(value) != {"format", "version", "baselines"}:
        raise SecludeError(f"{path} must have format, version and baselines, and nothing else")
    return tuple(_baseline(entry, f"{path}: baselines[{index}]") for index, entry in enumerate(entries))


def dumps(entries: Iterable[Baseline]) -> str:
    """The text of a file of baselines, one line a baseline, the oldest version of each runtime first."""
    ordered = sorted(
        entries, key=lambda item: (item.runtime, ordered_version(item.version), item.no_new_privileges)
    )
    lines = ",\n  ".join(jsontext.encode(_plain(entry)) for entry in ordered)
    return f'{{"format":"{FORMAT}","version":{VERSION},"baselines":[\n  {lines}\n]}}\n'


def looks_like_baselines(text: str) -> bool:
    """Whether the text is a file of baselines, judged by how it begins: what we may replace."""
    return text.startswith(f'{{"format":"{FORMAT}"')


def _plain(entry: Baseline) -> dict[str, object]:
    return {
        "runtime": entry.runtime,
        "version": entry.version,
        "machine": entry.machine,
        "no_new_privileges": entry.no_new_privileges,
        "obtained": entry.obtained,
        "always": entry.always,
        "varying": entry.varying,
        "conditions": {item.condition: item.calls for item in entry.conditions},
        "unknown": {item.condition: item.reason for item in entry.unknown},
    }


_KINDS: dict[str, type] = {
    "runtime": str,
    "version": str,
    "machine": str,
    "no_new_privileges": bool,
    "obtained": str,
    "always": list,
    "varying": list,
    "conditions": dict,
    "unknown": dict,
}


def _baseline(entry: object, place: str) -> Baseline:
    if not isinstance(entry, dict) or set(entry) != set(_KINDS):
        raise SecludeError(f"{place} must have {', '.join(_KINDS)}, and nothing else")
    for name, kind in _KINDS.items():
        if not isinstance(entry[name], kind):
            raise SecludeError(f"{place}.{name} is no {kind.__name__}")
    values: dict[str, Any] = dict(entry)
    for name in ("always", "varying"):
        values[name] = _names(entry[name], f"{place}.{name}")
    values["conditions"] = tuple(
        More(condition=condition, calls=_names(calls, f"{place}.conditions.{condition[:80]}"))
        for condition, calls in entry["conditions"].items()
    )
    values["unknown"] = tuple(
        NotMeasured(condition=condition, reason=str(reason)) for condition, reason in entry["unknown"].items()
    )
    try:
        return Baseline(**values)
    except SecludeError as error:
        raise SecludeError(f"{place}: {error.message}", hint=error.hint) from error


def _names(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(_is_name(name) for name in value):
        raise SecludeError(f"{place} is no list of names of calls")
    return tuple(sorted(set(value)))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.replace("_", "").isalnum()


def _fitting(runtime: str, *, no_new_privileges: bool, version: str, every: Sequence[Baseline]) -> Baseline:
    """The newest baseline of a runtime that is not newer than `version`, else its oldest; raises SecludeError."""
    fitting = [
        item for item in every if item.runtime == runtime and item.no_new_privileges == no_new_privileges
    ]
    if not fitting:
        known = ", ".join(sorted({item.runtime for item in every}))
        raise SecludeError(f"no baseline for the runtime {runtime!r}", hint=f"known: {known}, or none")
    fitting.sort(key=lambda item: ordered_version(item.version))
    older = [
        item for item in fitting if not version or ordered_version(item.version) <= ordered_version(version)
    ]
    return older[-1] if older else fitting[0]


def calls_of(runtimes: Sequence[str], *, no_new_privileges: bool, version: str = "") -> tuple[str, ...]:
    """All calls that the given runtimes need, sorted; raises SecludeError for a runtime without data.

    Instead of a runtime's name there may be the path of a file of baselines (with a "/", or ending in ".json"): then
    the calls of all runtimes in it count.
    """
    every = baselines()
    names: set[str] = set()
    for runtime in runtimes:
        if "/" in runtime or runtime.endswith(".json"):
            names.update(_calls_in(runtime, no_new_privileges))
        else:
            entry = _fitting(runtime, no_new_privileges=no_new_privileges, version=version, every=every)
            names.update(entry.calls, _varying(runtime, every))
    return tuple(sorted(names))


def _varying(runtime: str, every: Sequence[Baseline]) -> set[str]:
    """What depends on timing in any version: no number of runs shows that another version never does it."""
    return {name for item in every if item.runtime == runtime for name in item.varying}


def _calls_in(path: str, no_new_privileges: bool) -> set[str]:
    every = [item for item in baselines(path) if item.no_new_privileges == no_new_privileges]
    if not every:
        with_or_without = "with" if no_new_privileges else "without"
        raise SecludeError(
            f"{path} has no baseline {with_or_without} no-new-privileges", hint="record the runtime again"
        )
    return {name for item in every for name in item.calls}


def ordered_version(version: str) -> tuple[int, ...]:
    """What versions are ordered by: "1.1.5+ds1" is (1, 1, 5)."""
    numbers = version.split("+")[0].split("-")[0].split(".")
    return tuple(int(number) if number.isascii() and number.isdigit() else 0 for number in numbers)


def automatic(recording: Recording) -> tuple[str, ...]:
    """What a recording itself does not show: `belated` calls, and those of its runtime: none for a plain process, what
    depends on timing for a confined container, all of them for one that ran unconfined.

    An unknown runtime gets the calls of every runtime that we know. A recording says whether no-new-privileges was
    set, but none of the other conditions, so the calls of all of them count. What ran already when the recording began
    has not shown how it starts: it gets all of its runtime's calls, and those of every program's start.
    """
    names = belated(recording)
    if recording.attached:
        names |= STARTING
    if recording.engine == PROCESS_ENGINE:
        return tuple(sorted(names))
    every = baselines()
    known = {item.runtime for item in every}
    for runtime in [recording.runtime] if recording.runtime in known else sorted(known):
        entry = _fitting(
            runtime,
            no_new_privileges=recording.no_new_privileges,
            version=recording.runtime_version,
            every=every,
        )
        names.update(entry.varying if recording.confined and not recording.attached else entry.calls)
    return tuple(sorted(names))
