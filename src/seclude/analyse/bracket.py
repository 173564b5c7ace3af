"""What a program needs lies between what it was seen to call and what it can reach: both in, the bracket out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..dangers import TIERS, category_of, danger_of
from ..families import family_of
from ..model.bracket import Beyond, Bracket, Outside, Place
from ..model.recording import FirstSeen, Recording
from ..portable import SIBLINGS
from ..syscalls import name_of, names
from .reach import Reached

ABI = "x86_64"

OTHER_ABI = f"only calls of {ABI} are looked for"
KERNEL = {
    "restart_syscall": "the kernel makes it, to go on with a call that a signal interrupted",
}


def bracket(
    reached: Reached,
    recordings: Sequence[Recording],
    *,
    scanned: Iterable[str],
    unread: Mapping[str, str],
) -> Bracket:
    """`scanned`: the executables that were read; `unread`: files that were not, and why.

    `beyond` has the most dangerous first, then those that have a sibling among the recorded ones.
    """
    places = {name_of(ABI, number): place for number, place in reached.numbers.items()}
    known = names(ABI)
    executables = tuple(scanned)
    reachable = frozenset(places) & known
    recorded = frozenset(name for recording in recordings for name in recording.names("app", abi=ABI))
    beyond = [_beyond(name, places[name], recorded) for name in reachable - recorded]
    beyond.sort(key=lambda item: (TIERS.index(item.tier), not item.siblings, item.name))
    return Bracket(
        recorded=tuple(sorted(recorded)),
        reachable=tuple(sorted(reachable)),
        beyond=tuple(beyond),
        outside=tuple(_outside(reached, recordings, recorded - reachable, frozenset(executables), unread)),
        known=len(known),
        programs=executables,
        sites=reached.sites,
        opening=reached.opening,
        unread=tuple(unread.items()),
    )


def _beyond(name: str, place: Place, recorded: frozenset[str]) -> Beyond:
    danger = danger_of(name)
    same = {other for line in SIBLINGS for other in line.split() if name in line.split()}
    same |= {other for other in recorded if family_of(other) and family_of(other) == family_of(name)}
    return Beyond(
        name=name,
        tier=danger.tier,
        reason=danger.reason,
        category=category_of(name),
        siblings=tuple(sorted(same & recorded)),
        place=place,
    )


def _outside(
    reached: Reached,
    recordings: Sequence[Recording],
    missing: frozenset[str],
    scanned: frozenset[str],
    unread: Mapping[str, str],
) -> list[Outside]:
    found: dict[tuple[str, str], Outside] = {}
    for recording in recordings:
        for call in recording.calls:
            if call.phase != "app" or (call.abi == ABI and call.name not in missing):
                continue
            executable = call.first.executable if isinstance(call.first, FirstSeen) else ""
            if call.abi != ABI:
                name = f"{call.name} ({call.abi})"
                found[name, executable] = Outside(name=name, executable=executable, reason=OTHER_ABI)
                continue
            found[call.name, executable] = Outside(
                name=call.name,
                executable=executable,
                reason=_reason(call.name, executable, reached, scanned, unread),
            )
    return [found[key] for key in sorted(found)]


def _reason(
    name: str, executable: str, reached: Reached, scanned: frozenset[str], unread: Mapping[str, str]
) -> str:
    if name in KERNEL:
        return KERNEL[name]
    if executable in unread:
        return f"{executable} was not read: {unread[executable]}"
    if executable not in scanned and executable != "/proc/self/exe":
        return f"{executable or 'a program that the recorder could not name'} was not scanned"
    if unread:
        return f"{len(unread)} files that it may load were not read"
    if reached.opening:
        return f"{', '.join(reached.opening)} loads files at run time: name them with --also"
    if reached.sites:
        return f"one of the {len(reached.sites)} sites whose number is not known makes it"
    return ""
