"""Refusals that make programs fail where another errno would make them fall back."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from ...model.profile import ERRNO, PERMITTING
from ...syscalls import number_of
from ..traps import FALLBACKS, fallback_of
from ..wording import outcome_in_words
from .subject import ALLOWED, Found, Subject

_MADE_BY_LIBC = ("clone3", "faccessat2", "fchmodat2")
"""What glibc's everyday functions make first, so that ordinary programs stumble: threads, access(), chmod()."""

_HARMLESS = ("SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")
_SINCE_RC93 = (
    "runc answers calls newer than all that the profile names with ENOSYS by itself (since 1.0.0-rc93, pull 2750); "
    "crun does not (issue 646)"
)


def check(subject: Subject) -> Iterable[Found]:
    """A finding for each call that a rule refuses or that libc makes, one for all others together."""
    rest = []
    for name in FALLBACKS:
        answer = _answer(subject, name)
        if answer is None:
            continue
        by_rule = bool(subject.live(name))
        if not by_rule and name not in _MADE_BY_LIBC:
            rest.append(name)
            continue
        yield Found(
            rule="lint/needs-enosys",
            severity="warning",
            message=f"{name} is {outcome_in_words(answer)}, and {fallback_of(name)} is allowed: {FALLBACKS[name][1]}",
            spot=subject.spot(name) if by_rule else ("defaultErrnoRet",),
            call=name,
            hint=f"allow {name}, or refuse it with ENOSYS (errnoRet 38)",
            details=() if by_rule else (_SINCE_RC93,),
        )
    if rest:
        yield Found(
            rule="lint/needs-enosys",
            severity="note",
            message=f"{', '.join(rest)} {'is' if len(rest) == 1 else 'are'} "
            f"{outcome_in_words(subject.profile.outcome)}: a newer library that makes "
            f"{'it' if len(rest) == 1 else 'them'} falls back to an older call after ENOSYS only",
            spot=("defaultErrnoRet",),
            call=rest[0] if len(rest) == 1 else "",
            hint="ENOSYS as the default's errno (defaultErrnoRet 38), as podman has it, lets programs fall back",
            details=(_SINCE_RC93,),
        )


def _answer(subject: Subject, name: str) -> tuple[str, int] | None:
    """What is answered, where that keeps libraries from the older call, which is allowed; None where all is well."""
    abi = subject.abis()[0]
    if number_of(abi, name) is None or subject.state(abi, fallback_of(name)) != ALLOWED:
        return None
    for outcome in sorted(subject.outcomes(abi, name)):
        if outcome[0] in (*PERMITTING, *_HARMLESS) or outcome == (ERRNO, errno.ENOSYS):
            continue
        return outcome
    return None
