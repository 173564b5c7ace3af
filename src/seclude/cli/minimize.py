"""`seclude minimize`: a profile and a command in; which calls it needs, and on request the smaller profile, out."""

from __future__ import annotations

import json
import os
import shlex
import sys

import click

from ..analyse.minimize import (
    ALWAYS_KEPT,
    ENOSYS,
    EPERM,
    KEPT,
    REQUIRED,
    TOLERATES,
    Minimized,
    minimize,
    permitted,
    preferred_answers,
)
from ..baseline import baselines
from ..children import termination_as_interrupt
from ..engines import engine_for
from ..errors import ProfileError, SecludeError
from ..formats import oci
from ..judge import Judge, Passing
from ..model.profile import Profile
from ..outputs import Output
from .console import Console, printable
from .options import output_options, read_profile
from .overview import Overview, Table
from .show import draw, plain

INTERRUPTED = 130
EPILOG = (
    "Examples: seclude minimize -p ls.json -- ls / ;  "
    "seclude minimize -p web.json --write -- podman run --rm web ./smoke-test"
)


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True})
@click.option("--profile", "-p", required=True, metavar="PROFILE", help="The profile to minimize.")
@click.option("--output", "-o", default="", metavar="FILE", help="Write the smaller profile here.")
@click.option("--write", is_flag=True, help="Write it to PROFILE itself.")
@click.option(
    "--repeat",
    default=1,
    show_default=True,
    type=click.IntRange(1, 100),
    metavar="N",
    help="What passes must pass N times, for a CMD that passes by chance.",
)
@click.option(
    "--timeout",
    default=0.0,
    type=click.FloatRange(0, min_open=False),
    metavar="SECONDS",
    help="What takes longer has failed. Otherwise 10 times what the first run took, at least 10 s.",
)
@click.option(
    "--expect-status",
    default=0,
    show_default=True,
    type=click.IntRange(0, 255),
    metavar="N",
    help="The exit status with which CMD passes.",
)
@click.option("--same-output", is_flag=True, help="CMD must also write the same to standard output.")
@click.option("--keep", multiple=True, metavar="CALL", help="Never withdraw this call (repeatable).")
@output_options
@click.argument("command_line", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    profile: str,
    output: str,
    write: bool,
    repeat: int,
    timeout: float,
    expect_status: int,
    same_output: bool,
    keep: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    command_line: tuple[str, ...],
) -> int:
    """Find out which calls of PROFILE are needed, by refusing them in groups and running CMD.

    CMD is the judge: a call is required if CMD fails both where it is refused with EPERM and with ENOSYS. CMD runs
    many times, so it must be repeatable, and the result is only as good as what CMD exercises and checks. Nothing is
    written without -o or --write. CMD is a plain command or the `run` of podman or docker.
    """
    if output and write:
        raise SecludeError("both -o and --write are given", hint="choose one")
    console = Console(quiet=quiet, as_json=as_json)
    read = _checked(read_profile(profile), profile)
    names, kept = permitted(read), {*ALWAYS_KEPT, *_checked_names(keep, read), *_varying(command_line)}
    path = absolute(profile if write else output)
    target = Output(path, "seccomp profile", oci.looks_like_profile)
    if path:
        target.check()
    console.say(
        f"{len(names)} calls allowed; {shlex.join(command_line)} runs many times, and only what it exercises is kept"
    )
    passing = Passing(status=expect_status, timeout=timeout, same_output=same_output)
    with termination_as_interrupt(), Judge(command_line, read, passing) as judge:
        found = minimize(
            names,
            judge,
            answers=preferred_answers(read),
            keep=kept,
            repeat=repeat,
            progress=console.progress,
        )
        smaller = judge.candidate(found.withdrawn)
    if path and found.complete:
        target.write(oci.dumps(smaller))
    written = path if found.complete else ""
    for note in _notes(found, path):
        console.say(f"note: {note}")
    if as_json:
        click.echo(json.dumps(_values(found, written)))
    elif not quiet:
        overview = _overview(found, profile, written)
        if sys.stdout.isatty():
            draw(overview)
        else:
            click.echo(plain(overview), nl=False)
    return 0 if found.complete else INTERRUPTED


