"""`seclude baseline`: a runtime in, what it calls under its own filter out; the baselines that are known."""

from __future__ import annotations

import json
import os
import sys

import click

from ..baseline import DATA, baselines, dumps, looks_like_baselines
from ..errors import SecludeError
from ..measuring.measure import measure
from ..model.baseline import CONDITIONS, Baseline
from ..model.profile import nearest
from ..outputs import Output
from ..reports.text import plural
from ..session import Settings
from .console import Console, printable
from .options import absolute, output_options, place_options

RUNS = 20


@click.group()
def command() -> None:
    """Measure what an OCI runtime itself calls after it has loaded the filter, and list what is known of them.

    Profiles of containers that ran unconfined are made with these calls (`seclude generate --baseline`).
    """


@command.command(
    epilog="Examples: seclude baseline record --runtime /usr/bin/crun ;  "
    "seclude baseline record --runtime runc -o runc.json && seclude generate --baseline ./runc.json -o p.json all.rec"
)
@click.option("--runtime", "path", required=True, metavar="PATH", help="The runtime's program, or its name.")
@click.option("--output", "-o", metavar="FILE", default="", help="Write the baselines here.")
@click.option(
    "--runs",
    type=click.IntRange(1, 1000),
    default=RUNS,
    show_default=True,
    help="How often the plain container is started on a busy machine, to see what depends on timing.",
)
@click.option(
    "--source",
    metavar="TEXT",
    default="",
    help="Where the program came from; kept in the baselines [default: its path].",
)
@place_options
@output_options
def record(
    path: str,
    output: str,
    runs: int,
    source: str,
    bpffs_path: str,
    state_dir: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run small containers with the runtime, without any engine, and record what it calls under their filter.

    Each condition (a terminal, a user namespace, ...) is met once with no-new-privileges and once without. Needs root
    and a static busybox.
    """
    console = Console(quiet=quiet, as_json=as_json)
    target = Output(absolute(output), "file of baselines", looks_like_baselines) if output else None
    if target:
        target.check()
    settings = Settings(bpffs=os.path.abspath(bpffs_path), state=os.path.abspath(state_dir))
    entries = measure(
        path,
        settings,
        runs=runs,
        source=printable(source, longest=300) or f"the program {printable(path, longest=300)}",
        progress=console.progress,
    )
    if target:
        target.write(dumps(entries))
    if not quiet and not as_json:
        for entry in entries:
            _print(entry)
    first = entries[0]
    console.result(
        f"{first.runtime} {first.version}: {plural(len(first.calls), 'call')}, "
        f"{len(entries[1].calls)} with no-new-privileges{f'; wrote {output}' if output else ''}",
        {"baselines": json.loads(dumps(entries))["baselines"], "output": output},
    )
    return 0


@command.command("list")
@click.option("--runtime", "name", metavar="NAME", default="", help="Of this runtime only.")
@click.option(
    "--calls", "with_calls", is_flag=True, help="The calls too, each with the condition it depends on."
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.argument("path", metavar="[FILE]", default=DATA)
def list_command(name: str, with_calls: bool, as_json: bool, path: str) -> int:
    """Say which baselines there are, the shipped ones or those in FILE, and how each was obtained."""
    every = baselines(path)
    entries = [entry for entry in every if name in ("", entry.runtime)]
    if name and not entries:
        raise SecludeError(
            f"no baseline of the runtime {name[:80]!r}",
            hint=nearest(name, sorted({item.runtime for item in every})),
        )
    if as_json:
        sys.stdout.write(dumps(entries))
        return 0
    for entry in entries:
        if with_calls:
            _print(entry)
        else:
            click.echo(
                f"{_title(entry)}: {plural(len(entry.calls), 'call')}; {printable(entry.obtained, longest=400)}"
            )
    return 0


def _title(entry: Baseline) -> str:
    mode = ", no-new-privileges" if entry.no_new_privileges else ""
    return printable(f"{entry.runtime} {entry.version}{mode}", longest=200)


def _print(entry: Baseline) -> None:
    click.echo(f"{_title(entry)}")
    click.echo(f"  {printable(entry.obtained, longest=400)}")
    click.echo(f"  always: {' '.join(entry.always)}")
    if entry.varying:
        click.echo(f"  now and then: {' '.join(entry.varying)}")
    for item in entry.conditions:
        if item.calls:
            click.echo(f"  {CONDITIONS[item.condition]}: {' '.join(item.calls)}")
    for missing in entry.unknown:
        click.echo(f"  not measured: {missing.condition}: {printable(missing.reason, longest=400)}")
