"""JSON text in, plain values out, strictly, and back: light enough to be loaded for every container.

CPython's scanner and encoder in C are used without the `json` package around them, whose import takes 8 ms.
"""

from __future__ import annotations

from ..errors import SecludeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Build = Callable[[list[tuple[str, object]]], object]

LARGEST = 256 * 1024 * 1024
DEEPEST = 64
_BLANKS = " \t\n\r"
_LONGEST_NUMBER = 4300
"""Digits that int() takes unless told otherwise (sys.int_info.default_max_str_digits)."""

_BEFORE, _AFTER = 70, 30
"""Characters of a line that an error shows on either side of the place."""


class _Refused(ValueError):
    """Text that is JSON to a lenient reader; `offset` is known once the text has been walked."""

    def __init__(self, what: str, offset: int = -1) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of these members; refuses one that is given twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("a field is given twice")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise _Refused("the number is too large")
    return number


def _no_constant(name: str) -> object:
    raise _Refused(f"{name} is no JSON value")


class _Options:
    """What the scanner in C looks up on the object it is made with (CPython Modules/_json.c, scanner_new)."""

    strict = True
    object_hook = None
    parse_int = int
    parse_constant = staticmethod(_no_constant)

    def __init__(self, build: Build, parse_float: Callable[[str], float]) -> None:
        self.object_pairs_hook = build
        self.parse_float = parse_float
        self.memo: dict[str, str] = {}


def scanner(
    build: Build, parse_float: Callable[[str], float] = _finite
) -> Callable[[str, int], tuple[object, int]]:
    """(text, index) -> (the value that begins there, where it ends), which is `decode` without its messages.

    It raises StopIteration where no value begins, ValueError, RecursionError or, if json.decoder was not imported,
    SystemError for what is refused. With `float` for
    `parse_float` it is quicker, and a number beyond a double is an infinity.
    """
    try:
        from _json import make_scanner

        return make_scanner(_Options(build, parse_float))  # type: ignore[arg-type]
    except (ImportError, AttributeError, TypeError):
        # Another Python, or one that has changed its internals.
        import json

        hooks: dict[str, Any] = {"parse_float": parse_float, "parse_constant": _no_constant}
        scan: Callable[[str, int], tuple[object, int]]
        scan = json.JSONDecoder(object_pairs_hook=build, **hooks).scan_once  # type: ignore[attr-defined]
        return scan


def decode(
    text: str,
    source: str,
    *,
    error: type[SecludeError] = SecludeError,
    largest: int = LARGEST,
    deepest: int = DEEPEST,
    quote: bool = True,
    build: Build = unique,
) -> object:
    """The value that `text` holds; raises `error` with `source`, line, column and, if `quote`, the line itself.

    Refused: a field given twice, NaN and Infinity, numbers beyond a double or of thousands of digits, more
    than `largest` characters, more than `deepest` nested lists and objects. `build` makes an object of its members, if
    not just as `unique` does.
    """
    if len(text) > largest:
        raise error(f"{source} is larger than {largest} characters")
    try:
        try:
            value, end = scanner(build)(text, _skip(text, 0))
        except SystemError:
            # To say what is wrong it takes a class of a module that must be there (Modules/_json.c, raise_errmsg).
            import json.decoder  # noqa: F401

            value, end = scanner(build)(text, _skip(text, 0))
        end = _skip(text, end)
        if end < len(text):
            raise _Refused("something follows the JSON value", end)
        if _too_deep(value, deepest):
            raise RecursionError
    except StopIteration as stop:
        raise error(located(text, stop.value, source, "a JSON value is expected", quote=quote)) from None
    except RecursionError:
        raise error(f"{source}: nested more than {deepest} deep") from None
    except ValueError as failure:
        what, offset = _reason(text, failure)
        raise error(located(text, offset, source, what, quote=quote)) from None
    return value


def _too_deep(value: object, deepest: int) -> bool:
    level: list[Any] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(deepest):
        members = [member for each in level for member in (each.values() if isinstance(each, dict) else each)]
        level = [member for member in members if isinstance(member, (dict, list))]
        if not level:
            return False
    return True


def _reason(text: str, failure: ValueError) -> tuple[str, int]:
    """What is wrong, and where."""
    if not isinstance(failure, _Refused):
        offset = getattr(failure, "pos", None)
        if offset is not None:
            message = str(getattr(failure, "msg", failure)).removesuffix(" at")
            return message[:1].lower() + message[1:], offset
        # int() refuses digits beyond sys.set_int_max_str_digits without saying where.
        failure = _Refused("a number has too many digits")
    if failure.offset >= 0:
        return failure.what, failure.offset
    try:
        _Walk(text, (), strict=True).run()
    except (_Refused, RecursionError) as found:
        return str(found), getattr(found, "offset", 0)
    return failure.what, 0


def _skip(text: str, index: int) -> int:
    while index < len(text) and text[index] in _BLANKS:
        index += 1
    return index


