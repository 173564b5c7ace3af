"""How much of a program the tests ran, as a coverage report says it: one frozen value, checked when it is made."""

from __future__ import annotations

from ..errors import SecludeError
from .frozen import frozen


class CoverageError(SecludeError):
    """A coverage report that cannot be read, or that says what cannot be."""


@frozen
class FileCoverage:
    """One file: `covered` of its `lines` lines of code were run."""

    path: str
    covered: int
    lines: int

    def __post_init__(self) -> None:
        if not 0 <= self.covered <= self.lines:
            raise CoverageError(f"{self.path[:200]!r}: {self.covered} of {self.lines} lines cannot be")


@frozen
class Coverage:
    """`percent` of the lines of all files, 0 to 100; `files` by path."""

    percent: float
    files: tuple[FileCoverage, ...] = ()


@frozen
class FileLines:
    """The lines of one file, by number: those that no test ran, and which tests ran the others.

    `tests`: (line, names) pairs; empty where the report was made without contexts.
    """

    path: str
    missing: tuple[int, ...]
    tests: tuple[tuple[int, tuple[str, ...]], ...] = ()
