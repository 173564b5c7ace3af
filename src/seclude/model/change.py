"""How two profiles differ in what they mean, one value a call."""

from __future__ import annotations

from .frozen import frozen

KINDS = ("added", "removed", "changed")


@frozen
class Danger:
    """How much a call offers to an attacker: `tier` is critical, high, medium or low; `reason` in a sentence."""

    tier: str
    reason: str


@frozen
class Maker:
    """Who made a call in a recording: a process and the test it belonged to (empty: none)."""

    comm: str
    executable: str
    context: str


@frozen
class Change:
    """One call that another profile treats otherwise.

    `before` and `after` say what happens to it, in words ("refused with EPERM", "allowed", "allowed if arg 0 == 2").
    `kind`: added (refused before, allowed with some arguments now), removed (the reverse), or changed.
    `makers`: who made it, where a recording tells, the first few. `loosened`: with some arguments, somewhere, more is
    permitted than before; so it is for everything that was added.
    """

    call: str
    kind: str
    before: str
    after: str
    category: str
    danger: Danger
    makers: tuple[Maker, ...] = ()
    loosened: bool = False


@frozen
class Difference:
    """All changes, the most dangerous first; `others`: what differs beside the calls, such as the default action."""

    changes: tuple[Change, ...]
    others: tuple[str, ...] = ()

    def of(self, kind: str) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind == kind)

    @property
    def empty(self) -> bool:
        """Whether both profiles mean the same."""
        return not self.changes and not self.others


@frozen
class Step:
    """One step of `seclude ci`: what was done, how long it took, how it ended ("ok", "failed", "skipped")."""

    name: str
    seconds: float
    outcome: str
    detail: str = ""
