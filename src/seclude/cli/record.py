"""`seclude record`: runs a command, writes its profile and, if wanted, its recording; ends with its exit status."""

from __future__ import annotations

import click

from .. import expectations, store
from ..analyse import privileges
from ..analyse.attribution import attribution, surprises
from ..baseline import baselines
from ..conditions import watched
from ..errors import EXIT_CLEAN, EXIT_ERROR, EXIT_FINDINGS, OutputError, SecludeError
from ..formats import oci
from ..recorders import recorder_for
from ..session import Recorded, Settings
from ..suite import Suite
from ..synthesize import conditional_arguments
from . import percommand
from .attach import Wish, attach_options, recorded_running, wished
from .console import Console
from .contexts import allowed_by, expectations_option, summary, surprise_values, surprised
from .options import (
    absolute,
    checked_outputs,
    output_options,
    place_options,
    read_profile,
    synthesis_options,
    synthesized,
    tracer_option,
)
from .privileges import privileges_line

EPILOG = (
    "Examples: seclude record -o ls.json -- podman run --rm debian ls / ;  seclude record -o ls.json -- ls / ;  "
    "seclude record -o web.json --container web --duration 600"
)


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True})
@click.option("--output", "-o", default="", metavar="PROFILE", help="Write the profile here.")
@click.option("--recording", default="", metavar="FILE", help="Keep the recording here.")
@click.option("--counts", is_flag=True, help="Count every call (it costs every call).")
@click.option(
    "--denials", is_flag=True, help="Also look for calls that a filter refused (it costs every call)."
)
@click.option(
    "--stacks",
    is_flag=True,
    help="Stop each process at its first time of each call and read the stack, for `seclude why` (slow).",
)
@tracer_option
@attach_options
@percommand.per_command_options
@click.option(
    "--fail-on-new",
    default="",
    metavar="PROFILE",
    help="Say which tests make calls that PROFILE does not allow, and end with status 2 if any does.",
)
@expectations_option
@synthesis_options
@place_options
@output_options
@click.argument("command_line", metavar="-- CMD...", nargs=-1, type=click.UNPROCESSED)
def command(
    output: str,
    recording: str,
    counts: bool,
    denials: bool,
    stacks: bool,
    tracer: str,
    container: str | None,
    pid: int | None,
    duration: float | None,
    per_command: str,
    tests: tuple[str, ...],
    tap: bool,
    junit: str,
    fail_on_new: str,
    expected: str,
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

    With --per-command or --test each test command is run after the words of CMD, such as `podman run --rm IMAGE`, or
    by itself, in a context of its own; the exit status is that of the first that failed.

    With --container or --pid what runs already is recorded from then on, whatever started it. Nothing is stopped.
    """
    wish = wished(container, pid, duration, instead=command_line or per_command or tests)
    if not command_line and not per_command and not tests and not wish:
        raise click.UsageError("Missing argument '-- CMD...'.")
    if not output and not recording and not fail_on_new and not expected:
        raise SecludeError("nothing would be written", hint="give -o PROFILE or --recording FILE")
    several = percommand.several(per_command, tests, tap=tap, junit_path=junit, absolute=absolute)
    committed = read_profile(fail_on_new) if fail_on_new else None
    told = expectations.read(expected) if expected else {}
    console = Console(quiet=quiet, as_json=as_json)
    wanted_arguments = conditional_arguments(read_profile(base)) if base else {}
    if arguments != "none":
        wanted_arguments = watched(wanted_arguments)
    profile_output, kept = checked_outputs(output, recording)
    settings = Settings(
        bpffs=bpffs_path,
        state=state_dir,
        counts=counts,
        denials=denials,
        arguments=arguments != "none",
        stacks=stacks,
    )
    recorded = _recorded(command_line, tracer, settings, wish, several, console, base, wanted_arguments)
    seen = recorded.recording
    found = attribution([seen])
    allowed = allowed_by(committed, [seen], found.calls) if committed else None
    wrong = surprises(found, allowed, told)
    synthesis = None
    try:
        if kept is not None:
            kept.write(store.dumps(seen))
        if isinstance(recorded, Suite):
            several.write(recorded)
        if profile_output is not None:
            synthesis = synthesized(
                [seen],
                base=base,
                baseline=baseline,
                errno_name=errno_name,
                arguments=arguments,
                portable=portable,
                insist=insist,
            )
            profile_output.write(oci.dumps(synthesis.profile))
    except OutputError as error:
        raise SecludeError(error.message, hint=error.hint, exit_code=recorded.status or EXIT_ERROR) from error
    notes = synthesis.notes if synthesis else ()
    leaving = privileges.leaving(seen, baselines())
    for line in (
        *(f"note: {note}" for note in notes),
        privileges_line(leaving),
        summary(found, recording) if found.tests else "",
        *surprised(wrong),
    ):
        if line:
            console.say(line)
    runtime, app = seen.names("runtime"), seen.names("app")
    written = " and ".join(path for path in (output, recording, junit) if path) or "nothing"
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
            "notes": list(notes),
            "no_new_privileges": privileges.values(leaving),
            "commands": percommand.values(recorded.ended) if isinstance(recorded, Suite) else [],
            "tests": len(found.tests),
            "singletons": found.singletons,
            "unexpected": surprise_values(wrong),
        },
    )
    return recorded.status or (EXIT_FINDINGS if wrong else EXIT_CLEAN)


def _recorded(
    command: tuple[str, ...],
    tracer: str,
    settings: Settings,
    wish: Wish,
    several: percommand.Several,
    console: Console,
    base: str,
    arguments: dict[str, tuple[int, ...]],
) -> Recorded | Suite:
    """What was asked for, recorded: what runs already, several test commands, or one command. Raises SecludeError."""
    if wish:
        if settings.stacks or tracer == "notify":
            option = "--stacks" if settings.stacks else "--tracer notify"
            raise SecludeError(f"{option} is for what is started to be recorded", hint=f"leave out {option}")
        return Recorded(status=EXIT_CLEAN, recording=recorded_running(wish, settings, console, arguments))
    if several.commands:
        suite = several.recorder(
            command, settings, tracer=tracer, say=console.say, base=base, arguments=arguments
        )
        return several.record(suite, console)
    recorder = recorder_for(command, tracer, settings, console.say, base=base, arguments=arguments)
    return recorder.record(command, settings, console.progress)
