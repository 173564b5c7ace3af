"""Tables of TOML files as text: put at the end, or taken out, and every other line kept as it is."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence

from ..errors import SecludeError
from ..formats import tomltext


def decoded(text: str, source: str) -> dict[str, object]:
    """What the text says; raises SecludeError with line and column."""
    return tomltext.decode(text, source)


def appended(text: str, tables: Mapping[tuple[str, ...], Mapping[str, object]], source: str) -> str:
    """The text with these tables (path -> key -> value) after all others; raises SecludeError where they do not fit."""
    lines = [text.rstrip("\n") + "\n"] if text.strip() else []
    for path, values in tables.items():
        body = "".join(f"{_key(name)} = {_value(value, source)}\n" for name, value in values.items())
        lines.append(f"[{'.'.join(map(_key, path))}]\n{body}")
    after = "\n".join(lines)
    try:
        tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        place = ".".join(next(iter(tables))[:-1])
        raise SecludeError(
            f"{source}: no table can be added to {place}: {error}",
            hint="write it as tables in brackets, not inline; the file was not changed",
        ) from error
    return after


def without(text: str, path: Sequence[str], source: str) -> str:
    """The text without the table at `path` and all that is in it; raises SecludeError where it cannot be taken out."""
    wanted = decoded(text, source)
    holder: dict[str, object] = wanted
    for name in path[:-1]:
        inner = holder.get(name)
        holder = inner if isinstance(inner, dict) else {}
    if path[-1] not in holder:
        return text
    del holder[path[-1]]
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            inside = _header(line)[: len(path)] == tuple(path)
        if not inside:
            kept.append(line)
    after = "".join(kept)
    after = after.rstrip("\n") + "\n" if after.strip() else ""
    # What looks like a header may be a line of a longer string, and the table may be written inline.
    try:
        clean = _bare(tomllib.loads(after)) == _bare(wanted)
    except tomllib.TOMLDecodeError:
        clean = False
    if not clean:
        raise SecludeError(
            f"{source}: the table {'.'.join(path)} cannot be told apart", hint="remove it by hand"
        )
    return after


def _bare(value: object) -> object:
    """Without empty tables: the last of its tables takes those around it along."""
    if not isinstance(value, dict):
        return value
    inner = {name: _bare(item) for name, item in value.items()}
    return {name: item for name, item in inner.items() if item != {}}


def _header(line: str) -> tuple[str, ...]:
    """The path of the table that a line begins, empty where it begins none."""
    try:
        value: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    found = []
    while isinstance(value, dict) and value:
        [(name, value)] = value.items()
        found.append(name)
    return tuple(found)


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else json.dumps(name, ensure_ascii=False)


def _value(value: object, source: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # Strings of JSON are strings of TOML, but for one control character (TOML 1.0, basic strings).
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(_value(item, source) for item in value)}]"
    raise SecludeError(f"{source}: {value!r:.80} cannot be copied", hint="write the runtime by hand")
