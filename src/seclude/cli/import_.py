"""`seclude import`: another program's file in, a profile that means the same out."""

from __future__ import annotations

import click

from ..errors import ProfileError, SecludeError
from ..formats import READERS, oci
from ..inputs import read_text
from ..model.export import Read, Settings, lossless
from ..outputs import Output
from .console import Console
from .export import environment, load, place_of_use
from .options import absolute, output_options

LARGEST = 64 * 1024 * 1024
"""Bytes of a file that we read: logs of strace are long. Each format has its own, lower limit."""


@click.command(
    epilog="Examples: seclude import app.service --from systemd -o app.json ;  "
    "strace -f -o log app; seclude import log --from strace-log -o app.json"
)
@click.option("--from", "form", type=click.Choice(list(READERS)), required=True, help="The format.")
@click.option(
    "--output", "-o", metavar="PROFILE", required=True, help="Write the profile here; - is standard output."
)
@click.option("--lossy", is_flag=True, help="Accept what a profile cannot say; each loss is printed.")
@place_of_use
@click.option(
    "--sets", metavar="FILE", default="", help="systemd: what `systemd-analyze syscall-filter` prints there."
)
@output_options
@click.argument("path", metavar="FILE")
def command(
    form: str,
    output: str,
    lossy: bool,
    arch: str | None,
    kernel: str,
    capabilities: tuple[str, ...],
    sets: str,
    quiet: bool,
    as_json: bool,
    path: str,
) -> int:
    """Read FILE, which another program wrote or reads, and write the profile that means the same.

    What a profile cannot say is an error with line and column; --lossy accepts it where something stricter can be said.
    """
    console = Console(quiet=quiet, as_json=as_json)
    settings = Settings(
        environment=environment(arch, kernel, capabilities),
        sets=read_text(sets, limit=LARGEST, error=SecludeError) if sets else "",
    )
    read: Read = load(READERS[form])(settings).read(read_text(path, limit=LARGEST, error=ProfileError), path)
    if not lossy:
        lossless(read.losses, "a profile")
    text = oci.dumps(read.profile)
    if output == "-":
        click.echo(text, nl=False)
    else:
        Output(absolute(output), "seccomp profile", oci.looks_like_profile).write(text)
    for loss in read.losses:
        console.say(f"loss: {loss.text} [{loss.id}]")
    names = {name for rule in read.profile.rules for name in rule.names}
    console.result(
        f"{len(names)} calls named in {path}; wrote {'standard output' if output == '-' else output}",
        {
            "format": form,
            "calls": sorted(names),
            "profile": output,
            "losses": [{"id": loss.id, "text": loss.text} for loss in read.losses],
        },
    )
    return 0
