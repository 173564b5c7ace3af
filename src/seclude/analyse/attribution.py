"""Recordings in; which tests made which calls, what only one of them makes, and which tests are enough, out.

A test is a context. Of the contexts `NAME|setup`, `NAME|call` and `NAME|teardown`, which the pytest plugin enters, the
test is NAME. What was called outside any context (the start of the interpreter, the collection of the tests) and what
the runtime called belongs to no test: every run makes it, whichever tests it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from ..families import relatives
from ..model.frozen import bare, compact, frozen
from ..model.origin import Origin
from ..model.recording import NO_CONTEXT, OVERFLOW, Call, FirstSeen, Recording

STEPS = ("setup", "call", "teardown")
"""The steps of a test, in their order."""

RUNTIME = "runtime"
APP = "app"


def split(context: str) -> tuple[str, str]:
    """(test, step) of a context; the step is empty where the context is a whole test, or none."""
    test, bar, step = context.rpartition("|")
    return (test, step) if bar and step in STEPS else (context, "")


@compact
class Maker:
    """A call as one context made it. `source`: the number of the recording, from 0; `test` is "" outside of any.

    `origins`: the code that made it, one for each process, where the recording has that.
    """

    source: int
    test: str
    step: str
    call: Call
    origins: tuple[Origin, ...] = ()

    @property
    def outside(self) -> bool:
        """Whether no test can be named for it."""
        return self.call.phase == RUNTIME or self.test in (NO_CONTEXT, OVERFLOW)


_Maker = bare(Maker)


@frozen
class Relative:
    """A call of the same family that was made, and by which tests."""

    name: str
    tests: tuple[str, ...]
    outside: bool


@frozen
class Answer:
    """Who made the call `name`: nobody, where `makers` is empty. `tests` in the order of their first time."""

    name: str
    makers: tuple[Maker, ...]
    tests: tuple[str, ...]
    outside: bool
    relatives: tuple[Relative, ...]

    @property
    def only(self) -> str:
        """The one test without which nobody would make it, "" where there is none or more than one."""
        return self.tests[0] if len(self.tests) == 1 and not self.outside else ""


@frozen
class Test:
    """One test: the names it called, and those of them that no other test calls and that are not called outside."""

    __test__ = False  # nothing for pytest to collect

    name: str
    calls: tuple[str, ...]
    alone: tuple[str, ...]


@frozen
class Attribution:
    """All tests in the order of their first call. `outside`: what is called whichever tests run.

    `enough`: tests, with the calls that each adds, that together make every call of the recordings. Found greedily,
    so at most `bound` times as many as the fewest possible.
    """

    tests: tuple[Test, ...]
    outside: tuple[str, ...]
    calls: tuple[str, ...]
    enough: tuple[tuple[str, tuple[str, ...]], ...]
    bound: float
    notes: tuple[str, ...]

    @property
    def singletons(self) -> dict[str, str]:
        """Call -> the one test that makes it, sorted by call."""
        return dict(sorted((name, test.name) for test in self.tests for name in test.alone))


def makers(
    recordings: Sequence[Recording], names: frozenset[str] | None = None
) -> dict[str, tuple[Maker, ...]]:
    """Call -> who made it (refused calls left out), by first time within each recording; sorted by call.

    Of `names` alone, unless that is None.
    """
    found: dict[str, list[Maker]] = {}
    places = _Places()
    for source, recording in enumerate(recordings):
        origins: dict[tuple[str, str, str], list[Origin]] = {}
        for origin in recording.origins:
            if origin.python or origin.native:
                origins.setdefault((origin.abi, origin.name, origin.context), []).append(origin)
        for call in recording.calls:
            if call.phase in (RUNTIME, APP) and (names is None or call.name in names):
                # There may be a million: as Maker(...), in a fraction of the time.
                maker = _Maker()
                maker.source, maker.call, maker.origins = source, call, ()
                maker.test, maker.step = places[call.context] if call.phase == APP else (NO_CONTEXT, "")
                if origins and call.phase == APP:
                    maker.origins = tuple(origins.get((call.abi, call.name, call.context), ()))
                maker.__class__ = Maker
                found.setdefault(call.name, []).append(maker)
    return {name: tuple(sorted(found[name], key=_order)) for name in sorted(found)}


class _Places(dict[str, tuple[str, str]]):
    """Context -> (test, step), each split once."""

    def __missing__(self, context: str) -> tuple[str, str]:
        self[context] = place = split(context)
        return place


def _order(maker: Maker) -> tuple[int, float, str, str, str]:
    first = maker.call.first
    time = first.time if isinstance(first, FirstSeen) else float("inf")
    return maker.source, time, maker.call.context, maker.call.phase, maker.call.abi


def why(name: str, recordings: Sequence[Recording]) -> Answer:
    """Who made one call; the calls of its family that were made, in the family's order."""
    kindred = relatives(name)
    made = makers(recordings, frozenset((name, *kindred)))
    kin = [
        Relative(name=each, tests=_tests(made[each]), outside=_outside(made[each]))
        for each in kindred
        if each in made
    ]
    return _answer(name, made.get(name, ()), kin)


