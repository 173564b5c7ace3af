"""What `push` and `pull` share: a reference in, a repository to talk to out, with the user's own logins."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..registry import credentials
from ..registry.client import Repository
from ..registry.references import Reference
from ..registry.transport import Transport

F = TypeVar("F", bound=Callable[..., Any])


def registry_options(function: F) -> F:
    """--plain-http."""
    option = click.option(
        "--plain-http",
        is_flag=True,
        help="Speak HTTP without TLS: logins can be read on the way. A registry on this machine needs no option.",
    )
    return option(function)


def connected(reference: Reference, *, plain_http: bool) -> Repository:
    """The repository; nothing is sent yet, and logins are only looked for if the registry wants one."""
    paths = credentials.files(os.environ, os.getuid())
    transport = Transport(reference, lambda: credentials.find(reference, paths), plain_http=plain_http)
    return Repository(reference, transport)
