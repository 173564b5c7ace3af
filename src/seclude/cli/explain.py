"""`seclude explain`: denials or the text of a failure in, which call it was, why it was refused and what to do out."""

from __future__ import annotations

import json
import platform
import sys
import textwrap
from collections.abc import Sequence

import click

from .. import store
from ..analyse.explain import Account, Explanation, Known, Neighbour, explain_denials
from ..analyse.guess import explain_message
from ..analyse.messages import LONGEST, read_message
from ..analyse.remedies import Remedy
from ..errors import RecordingError
from ..formats import jsontext
from ..inputs import read_text
from ..model.capabilities import DEFAULT_CAPABILITIES
from ..model.denial import Denial
from ..model.environment import Environment
from ..model.recording import Recording
from .confinement import Confinement, ask, confinement
from .console import printable
from .options import read_profile

WIDTH = 100
MOST_TESTS = 5
LONGEST_LINE = 2000
"""Characters of one sentence or rule: names from a container may be of any length."""

_PHASES = {"runtime": "by the runtime", "app": "by the application"}


@click.command(
    epilog="Examples: seclude explain --profile app.json --denials denials.jsonl;  "
    'seclude explain --container web "ls: /: Operation not permitted"'
)
@click.option("--profile", "-p", metavar="PROFILE", default="", help="The profile that was in force.")
@click.option(
    "--recording",
    "-r",
    "recordings",
    metavar="RECORDING",
    multiple=True,
    help="What tests made; tells which come near the call. May be given several times.",
)
@click.option(
    "--container", metavar="NAME", default="", help="Take the profile that this container runs under."
)
@click.option(
    "--denials",
    metavar="FILE",
    default="",
    help="What `seclude watch --json` or `seclude verify --json` wrote; - is standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("text", metavar="[TEXT...]", nargs=-1)
def command(
    profile: str,
    recordings: tuple[str, ...],
    container: str,
    denials: str,
    as_json: bool,
    text: tuple[str, ...],
) -> int:
    """Say which call was refused, why, which tests come near it, and what to do about it.

    TEXT is a line of a failing program's log, or the name of a call; - is standard input. Text does not prove anything:
    what is said of it is a guess, and how to be sure.
    """
    if bool(denials) == bool(text):
        raise click.UsageError("give either --denials FILE or TEXT")
    if profile and container:
        raise click.UsageError("give either --profile or --container")
    found = found_denials(denials or "", " ".join(text))
    confined = confinement(container, ask) if container else None
    known = gathered(profile, confined, [store.read(path) for path in recordings])
    if isinstance(found, str):
        account = explain_message(read_message(found), known, container=container)
    else:
        account = explain_denials(of_container(found, confined), known)
    if as_json:
        click.echo(json.dumps(values(account)))
    else:
        click.echo(plain(account), nl=False)
    return 0


def found_denials(path: str, text: str) -> tuple[Denial, ...] | str:
    """The denials in a file or on standard input, or else the text."""
    if path and path != "-":
        return read_denials(read_text(path, limit=store.LARGEST, error=RecordingError), path)
    if path == "-" or text == "-":
        given = sys.stdin.read(store.LARGEST if path else LONGEST)
        # What `seclude watch --json` writes may also just be piped in.
        if path or given.lstrip().startswith('{"format"'):
            return read_denials(given + ("" if path else sys.stdin.read(store.LARGEST)), "standard input")
        return given
    return text


def read_denials(text: str, source: str) -> tuple[Denial, ...]:
    """The denials in lines of JSON, each one a denial or an object that has a list `denials`; raises RecordingError.

    Beside such an object other lines are passed over: `seclude verify --json` writes it to standard error, where the
    command that it runs may write too.
    """
    whole = _listed(text, source) if text.lstrip().startswith("{") and '"denials"' in text else None
    if whole is not None:
        return whole
    lines = text.split("\n")
    objects = {
        number: denials
        for number, line in enumerate(lines)
        if '"denials"' in line and (denials := _listed(line, f"{source}, line {number + 1}")) is not None
    }
    if not objects:
        return store.loads_denials(text, source)
    found: list[Denial] = []
    for number, line in enumerate(lines):
        if number in objects:
            found += objects[number]
        elif line.startswith('{"format"'):
            found += store.loads_denials(line, f"{source}, from line {number + 1}")
    return tuple(found)


def _listed(text: str, source: str) -> tuple[Denial, ...] | None:
    """The denials in an object such as `seclude verify --json` writes; None where the text is no such object."""
    try:
        value = jsontext.decode(text, source, error=RecordingError)
    except RecordingError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("denials"), list) or "format" in value:
        return None
    lines = "\n".join(json.dumps(item) for item in value["denials"])
    return store.loads_denials(lines, f"{source}, denials")


