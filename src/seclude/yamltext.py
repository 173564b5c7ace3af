"""YAML text in, plain values and where each of them stands out: safe types only, within bounds, without aliases.

ruamel.yaml is loaded when it is needed. What it would do at length on hostile text is refused beforehand, in one pass
over the text's events: aliases (of which a small file can make a large one), tags of one's own, depth, size.
"""

from __future__ import annotations

from .errors import SecludeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Path = tuple[str | int, ...]

LARGEST = 512 * 1024
DEEPEST = 64
MOST_EVENTS = 50_000
"""The parser takes some 100 microseconds for each value."""

_SAFE = "tag:yaml.org,2002:"
_PLAIN = ("str", "int", "float", "bool", "null")
_KINDS = (*_PLAIN, "map", "seq")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
_NO_STRINGS = frozenset("null true false yes no on off y n".split())
"""What some reader, mostly of YAML 1.1, takes for something other than a string."""

_SHOWN = 100


class Document:
    """One document: `value`, the place of each member, and ruamel.yaml's `node`, which knows where it ends."""

    def __init__(self, node: Any, source: str, lines: list[str]) -> None:
        self.node = node
        self.value: object = None
        self._source = source
        self._lines = lines
        self._places: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, tuple[int, int]] = {}

    def note(self, path: Path, mark: Any, *, key: bool = False) -> None:
        """Remember where a member's value, or its key, begins."""
        (self._keys if key else self._places)[path] = (mark.line, mark.column)

    def located(self, path: Path, what: str, *, key: bool = False) -> str:
        """The message "SOURCE: line L, column C: WHAT" with a caret under the member, or what there is of it."""
        if key and path in self._keys:
            line, column = self._keys[path]
            return message(self._source, self._lines, line, column, what)
        while path and path not in self._places:
            path = path[:-1]
        line, column = self._places.get(path, (0, 0))
        return message(self._source, self._lines, line, column, what)


def message(source: str, lines: list[str], line: int, column: int, what: str) -> str:
    """A message with the line and a caret under the column; both count from 0 here, from 1 in the message."""
    text = f"{source}: line {line + 1}, column {column + 1}: {what}"
    if line >= len(lines) or not lines[line].strip():
        return text
    start = max(0, column - _SHOWN // 2)
    shown = lines[line][start : start + _SHOWN].replace("\t", " ")
    printable = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return f"{text}\n  {printable}\n  {' ' * (column - start)}^"


def word(text: str) -> str:
    """A string as YAML: as it is where every reader takes that for a string, else in quotes, as in JSON."""
    import json

    plain = set(text) <= _WORD and text[:1].isalpha() and text.lower() not in _NO_STRINGS
    return text if plain else json.dumps(text)


def check(text: str, source: str, *, error: type[SecludeError] = SecludeError) -> None:
    """Raise `error` with line and column for what is no YAML, or more than we read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    if len(text) > LARGEST:
        raise error(f"{source} is larger than {LARGEST} characters")
    lines = text.splitlines()
    depth = 0
    try:
        for count, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
            what = ""
            if isinstance(event, AliasEvent):
                what = "an alias: write out what it stands for"
            elif isinstance(event, CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    what = f"nested more than {DEEPEST} deep"
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
            if count > MOST_EVENTS:
                what = f"more than {MOST_EVENTS} values"
            tag = str(getattr(event, "tag", None) or "")
            if tag and tag != "!" and tag.removeprefix(_SAFE) not in _KINDS:
                what = f"the tag {tag[:40]!r} is not read"
            if what:
                mark = event.start_mark
                raise error(message(source, lines, mark.line, mark.column, what))
    except YAMLError as failure:
        raise error(_reason(failure, source, lines)) from None
    except (RecursionError, ValueError) as failure:
        raise error(f"{source} is no YAML: {str(failure)[:_SHOWN]}") from None


def _reason(failure: Any, source: str, lines: list[str]) -> str:
    mark = getattr(failure, "problem_mark", None)
    what = str(getattr(failure, "problem", None) or failure).strip().split("\n")[0][: 2 * _SHOWN]
    if mark is None:
        return f"{source} is no YAML: {what}"
    return message(source, lines, mark.line, mark.column, what)


def documents(text: str, source: str, *, error: type[SecludeError] = SecludeError) -> list[Document]:
    """Every document that is not empty, of strings, numbers, booleans, None, lists and dicts with string keys."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    check(text, source, error=error)
    lines = text.splitlines()
    found = []
    try:
        for node in YAML(typ="safe", pure=True).compose_all(text):
            if node is not None:
                document = Document(node, source, lines)
                document.value = _value(node, (), document, error)
                found.append(document)
    except YAMLError as failure:
        raise error(_reason(failure, source, lines)) from None
    return found


def _value(node: Any, path: Path, document: Document, error: type[SecludeError]) -> object:
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    document.note(path, node.start_mark)
    if isinstance(node, SequenceNode):
        return [_value(item, (*path, index), document, error) for index, item in enumerate(node.value)]
    if not isinstance(node, MappingNode):
        return _scalar(node, path, document, error)
    members: dict[str, object] = {}
    for key, value in node.value:
        name = key.value
        if not isinstance(name, str):
            raise error(document.located(path, "a key must be a string"))
        document.note((*path, name), key.start_mark, key=True)
        if name in members:
            raise error(document.located((*path, name), f"{name[:80]!r} is given twice", key=True))
        members[name] = _value(value, (*path, name), document, error)
    return members


def _scalar(node: Any, path: Path, document: Document, error: type[SecludeError]) -> object:
    text: str = node.value
    kind = str(node.tag).removeprefix(_SAFE)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        number = _whole(text)
        if number is None:
            raise error(document.located(path, f"{text[:40]!r} is no whole number that we read"))
        return number
    if kind not in _PLAIN:
        raise error(document.located(path, f"a value of the type {kind[:40]!r} is not read"))
    return text


def _whole(text: str) -> int | None:
    """A number of YAML 1.2: decimal, 0o and 0x; of at most 40 characters, which is more than 64 bits need."""
    if len(text) > 40:
        return None
    digits = text.lower()
    try:
        return int(digits, 0) if digits.lstrip("+-")[:2] in ("0x", "0o") else int(digits)
    except ValueError:
        return None
