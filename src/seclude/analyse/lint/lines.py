"""Where the members of a profile's JSON are: text and paths in, line numbers out, in one pass for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

Spot = tuple[str | int, ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def lines_of(text: str, spots: Iterable[Spot]) -> dict[Spot, int]:
    """Path, such as ("syscalls", 3, "names", 0) -> line from 1 of the member, or of the innermost one on the way.

    `text` is JSON that has been read already.
    """
    wanted = set(spots)
    prefixes = {spot[:length] for spot in wanted for length in range(len(spot) + 1)}
    found: dict[Spot, int] = {(): 1}
    starts = [match.end() for match in re.finditer("\n", text)]
    for spot, offset in _members(text):
        if spot in prefixes and spot not in found:
            found[spot] = _line(starts, offset)
    return {spot: _innermost(found, spot) for spot in wanted}


def _line(starts: list[int], offset: int) -> int:
    from bisect import bisect_right

    return bisect_right(starts, offset) + 1


def _innermost(found: dict[Spot, int], spot: Spot) -> int:
    while spot not in found:
        spot = spot[:-1]
    return found[spot]


def _members(text: str) -> Iterable[tuple[Spot, int]]:
    """(path, offset) of every key and of every member of a list."""
    path: list[str | int] = []
    lists: list[bool] = []
    key, fresh = "", False
    for match in _TOKEN.finditer(text):
        token, offset = match.group(), match.start()
        if fresh and token != "]":
            # The first member of a list, or the next after a comma; numbers and words have no token of their own.
            yield tuple(path), offset
        fresh = False
        if token in "[{":
            lists.append(token == "[")
            path.append(0 if token == "[" else "")
            fresh = token == "["
        elif token in "]}":
            lists.pop()
            path.pop()
        elif token == ",":
            if lists and lists[-1]:
                last = path[-1]
                path[-1] = last + 1 if isinstance(last, int) else 0
                fresh = True
        elif token == ":":
            continue
        elif lists and not lists[-1]:
            rest = text[match.end() : match.end() + 80].lstrip()
            if rest.startswith(":") or not rest:
                key = _unescaped(token[1:-1])
                path[-1] = key
                yield tuple(path), offset


def _unescaped(key: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), key)
