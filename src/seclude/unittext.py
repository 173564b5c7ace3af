"""Unit files of systemd in, the assignments of interest out, each word with its place (systemd.syntax(7))."""

from __future__ import annotations

from .errors import ProfileError
from .yamltext import message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGEST = 1024 * 1024


def located(text: str, offset: int, source: str, what: str) -> str:
    """The message with line, column and a caret."""
    line = text.count("\n", 0, offset)
    column = offset - text.rfind("\n", 0, offset) - 1
    return message(source, text.split("\n"), line, column, what)


class Line:
    """One assignment: key, words and where each of them begins."""

    def __init__(self, key: str, words: list[tuple[str, int]], text: str, source: str, start: int) -> None:
        self.key = key
        self.words = words
        self._text = text
        self._source = source
        self._start = start

    def refuse(self, what: str, place: int = -1, hint: str = "") -> ProfileError:
        """The error, with the place."""
        offset = self._start if place < 0 else place
        return ProfileError(located(self._text, offset, self._source, what), hint=hint)


def assignments(text: str, source: str, prefix: str, sections: Sequence[str]) -> Iterator[Line]:
    """Every assignment that begins with `prefix`; raises ProfileError where its section may not have it."""
    if len(text) > LARGEST:
        raise ProfileError(f"{source} is larger than {LARGEST} characters")
    section, offset = "", 0
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        start, line = offset, lines[index]
        offset += len(line) + 1
        index += 1
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("["):
            section = stripped.strip("[]")
            continue
        parts = [(line.rstrip("\r"), start)]
        while parts[-1][0].endswith("\\") and index < len(lines):
            if lines[index].strip()[:1] not in ("#", ";"):
                parts.append((lines[index].rstrip("\r"), offset))
            offset += len(lines[index]) + 1
            index += 1
        key, equals, _ = line.partition("=")
        if not key.strip().startswith(prefix):
            continue
        begin = start + len(line) - len(line.lstrip())
        if not equals:
            raise ProfileError(located(text, begin, source, "an assignment is expected"))
        first = len(key) + 1
        parts[0] = (parts[0][0][first:], start + first)
        words = [found for part, place in parts for found in _words(part.removesuffix("\\"), place)]
        found = Line(key.strip(), words, text, source, begin)
        if section not in sections:
            raise found.refuse(
                f"{found.key} outside of [Service] has no effect", hint=f"one of {', '.join(sections)}"
            )
        yield found


def _words(text: str, start: int) -> Iterator[tuple[str, int]]:
    place = 0
    for word in text.split():
        place = text.index(word, place)
        yield word, start + place
        place += len(word)
