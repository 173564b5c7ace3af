"""`seclude generate`: recordings in, one profile out."""

from __future__ import annotations

import click

from .. import store
from ..analyse.merge_recordings import Fleet
from ..errors import RecordingError
from ..formats import oci
from ..outputs import Output
from .console import Console
from .options import absolute, output_options, synthesis_options, synthesized
from .paths import expanded, list_option


@click.command(
    epilog="Examples: seclude generate app.rec.json -o app.json ;  seclude generate nodes/ -o app.json ;  "
    "find nodes -name '*.json' | seclude generate --from-file - -o app.json"
)
@click.option(
    "--output", "-o", required=True, metavar="PROFILE", help="Write the profile here; - is standard output."
)
@list_option
@synthesis_options
@output_options
@click.argument("recordings", metavar="[RECORDING|DIRECTORY]...", nargs=-1)
def command(
    output: str,
    list_path: str,
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
    """Write the profile that allows what all RECORDINGs saw and nothing else.

    Of a directory all *.json in it are taken. Recordings may be of any number and from different machines.
    """
    console = Console(quiet=quiet, as_json=as_json)
    paths = expanded(recordings, list_path, error=RecordingError)
    if not paths:
        raise click.UsageError("Missing argument: recordings, directories of them, or --from-file LIST")
    fleet = Fleet(detailed=False)
    for path in paths:
        fleet.add(store.read(path))
    kinds = fleet.kinds()
    synthesis = synthesized(
        kinds,
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
        Output(absolute(output), "seccomp profile", oci.looks_like_profile).write(text)
    for note in synthesis.notes:
        console.say(f"note: {note}")
    names = frozenset[str]().union(*(recording.names() for recording in kinds))
    console.result(
        f"{len(names)} calls from {len(paths)} recordings; wrote {output}",
        {"calls": sorted(names), "profile": output, "notes": list(synthesis.notes)},
    )
    return 0
