"""TOML text in, plain values out, and where in the text each of them is: what tomllib does not say."""

from __future__ import annotations

import tomllib

from ..errors import SecludeError
from .jsontext import located

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Path = tuple[str | int, ...]

MOST_DOTS = 1000
_LONGEST_REASON = 200

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_BLANKS = " \t"
_ENDS = ",]}# \t\r\n"


def decode(text: str, source: str, *, error: type[SecludeError] = SecludeError) -> dict[str, Any]:
    """The tables that `text` holds; raises `error` with `source`, line, column and the line itself."""
    for number, line in enumerate(text.split("\n"), 1):
        # The time that tomllib takes for a dotted key grows with the square of its parts.
        if line.count(".") > MOST_DOTS:
            raise error(f"{source}: line {number}: it has more than {MOST_DOTS} dots", hint="break the line")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{source}: nested too deep") from None
    except ValueError as failure:
        # Until Python 3.14 a TOMLDecodeError tells the place in its message only; a number of too many digits, which
        # int() refuses, has none.
        what, _, place = str(failure).rpartition(" (at ")
        what = what[:_LONGEST_REASON] or "a number has too many digits"
        raise error(located(text, _offset(text, place), source, what[:1].lower() + what[1:])) from None


def _offset(text: str, place: str) -> int:
    """Where "line 3, column 7)" is; "end of document)" and anything else: the end."""
    words = place.rstrip(")").replace(",", "").split()
    if len(words) != 4 or not (words[1].isdecimal() and words[3].isdecimal()):
        return len(text.rstrip())
    start = 0
    for _ in range(int(words[1]) - 1):
        start = text.find("\n", start) + 1
    # tomllib counts after it has made one character of each CR LF; those end lines, so columns stay.
    return min(start + int(words[3]) - 1, len(text))


def offset_of(text: str, path: Path, *, value: bool = False) -> int | None:
    """Where the key at `path`, such as ("gate", "acknowledged", 0, "call"), begins in text that tomllib accepts, or
    if `value` its value; of what is not there the innermost table that is, None if nothing on the way is found.
    """
    try:
        places = places_of(text)
    except (IndexError, RecursionError, ValueError):
        return None
    for length in range(len(path), 0, -1):
        place = places.get(path[:length])
        if place is not None:
            return place[1 if value and length == len(path) else 0]
    return None


def places_of(text: str) -> dict[Path, tuple[int, int]]:
    """Path -> (offset of the key, offset of the value) of all that the text defines; for a table the two are one.

    Raises IndexError, RecursionError or ValueError on text that tomllib would refuse.
    """
    walk = _Walk(text)
    walk.run()
    return walk.places


class _Walk:
    """One pass over TOML text that remembers where each key, value and element begins."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places: dict[Path, tuple[int, int]] = {}
        self._counts: dict[Path, int] = {}
        """Array of tables -> its last index so far."""

    def run(self) -> None:
        index = 0
        table: Path = ()
        while (index := self._skip(index)) < len(self.text):
            if self.text[index] == "[":
                table, index = self._header(index)
            else:
                index = self._pair(index, table)

    def _skip(self, index: int, *, lines: bool = True) -> int:
        """Past blanks and, if `lines`, ends of lines and comments."""
        while index < len(self.text):
            character = self.text[index]
            if lines and character == "#":
                end = self.text.find("\n", index)
                index = len(self.text) if end < 0 else end
            elif character in _BLANKS or (lines and character in "\r\n"):
                index += 1
            else:
                break
        return index

    def _header(self, index: int) -> tuple[Path, int]:
        """The table that the header at `index` opens, and where the header ends."""
        start = index
        many = self.text.startswith("[[", index)
        keys, index = self._keys(index + (2 if many else 1))
        table: Path = ()
        for count, (key, offset) in enumerate(keys):
            table = (*table, key)
            self.places.setdefault(table, (offset, start if count + 1 == len(keys) else offset))
            if many and count + 1 == len(keys):
                self._counts[table] = self._counts.get(table, -1) + 1
            if table in self._counts:
                table = (*table, self._counts[table])
                self.places.setdefault(table, (offset, offset))
        return table, index + (2 if many else 1)

    def _keys(self, index: int) -> tuple[list[tuple[str, int]], int]:
        """A dotted key as [(part, offset), ...], and the index of what follows it."""
        keys: list[tuple[str, int]] = []
        while True:
            index = self._skip(index, lines=False)
            end = index
            if self.text[index] in "\"'":
                end = self._string(index)
                keys.append((tomllib.loads(f"key = {self.text[index:end]}")["key"], index))
            else:
                while self.text[end] in _BARE:
                    end += 1
                if end == index:
                    raise ValueError("a key is expected")
                keys.append((self.text[index:end], index))
            index = self._skip(end, lines=False)
            if self.text[index] != ".":
                return keys, index
            index += 1

    def _pair(self, index: int, table: Path) -> int:
        keys, index = self._keys(index)
        if self.text[index] != "=":
            raise ValueError("an equals sign is expected")
        start = self._skip(index + 1, lines=False)
        path = table
        for key, offset in keys[:-1]:
            path = (*path, key)
            self.places.setdefault(path, (offset, offset))
        path = (*path, keys[-1][0])
        self.places.setdefault(path, (keys[-1][1], start))
        return self._value(start, path)

    def _value(self, index: int, path: Path) -> int:
        """The index after the value at `index`."""
        character = self.text[index]
        if character in "\"'":
            return self._string(index)
        if character == "[":
            return self._array(index + 1, path)
        if character == "{":
            return self._inline(index + 1, path)
        # A date and its time may have one blank between them.
        end = index
        while end < len(self.text) and (
            self.text[end] not in _ENDS
            or (self.text[end] == " " and end - index == 10 and self.text[end + 1 : end + 2].isdecimal())
        ):
            end += 1
        if end == index:
            raise ValueError("a value is expected")
        return end

    def _array(self, index: int, path: Path) -> int:
        count = 0
        while self.text[index := self._skip(index)] != "]":
            element = (*path, count)
            self.places.setdefault(element, (index, index))
            index = self._skip(self._value(index, element))
            if self.text[index] == ",":
                index += 1
            count += 1
        return index + 1

    def _inline(self, index: int, path: Path) -> int:
        while self.text[index := self._skip(index)] != "}":
            index = self._skip(self._pair(index, path))
            if self.text[index] == ",":
                index += 1
        return index + 1

    def _string(self, index: int) -> int:
        """The index after the string that begins at `index`."""
        quote = self.text[index]
        long = self.text.startswith(quote * 3, index)
        delimiter = quote * 3 if long else quote
        index += len(delimiter)
        while not self.text.startswith(delimiter, index):
            index += 2 if quote == '"' and self.text[index] == "\\" else 1
            if index >= len(self.text):
                raise IndexError
        index += len(delimiter)
        # As many as two quotes may stand before the three that end a long string.
        while long and self.text.startswith(quote, index):
            index += 1
        return index
