"""A report in, what a GitHub workflow reads out: annotations on standard output, the job's summary, the step's outputs.

Names in a report come from containers: each output is one line without control characters, as GITHUB_OUTPUT wants it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from ..errors import OutputError
from ..model.report import Report
from ..reports import renderer
from .console import printable

LONGEST_OUTPUT = 32_768


@contextmanager
def commands_stopped() -> Iterator[None]:
    """Meanwhile no line on standard output is a workflow command: what a build and tests write there is not ours.

    Standard error must be the same stream, or what was written there last may be read when commands count again.
    """
    token = secrets.token_hex(32)
    click.echo(f"::stop-commands::{token}")
    try:
        yield
    finally:
        click.echo(f"\n::{token}::")  # a line of its own, even if theirs has no end


def publish(report: Report, report_dir: str, environment: Mapping[str, str]) -> None:
    """Write all three; a place that the environment does not name is left out."""
    click.echo(renderer("github").render(report), nl=False)
    _append(environment.get("GITHUB_STEP_SUMMARY", ""), renderer("markdown").render(report))
    lines = (
        f"{name}={printable(text, longest=LONGEST_OUTPUT)}\n" for name, text in outputs(report, report_dir)
    )
    _append(environment.get("GITHUB_OUTPUT", ""), "".join(lines))


def outputs(report: Report, report_dir: str) -> tuple[tuple[str, str], ...]:
    """(name, value) of each output of the action."""
    changes = report.difference
    return (
        ("profile", report.profile),
        ("changed", "false" if changes.empty else "true"),
        ("added", " ".join(change.call for change in changes.of("added"))),
        ("removed", " ".join(change.call for change in changes.of("removed"))),
        ("denied", " ".join(report.denied)),
        ("report", report_dir),
    )


def _append(path: str, text: str) -> None:
    if not path:
        return
    try:
        with open(path, "a", encoding="utf-8", opener=_no_link) as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)
