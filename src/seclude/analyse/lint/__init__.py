"""A profile in, what is wrong, useless or dangerous in it out: findings with the line of the file they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...model.finding import SEVERITIES, Finding
from ...model.profile import Profile
from . import answers, arches, bypass, effect, essentials, halves, names, settings, speed
from .lines import lines_of
from .subject import Found, Runtime, Subject

CHECKS: tuple[Callable[[Subject], Iterable[Found]], ...] = (
    settings.check,
    arches.check,
    names.check,
    effect.check,
    bypass.check,
    halves.check,
    answers.check,
    essentials.check,
    speed.check,
)
"""A new check is a file here and a line above."""


def lint(
    profile: Profile,
    text: str,
    path: str,
    *,
    runtimes: Sequence[Runtime] = (),
    chosen: bool = False,
) -> tuple[Finding, ...]:
    """All findings, errors first, then in the order of the file; `text` is what the profile was read from.

    `runtimes`: whose calls are to be there; `chosen`: because somebody asked for these, so that it is no mere note.
    """
    subject = Subject(profile, runtimes=runtimes, chosen=chosen)
    found = [each for check in CHECKS for each in check(subject)]
    lines = lines_of(text, [each.spot for each in found])
    found.sort(key=lambda each: (SEVERITIES.index(each.severity), lines[each.spot]))
    return tuple(
        Finding(
            rule=each.rule,
            severity=each.severity,
            message=each.message,
            call=each.call,
            path=path,
            line=lines[each.spot],
            hint=each.hint,
            details=each.details,
        )
        for each in found
    )


__all__ = ["CHECKS", "Runtime", "lint"]
