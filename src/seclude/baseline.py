"""What OCI runtimes themselves call after they have loaded the filter: shipped data in, call names out.

A container that was recorded under a filter has shown its runtime's calls; one that ran unconfined has not.
"""

from __future__ import annotations

import os

from .errors import SecludeError
from .formats import jsontext
from .inputs import read_text
from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model.recording import Recording

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "baselines.json")
VERSION = 1
PROCESS_ENGINE = "process"


@frozen
class Baseline:
    """The calls of one runtime between loading the filter and the entrypoint's exec, and how they were obtained."""

    runtime: str
    version: str
    no_new_privileges: bool
    calls: tuple[str, ...]
    obtained: str


def baselines(path: str = DATA) -> tuple[Baseline, ...]:
    """All shipped baselines."""
    value = jsontext.decode(read_text(path, limit=1 << 20, error=SecludeError), path)
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise SecludeError(f"{path} is not of version {VERSION}", hint="reinstall seclude")
    return tuple(
        Baseline(**{name: tuple(field) if isinstance(field, list) else field for name, field in entry.items()})
        for entry in value["baselines"]
    )


def calls_of(runtimes: Sequence[str], *, no_new_privileges: bool, version: str = "") -> tuple[str, ...]:
    """The calls that the given runtimes need, sorted; the newest baseline that is not newer than `version`.

    Raises SecludeError for a runtime without data.
    """
    every = baselines()
    names: set[str] = set()
    for runtime in runtimes:
        fitting = [item for item in every if item.runtime == runtime and item.no_new_privileges == no_new_privileges]
        if not fitting:
            known = ", ".join(sorted({item.runtime for item in every}))
            raise SecludeError(f"no baseline for the runtime {runtime!r}", hint=f"known: {known}, or none")
        fitting.sort(key=lambda item: _ordered(item.version))
        older = [item for item in fitting if not version or _ordered(item.version) <= _ordered(version)]
        names.update((older or fitting)[-1 if older else 0].calls)
    return tuple(sorted(names))


def _ordered(version: str) -> tuple[int, ...]:
    """ "1.1.5+ds1" as (1, 1, 5)."""
    numbers = version.split("+")[0].split("-")[0].split(".")
    return tuple(int(number) if number.isascii() and number.isdigit() else 0 for number in numbers)


def automatic(recording: Recording) -> tuple[str, ...]:
    """What a recording itself does not show: the runtime's calls, where a container ran unconfined.

    An unknown runtime gets the calls of every runtime that we know.
    """
    if recording.confined or recording.engine == PROCESS_ENGINE:
        return ()
    known = {item.runtime for item in baselines()}
    runtimes = [recording.runtime] if recording.runtime in known else sorted(known)
    return calls_of(
        runtimes, no_new_privileges=recording.no_new_privileges, version=recording.runtime_version
    )
