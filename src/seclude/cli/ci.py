"""`seclude ci`: options over a configuration in, the pipeline's report out: console, files, and GitHub's own places."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import click

from ..configuration import load
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, OutputError
from ..model.report import Report
from ..pipeline import Pipeline, Run
from ..reports import renderer
from ..reports.markdown import comment
from ..session import Settings
from .console import Console
from .drawing import drawn
from .github import commands_stopped, publish
from .options import place_options

FILES: dict[str, Callable[[Report], str]] = {
    "report.md": renderer("markdown").render,
    "report.json": renderer("json").render,
    "report.sarif": renderer("sarif").render,
    "comment.md": comment,
}
"""What --report-dir holds; the last is the body of a comment that is found again and replaced."""


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 2 if the profile would change.")
@click.option(
    "--config", default="", metavar="FILE", help="seclude.toml, or a pyproject.toml with [tool.seclude]."
)
@click.option("--image", default=None, help="The image that the tests run in.")
@click.option(
    "--engine", default=None, metavar="NAME", help="podman, docker, or process: no container at all."
)
@click.option("--build", default=None, metavar="CMD", help="What builds the image.")
@click.option("--test", "tests", multiple=True, metavar="CMD", help="A test command; may be repeated.")
@click.option("--profile", default=None, metavar="PATH", help="The profile, relative to the repository.")
@click.option(
    "--max-added", type=click.IntRange(-1), default=None, metavar="N", help="Most calls that may come in."
)
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 100),
    default=None,
    metavar="PERCENT",
    help="Least line coverage.",
)
@click.option(
    "--max-risk",
    type=click.FloatRange(0, 1),
    default=None,
    metavar="P",
    help="Highest bound of the probability that the next test makes an unrecorded call; 0: not asked.",
)
@click.option("--deny", default=None, metavar="CALL,...", help="Calls that never come in.")
@click.option("--review", default=None, metavar="CALL|TIER,...", help="Calls that need an acknowledgement.")
@click.option("--timeout", type=click.FloatRange(1), default=None, metavar="S", help="For each test command.")
@click.option(
    "--report-dir", default="", metavar="DIR", help="Write report.md, .json, .sarif and comment.md here."
)
@click.option("--github", is_flag=True, help="Annotations, the job summary and outputs of a GitHub workflow.")
@place_options
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="The report as JSON, after what the tests print; --report-dir keeps it apart.",
)
def command(
    check: bool,
    config: str,
    report_dir: str,
    github: bool,
    bpffs_path: str,
    state_dir: str,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Build the image, record its tests, prove the profile they make, review what changed, and write it.

    The configuration is seclude.toml or [tool.seclude] in pyproject.toml; SECLUDE_* in the environment override it,
    options override both. Exit status: 0 clean, 2 if the gate, a denial or (with --check) a change stands in the way,
    1 on an error; then nothing was written.
    """
    console = Console(quiet=quiet, as_json=as_json)
    loaded = load(config, directory=".", environment=os.environ, overrides=_overrides(options))
    settings = Settings(bpffs=bpffs_path, state=state_dir)
    for note in loaded.notes:
        console.say(f"note: {note}")
    run = Run(
        configuration=loaded.configuration,
        settings=settings,
        directory=loaded.directory,
        root=loaded.root,
        check=check,
    )
    with commands_stopped() if github else nullcontext():
        report = Pipeline(run, console.progress).report()
    if report_dir:
        _write(report_dir, report)
    if github:
        publish(report, report_dir, os.environ)
    if as_json or not quiet:
        click.echo(drawn(report, "json" if as_json else "console", to_file=False), nl=False)
    return EXIT_FINDINGS if report.failed else EXIT_CLEAN


def _overrides(options: Mapping[str, Any]) -> dict[str, object]:
    """The options that were given, by the keys of the configuration file."""
    told = {
        name: options[name]
        for name in ("image", "engine", "build", "profile", "timeout")
        if options[name] is not None
    }
    if options["tests"]:
        told["test"] = list(options["tests"])
    gate: dict[str, object] = {
        name.replace("_", "-"): options[name]
        for name in ("max_added", "min_coverage", "max_risk")
        if options[name] is not None
    }
    for name in ("deny", "review"):
        if options[name] is not None:
            gate[name] = [word.strip() for word in options[name].split(",") if word.strip()]
    return told | ({"gate": gate} if gate else {})


def _write(directory: str, report: Report) -> None:
    """The report in each of FILES, beside and renamed."""
    try:
        os.makedirs(directory, exist_ok=True)
        for name, render in FILES.items():
            path = os.path.join(directory, name)
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(render(report))
            os.replace(f"{path}.new", path)
    except OSError as error:
        raise OutputError(f"{directory}: {error.strerror}", hint="give another --report-dir") from error
