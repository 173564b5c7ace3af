"""The option that says which capabilities a container has: words on the command line in, the bounding set out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..errors import SecludeError
from ..model.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES
from ..model.profile import nearest

F = TypeVar("F", bound=Callable[..., Any])


def capability_option(function: F) -> F:
    """--cap, as the argument `caps`."""
    option = click.option(
        "--cap",
        "caps",
        metavar="CAP",
        multiple=True,
        help="A capability of the container: CAP_SYS_ADMIN, or default, none, all. May be given several times. "
        "Default: default, the 14 that Docker gives.",
    )
    return option(function)


def capabilities(given: Sequence[str]) -> tuple[str, ...]:
    """The names of all that the words stand for, the default set for no words; raises SecludeError."""
    found: set[str] = set()
    for text in given or ("default",):
        if text == "none":
            continue
        if text in ("default", "all"):
            found.update(DEFAULT_CAPABILITIES if text == "default" else CAPABILITIES)
            continue
        name = text.upper() if text.upper().startswith("CAP_") else f"CAP_{text.upper()}"
        if name not in CAPABILITIES:
            raise SecludeError(f"unknown capability {text[:80]!r}", hint=nearest(name, CAPABILITIES))
        found.add(name)
    if "none" in given and found:
        raise SecludeError("--cap none is given with others", hint="leave one of them out")
    return tuple(sorted(found))
