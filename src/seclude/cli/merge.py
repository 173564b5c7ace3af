"""`seclude merge`: profiles in, the one that means their union, their intersection or their difference out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

import click

from .. import store
from ..analyse.merge import INTERSECTION, SUBTRACT, UNION, merge
from ..errors import ProfileError
from ..formats import oci
from ..inputs import read_text
from ..model.profile import Profile
from ..outputs import Output
from .console import Console, printable
from .options import output_options
from .record import _absolute

LARGEST_LIST = 64 * 1024 * 1024
"""Bytes of a list of paths."""


@click.command(
    epilog="Examples: seclude merge web.json worker.json -o all.json ;  "
    "seclude merge --subtract all.json baseline.json -o more.json ;  "
    "find profiles -name '*.json' | seclude merge --from-file - -o all.json"
)
@click.option(
    "--output", "-o", required=True, metavar="PROFILE", help="Write the profile here; - is standard output."
)
@click.option(
    "--union", "operation", flag_value=UNION, default=True, help="Allow what one of them allows (default)."
)
@click.option("--intersection", "operation", flag_value=INTERSECTION, help="Allow what all of them allow.")
@click.option(
    "--subtract",
    "operation",
    flag_value=SUBTRACT,
    help="Allow what the first allows and none of the others does.",
)
@click.option(
    "--from-file",
    "list_path",
    metavar="LIST",
    default="",
    help="Read more paths from this file, one a line; - is standard input.",
)
@output_options
@click.argument("paths", metavar="[PROFILE|DIRECTORY]...", nargs=-1)
def command(
    output: str, operation: str, list_path: str, quiet: bool, as_json: bool, paths: tuple[str, ...]
) -> int:
    """Write the profile that means the union, the intersection or the difference of the PROFILEs.

    Of a directory all *.json in it are taken, in the order of their names. The result is exact for every argument,
    capability, kernel and architecture; if no profile means it exactly, that is an error.
    """
    console = Console(quiet=quiet, as_json=as_json)
    found = [*_files(paths), *_listed(list_path)]
    if not found:
        raise ProfileError(
            "there is no profile to merge", hint="name files or directories, or use --from-file"
        )
    result = merge(map(_read, found), operation)
    text = oci.dumps(result)
    if output == "-":
        click.echo(text, nl=False)
    else:
        Output(_absolute(output), "seccomp profile", oci.looks_like_profile).write(text)
    console.result(
        f"{operation} of {len(found)} profiles: {len(result.rules)} rules; wrote {output}",
        {"operation": operation, "profiles": len(found), "rules": len(result.rules), "profile": output},
    )
    return 0


def _files(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        try:
            names = sorted(name for name in os.listdir(path) if name.endswith(".json"))
        except OSError as error:
            raise ProfileError(f"{printable(path)} cannot be read: {error.strerror}") from error
        if not names:
            raise ProfileError(f"{printable(path)} holds no *.json", hint="name a directory of profiles")
        yield from (os.path.join(path, name) for name in names)


def _listed(path: str) -> Iterator[str]:
    if not path:
        return
    if path == "-":
        text = sys.stdin.buffer.read(LARGEST_LIST).decode("utf-8", "surrogateescape")
    else:
        text = read_text(path, limit=LARGEST_LIST, error=ProfileError)
    yield from _files([line for line in text.splitlines() if line])


def _read(path: str) -> Profile:
    text = read_text(path, limit=oci.LARGEST, error=ProfileError)
    if store.looks_like_recording(text):
        raise ProfileError(
            f"{printable(path)} is a recording, no profile",
            hint="`seclude generate RECORDING... -o PROFILE` writes the profile of recordings",
        )
    return oci.loads(text, path)
