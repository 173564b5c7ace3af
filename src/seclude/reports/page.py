"""What a page about recordings says, as plain values that are ready to be drawn: all text, numbers and order decided.

Text is as it came, from containers and profiles: whoever draws it escapes it. Where arguments and paths are not to be
shown they are not in here.
"""

from __future__ import annotations

from ..model.completeness import CurvePoint
from ..model.frozen import frozen

UNSEEN = "allowed, not recorded"
MISSING = "recorded, not allowed"
NAMELESS = "recorded, has no name"


@frozen
class Figure:
    """One number of the headline with what it counts; `alarming`: the reader should see it first."""

    value: str
    label: str
    note: str = ""
    alarming: bool = False


@frozen
class Use:
    """The first time that one test made a call; `arguments` is empty where they are not shown or not known."""

    test: str
    phase: str
    process: str
    executable: str
    seconds: str
    arguments: str = ""


@frozen
class CallEntry:
    """One call: `anchor` is where on the page it is, `state` is empty, UNSEEN, MISSING or NAMELESS.

    `tests` made it; `uses` are the first few of them and `more` the number of the others. `abis` are those that are
    not the machine's own.
    """

    anchor: str
    name: str
    tier: str
    reason: str
    state: str
    tests: int
    count: int
    abis: tuple[str, ...]
    uses: tuple[Use, ...]
    more: int = 0


@frozen
class Category:
    """The calls about one thing, the most dangerous first; `tiers`: how many calls of each tier, in TIERS' order."""

    name: str
    tiers: tuple[int, ...]
    calls: tuple[CallEntry, ...]


@frozen
class Alike:
    """Tests that made the same calls. `names` are the first few, `more` the number of the others.

    `calls` are those beyond what most tests make (Page.common), `unused_common` those of the common ones that these
    tests do not make; `only`: made by this one test and no other. `total` counts all calls.
    """

    names: tuple[str, ...]
    more: int
    total: int
    calls: tuple[str, ...]
    more_calls: int
    unused_common: tuple[str, ...]
    only: tuple[str, ...]


@frozen
class Surface:
    """How many calls something allows, of which tiers (in TIERS' order); `conditional` of them only sometimes."""

    label: str
    tiers: tuple[int, ...]
    conditional: int = 0

    @property
    def total(self) -> int:
        return sum(self.tiers)


@frozen
class DeniedEntry:
    """One call that a filter did not let pass: with its arguments where they are shown; `frames` are (kind, place)."""

    call: str
    outcome: str
    count: int
    process: str
    test: str
    frames: tuple[tuple[str, str], ...] = ()


@frozen
class ChangeEntry:
    """One call that the previous profile treats otherwise."""

    call: str
    kind: str
    tier: str
    reason: str
    before: str
    after: str
    makers: tuple[str, ...]


@frozen
class BeyondEntry:
    """One call that can be reached and was not recorded; `place` is where its number is set."""

    call: str
    tier: str
    reason: str
    siblings: tuple[str, ...]
    place: str
    allowed: bool


@frozen
class OutsideEntry:
    """One call that was recorded and cannot be reached; `reason` is empty where nothing explains it."""

    call: str
    program: str
    reason: str


@frozen
class Reach:
    """How many calls were recorded and how many can be reached, of `known`; unless `exact`, at least so many.

    `beside`: calls that the profile allows and that cannot be reached. `sites` and `unread` are (where, why) of what is
    open, `opening` the files that load others at run time.
    """

    recorded: int
    reachable: int
    known: int
    exact: bool
    programs: tuple[str, ...]
    more_programs: int
    beyond: tuple[BeyondEntry, ...]
    more_beyond: int
    outside: tuple[OutsideEntry, ...]
    more_outside: int
    beside: tuple[str, ...]
    sites: tuple[tuple[str, str], ...]
    more_sites: int
    unread: tuple[tuple[str, str], ...]
    more_unread: int
    opening: tuple[str, ...]


@frozen
class Page:
    """Everything on the page. `facts` are (label, text); parts that are empty are left out.

    `completeness`: sentences about the tests and the curve. `common`: the calls that `common_share` percent of the
    tests make. `reach` is None where nothing was scanned. `more_*`: how many entries a list is short of.
    """

    title: str
    redacted: bool
    facts: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    categories: tuple[Category, ...]
    tests: int
    common: tuple[str, ...] = ()
    common_share: int = 0
    groups: tuple[Alike, ...] = ()
    more_groups: int = 0
    curve: tuple[CurvePoint, ...] = ()
    completeness: tuple[str, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    reach: Reach | None = None
    denials: tuple[DeniedEntry, ...] = ()
    more_denials: int = 0
    compared: str = ""
    changes: tuple[ChangeEntry, ...] = ()
    more_changes: int = 0
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
