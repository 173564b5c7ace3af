"""`seclude generate`: recordings in, one profile out."""

from __future__ import annotations

import click

from .. import store
from ..formats import oci
from ..outputs import Output
from .console import Console
from .options import output_options, synthesis_options, synthesized
from .record import _absolute


@click.command()
@click.option(
    "--output", "-o", required=True, metavar="PROFILE", help="Write the profile here; - is standard output."
)
@synthesis_options
@output_options
@click.argument("recordings", metavar="RECORDING...", nargs=-1, required=True)
def command(
    output: str,
    base: str,
    baseline: str,
    errno_name: str,
    arguments: str,
    portable: bool,
    insist: bool,
    quiet: bool,
    as_json: bool,
    recordings: tuple[str, ...],
) -> int:
    """Write the profile that allows what all RECORDINGs saw and nothing else."""
    console = Console(quiet=quiet, as_json=as_json)
    read = [store.read(path) for path in recordings]
    synthesis = synthesized(
        read,
        base=base,
        baseline=baseline,
        errno_name=errno_name,
        arguments=arguments,
        portable=portable,
        insist=insist,
    )
    text = oci.dumps(synthesis.profile)
    if output == "-":
        click.echo(text, nl=False)
    else:
        Output(_absolute(output), "seccomp profile", oci.looks_like_profile).write(text)
    for note in synthesis.notes:
        console.say(f"note: {note}")
    names = frozenset[str]().union(*(recording.names() for recording in read))
    console.result(
        f"{len(names)} calls from {len(read)} recordings; wrote {output}",
        {"calls": sorted(names), "profile": output, "notes": list(synthesis.notes)},
    )
    return 0
