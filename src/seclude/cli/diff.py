"""`seclude diff`: two profiles in; what changed, call by call, and what the gate says of it, out."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from .. import store
from ..analyse.completeness import completeness
from ..analyse.diff import difference, environments_for
from ..analyse.gate import gate as gated
from ..analyse.minimize import permitted
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, OutputError
from ..model.change import Difference
from ..model.configuration import Gate
from ..model.coverage import Coverage
from ..model.environment import Environment
from ..model.finding import Finding
from ..model.profile import Profile
from ..model.recording import Recording
from ..model.report import Report
from ..reports import REPORTS
from ..reports.text import counted
from .console import printable
from .drawing import drawn
from .options import read_profile

NOTHING = os.devnull
"""Given as OLD, as git does: there was no profile, and nothing was allowed."""


@click.command(
    epilog="Examples: seclude diff old.json new.json ;  "
    "seclude diff --gate --recording app.rec /dev/null seccomp.json"
)
@click.option(
    "--recording",
    "-r",
    "recordings",
    metavar="RECORDING",
    multiple=True,
    help="Tells which process and which test makes each call. May be given several times.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(REPORTS)),
    default="console",
    show_default=True,
    help="How the difference is written.",
)
@click.option("--output", "-o", metavar="FILE", default="", help="Write it here, not to standard output.")
@click.option("--gate", is_flag=True, help="Hold the change against the gate; exit with 2 if that fails.")
@click.option(
    "--config",
    metavar="FILE",
    default="",
    help="Take the gate from this seclude.toml or pyproject.toml. Implies --gate.",
)
@click.argument("old_path", metavar="OLD")
@click.argument("new_path", metavar="NEW")
def command(
    recordings: tuple[str, ...],
    form: str,
    output: str,
    gate: bool,
    config: str,
    old_path: str,
    new_path: str,
) -> int:
    """Say how the profile NEW differs from OLD in what it means, call by call, the most dangerous first.

    OLD may be /dev/null: then nothing was allowed before. Exit status: 0 if both mean the same, 2 if they differ. With
    --gate: 2 if a finding of the gate is an error, else 0. 1 on an error, such as a file that is no profile.
    """
    old = None if old_path == NOTHING else read_profile(old_path)
    new = read_profile(new_path)
    made = [store.read(path) for path in recordings]
    changes = difference(old, new, environments=_environments(old, new, made), recordings=made)
    findings = _findings(changes, config, _relative(new_path), made) if gate or config else ()
    report = _report(changes, findings, new, old_path, new_path)
    _write(drawn(report, form, to_file=bool(output)), output)
    failed = report.failed if gate or config else not changes.empty
    return EXIT_FINDINGS if failed else EXIT_CLEAN


def _environments(
    old: Profile | None, new: Profile, recordings: Sequence[Recording]
) -> tuple[Environment, ...]:
    """Where the recordings were made, or else here, and wherever the profiles themselves make a difference."""
    profiles = [new] if old is None else [old, new]
    if recordings:
        last = recordings[-1]
        return environments_for(
            profiles, machine=last.machine, kernel=last.kernel, capabilities=last.capabilities
        )
    return environments_for(profiles, machine=platform.machine(), kernel=platform.release())


def _findings(
    changes: Difference, config: str, path: str, recordings: Sequence[Recording]
) -> tuple[Finding, ...]:
    rules, coverage = _gate(config)
    today = datetime.now(UTC).date().isoformat()
    return gated(
        changes,
        rules,
        today=today,
        profile_path=path,
        coverage=coverage,
        # Without recordings nobody asks what tests there were.
        completeness=completeness(recordings) if recordings and rules.max_risk else None,
    )


def _gate(config: str) -> tuple[Gate, Coverage | None]:
    """The gate of the configuration that is given or found, else the default one; and the tests' coverage."""
    from .. import coverage_reports
    from ..configuration import load
    from ..configuration.place import find

    if not config and not find(".").path:
        return Gate(), None
    loaded = load(config, environment=os.environ)
    told = loaded.configuration
    report = os.path.join(loaded.directory, told.coverage) if told.coverage else ""
    return told.gate, coverage_reports.read(report) if report and os.path.exists(report) else None


def _relative(path: str) -> str:
    """The path as seen from here, where it lies below."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _report(
    changes: Difference, findings: tuple[Finding, ...], new: Profile, old_path: str, new_path: str
) -> Report:
    empty = Report(headline="", profile=_relative(new_path), difference=changes)
    before = "no profile" if old_path == NOTHING else old_path
    same = "they mean the same" if changes.empty else counted(empty)
    return Report(
        headline=f"{new_path} against {before}: {same}",
        profile=empty.profile,
        difference=changes,
        findings=findings,
        allowed=len(permitted(new)),
    )


def _write(text: str, path: str) -> None:
    if not path:
        click.echo(text, nl=False)
        return
    beside = f"{path}.new"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(
            f"{printable(path)} cannot be written: {error.strerror}", hint="give another -o FILE"
        ) from error
