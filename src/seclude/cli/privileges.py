"""What no-new-privileges would change in a profile in, a line that says so out."""

from __future__ import annotations

from ..analyse.privileges import Leaving, NotMeasured


def privileges_line(known: Leaving | NotMeasured) -> str:
    """What no-new-privileges would change, empty where it changes nothing or the question does not arise."""
    if isinstance(known, Leaving):
        names = f": {', '.join(known.names)}" if known.names else ""
        return (
            f"note: with --security-opt no-new-privileges {len(known.names)} calls would leave the profile "
            f"({known.source}){names}"
        )
    if known.reason.endswith("was not measured"):
        return (
            f"note: what no-new-privileges would change is not known ({known.reason}): "
            "`seclude verify --no-new-privileges` measures it"
        )
    return ""
