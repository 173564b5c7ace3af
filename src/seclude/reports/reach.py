"""What can be reached, as the page shows it: a Bracket in, the page's part about it out, cut to a length."""

from __future__ import annotations

from collections.abc import Collection

from ..model.bracket import Bracket
from .page import BeyondEntry, OutsideEntry, Reach
from .redaction import Redaction

MOST_BEYOND = 400
MOST_OPEN = 40
MOST_PROGRAMS = 20


def reach(bracket: Bracket, allowed: Collection[str], shown: Redaction) -> Reach:
    """`allowed`: what the profile allows, held against what can be reached."""
    reachable = frozenset(bracket.reachable)
    sites = tuple(
        (f"{shown.path(program)} at {site.address:#x}", f"{site.function}: {site.reason}")
        for program, site in bracket.sites
    )
    unread = tuple((shown.path(path), shown.text(reason)) for path, reason in bracket.unread)
    return Reach(
        recorded=len(bracket.recorded),
        reachable=len(bracket.reachable),
        known=bracket.known,
        exact=bracket.exact,
        programs=tuple(shown.path(path) for path in bracket.programs[:MOST_PROGRAMS]),
        more_programs=max(0, len(bracket.programs) - MOST_PROGRAMS),
        beyond=tuple(
            BeyondEntry(
                call=item.name,
                tier=item.tier,
                reason=item.reason,
                siblings=item.siblings,
                place=f"{shown.path(item.place.program)}: {item.place.function}",
                allowed=item.name in allowed,
            )
            for item in bracket.beyond[:MOST_BEYOND]
        ),
        more_beyond=max(0, len(bracket.beyond) - MOST_BEYOND),
        outside=tuple(
            OutsideEntry(call=item.name, program=shown.path(item.executable), reason=shown.text(item.reason))
            for item in bracket.outside[:MOST_BEYOND]
        ),
        more_outside=max(0, len(bracket.outside) - MOST_BEYOND),
        beside=tuple(sorted(frozenset(allowed) - reachable))[:MOST_BEYOND],
        sites=sites[:MOST_OPEN],
        more_sites=max(0, len(sites) - MOST_OPEN),
        unread=unread[:MOST_OPEN],
        more_unread=max(0, len(unread) - MOST_OPEN),
        opening=tuple(shown.path(name) for name in bracket.opening[:MOST_OPEN]),
    )
