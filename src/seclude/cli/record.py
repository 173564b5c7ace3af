"""`seclude record`: runs a command, writes its profile and, if wanted, its recording; ends with its exit status."""

from __future__ import annotations

import os

import click

from .. import store
from ..analyse import privileges
from ..baseline import baselines
from ..conditions import watched
from ..engines import engine_for
from ..engines.docker import not_yet
from ..errors import EXIT_ERROR, OutputError, SecludeError
from ..formats import oci
from ..outputs import Output
from ..session import Settings, record_podman, record_process
from ..synthesize import conditional_arguments
from .console import Console
from .options import output_options, place_options, read_profile, synthesis_options, synthesized
from .privileges import privileges_line

EPILOG = (
    "Examples: seclude record -o ls.json -- podman run --rm debian ls / ;  seclude record -o ls.json -- ls /"
)


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True})
@click.option("--output", "-o", default="", metavar="PROFILE", help="Write the profile here.")
@click.option("--recording", default="", metavar="FILE", help="Keep the recording here.")
@click.option("--counts", is_flag=True, help="Count every call (it costs every call).")
@click.option(
    "--denials", is_flag=True, help="Also look for calls that a filter refused (it costs every call)."
)
@synthesis_options
@place_options
@output_options
@click.argument("command_line", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    output: str,
    recording: str,
    counts: bool,
    denials: bool,
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
    command_line: tuple[str, ...],
) -> int:
    """Record the system calls of CMD and write the profile that allows them and nothing else.

    Where CMD is `podman run ...` the container is recorded, otherwise CMD and all its descendants. CMD's output
    and exit status pass through; what seclude says goes to standard error.
    """
    if not output and not recording:
        raise SecludeError("nothing would be written", hint="give -o PROFILE or --recording FILE")
    console = Console(quiet=quiet, as_json=as_json)
    wanted_arguments = conditional_arguments(read_profile(base)) if base else {}
    if arguments != "none":
        wanted_arguments = watched(wanted_arguments)
    outputs = {
        "profile": Output(_absolute(output), "seccomp profile", oci.looks_like_profile),
        "recording": Output(_absolute(recording), "recording", store.looks_like_recording),
    }
    for place, wanted in (("profile", output), ("recording", recording)):
        if wanted:
            outputs[place].check()
    settings = Settings(
        bpffs=bpffs_path, state=state_dir, counts=counts, denials=denials, arguments=arguments != "none"
    )
    engine = engine_for(command_line).name
    if engine == "docker":
        raise not_yet("recorded")
    if engine == "podman":
        recorded = record_podman(command_line, settings, console.progress, base)
    else:
        recorded = record_process(command_line, settings, console.progress, wanted_arguments)
    seen = recorded.recording
    try:
        if recording:
            outputs["recording"].write(store.dumps(seen))
        synthesis = None
        if output:
            synthesis = synthesized(
                [seen],
                base=base,
                baseline=baseline,
                errno_name=errno_name,
                arguments=arguments,
                portable=portable,
                insist=insist,
            )
            outputs["profile"].write(oci.dumps(synthesis.profile))
    except OutputError as error:
        raise SecludeError(error.message, hint=error.hint, exit_code=recorded.status or EXIT_ERROR) from error
    for note in synthesis.notes if synthesis else ():
        console.say(f"note: {note}")
    leaving = privileges.leaving(seen, baselines())
    if line := privileges_line(leaving):
        console.say(line)
    runtime, app = seen.names("runtime"), seen.names("app")
    written = " and ".join(path for path in (output, recording) if path)
    console.result(
        f"{len(runtime | app)} calls recorded ({len(runtime)} by the runtime, {len(app)} by the application), "
        f"{seen.losses.calls} lost; wrote {written}",
        {
            "status": recorded.status,
            "calls": sorted(runtime | app),
            "runtime": sorted(runtime),
            "app": sorted(app),
            "denied": sorted(seen.names("denied")),
            "lost": seen.losses.calls,
            "profile": output,
            "recording": recording,
            "notes": list(synthesis.notes) if synthesis else [],
            "no_new_privileges": privileges.values(leaving),
        },
    )
    return recorded.status


def _absolute(path: str) -> str:
    """The user's own path, links in its directory resolved: we run with the user's rights and on their word."""
    if not path:
        return path
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory or "."), name)
