"""One thing that was looked at: how it stands, what was found, and the next step where it could stand better."""

from __future__ import annotations

from ..errors import SecludeError
from ..model.frozen import frozen

OK, DEGRADED, MISSING = "ok", "degraded", "missing"
STATES = (OK, DEGRADED, MISSING)


@frozen
class Check:
    """`found` and `next_step` may quote the machine (file names, what programs print): escape before showing.

    Only an `ok` has no next step.
    """

    name: str
    state: str
    found: str
    next_step: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise SecludeError(f"{self.name}: no state {self.state!r}, only {', '.join(STATES)}")
        if (self.state == OK) != (not self.next_step):
            raise SecludeError(
                f"{self.name}: {self.state} comes {'without a' if self.next_step else 'with a'} next step"
            )


def ok(name: str, found: str) -> Check:
    """It is as it should be, or its absence costs nothing."""
    return Check(name=name, state=OK, found=found)


def degraded(name: str, found: str, next_step: str) -> Check:
    """Something does not work, or cannot be told, but recording does."""
    return Check(name=name, state=DEGRADED, found=found, next_step=next_step)


def missing(name: str, found: str, next_step: str) -> Check:
    """Nothing can be recorded without it."""
    return Check(name=name, state=MISSING, found=found, next_step=next_step)
