"""Code that the recorded tests do not run and that could make system calls: one frozen value for reports."""

from __future__ import annotations

from .frozen import frozen


@frozen
class UncoveredLine:
    """A line that calls `function`, which is there to make `calls`; of these `unrecorded` are in no recording.

    `tests`: those that ran the line while coverage was measured, and are in no recording; empty: no test ran it.
    """

    path: str
    line: int
    function: str
    calls: tuple[str, ...]
    unrecorded: tuple[str, ...]
    tests: tuple[str, ...] = ()


@frozen
class UncoveredFile:
    """What one file could need. `missing`: its lines that no recorded test runs."""

    path: str
    missing: int
    lines: tuple[UncoveredLine, ...]

    @property
    def unrecorded(self) -> tuple[str, ...]:
        """The calls that could be needed and were not recorded, each once."""
        return tuple(sorted({call for line in self.lines for call in line.unrecorded}))


@frozen
class Uncovered:
    """`files`: those with lines that call known functions, the most unrecorded calls first.

    `joined` of `tests` tests of the coverage report are in the recordings. `unread`: files with missing lines whose
    source was not there or is no Python; nothing is known of them.
    """

    files: tuple[UncoveredFile, ...]
    tests: int = 0
    joined: int = 0
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
