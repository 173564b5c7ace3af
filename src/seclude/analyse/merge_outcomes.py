"""Outcomes in, which of them wins when profiles are merged out: one order of all outcomes, from strict to permissive.

A union takes the highest, an intersection the lowest, so that both are commutative, associative and idempotent and
absorb one another, whatever the profiles say by default.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..model.profile import ERRNO, PERMITTING
from .diagrams import Outcome

UNION, INTERSECTION, SUBTRACT = "union", "intersection", "subtract"
OPERATIONS = (UNION, INTERSECTION, SUBTRACT)

_PERMISSIVE = (
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    ERRNO,
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
)
"""From strict to permissive: the kernel's precedence among several filters (seccomp(2), "return value")."""

_EPERM, _ENOSYS = 1, 38
REFUSED: Outcome = (ERRNO, _EPERM)


def rank(outcome: Outcome) -> tuple[int, int]:
    """Where an outcome stands: the higher, the more permissive.

    Of two errnos ENOSYS is the highest, since programs fall back on another call, and EPERM, which engines take where
    nothing is said, the lowest.
    """
    action, data = outcome
    if action == ERRNO:
        data = {_EPERM: -1, _ENOSYS: 1 << 16}.get(data, data)
    return _PERMISSIVE.index(action), data


def permits(outcome: Outcome) -> bool:
    """Whether the call is certainly made."""
    return outcome[0] in PERMITTING


def refuses(outcome: Outcome) -> bool:
    """Whether the call is certainly not made; of NOTIFY and TRACE neither can be said."""
    return rank(outcome) <= (_PERMISSIVE.index(ERRNO), 1 << 16)


def chosen(operation: str, outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that a union or an intersection takes."""
    return max(outcomes, key=rank) if operation == UNION else min(outcomes, key=rank)


def refusal(default: Outcome) -> Outcome:
    """How a difference refuses what both profiles allow: as the first does by default, if it does, or else EPERM."""
    return default if refuses(default) else REFUSED
