"""What a program was seen to call and what it can reach, held against each other: recorded <= needed <= reachable."""

from __future__ import annotations

from .frozen import frozen
from .program import Site


@frozen
class Place:
    """Where a number is set: a file and a function in it."""

    program: str
    function: str


@frozen
class Beyond:
    """A call that is reachable and was not seen; `siblings` were, and are made in its place or do the same work."""

    name: str
    tier: str
    reason: str
    category: str
    siblings: tuple[str, ...]
    place: Place


@frozen
class Outside:
    """A call that was seen and is not reachable; `reason` is empty where nothing explains it.

    `name` has the ABI behind it where that is not the one that was scanned.
    """

    name: str
    executable: str
    reason: str


@frozen
class Bracket:
    """The calls between which the needed ones lie, of `known` in all, and what is open about the upper ones.

    `programs` are the executables that were scanned; `sites` (file, site) have unknown numbers; `opening` are the files
    that load others at run time; `unread` is (file, why) of what was not read.
    """

    recorded: tuple[str, ...]
    reachable: tuple[str, ...]
    beyond: tuple[Beyond, ...]
    outside: tuple[Outside, ...]
    known: int
    programs: tuple[str, ...] = ()
    sites: tuple[tuple[str, Site], ...] = ()
    opening: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether no more than `reachable` can be reached, as far as docs/scan.md takes for granted."""
        return not (self.sites or self.opening or self.unread)
