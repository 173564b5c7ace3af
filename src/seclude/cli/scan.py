"""`seclude scan`: programs and recordings of them in, the calls that they can reach at all on standard output."""

from __future__ import annotations

import json
import os
import sys

import click

from .. import store
from ..analyse.bracket import Bracket, bracket
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, SecludeError
from ..scanning.cache import Cache, default_directory
from ..scanning.root import Root
from ..scanning.scan import Scan, executables, scan
from .console import Console, printable
from .overview import Overview, Table, Words
from .show import draw, plain

MOST_SITES = 40
MOST_BEYOND = 400


@click.command()
@click.option(
    "--recording", "recordings", metavar="FILE", multiple=True, help="Scan what this recording saw run."
)
@click.option("--entry", "entries", metavar="PATH", multiple=True, help="Also scan this program in ROOTFS.")
@click.option(
    "--also",
    metavar="PATH",
    multiple=True,
    help="A library or module that is loaded at run time, or a directory of them.",
)
@click.option("--no-cache", is_flag=True, help="Read every file anew, and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, nothing left out.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say which file is being read.")
@click.argument("paths", metavar="ROOTFS|FILE...", nargs=-1, required=True)
def command(
    recordings: tuple[str, ...],
    entries: tuple[str, ...],
    also: tuple[str, ...],
    no_cache: bool,
    as_json: bool,
    quiet: bool,
    paths: tuple[str, ...],
) -> int:
    """Say which calls the programs of an image can reach at all: recorded <= needed <= reachable.

    ROOTFS is a directory with a container's files; which programs in it, --recording and --entry say. FILEs are
    programs of this machine. Nothing is executed. Exit status 2: a recorded call is not reachable, and nothing
    explains it.
    """
    root, files = _places(paths)
    seen = [store.read(path) for path in recordings]
    wanted = tuple(dict.fromkeys((*files, *entries, *executables(seen))))
    if not wanted:
        raise SecludeError("there is no program to scan", hint="name one with --entry, or give a --recording")
    console = Console(quiet=quiet or as_json)
    with Root(root) as place:
        found = scan(
            place,
            wanted,
            also=also,
            cache=Cache("" if no_cache else default_directory()),
            progress=console.progress,
        )
    if not found.loaded:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in found.unread.items())
        raise SecludeError(f"nothing could be scanned ({reasons})")
    known = bracket(found.reached, seen, scanned=found.entries, unread=found.unread)
    if as_json:
        click.echo(json.dumps(values(found, known)))
    elif sys.stdout.isatty():
        draw(overview(found, known, recorded=bool(seen)))
    else:
        click.echo(plain(overview(found, known, recorded=bool(seen))), nl=False)
    return EXIT_FINDINGS if any(not item.reason for item in known.outside) else EXIT_CLEAN


def _places(paths: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """(the root, the programs): one directory, or files of this machine."""
    directories = [path for path in paths if os.path.isdir(path)]
    if not directories:
        return "/", tuple(os.path.abspath(path) for path in paths)
    if len(paths) > 1:
        raise SecludeError(
            f"{directories[0]} is a directory, and there are other paths",
            hint="give one ROOTFS and name programs in it with --entry, or give files only",
        )
    return directories[0], ()


def overview(found: Scan, known: Bracket, *, recorded: bool) -> Overview:
    """The bracket, then what is reachable and was not seen, then all that is not known."""
    reached = found.reached
    facts = [("programs", ", ".join(printable(path) for path in found.entries) or "none")]
    if recorded:
        facts.append(("recorded", f"{len(known.recorded)} calls by the application"))
    facts += [
        ("reachable", f"{'' if known.exact else 'at least '}{len(known.reachable)} of {known.known} calls"),
        ("code", f"{reached.pieces} of {reached.all_pieces} functions in {len(found.loaded)} files"),
        ("not resolved", _count(len(reached.sites), "site") if reached.sites else "nothing"),
        ("not read", _count(len(found.unread), "file") if found.unread else "nothing"),
        ("time", f"{found.seconds:.1f} s"),
    ]
    if reached.opening:
        facts.append(("open at run time", ", ".join(printable(name) for name in reached.opening)))
    if {"execve", "execveat"}.intersection(known.reachable):
        facts.append(("other programs", "those that they start are not included: name them with --entry"))
    parts: list[Table | Words] = []
    if known.outside:
        parts.append(
            Table(
                title="Recorded, and not found reachable",
                columns=("call", "executable", "why"),
                rows=tuple(
                    (item.name, printable(item.executable), printable(item.reason or "NOTHING EXPLAINS IT"))
                    for item in known.outside
                ),
            )
        )
    parts.append(_beyond(known, recorded))
    if reached.sites:
        parts.append(
            Table(
                title="Calls whose number is not known",
                columns=("file", "address", "function", "why"),
                rows=tuple(
                    (
                        printable(program),
                        f"{site.address:#x}",
                        printable(site.function, longest=60),
                        site.reason,
                    )
                    for program, site in reached.sites[:MOST_SITES]
                ),
                note=_more(len(reached.sites), MOST_SITES),
            )
        )
    if found.unread:
        parts.append(
            Table(
                title="Not read",
                columns=("file", "why"),
                rows=tuple((printable(path), printable(reason)) for path, reason in found.unread.items()),
            )
        )
    if reached.undefined:
        parts.append(
            Words(title="Defined nowhere", words=tuple(map(printable, reached.undefined[:MOST_SITES])))
        )
    return Overview(title="What the programs can reach", facts=tuple(facts), parts=tuple(parts))


def _beyond(known: Bracket, recorded: bool) -> Table:
    return Table(
        title="Reachable, and not recorded" if recorded else "Reachable",
        columns=("call", "danger", "in place of", "set in", "what it offers"),
        rows=tuple(
            (
                item.name,
                item.tier,
                ", ".join(item.siblings),
                printable(f"{item.place.program}: {item.place.function}", longest=50),
                item.reason,
            )
            for item in known.beyond[:MOST_BEYOND]
        ),
        note=_more(len(known.beyond), MOST_BEYOND),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _more(count: int, shown: int) -> str:
    return f"and {count - shown} more: --json has all" if count > shown else ""


def values(found: Scan, known: Bracket) -> dict[str, object]:
    """All of it as plain values."""
    reached = found.reached
    return {
        "kind": "scan",
        "version": 1,
        "exact": known.exact,
        "recorded": list(known.recorded),
        "reachable": list(known.reachable),
        "known": known.known,
        "beyond": [
            {
                "call": item.name,
                "danger": item.tier,
                "reason": item.reason,
                "category": item.category,
                "siblings": list(item.siblings),
                "file": item.place.program,
                "function": item.place.function,
            }
            for item in known.beyond
        ],
        "outside": [
            {"call": item.name, "executable": item.executable, "reason": item.reason}
            for item in known.outside
        ],
        "unresolved": [
            {"file": program, "address": site.address, "function": site.function, "reason": site.reason}
            for program, site in reached.sites
        ],
        "opening": list(reached.opening),
        "undefined": list(reached.undefined),
        "programs": found.entries,
        "files": [
            {
                "path": item.path,
                "build_id": item.build_id,
                "instructions": item.instructions,
                "cached": item.cached,
            }
            for item in found.loaded
        ],
        "unread": found.unread,
        "functions": {"reachable": reached.pieces, "all": reached.all_pieces},
        "seconds": round(found.seconds, 3),
    }
