"""A scan as versioned JSON, and back: what `seclude scan --json` says is what `seclude report --scan` reads."""

from __future__ import annotations

import json
from typing import Any

from ..analyse.reach import Reached
from ..errors import SecludeError
from ..formats import jsontext
from ..inputs import read_text
from ..model.bracket import Bracket, Place
from ..model.frozen import frozen
from ..model.program import Site
from ..syscalls import name_of, number_of
from .scan import Scan

KIND, VERSION = "scan", 1
ABI = "x86_64"
LARGEST = 64 * 1024 * 1024
_HINT = "it is written by `seclude scan --json`"


@frozen
class Document:
    """What is left of a scan: enough to hold other recordings against it. Fields as in Scan."""

    reached: Reached
    entries: dict[str, str]
    unread: dict[str, str]


def values(found: Scan, known: Bracket) -> dict[str, object]:
    """All of it as plain values."""
    reached = found.reached
    return {
        "kind": KIND,
        "version": VERSION,
        "exact": known.exact,
        "recorded": list(known.recorded),
        "reachable": {
            name: _place(place)
            for number, place in sorted(reached.numbers.items())
            if (name := name_of(ABI, number)) in known.reachable
        },
        "known": known.known,
        "beyond": [
            {
                "call": item.name,
                "danger": item.tier,
                "reason": item.reason,
                "category": item.category,
                "siblings": list(item.siblings),
                **_place(item.place),
            }
            for item in known.beyond
        ],
        "outside": [
            {"call": item.name, "executable": item.executable, "reason": item.reason}
            for item in known.outside
        ],
        "unresolved": [
            {"file": program, "address": site.address, "function": site.function, "reason": site.reason}
            for program, site in reached.sites
        ],
        "opening": list(reached.opening),
        "undefined": list(reached.undefined),
        "programs": found.entries,
        "files": [
            {
                "path": item.path,
                "build_id": item.build_id,
                "instructions": item.instructions,
                "cached": item.cached,
            }
            for item in found.loaded
        ],
        "unread": found.unread,
        "functions": {"reachable": reached.pieces, "all": reached.all_pieces},
        "seconds": round(found.seconds, 3),
    }


def _place(place: Place) -> dict[str, str]:
    return {"file": place.program, "function": place.function}


def dumps(found: Scan, known: Bracket) -> str:
    """The same as one line of JSON."""
    return json.dumps(values(found, known))


def read(path: str) -> Document:
    """The scan in a file; raises SecludeError naming what is wrong with it."""
    return loads(read_text(path, limit=LARGEST, error=SecludeError), path)


def loads(text: str, source: str) -> Document:
    """The scan in `text`. What follows from the rest, such as which calls are beyond the recorded ones, is not read."""
    value = jsontext.decode(text, source, error=SecludeError)
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise SecludeError(f"{source} is no scan", hint=_HINT)
    if value.get("version") != VERSION or isinstance(value["version"], bool):
        raise SecludeError(
            f"{source} has version {value.get('version')!r}; this seclude reads version {VERSION}",
            hint="scan again, or use the seclude that wrote it",
        )
    reading = _Reading(source)
    fields = set(FIELDS)
    if wrong := sorted(set(value) ^ fields):
        word = "unknown field" if wrong[0] in value else "missing field"
        raise SecludeError(f"{source}: {word} {wrong[0][:80]!r}", hint=_HINT)
    numbers: dict[int, Place] = {}
    for name, place in reading.members(value["reachable"], "reachable").items():
        number = number_of(ABI, name)
        if number is None:
            raise SecludeError(f"{source}: reachable: {name[:80]!r} is no call of {ABI}")
        numbers[number] = Place(program=reading.text(place, "file"), function=reading.text(place, "function"))
    functions = reading.members(value["functions"], "functions")
    return Document(
        reached=Reached(
            numbers=numbers,
            sites=tuple(
                (
                    reading.text(site, "file"),
                    Site(
                        address=reading.whole(site, "address"),
                        function=reading.text(site, "function"),
                        reason=reading.text(site, "reason"),
                    ),
                )
                for site in reading.items(value["unresolved"], "unresolved")
            ),
            opening=reading.texts(value["opening"], "opening"),
            undefined=reading.texts(value["undefined"], "undefined"),
            pieces=reading.whole(functions, "reachable"),
            all_pieces=reading.whole(functions, "all"),
        ),
        entries=reading.pairs(value["programs"], "programs"),
        unread=reading.pairs(value["unread"], "unread"),
    )


FIELDS = (
    "kind version exact recorded reachable known beyond outside unresolved opening undefined programs files unread "
    "functions seconds"
).split()


class _Reading:
    """Members of one kind each; every method raises SecludeError with the file and the member."""

    def __init__(self, source: str) -> None:
        self._source = source

    def _wrong(self, name: str, what: str) -> SecludeError:
        return SecludeError(f"{self._source}: {name} must be {what}", hint=_HINT)

    def members(self, value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def items(self, value: object, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return value

    def text(self, value: object, name: str) -> str:
        member = self.members(value, f"what has {name}").get(name)
        if not isinstance(member, str):
            raise self._wrong(name, "a text")
        return member

    def whole(self, value: object, name: str) -> int:
        member = self.members(value, f"what has {name}").get(name)
        if not isinstance(member, int) or isinstance(member, bool):
            raise self._wrong(name, "a whole number")
        return member

    def texts(self, value: object, name: str) -> tuple[str, ...]:
        members = self.items(value, name)
        if not all(isinstance(member, str) for member in members):
            raise self._wrong(name, "a list of texts")
        return tuple(members)

    def pairs(self, value: object, name: str) -> dict[str, str]:
        members = self.members(value, name)
        if not all(isinstance(member, str) for member in members.values()):
            raise self._wrong(name, "an object of texts")
        return members
