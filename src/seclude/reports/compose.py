"""Recordings, a profile and what else is known in, the Page about them out; long lists are cut and say so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..dangers import CATEGORIES, TIERS, UNKNOWN, category_of, danger_of
from ..model.bracket import Bracket
from ..model.change import Difference
from ..model.completeness import CurvePoint
from ..model.frozen import frozen
from ..model.recording import Call, Recording
from ..syscalls import all_names
from .alike import COMMON_PERCENT, alike
from .page import (
    MISSING,
    NAMELESS,
    UNSEEN,
    CallEntry,
    Category,
    ChangeEntry,
    DeniedEntry,
    Figure,
    Page,
    Surface,
)
from .reach import reach
from .redaction import Redaction
from .seen import Seen, first_makers, without_stage
from .text import plural

MOST_USES = 12
MOST_FACTS = 12
MOST_DENIALS = 200
MOST_CHANGES = 700
MOST_CALL_ENTRIES = 2000
"""What is shown of each list: all together some MB, however large the recordings are."""


@frozen
class Allowance:
    """What some filter allows: the names, and those of them that it allows under conditions only.

    `label` is the path of its file, or words.
    """

    label: str
    names: tuple[str, ...]
    conditional: tuple[str, ...] = ()


@frozen
class Comparison:
    """A previous profile: what it is called, and how the present one differs."""

    label: str
    difference: Difference


def compose(
    recordings: Sequence[Recording],
    *,
    profile: Allowance,
    others: Sequence[Allowance] = (),
    comparison: Comparison | None = None,
    bracket: Bracket | None = None,
    curve: Sequence[CurvePoint] = (),
    completeness: Sequence[str] = (),
    title: str = "",
    arguments: bool = False,
    notes: Sequence[str] = (),
) -> Page:
    """The page about at least one recording and the profile made of them, or given.

    `others` are what the profile is compared with for size; `curve` and `completeness` (sentences) say how far the
    tests go. `bracket` is what can be reached. `arguments`: show arguments, paths and command lines.
    """
    seen = Seen(recordings)
    shown = Redaction(arguments=arguments)
    allowed = frozenset(profile.names)
    entries = _entries(seen, allowed, shown, {abi for each in recordings for abi in _native(each)})
    groups, more_groups, common = alike(seen, shown)
    denials = _denials(recordings, seen, shown)
    changes = _changes(comparison.difference, shown) if comparison else ()
    surfaces = [_surface(each, shown) for each in (profile, *others)]
    return Page(
        title=title or _title(recordings[0], shown),
        redacted=not arguments,
        facts=_facts(recordings, shown),
        figures=_figures(recordings, seen, profile, len(denials)),
        warnings=_warnings(recordings, seen, allowed),
        categories=_categories(entries),
        tests=seen.named_tests,
        common=common,
        common_share=COMMON_PERCENT,
        groups=groups,
        more_groups=more_groups,
        curve=tuple(curve) if seen.named_tests > 1 else (),
        completeness=tuple(completeness),
        surfaces=tuple(surfaces),
        reach=reach(bracket, allowed, shown) if bracket else None,
        denials=denials[:MOST_DENIALS],
        more_denials=max(0, len(denials) - MOST_DENIALS),
        compared=shown.path(comparison.label) if comparison else "",
        changes=changes[:MOST_CHANGES],
        more_changes=max(0, len(changes) - MOST_CHANGES),
        others=tuple(shown.text(text) for text in comparison.difference.others) if comparison else (),
        notes=tuple(notes),
    )


def _native(recording: Recording) -> tuple[str, ...]:
    return {"aarch64": ("aarch64",), "x86_64": ("x86_64",)}.get(recording.machine, ())


def _title(recording: Recording, shown: Redaction) -> str:
    subject = shown.text(recording.image) or shown.command(recording.command[:1])
    return f"System calls of {subject}" if subject else "System calls"


def _facts(recordings: Sequence[Recording], shown: Redaction) -> tuple[tuple[str, str], ...]:
    """(label, text) about where the recordings come from; what differs between them is listed, up to a few."""
    found: dict[str, dict[str, None]] = {}
    for each in recordings:
        confinement = "under a seccomp filter" if each.confined else "unconfined"
        facts = {
            "Image": shown.text(each.image),
            "Command": shown.command(each.command),
            "Recorded": each.created,
            "For": f"{each.duration:.1f} s",
            "Ran": confinement + (", no new privileges" if each.no_new_privileges else ""),
            "Attached": "while it ran: start-up calls are missing" if each.attached else "",
            "Engine": " ".join(filter(None, (each.engine, each.runtime, each.runtime_version))),
            "Kernel": f"{each.kernel} on {each.machine}",
            "By": f"seclude {each.seclude}, tracer {each.tracer}",
        }
        for label, text in facts.items():
            if text:
                found.setdefault(label, {})[text] = None
    return tuple((label, _few(list(texts), MOST_FACTS)) for label, texts in found.items())


def _few(texts: Sequence[str], most: int) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _figures(
    recordings: Sequence[Recording], seen: Seen, profile: Allowance, denials: int
) -> tuple[Figure, ...]:
    by_runtime = sum(all(call.phase == "runtime" for call in made.values()) for made in seen.calls.values())
    grave = sum(danger_of(name).tier in TIERS[:2] for name in profile.names)
    lost = sum(each.losses.calls for each in recordings)
    details = sum(
        each.losses.facts + each.losses.contexts + each.losses.executables + each.losses.markers
        for each in recordings
    )
    return (
        Figure(
            value=f"{len(seen.calls):,}",
            label="calls recorded",
            note=f"{by_runtime} by the runtime only" if by_runtime else "",
        ),
        Figure(
            value=f"{len(set(profile.names)):,}",
            label="calls allowed",
            note=f"{grave} of them critical or high",
        ),
        Figure(value=f"{seen.named_tests:,}", label="tests" if seen.named_tests != 1 else "test"),
        Figure(
            value=f"{len(seen.processes):,}",
            label="processes" if len(seen.processes) != 1 else "process",
            note=f"that made a call first; {plural(len(seen.programs), 'program')}",
        ),
        Figure(value=f"{denials:,}", label="denials" if denials != 1 else "denial", alarming=denials > 0),
        Figure(
            value=f"{lost:,}",
            label="calls lost" if lost != 1 else "call lost",
            note=f"{plural(details, 'detail')} lost" if details else "",
            alarming=lost > 0,
        ),
    )


def _warnings(recordings: Sequence[Recording], seen: Seen, allowed: Collection[str]) -> tuple[str, ...]:
    found = []
    lost = sum(each.losses.calls for each in recordings)
    if lost:
        found.append(
            f"The recorder lost {plural(lost, 'call')}: calls may be missing from this page altogether."
        )
    if any(each.losses.denials for each in recordings):
        found.append("Some denials were lost: there may have been more than are shown.")
    missing = sum(name not in allowed for name in seen.calls)
    if missing:
        found.append(f"The profile does not allow {missing} of the calls that were recorded.")
    if len({*allowed, *seen.calls}) > MOST_CALL_ENTRIES:
        found.append(f"Only {MOST_CALL_ENTRIES} of the calls are shown.")
    if not seen.named_tests:
        found.append("No test was marked, so that it is not known which test needs which call.")
    return tuple(found)


def _entries(
    seen: Seen, allowed: Collection[str], shown: Redaction, native: Collection[str]
) -> dict[str, CallEntry]:
    known = all_names()
    entries = {}
    for number, name in enumerate(sorted({*allowed, *seen.calls})[:MOST_CALL_ENTRIES]):
        made: Mapping[str, Call] = seen.calls.get(name, {})
        first = first_makers(made, MOST_USES)
        danger = danger_of(name)
        state = ""
        if not made:
            state = UNSEEN
        elif name not in allowed:
            state = NAMELESS if name.startswith("#") else MISSING
        entries[name] = CallEntry(
            # A link to a call by its name stays good from report to report; other names are not fit to be an id.
            anchor=f"call-{name}" if name in known else f"call-{number}",
            name=name,
            tier=danger.tier,
            reason=danger.reason,
            state=state,
            tests=seen.makers(name),
            count=seen.counts.get(name, 0),
            abis=tuple(sorted(seen.abis.get(name, set()).difference(native))),
            uses=tuple(shown.use(call, test) for test, call in first),
            more=len(made) - len(first),
        )
    return entries


def _categories(entries: Mapping[str, CallEntry]) -> tuple[Category, ...]:
    found: dict[str, list[CallEntry]] = {name: [] for name in (*CATEGORIES, UNKNOWN)}
    for name, entry in entries.items():
        found[category_of(name)].append(entry)
    return tuple(
        Category(
            name=category,
            tiers=_tiers([entry.tier for entry in calls]),
            calls=tuple(sorted(calls, key=lambda entry: (TIERS.index(entry.tier), entry.name))),
        )
        for category, calls in found.items()
        if calls
    )


def _tiers(tiers: Sequence[str]) -> tuple[int, ...]:
    return tuple(tiers.count(tier) for tier in TIERS)


def _surface(allowance: Allowance, shown: Redaction) -> Surface:
    names = sorted(set(allowance.names))
    return Surface(
        label=shown.path(allowance.label),
        tiers=_tiers([danger_of(name).tier for name in names]),
        conditional=len(set(allowance.conditional).intersection(names)),
    )


def _denials(recordings: Sequence[Recording], seen: Seen, shown: Redaction) -> tuple[DeniedEntry, ...]:
    """What was refused or logged; of a refused call without a denial what the recording has of it."""
    denials = [denial for recording in recordings for denial in recording.denials]
    told = {(denial.abi, denial.number, denial.context) for denial in denials}
    entries = [shown.denial(denial, without_stage(denial.context)) for denial in denials]
    entries += [
        shown.refusal(call, without_stage(call.context))
        for call in seen.refused
        if (call.abi, call.number, call.context) not in told
    ]
    return tuple(entries)


def _changes(difference: Difference, shown: Redaction) -> tuple[ChangeEntry, ...]:
    return tuple(
        ChangeEntry(
            call=change.call,
            kind=change.kind,
            tier=change.danger.tier,
            reason=change.danger.reason,
            before=change.before,
            after=change.after,
            makers=tuple(shown.maker(made) for made in change.makers),
        )
        for change in difference.changes
    )