def _checked(profile: Profile, path: str) -> Profile:
    """The profile itself; raises ProfileError if nothing could be withdrawn from it."""
    if profile.permits:
        raise ProfileError(
            f"{path} allows every call by default ({profile.default_action}): there is nothing to withdraw",
            hint="record one that allows only what is seen: seclude record -o PROFILE -- CMD",
        )
    if not permitted(profile):
        raise ProfileError(
            f"{path} allows no call at all", hint="record one: seclude record -o PROFILE -- CMD"
        )
    return profile


def _checked_names(keep: tuple[str, ...], profile: Profile) -> tuple[str, ...]:
    for name in keep:
        if name not in permitted(profile):
            raise SecludeError(
                f"--keep {name}: the profile does not allow it", hint="see `seclude show` for what it allows"
            )
    return keep


def _varying(command_line: tuple[str, ...]) -> set[str]:
    """What OCI runtimes call only now and then: no number of runs shows that it is not needed."""
    if engine_for(command_line).name == "process":
        return set()
    return {name for baseline in baselines() for name in baseline.varying}


def _notes(found: Minimized, path: str) -> list[str]:
    notes = []
    if found.given_back:
        notes.append(
            f"the command failed under a profile under which it had passed: {len(found.given_back)} calls were given "
            f"back ({', '.join(found.given_back)}), until it passed several times in a row; try --repeat 3"
        )
    if not found.complete:
        notes.append(
            "interrupted: the undecided calls were not tried" + (f"; {path} was not written" if path else "")
        )
    elif not path and found.withdrawn:
        notes.append("nothing was written; give --write, or -o FILE")
    return notes


def _overview(found: Minimized, profile: str, written: str) -> Overview:
    """The table of verdicts with the counts above it."""
    rows = tuple((printable(name, longest=100), verdict) for name, verdict in found.verdicts.items())
    facts = [
        ("calls allowed", str(len(found.verdicts))),
        ("required", str(len(found.with_verdict(REQUIRED)))),
        ("tolerate ENOSYS", str(len(found.with_verdict(TOLERATES + ENOSYS)))),
        ("tolerate EPERM", str(len(found.with_verdict(TOLERATES + EPERM)))),
        ("kept", str(len(found.with_verdict(KEPT)))),
        ("given back", str(len(found.given_back) or "")),
        ("undecided", str(len(found.verdicts) - _decided(found) or "")),
        ("runs spent", f"{found.runs} (bound {found.bound})"),
        ("written", printable(written)),
    ]
    return Overview(
        title=f"minimized {printable(profile)}",
        facts=tuple((label, text) for label, text in facts if text),
        parts=(Table(title="calls", columns=("call", "verdict"), rows=rows),),
    )


def _decided(found: Minimized) -> int:
    return (
        len(found.withdrawn)
        + len(found.given_back)
        + sum(len(found.with_verdict(v)) for v in (REQUIRED, KEPT))
    )


def _values(found: Minimized, written: str) -> dict[str, object]:
    return {
        "allowed": len(found.verdicts),
        "required": list(found.with_verdict(REQUIRED)),
        "tolerates_enosys": list(found.with_verdict(TOLERATES + ENOSYS)),
        "tolerates_eperm": list(found.with_verdict(TOLERATES + EPERM)),
        "kept": list(found.with_verdict(KEPT)),
        "given_back": list(found.given_back),
        "runs": found.runs,
        "bound": found.bound,
        "complete": found.complete,
        "profile": written,
    }


def absolute(path: str) -> str:
    """The user's own path, links in its directory resolved: we run with the user's rights and on their word."""
    if not path:
        return path
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory or "."), name)
