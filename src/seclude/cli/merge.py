"""`seclude merge`: profiles in, their union, intersection or difference out; or recordings in, all as one out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from .. import store
from ..analyse.merge import INTERSECTION, SUBTRACT, UNION, merge
from ..analyse.merge_recordings import Fleet
from ..errors import ProfileError, RecordingError, SecludeError
from ..formats import oci
from ..inputs import opened, read_text
from ..model.profile import Profile
from ..model.recording import Recording
from ..outputs import Output
from .console import Console, printable
from .options import absolute, output_options
from .paths import expanded, list_option

_BEGINNING = 100
"""Bytes of a file by which a recording is told."""


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
@list_option
@output_options
@click.argument("paths", metavar="[PROFILE|RECORDING|DIRECTORY]...", nargs=-1)
def command(
    output: str, operation: str, list_path: str, quiet: bool, as_json: bool, paths: tuple[str, ...]
) -> int:
    """Write the profile that means the union, the intersection or the difference of the PROFILEs.

    Of a directory all *.json in it are taken, in the order of their names. The result is exact for every argument,
    capability, kernel and architecture; if no profile means it exactly, that is an error.

    Of RECORDINGs, which may come from many machines, one recording is written that has all their calls.
    """
    console = Console(quiet=quiet, as_json=as_json)
    found = expanded(paths, list_path, error=ProfileError)
    if not found:
        raise ProfileError(
            "there is no profile to merge", hint="name files or directories, or use --from-file"
        )
    if _is_recording(found[0]):
        return _merge_recordings(console, found, operation, output)
    result = merge(map(_read, found), operation)
    text = oci.dumps(result)
    if output == "-":
        click.echo(text, nl=False)
    else:
        Output(absolute(output), "seccomp profile", oci.looks_like_profile).write(text)
    console.result(
        f"{operation} of {len(found)} profiles: {len(result.rules)} rules; wrote {output}",
        {"operation": operation, "profiles": len(found), "rules": len(result.rules), "profile": output},
    )
    return 0


def _read(path: str) -> Profile:
    text = read_text(path, limit=oci.LARGEST, error=ProfileError)
    if store.looks_like_recording(text):
        raise ProfileError(
            f"{printable(path)} is a recording, no profile",
            hint="`seclude generate RECORDING... -o PROFILE` writes the profile of recordings",
        )
    return oci.loads(text, path)


def _is_recording(path: str, error: type[SecludeError] = ProfileError) -> bool:
    with opened(path, error=error) as file:
        return store.looks_like_recording(file.read(_BEGINNING).decode("utf-8", "replace"))


def _merge_recordings(console: Console, paths: Sequence[str], operation: str, output: str) -> int:
    """Each is read, taken in and dropped; their number does not matter."""
    if operation != UNION:
        raise RecordingError(
            f"recordings have no {operation}",
            hint="make profiles of them with `seclude generate`, and merge those",
        )
    fleet = Fleet(detailed=True)
    for recording in _recordings(paths):
        fleet.add(recording)
    merged, notes = fleet.single()
    text = store.dumps(merged)
    if output == "-":
        click.echo(text, nl=False)
    else:
        Output(absolute(output), "recording", store.looks_like_recording).write(text)
    for note in notes:
        console.say(f"note: {note}")
    console.result(
        f"{len(merged.names())} calls from {fleet.count} recordings; wrote {output}",
        {
            "recordings": fleet.count,
            "calls": sorted(merged.names()),
            "recording": output,
            "notes": list(notes),
        },
    )
    return 0


def _recordings(paths: Sequence[str]) -> Iterator[Recording]:
    for path in paths:
        if _is_recording(path, RecordingError):
            yield store.read(path)
            continue
        text = read_text(path, limit=store.LARGEST, error=RecordingError)
        if oci.looks_like_profile(text):
            raise RecordingError(
                f"{printable(path)} is a profile, no recording",
                hint="merge profiles with profiles: `seclude generate` makes one of recordings",
            )
        yield store.loads(text, path)
