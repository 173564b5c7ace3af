"""`seclude report`: recordings in, one page of HTML about them and their profile out."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import click

from .. import __version__
from ..analyse.bracket import bracket
from ..analyse.completeness import completeness
from ..analyse.diff import difference, environments_for
from ..model.bracket import Bracket
from ..model.environment import NATIVE_ABIS, Environment
from ..model.profile import PERMITTING, Profile
from ..model.recording import Recording
from ..outputs import Output
from ..reports.compose import Allowance, Comparison, compose
from ..reports.html import html, looks_like_report
from ..scanning import document
from ..syscalls import names
from .complete import headline
from .console import Console
from .options import absolute, output_options, read_profile, synthesized
from .recordings import read_recordings

DEFAULT_PROFILE = "/usr/share/containers/seccomp.json"
"""Where distributions put the profile that podman, buildah and CRI-O give a container (package containers-common)."""

DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
    ).split()
)
"""What podman gives a container, and Docker but for a few (containers.conf(5), default_capabilities)."""

_SIMILAR = "The engines' default is the one that is installed here; Docker's differs from it in a few calls."


@click.command(
    epilog="Examples: seclude report recording.json -o report.html ;  "
    "seclude report *.rec --profile app.json --previous old.json -o report.html"
)
@click.option(
    "--output", "-o", required=True, metavar="FILE", help="Write the page here; - is standard output."
)
@click.option(
    "--profile",
    "-p",
    "profile_path",
    metavar="PROFILE",
    default="",
    help="The profile that the page is about. Without it, the one that `seclude generate` makes of the recordings.",
)
@click.option(
    "--previous",
    "previous_path",
    metavar="OLD",
    default="",
    help="Say how the profile differs from this one; /dev/null: nothing was allowed.",
)
@click.option(
    "--scan",
    "scan_path",
    metavar="FILE",
    default="",
    help="Say which further calls the programs can reach: what `seclude scan --json` wrote.",
)
@click.option(
    "--show-arguments",
    is_flag=True,
    help="Show arguments of calls, command lines and whole paths, which may tell secrets.",
)
@click.option("--title", metavar="TEXT", default="", help="The title of the page.")
@click.option(
    "--engine-default",
    metavar="FILE",
    default=DEFAULT_PROFILE,
    show_default=True,
    help="The engine's own profile, for comparison. Left out if there is no such file.",
)
@output_options
@click.argument("paths", metavar="RECORDING...", nargs=-1, required=True)
def command(
    output: str,
    profile_path: str,
    previous_path: str,
    scan_path: str,
    show_arguments: bool,
    title: str,
    engine_default: str,
    quiet: bool,
    as_json: bool,
    paths: tuple[str, ...],
) -> int:
    """Draw recordings as one page: which test needs which call, how dangerous it is, what was denied, what changed.

    The page is one file that loads nothing. Arguments, command lines and directories are left out of it unless
    --show-arguments is given; names of tests, processes and files are not.
    """
    console = Console(quiet=quiet, as_json=as_json)
    recordings = read_recordings(paths)
    profile = read_profile(profile_path) if profile_path else _made(recordings)
    where = Environment(
        machine=recordings[-1].machine or platform.machine(),
        kernel=recordings[-1].kernel,
        capabilities=recordings[-1].capabilities,
    )
    found = completeness(recordings)
    known = _known(recordings, where)
    others = _others(engine_default, where, known)
    page = compose(
        recordings,
        profile=allowance(profile_path or "The profile of these recordings", profile, where, known),
        others=others,
        comparison=_comparison(previous_path, profile, recordings, where),
        bracket=_bracket(scan_path, recordings),
        curve=found.curve,
        completeness=[*headline(found), *(f"{note[:1].upper()}{note[1:]}." for note in found.notes)],
        title=title,
        arguments=show_arguments,
        notes=(_SIMILAR,) if len(others) > 1 else (),
    )
    text = html(page, version=__version__)
    if output == "-":
        click.echo(text, nl=False)
        return 0
    Output(absolute(output), "report of seclude", looks_like_report).write(text)
    console.result(f"wrote {output}", {"output": output, "bytes": len(text.encode())})
    return 0


def allowance(label: str, profile: Profile, where: Environment, known: frozenset[str]) -> Allowance:
    """Which of the `known` calls the profile allows there: by rules that hold there, or by its default action."""
    rules = [rule for rule in profile.rules if where.applies(rule)]
    conditions: dict[str, bool] = {}
    if profile.outcome[0] in PERMITTING:
        refused = {name for rule in rules if not rule.permits and rule.unconditional() for name in rule.names}
        conditions = dict.fromkeys(known - refused, False)
    for rule in rules:
        if rule.permits:
            for name in known.intersection(rule.names):
                conditions[name] = conditions.get(name, True) and not rule.unconditional()
    return Allowance(
        label=label,
        names=tuple(sorted(conditions)),
        conditional=tuple(sorted(name for name, conditional in conditions.items() if conditional)),
    )


def _known(recordings: Sequence[Recording], where: Environment) -> frozenset[str]:
    """The calls there are, in the machine's own ABI and those that were used."""
    used = {abi for recording in recordings for abi in recording.abis()}
    used.add(NATIVE_ABIS.get(where.machine, "x86_64"))
    return frozenset[str]().union(*(names(abi) for abi in used))


def _made(recordings: Sequence[Recording]) -> Profile:
    """The profile of the recordings; what was lost is said on the page."""
    made = synthesized(
        recordings, base="", baseline="auto", errno_name="", arguments="none", portable=False, insist=True
    )
    return made.profile


def _comparison(
    path: str, profile: Profile, recordings: Sequence[Recording], where: Environment
) -> Comparison | None:
    if not path:
        return None
    old = None if path == os.devnull else read_profile(path)
    places = environments_for(
        [profile] if old is None else [old, profile],
        machine=where.machine,
        kernel=where.kernel,
        capabilities=where.capabilities,
    )
    changes = difference(old, profile, environments=places, recordings=recordings)
    return Comparison(label="no profile" if old is None else path, difference=changes)


def _bracket(path: str, recordings: Sequence[Recording]) -> Bracket | None:
    """The scan in a file, held against these recordings, whichever it was made with."""
    if not path:
        return None
    scanned = document.read(path)
    return bracket(scanned.reached, recordings, scanned=scanned.entries, unread=scanned.unread)


def _others(path: str, where: Environment, known: frozenset[str]) -> list[Allowance]:
    """What a container may call under the engine's own profile, and without any."""
    nothing = Allowance(label="No profile", names=tuple(sorted(known)))
    if path == DEFAULT_PROFILE and not os.path.exists(path):
        return [nothing]
    usual = Environment(machine=where.machine, kernel=where.kernel, capabilities=DEFAULT_CAPABILITIES)
    return [allowance("The engines' default", read_profile(path), usual, known), nothing]