def why_all(recordings: Sequence[Recording]) -> tuple[Answer, ...]:
    """Who made each call, without relatives: those that fewest tests make first, those made outside any last."""
    answers = [_answer(name, found, ()) for name, found in makers(recordings).items()]
    return tuple(sorted(answers, key=lambda answer: (answer.outside, len(answer.tests), answer.name)))


def _answer(name: str, found: Sequence[Maker], kin: Iterable[Relative]) -> Answer:
    return Answer(
        name=name, makers=tuple(found), tests=_tests(found), outside=_outside(found), relatives=tuple(kin)
    )


def _tests(found: Iterable[Maker]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(maker.test for maker in found if not maker.outside))


def _outside(found: Iterable[Maker]) -> bool:
    return any(maker.outside for maker in found)


def attribution(recordings: Sequence[Recording]) -> Attribution:
    """The tests of all recordings together, each call by each test."""
    # Without a Maker for each of what may be millions of calls.
    outside: set[str] = set()
    of_calls: dict[str, set[str]] = {}
    entered: dict[str, tuple[int, float]] = {}
    places = _Places()
    for source, recording in enumerate(recordings):
        times: dict[str, float] = {}
        name, found = "", set[str]()
        for call in recording.calls:
            phase = call.phase
            if phase not in (RUNTIME, APP):
                continue
            # They come sorted by name, so that a million of them take a few hundred lookups of it.
            if call.name != name or not name:
                name = call.name
                found = of_calls.setdefault(name, set())
            test = places[call.context if phase == APP else NO_CONTEXT][0]
            if test in (NO_CONTEXT, OVERFLOW):
                outside.add(name)
                continue
            found.add(test)
            first = call.first
            time = first.time if type(first) is FirstSeen else inf
            if time < times.get(test, inf) or test not in times:
                times[test] = time
        for test, time in times.items():
            entered.setdefault(test, (source, time))
    of_tests: dict[str, list[str]] = {
        test: [] for test in sorted(entered, key=lambda test: (entered[test], test))
    }
    alone: dict[str, list[str]] = {}
    for name in sorted(of_calls):
        for test in of_calls[name]:
            of_tests[test].append(name)
        if len(of_calls[name]) == 1 and name not in outside:
            (test,) = of_calls[name]
            alone.setdefault(test, []).append(name)
    tests = tuple(
        Test(name=test, calls=tuple(calls), alone=tuple(alone.get(test, ())))
        for test, calls in of_tests.items()
    )
    wanted = {test.name: frozenset(test.calls) - outside for test in tests}
    return Attribution(
        tests=tests,
        outside=tuple(sorted(outside)),
        calls=tuple(sorted(of_calls)),
        enough=cover(wanted),
        bound=harmonic(max(map(len, wanted.values()), default=0)),
        notes=_notes(recordings, overflow=any(test == OVERFLOW for test, _ in places.values())),
    )


def cover(wanted: Mapping[str, frozenset[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(test, calls that it adds), until all calls of all tests are there: always the test that adds most, of equals
    the first (Chvatal 1979: at most H(k) times the fewest, where k is the number of calls of the largest)."""
    missing = set[str]().union(*wanted.values())
    chosen = []
    while missing:
        best = max(wanted, key=lambda test: len(wanted[test] & missing))
        added = wanted[best] & missing
        missing -= added
        chosen.append((best, tuple(sorted(added))))
    return tuple(chosen)


def harmonic(number: int) -> float:
    """1 + 1/2 + ... + 1/number, which is at most ln(number) + 1; 1 for none."""
    return sum(1 / each for each in range(1, number + 1)) or 1.0


def _notes(recordings: Sequence[Recording], *, overflow: bool) -> tuple[str, ...]:
    notes = []
    lost = sum(recording.losses.calls for recording in recordings)
    details = sum(recording.losses.facts + recording.losses.contexts for recording in recordings)
    markers = sum(recording.losses.markers for recording in recordings)
    if lost:
        notes.append(f"{lost} calls were lost: what is said of them may be incomplete")
    if details or overflow:
        notes.append(
            f"{details} contexts or first-seen facts were lost: calls of their tests count as made outside any test"
        )
    if markers:
        notes.append(f"{markers} markers could not be read: what followed them counts to the test before")
    return tuple(notes)


# Against a profile, and against what tests say of themselves


@frozen
class Expected:
    """What one test says of itself: calls it may make although the profile lacks them, and calls it must not make."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()


@frozen
class Surprise:
    """Calls of one test ("" outside any) that the profile lacks (`kind` is "new") or the test denies ("denied")."""

    kind: str
    test: str
    calls: tuple[str, ...]


def surprises(
    found: Attribution, allowed: frozenset[str] | None, expected: Mapping[str, Expected]
) -> tuple[Surprise, ...]:
    """What `allowed` (None: not asked) does not allow and no marker permits, and what markers deny; by test."""
    groups = [*((test.name, test.calls) for test in found.tests), (NO_CONTEXT, found.outside)]
    result = []
    for name, calls in groups:
        told = expected.get(name, Expected())
        made = frozenset(calls)
        new = made - allowed - told.allow if allowed is not None else frozenset[str]()
        for kind, which in (("new", new), ("denied", made & told.deny)):
            if which:
                result.append(Surprise(kind=kind, test=name, calls=tuple(sorted(which))))
    return tuple(result)
