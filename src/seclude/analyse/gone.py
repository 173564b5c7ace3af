"""Recordings of the run before and of this one in, findings on the calls that the tests no longer make out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model.finding import Finding
from ..model.recording import Recording
from .attribution import Answer, why_all

MOST_NAMED = 3
MOST_FINDINGS = 50


def gone(
    before: Sequence[Recording], now: Iterable[str], *, profile_path: str, hint: str
) -> tuple[Finding, ...]:
    """A note on each call that was made `before` and is not among `now`, those of one test first, with who made it.

    `hint` says what to do, and what becomes of such a call. With more than MOST_FINDINGS the last note has the number
    of the others.
    """
    made = frozenset(now)
    answers = [
        answer for answer in why_all(before) if answer.name not in made and not answer.name.startswith("#")
    ]
    notes = [
        Finding(
            rule="no-longer-made",
            severity="note",
            message=f"{answer.name} is no longer made: {_by_whom(answer)}",
            call=answer.name,
            path=profile_path,
            hint=hint,
        )
        for answer in answers[:MOST_FINDINGS]
    ]
    more = len(answers) - MOST_FINDINGS
    if more > 0:
        message = f"{more} further calls are no longer made"
        notes.append(Finding(rule="no-longer-made", severity="note", message=message, path=profile_path))
    return tuple(notes)


def _by_whom(answer: Answer) -> str:
    """Who made the call in the run before, in words."""
    tests = answer.tests
    named = ", ".join(tests[:MOST_NAMED]) + (
        f" and {len(tests) - MOST_NAMED} more" if len(tests) > MOST_NAMED else ""
    )
    if answer.only:
        return f"in the run before, {named} alone made it"
    if not answer.outside:
        return f"in the run before, {named} made it"
    runtime = all(maker.call.phase == "runtime" for maker in answer.makers)
    where = "by the runtime" if runtime else "outside any test"
    return f"in the run before, it was made {where}" + (f" and by {named}" if tests else "")
