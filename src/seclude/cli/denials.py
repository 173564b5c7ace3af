"""Denials in, lines of text for a terminal or a log out; everything that came from a process is escaped."""

from __future__ import annotations

from ..decode import decoded
from ..model.denial import OTHER_PROCESSES, Denial, Frame
from ..model.origin import Origin
from .console import printable

MOST_FRAMES = 12
"""Frames that are shown of a stack."""


def call(denial: Denial) -> str:
    """The call with its arguments, by name as far as they have one."""
    abi = "" if denial.abi in ("x86_64", "aarch64") else f" ({denial.abi})"
    return printable(decoded(denial.abi, denial.name, denial.arguments)) + abi


def process(denial: Denial) -> str:
    """Who called."""
    if denial.pid == OTHER_PROCESSES:
        return "one of many processes"
    thread = "" if denial.tid == denial.pid else f", thread {denial.tid}"
    return f"{short(denial.comm)} ({short(denial.executable) or '?'}), pid {denial.pid}{thread}"


def frame(place: Frame) -> str:
    """One place in the code: file and line, or module and offset."""
    module = short(place.module) or "?"
    if place.line:
        return f"{module}:{place.line}" + (f" {short(place.function)}" if place.function else "")
    return f"{module}+{place.offset:#x}" + (f" {short(place.function)}" if place.function else "")


def stacks(denial: Denial | Origin) -> list[tuple[str, str]]:
    """(label, place) for each frame, the innermost of each stack first."""
    rows = []
    for label, frames in (("python", denial.python), ("native", denial.native)):
        shown = [frame(place) for place in frames[:MOST_FRAMES]]
        if len(frames) > MOST_FRAMES:
            shown.append(f"({len(frames) - MOST_FRAMES} more)")
        rows += [(label if index == 0 else "", text) for index, text in enumerate(shown)]
    return rows


def times(count: int) -> str:
    """ "once", "3 times"."""
    return "once" if count == 1 else f"{count} times"


def short(text: str) -> str:
    """A name from a process, escaped and bounded."""
    return printable(text, longest=200)
