"""`seclude scan`: programs and recordings of them in, the calls that they can reach at all on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from .. import store
from ..analyse.bracket import ABI, bracket
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, SecludeError
from ..model.bracket import Bracket
from ..model.recording import Recording
from ..scanning.cache import Cache, default_directory
from ..scanning.document import dumps
from ..scanning.root import Root
from ..scanning.saved import is_archive, opened
from ..scanning.scan import Scan, executables, scan
from ..scanning.tree import Tree
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
@click.argument("paths", metavar="IMAGE|ROOTFS|FILE...", nargs=-1, required=True)
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

    IMAGE is what `docker save`, `podman save` or `skopeo copy` wrote, or a root file system as a tar file; ROOTFS is a
    directory with a container's files. Which programs in it, --recording and --entry say, or else the image. FILEs are
    programs of this machine. Nothing is executed or unpacked. Exit status 2: a recorded call is not reachable, and
    nothing explains it.
    """
    seen = [store.read(path) for path in recordings]
    for path, recording in zip(recordings, seen, strict=True):
        if recording.machine != ABI:
            raise SecludeError(
                f"{path} was recorded on {recording.machine or 'an unknown machine'}, and only {ABI} is read",
                hint=f"record on a machine of kind {ABI}, or scan without --recording",
            )
    console = Console(quiet=quiet or as_json)
    place, files, own = _place(paths)
    with place:
        wanted = tuple(dict.fromkeys((*files, *entries, *executables(seen)))) or own
        if not wanted:
            raise SecludeError(
                f"{paths[0]} does not say which programs run in it",
                hint="name one with --entry, or give a --recording",
            )
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
        click.echo(dumps(found, known))
        return _status(known)
    shown = overview(found, known, seen=seen, here=isinstance(place, Root) and place.path == "/")
    if sys.stdout.isatty():
        draw(shown)
    else:
        click.echo(plain(shown), nl=False)
    return _status(known)


def _status(known: Bracket) -> int:
    return EXIT_FINDINGS if any(not item.reason for item in known.outside) else EXIT_CLEAN


def _place(paths: tuple[str, ...]) -> tuple[Root | Tree, tuple[str, ...], tuple[str, ...]]:
    """(the files, the programs named, the programs of the image): a directory, an archive, or files of this machine."""
    whole = [path for path in paths if os.path.isdir(path) or is_archive(path)]
    if not whole:
        for path in paths:
            if not os.path.exists(path):
                raise SecludeError(
                    f"{path}: no such file",
                    hint=f"an image is scanned as a file: podman save -o image.tar {path}",
                )
        return Root("/"), tuple(os.path.abspath(path) for path in paths), ()
    if len(paths) > 1:
        raise SecludeError(
            f"{whole[0]} is a root file system, and there are other paths",
            hint="give one and name programs in it with --entry, or give programs of this machine only",
        )
    if not os.path.isdir(whole[0]):
        saved = opened(whole[0])
        return saved.tree, (), saved.programs
    if os.path.exists(os.path.join(whole[0], "oci-layout")):
        raise SecludeError(
            f"{whole[0]} is an OCI layout and no root file system",
            hint=f"put it in one file: tar -cf image.tar -C {whole[0]} .",
        )
    return Root(whole[0]), (), ()


def overview(found: Scan, known: Bracket, *, seen: Sequence[Recording] = (), here: bool = False) -> Overview:
    """The bracket, then what is reachable and was not seen, then all that is not known.

    `here`: the programs are this machine's own.
    """
    reached = found.reached
    recorded = bool(seen)
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
    if here and any(recording.engine not in ("", "process") for recording in seen):
        facts.append(
            ("files", "this machine's, and the recording is of a container: give its IMAGE or ROOTFS")
        )
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