def located(text: str, offset: int, source: str, what: str, *, quote: bool = True) -> str:
    """The message "SOURCE: line L, column C: WHAT" and, if `quote`, the line with a caret under the place.

    Only a part of a long line is shown, and for what cannot be printed a question mark.
    """
    line, column = _line_and_column(text, offset)
    message = f"{source}: line {line}, column {column}: {what}"
    start = offset - column + 1
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    shown = text[max(start, offset - _BEFORE) : min(end, offset + _AFTER)]
    if not quote or not shown.strip():
        return message
    shown = shown.replace("\t", " ").rstrip()
    printable = "".join(character if character.isprintable() else "?" for character in shown)
    return f"{message}\n  {printable}\n  {' ' * min(column - 1, _BEFORE)}^"


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def position_of(text: str, path: Sequence[str | int], *, value: bool = False) -> tuple[int, int]:
    """(line, column), from 1, of the member at `path` in text that `decode` accepts; see `offset_of`."""
    return _line_and_column(text, offset_of(text, path, value=value))


def offset_of(text: str, path: Sequence[str | int], *, value: bool = False) -> int:
    """Where the member at `path`, such as ("syscalls", 3, "names"), begins: its key, or if `value` its value.

    If there is no such member, the innermost one there is on the way to it.
    """
    walk = _Walk(text, path, value=value)
    walk.run()
    return walk.found


class _Walk:
    """One pass over JSON text, to find where a path leads or, if `strict`, what the scanner's hooks refuse."""

    def __init__(
        self, text: str, path: Sequence[str | int], *, value: bool = False, strict: bool = False
    ) -> None:
        self.text = text
        self.path = path
        self.at_value = value
        self.strict = strict
        self.found = 0
        self._reached = 0

    def run(self) -> None:
        start = _skip(self.text, 0)
        self.found = start
        self._value(start, 0)

    def _value(self, index: int, matched: int) -> int:
        """Read the value at `index`, whose first `matched` steps of the path fit (-1: it is off the path)."""
        if self.text[index] == "{":
            return self._object(index, matched)
        if self.text[index] == "[":
            return self._list(index, matched)
        if self.text[index] == '"':
            return self._string(index)[1]
        end = index
        while end < len(self.text) and self.text[end] not in ",]}" + _BLANKS:
            end += 1
        if self.strict:
            self._check_number(index, end)
        return end

    def _check_number(self, index: int, end: int) -> None:
        import re  # only where something is wrong

        # What the scanner took for a number: it has not seen whether something is wrong behind it.
        word = self.text[index:end]
        for name in ("NaN", "Infinity", "-Infinity"):
            if word.startswith(name):
                raise _Refused(f"{name} is no JSON value", index)
        number = re.match(r"-?(0|[1-9][0-9]*)((\.[0-9]+)?([eE][-+]?[0-9]+)?)", word)
        if not number:
            return
        if not number[2] and len(number[1]) > _LONGEST_NUMBER:
            raise _Refused("the number has too many digits", index)
        if number[2]:
            try:
                _finite(number[0])
            except _Refused as refused:
                raise _Refused(refused.what, index) from None

    def _string(self, index: int) -> tuple[str, int]:
        from json.decoder import scanstring  # type: ignore[attr-defined]

        content, end = scanstring(self.text, index + 1, True)
        return content, end

    def _step(self, step: str | int, matched: int, index: int) -> int:
        """How far the path fits at a member, whose place is remembered."""
        if not 0 <= matched < len(self.path) or self.path[matched] != step:
            return -1
        if matched + 1 > self._reached:
            self._reached = matched + 1
            self.found = index
        return matched + 1

    def _object(self, index: int, matched: int) -> int:
        seen = set()
        index = _skip(self.text, index + 1)
        while self.text[index] != "}":
            key_index = index
            key, index = self._string(index)
            if self.strict and key in seen:
                raise _Refused(f"the field {key[:80]!r} is given twice", key_index)
            seen.add(key)
            index = _skip(self.text, _skip(self.text, index) + 1)
            last = matched + 1 == len(self.path)
            inside = self._step(key, matched, index if self.at_value and last else key_index)
            index = self._after(self._value(index, inside))
        return index + 1

    def _list(self, index: int, matched: int) -> int:
        count = 0
        index = _skip(self.text, index + 1)
        while self.text[index] != "]":
            index = self._after(self._value(index, self._step(count, matched, index)))
            count += 1
        return index + 1

    def _after(self, index: int) -> int:
        index = _skip(self.text, index)
        return _skip(self.text, index + 1) if self.text[index] == "," else index


def encode(value: object) -> str:
    """Compact JSON of plain values (dict, list, tuple, str, int, float, bool, None), keys in their order.

    ASCII only: all else is escaped. Raises TypeError for other types, ValueError for NaN and infinities.
    """
    try:
        from _json import encode_basestring_ascii, make_encoder

        escape = encode_basestring_ascii
        encoder = make_encoder(None, _no_default, escape, None, ":", ",", False, False, False)
        return "".join(encoder(value, 0))
    except (ImportError, AttributeError):
        import json

        return json.dumps(value, separators=(",", ":"), allow_nan=False, check_circular=False)


def _no_default(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no form in JSON")
