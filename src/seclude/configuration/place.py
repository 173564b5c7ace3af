"""Where a repository's configuration is, and whether a path that it names stays inside."""

from __future__ import annotations

import os

from ..formats import tomltext
from ..inputs import read_text
from ..model.configuration import ConfigurationError
from ..model.frozen import frozen
from . import keys
from .source import FileSource, Source, Spot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "seclude.toml"
PROJECT = "pyproject.toml"
TABLE = ("tool", "seclude")


@frozen
class Place:
    """`path` of the file (empty: there is none), its `source` and `tables`; `directory`, absolute, is what paths in
    it are relative to.
    """

    path: str
    directory: str
    source: Source
    tables: dict[str, Any]


def repository_of(directory: str) -> str:
    """The nearest directory above with a .git, `directory` itself included; empty if there is none."""
    current = os.path.realpath(directory)
    while True:
        if os.path.lexists(os.path.join(current, ".git")):
            return current
        above = os.path.dirname(current)
        if above == current:
            return ""
        current = above


def find(directory: str) -> Place:
    """seclude.toml, else pyproject.toml with [tool.seclude], of `directory` or the nearest above in its repository.

    Outside of a repository nothing above is looked at: it may be anybody's. Raises ConfigurationError for a file
    that cannot be read, or that is a link out of the repository.
    """
    start = os.path.realpath(directory)
    root = repository_of(directory) or start
    current = start
    while True:
        for name in (NAME, PROJECT):
            path = os.path.join(current, name)
            if not os.path.lexists(path):
                continue
            if not _inside(os.path.realpath(path), root):
                # Errors quote the file: a link in somebody's branch must not show what only we can read.
                raise ConfigurationError(f"{path} is a link out of {root}", hint="put the file there instead")
            place = read(path)
            if place.path:
                return place
        if current == root:
            return Place(path="", directory=start, source=Source("the configuration"), tables={})
        current = os.path.dirname(current)


def read(path: str) -> Place:
    """The configuration in one file; of a pyproject.toml without [tool.seclude] a place with an empty path."""
    text = read_text(path, limit=keys.LARGEST, error=ConfigurationError)
    shown = os.path.relpath(path) if os.path.isabs(path) else path
    shown = path if shown.startswith("..") else shown
    tables = tomltext.decode(text, shown, error=ConfigurationError)
    directory = os.path.realpath(os.path.dirname(path) or ".")
    if os.path.basename(path) != PROJECT:
        return Place(path=path, directory=directory, source=FileSource(shown, text), tables=tables)
    source = FileSource(shown, text, TABLE)
    for depth, step in enumerate(TABLE):
        if step not in tables:
            return Place(path="", directory=directory, source=source, tables={})
        tables = tables[step]
        if not isinstance(tables, dict):
            whole = FileSource(shown, text)
            raise whole.error(TABLE[: depth + 1], f"{'.'.join(TABLE[: depth + 1])} must be a table")
    return Place(path=path, directory=directory, source=source, tables=tables)


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def inner_path(spot: Spot, value: str, directory: str) -> str:
    """`value`, a path in `directory` (absolute, without links), as one relative to it.

    Raises ConfigurationError if it leads out, itself or through a link, is the directory, or lies in .git.
    """
    if not value.isprintable() or len(value) > keys.LONGEST_TEXT:
        raise spot.error(f"{spot.name} is no plain path: {value[:80]!r}")
    full = os.path.normpath(os.path.join(directory, value))
    hint = "paths are relative to the configuration's directory and stay in it"
    if not _inside(full, directory):
        raise spot.error(f"{spot.name}: {value} lies outside of {directory}", hint)
    if full == directory or value.endswith("/."):
        raise spot.error(f"{spot.name}: {value} is the configuration's own directory", "name something in it")
    # What `..` leads to depends on links before it, so that both readings must stay inside.
    for real in (os.path.realpath(full), os.path.realpath(os.path.join(directory, value))):
        if not _inside(real, directory):
            raise spot.error(
                f"{spot.name}: {value} leads through a link to {real}, outside of {directory}", hint
            )
        for path in (full, real):
            if ".git" in os.path.relpath(path, directory).lower().split("/"):
                raise spot.error(
                    f"{spot.name}: {value} lies in the repository's .git", "choose another place"
                )
    return os.path.relpath(full, directory)
