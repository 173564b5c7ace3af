"""What OCI runtimes themselves call after they have loaded the filter: shipped data in, call names out.

A container that was recorded under a filter has shown its runtime's calls, but for those that depend on timing; one
that ran unconfined has shown none.
"""

from __future__ import annotations

import os

from .errors import SecludeError
from .formats import jsontext
from .inputs import read_text
from .model.baseline import Baseline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .model.recording import Recording

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "baselines.json")
VERSION = 1
PROCESS_ENGINE = "process"


def baselines(path: str = DATA) -> tuple[Baseline, ...]:
    """All shipped baselines."""
    value = jsontext.decode(read_text(path, limit=1 << 20, error=SecludeError), path)
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise SecludeError(f"{path} is not of version {VERSION}", hint="reinstall seclude")
    return tuple(_baseline(entry) for entry in value["baselines"])


def _baseline(entry: dict[str, Any]) -> Baseline:
    fields: dict[str, Any] = {
        name: tuple(field) if isinstance(field, list) else field for name, field in entry.items()
    }
    return Baseline(**fields)


def _fitting(runtime: str, *, no_new_privileges: bool, version: str) -> Baseline:
    """The newest baseline of a runtime that is not newer than `version`, else its oldest; raises SecludeError."""
    every = baselines()
    fitting = [
        item for item in every if item.runtime == runtime and item.no_new_privileges == no_new_privileges
    ]
    if not fitting:
        known = ", ".join(sorted({item.runtime for item in every}))
        raise SecludeError(f"no baseline for the runtime {runtime!r}", hint=f"known: {known}, or none")
    fitting.sort(key=lambda item: _ordered(item.version))
    older = [item for item in fitting if not version or _ordered(item.version) <= _ordered(version)]
    return older[-1] if older else fitting[0]


def calls_of(runtimes: Sequence[str], *, no_new_privileges: bool, version: str = "") -> tuple[str, ...]:
    """All calls that the given runtimes need, sorted; raises SecludeError for a runtime without data."""
    names: set[str] = set()
    for runtime in runtimes:
        names.update(_fitting(runtime, no_new_privileges=no_new_privileges, version=version).calls)
    return tuple(sorted(names))


def _ordered(version: str) -> tuple[int, ...]:
    """ "1.1.5+ds1" as (1, 1, 5)."""
    numbers = version.split("+")[0].split("-")[0].split(".")
    return tuple(int(number) if number.isascii() and number.isdigit() else 0 for number in numbers)


def automatic(recording: Recording) -> tuple[str, ...]:
    """What a recording itself does not show of its runtime: nothing for a plain process, the calls that depend on
    timing for a confined container, all of the runtime's for one that ran unconfined.

    An unknown runtime gets the calls of every runtime that we know.
    """
    if recording.engine == PROCESS_ENGINE:
        return ()
    known = {item.runtime for item in baselines()}
    names: set[str] = set()
    for runtime in [recording.runtime] if recording.runtime in known else sorted(known):
        entry = _fitting(
            runtime, no_new_privileges=recording.no_new_privileges, version=recording.runtime_version
        )
        names.update(entry.varying if recording.confined else entry.calls)
    return tuple(sorted(names))
