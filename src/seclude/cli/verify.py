"""`seclude verify`: a profile and a command in, the proof that the one runs under the other, or what is denied, out."""

from __future__ import annotations

import json

import click

from .. import store
from ..analyse import privileges
from ..analyse.verify import NotRecorded, Refusal, Usage, Verification
from ..errors import EXIT_CLEAN, EXIT_FINDINGS
from ..session import Settings
from ..verification import MOST_RUNS, Proof, Wishes, verify
from .console import Console
from .denials import call, process, short, stacks, times
from .options import output_options, place_options, tracer_option
from .privileges import privileges_line

EPILOG = "Example: seclude verify --profile app.json --repeat 3 -- podman run --rm app ./test.sh"
MOST_UNUSED = 12
"""Calls that were never made that are named in one line; --json and --unused name all."""


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True})
@click.option("--profile", "-p", required=True, metavar="PROFILE", help="The profile to prove.")
@click.option(
    "--repeat",
    default=1,
    type=click.IntRange(1, MOST_RUNS),
    show_default=True,
    help="Runs under the profile.",
)
@click.option(
    "--expect-status",
    type=click.IntRange(0, 255),
    metavar="N",
    help="The exit status to have. Without this, CMD runs once without the profile to see it.",
)
@click.option(
    "--stacks/--no-stacks",
    default=True,
    show_default=True,
    help="Stop a process for some ms at its first denial of a call, to read its stack.",
)
@tracer_option
@click.option(
    "--no-new-privileges",
    "no_new_privileges",
    is_flag=True,
    help="Run a container once more with no-new-privileges and say which calls would leave the profile.",
)
@click.option(
    "--unused", "all_unused", is_flag=True, help="Name every call that PROFILE allows and CMD never made."
)
@place_options
@output_options
@click.argument("command_line", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    profile: str,
    repeat: int,
    expect_status: int | None,
    stacks: bool,
    tracer: str,
    no_new_privileges: bool,
    all_unused: bool,
    bpffs_path: str,
    state_dir: str,
    quiet: bool,
    as_json: bool,
    command_line: tuple[str, ...],
) -> int:
    """Run CMD under PROFILE and name each call that is denied, who made it, from which code, and the remedy.

    Where CMD is `podman run ...` or `docker run ...` the container runs under it, otherwise CMD and all its
    descendants. CMD's output passes through. Exit status: 0 if nothing was denied and CMD ended as it does without the
    profile, else 2; 1 on an error.
    """
    console = Console(quiet=quiet, as_json=as_json)
    wishes = Wishes(
        repeat=repeat,
        expected=expect_status,
        stacks=stacks,
        no_new_privileges=no_new_privileges,
        tracer=tracer,
    )
    settings = Settings(bpffs=bpffs_path, state=state_dir)
    proof = verify(command_line, profile, settings, wishes, console.progress, console.say)
    found = proof.verification
    for refusal in found.refusals:
        for line in refusal_lines(refusal):
            console.say(line)
    for line in notes(proof, MOST_UNUSED if not all_unused else len(found.allowed)):
        console.say(line)
    console.result(headline(found), values(proof))
    return EXIT_CLEAN if found.clean else EXIT_FINDINGS


def headline(found: Verification) -> str:
    """The result in one line."""
    denied = len({refusal.denial.name for refusal in found.refusals})
    allowed = f"{len(found.allowed)} calls allowed"
    if isinstance(found.usage, NotRecorded):
        text = f"{allowed}, {denied} denied (what was used is not known {found.usage.reason})"
    else:
        text = f"{allowed}, {len(found.usage.made)} used, {denied} denied"
    statuses = ", ".join(str(status) for status in sorted(set(found.statuses)))
    if found.expected is None or not found.as_expected:
        wanted = "" if found.expected is None else f", {found.expected} without the profile"
        return f"{text}, exit status {statuses}{wanted}"
    return f"{text}, exit status as without ({statuses})"


def refusal_lines(refusal: Refusal) -> list[str]:
    """One refused call, a line for each thing to know."""
    denial = refusal.denial
    by = f" by {refusal.processes} processes" if refusal.processes > 1 else ""
    rows = [("process", process(denial))]
    if denial.context:
        rows.append(("test", short(denial.context)))
    rows += stacks(denial)
    rows += [("cause", refusal.cause), ("remedy", refusal.remedy)]
    lines = [f"denied: {call(denial)}: {denial.outcome}, {times(refusal.count)}{by}"]
    return lines + [f"  {label:<8} {text}" for label, text in rows]


def notes(proof: Proof, most: int) -> list[str]:
    """What else there is to say, a line each."""
    found = proof.verification
    lines = []
    if found.lost:
        lines.append(f"warning: {found.lost} calls or denials were lost: run it again")
    if found.unnamed:
        lines.append(f"note: not named without eBPF: {'; '.join(found.unnamed)}")
    logged = {denial.name for denial in found.logged}
    if logged:
        lines.append(f"note: allowed and logged: {_listed(sorted(logged), most)}")
    if isinstance(found.usage, Usage) and found.usage.never:
        never = found.usage.never
        lines.append(f"note: {len(never)} allowed calls were never made: {_listed(never, most)}")
    if isinstance(found.usage, NotRecorded) and found.usage.why:
        lines.append(f"note: which allowed calls were made is not known: {found.usage.why}")
    lines.append(privileges_line(proof.leaving))
    return [line for line in lines if line]


def _listed(names: tuple[str, ...] | list[str], most: int) -> str:
    more = f" and {len(names) - most} more (--unused)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def values(proof: Proof) -> dict[str, object]:
    """The proof as plain values; `denials` are objects that `seclude explain` reads.

    `used` and `unused` are null where the calls were not recorded; `not_recorded` then says why, else it is empty.
    """
    found = proof.verification
    usage = found.usage
    return {
        "clean": found.clean,
        "allowed": list(found.allowed),
        "used": list(usage.made) if isinstance(usage, Usage) else None,
        "unused": list(usage.never) if isinstance(usage, Usage) else None,
        "not_recorded": usage.reason if isinstance(usage, NotRecorded) else "",
        "statuses": list(found.statuses),
        "expected": found.expected,
        "lost": found.lost,
        "unnamed": list(found.unnamed),
        "denied": [
            {
                "call": refusal.denial.name,
                "count": refusal.count,
                "processes": refusal.processes,
                "cause": refusal.cause,
                "remedy": refusal.remedy,
            }
            for refusal in found.refusals
        ],
        "denials": [
            json.loads(store.dumps_denial(denial))
            for denial in (*(refusal.denial for refusal in found.refusals), *found.logged)
        ],
        "no_new_privileges": privileges.values(proof.leaving),
    }
