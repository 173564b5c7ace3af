"""A recording and what a runtime was measured to call in, what no-new-privileges would take out of the profile out."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.baseline import Baseline
from ..model.frozen import frozen
from ..model.recording import Recording


@frozen
class Leaving:
    """Calls that only the runtime makes, with no-new-privileges no longer under the filter; how that is known."""

    names: tuple[str, ...]
    source: str


@frozen
class NotMeasured:
    """Stands where a figure would be, with the reason why there is none."""

    reason: str


def leaving(recording: Recording, baselines: Sequence[Baseline]) -> Leaving | NotMeasured:
    """What would leave a container's profile; only where this very version of its runtime was measured.

    With no-new-privileges a runtime loads the filter last (OCI runtime-spec, config.md, "noNewPrivileges"), so that of
    its own calls hardly any is still asked about.
    """
    if recording.no_new_privileges:
        return NotMeasured(reason="no-new-privileges is set already")
    if not recording.runtime:
        return NotMeasured(reason="no container runtime was involved")
    if recording.attached:
        return NotMeasured(reason="the recording began after its runtime's calls")
    if not recording.confined:
        return NotMeasured(reason="the container ran without a filter, so its runtime's calls were not seen")
    version = recording.runtime_version.split("+")[0]
    for entry in baselines:
        same = (entry.runtime, entry.version.split("+")[0]) == (recording.runtime, version)
        if entry.no_new_privileges and same:
            kept = recording.names("app").union(entry.calls)
            return Leaving(
                names=tuple(sorted(recording.names("runtime") - kept)),
                source=f"measured with {entry.runtime} {entry.version}",
            )
    return NotMeasured(
        reason=f"{recording.runtime} {recording.runtime_version} was not measured".replace("  ", " ")
    )


def left(without: Recording, with_it: Recording) -> Leaving:
    """The same, from two recordings of one command: without no-new-privileges and with it."""
    return Leaving(names=tuple(sorted(without.names() - with_it.names())), source="measured by running it so")


def values(known: Leaving | NotMeasured) -> dict[str, object]:
    """The answer as plain values."""
    if isinstance(known, Leaving):
        return {"leaving": list(known.names), "source": known.source}
    return {"reason": known.reason}