def gathered(profile: str, confined: Confinement | None, recordings: Sequence[Recording]) -> Known:
    """The profile and where it holds, from a file or a container, and the recordings."""
    machine, kernel, capabilities = platform.machine(), platform.release(), DEFAULT_CAPABILITIES
    if recordings:
        machine, kernel = recordings[-1].machine, recordings[-1].kernel
        capabilities = recordings[-1].capabilities or capabilities
    if confined is not None:
        machine, kernel = platform.machine(), platform.release()
        capabilities = confined.capabilities or capabilities
    return Known(
        environment=Environment(machine=machine, kernel=kernel, capabilities=capabilities),
        profile=confined.profile if confined else read_profile(profile) if profile else None,
        source=confined.source if confined else profile,
        recordings=tuple(recordings),
    )


def of_container(denials: Sequence[Denial], confined: Confinement | None) -> tuple[Denial, ...]:
    """Those of the container, and those of which nobody knows where they are from."""
    if confined is None:
        return tuple(denials)
    names = [name for name in confined.ids if name]
    return tuple(
        denial
        for denial in denials
        if not denial.container or any(name.startswith(denial.container) for name in names)
    )


# Text


def plain(account: Account) -> str:
    """The account as wrapped lines without colour; what came from a container is escaped."""
    lines: list[str] = []
    shared = _shared(account.explanations)
    for explained in account.explanations:
        own = [remedy for remedy in explained.add if remedy not in shared]
        lines += [*_lines(explained, own), ""]
    if shared:
        lines += [*_remedies(shared, "all"), ""]
    for note in account.notes:
        lines += _wrapped("note: ", note)
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _shared(explanations: Sequence[Explanation]) -> tuple[Remedy, ...]:
    """The steps that are the same for several calls, which are shown once."""
    if len(explanations) < 2:
        return ()
    return tuple(
        remedy
        for remedy in dict.fromkeys(remedy for each in explanations for remedy in each.add)
        if sum(remedy in each.add for each in explanations) > 1
    )


def _lines(explained: Explanation, steps: Sequence[Remedy]) -> list[str]:
    lines = [_safe(explained.shown)]
    lines += _wrapped("  ", explained.summary)
    for label, sentences in (
        ("why", explained.why),
        ("near", [_near(neighbour) for neighbour in explained.neighbours]),
        ("known", explained.traps),
        ("danger", [_danger(explained)] if explained.danger else []),
    ):
        for index, sentence in enumerate(sentences):
            lines += _wrapped(f"  {label if not index else '':<8}", sentence)
    return lines + _remedies(steps, "do")


def _remedies(steps: Sequence[Remedy], label: str) -> list[str]:
    lines: list[str] = []
    for index, remedy in enumerate(steps):
        lines += _wrapped(f"  {label if not index else '':<8}", remedy.text)
        if remedy.exact:
            lines.append(f"{'':<12}{_safe(remedy.exact)}")
    return lines


def _near(neighbour: Neighbour) -> str:
    tests = [context for context in neighbour.contexts if context]
    more = len(tests) - MOST_TESTS
    where = ", ".join(tests[:MOST_TESTS]) + (f" and {more} more" if more > 0 else "")
    return f"{neighbour.name}, {_PHASES[neighbour.phase]}" + (f" in {where}" if where else "")


def _danger(explained: Explanation) -> str:
    return f"Look twice before you allow {explained.call}: {explained.danger}."


def _safe(text: str) -> str:
    return printable(text, longest=LONGEST_LINE)


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        _safe(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


# JSON


def values(account: Account) -> dict[str, object]:
    """The account as plain values."""
    return {
        "explanations": [
            {
                "call": each.call,
                "abi": each.abi,
                "decoded": each.shown,
                "summary": each.summary,
                "guess": each.guess,
                "refused": each.refused,
                "why": list(each.why),
                "neighbours": [
                    {"call": near.name, "phase": near.phase, "contexts": list(near.contexts)}
                    for near in each.neighbours
                ],
                "known": list(each.traps),
                "danger": each.danger,
                "add": [{"text": remedy.text, "exact": remedy.exact} for remedy in each.add],
            }
            for each in account.explanations
        ],
        "notes": list(account.notes),
    }
