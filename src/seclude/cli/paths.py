"""Many files as arguments: paths, directories and lists of them in, the paths of files out, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from ..errors import SecludeError
from ..inputs import read_text
from .console import printable

F = TypeVar("F", bound=Callable[..., Any])

LARGEST_LIST = 64 * 1024 * 1024
"""Bytes of a list of paths."""


def list_option(function: F) -> F:
    """--from-file."""
    option = click.option(
        "--from-file",
        "list_path",
        metavar="LIST",
        default="",
        help="Read more paths from this file, one a line; - is standard input.",
    )
    return option(function)


def expanded(paths: Sequence[str], list_path: str, *, error: type[SecludeError]) -> list[str]:
    """All files: of a directory its *.json, in the order of their names. Raises `error`."""
    return [*_files(paths, error), *_listed(list_path, error)]


def _files(paths: Sequence[str], error: type[SecludeError]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        try:
            names = sorted(name for name in os.listdir(path) if name.endswith(".json"))
        except OSError as failure:
            raise error(f"{printable(path)} cannot be read: {failure.strerror}") from failure
        if not names:
            raise error(f"{printable(path)} holds no *.json", hint="name a directory that has them")
        yield from (os.path.join(path, name) for name in names)


def _listed(path: str, error: type[SecludeError]) -> Iterator[str]:
    if not path:
        return
    if path == "-":
        text = sys.stdin.buffer.read(LARGEST_LIST).decode("utf-8", "surrogateescape")
    else:
        text = read_text(path, limit=LARGEST_LIST, error=error)
    yield from _files([line for line in text.splitlines() if line], error)
