"""`seclude snapshot`: a container under recording in, its profile so far out; the recording goes on."""

from __future__ import annotations

import click

from .. import containers, store
from ..attaching import need_root, recorded_container
from ..formats import oci
from ..outputs import POLICY
from .console import Console
from .options import checked_outputs, output_options, place_options, synthesis_options, synthesized


@click.command(epilog="Example: seclude snapshot web -o so-far.json")
@click.option(
    "--output",
    "-o",
    default="",
    metavar="PROFILE",
    help="Write the profile here; - is standard output, as it is without --recording.",
)
@click.option("--recording", default="", metavar="FILE", help="Write the recording so far here.")
@synthesis_options
@place_options
@output_options
@click.argument("container", metavar="CONTAINER")
def command(
    output: str,
    recording: str,
    base: str,
    baseline: str,
    errno_name: str,
    arguments: str,
    portable: bool,
    insist: bool,
    bpffs_path: str,
    state_dir: str,
    quiet: bool,
    as_json: bool,
    container: str,
) -> int:
    """Write the profile so far of a container that is being recorded, without stopping it.

    CONTAINER is a name, an id or the beginning of one. What is written when the container ends stays as it would have
    been. Without --from the profile extends the one that the container's recording extends.
    """
    need_root()
    console = Console(quiet=quiet, as_json=as_json)
    shown = output == "-" or not (output or recording)
    output = "" if output == "-" else output
    profile_output, kept = checked_outputs(output, recording)
    identity = recorded_container(container, state_dir)
    request, seen = containers.snapshot(
        identity, containers.Places(bpffs=bpffs_path, state=state_dir, policy=POLICY)
    )
    if kept is not None:
        kept.write(store.dumps(seen))
    notes: tuple[str, ...] = ()
    if profile_output is not None or shown:
        synthesis = synthesized(
            [seen],
            base=base or request.base,
            baseline=baseline,
            errno_name=errno_name,
            arguments=arguments,
            portable=portable,
            insist=insist,
        )
        notes = synthesis.notes
        text = oci.dumps(synthesis.profile)
        if profile_output is not None:
            profile_output.write(text)
        else:
            click.echo(text, nl=False)
    for note in notes:
        console.say(f"note: {note}")
    runtime, app = seen.names("runtime"), seen.names("app")
    written = " and ".join(path for path in (output, recording) if path)
    console.result(
        f"{len(runtime | app)} calls in {seen.duration:.0f} s so far ({len(runtime)} by the runtime, {len(app)} by the "
        f"application), {seen.losses.calls} lost; the recording goes on"
        + (f"; wrote {written}" if written else ""),
        {
            "container": identity,
            "calls": sorted(runtime | app),
            "runtime": sorted(runtime),
            "app": sorted(app),
            "lost": seen.losses.calls,
            "profile": output,
            "recording": recording,
            "notes": list(notes),
        },
    )
    return 0
