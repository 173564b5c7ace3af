"""Text from containers and profiles in, text that is only ever read as text out: what several reports share.

Names of tests, processes, files and calls are chosen by whoever wrote the code under test.
"""

from __future__ import annotations

from ..model.change import Change, Maker
from ..model.report import Report

LONGEST = 500
"""Characters of one name or sentence."""

_INVISIBLE = frozenset(
    chr(number)
    for number in (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)
"""Characters without a shape that Python takes for printable: fillers, joiners, variation selectors."""


def visible(text: str, *, longest: int = LONGEST) -> str:
    """`text` in one line, with all that is invisible, or reorders what is shown, escaped; cut at `longest`."""
    shown = "".join(
        letter
        if letter.isprintable() and letter not in _INVISIBLE
        else letter.encode("unicode_escape").decode()
        for letter in text[:longest]
    )
    return shown + "..." if len(text) > longest else shown


def logged(text: str, *, longest: int = LONGEST) -> str:
    """The same, for what may be printed in a workflow: its runner finds old-style commands anywhere in a line."""
    return visible(text, longest=longest).replace("##[", "##\\x5b")


def maker(made: Maker) -> str:
    """Who made a call, in a line."""
    process = made.comm or "?"
    if made.executable and made.executable.rpartition("/")[2] != made.comm:
        process += f" ({made.executable})"
    return process + (f" in {made.context}" if made.context else "")


def counted(report: Report) -> str:
    """ "3 added, 1 removed", or that nothing changed."""
    parts = [f"{len(report.difference.of(kind))} {kind}" for kind in ("added", "removed", "changed")]
    said = [part for part in parts if not part.startswith("0 ")]
    return ", ".join(said) or ("no call changed" if report.difference.others else "nothing changed")


def became(change: Change) -> str:
    """What happened to the call before and now."""
    return f"{change.before} -> {change.after}"


def plural(number: int, what: str) -> str:
    """ "1 call", "2 calls"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
