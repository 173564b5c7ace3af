"""`seclude lint`: profiles in, what is wrong, useless or dangerous in them out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ..analyse.lint import Runtime, lint
from ..analyse.minimize import permitted
from ..baseline import baselines, calls_of, ordered_version
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, ProfileError, SecludeError
from ..formats import oci
from ..inputs import read_text
from ..model.change import Difference
from ..model.finding import Finding
from ..model.profile import nearest
from ..model.report import Report
from ..reports import REPORTS
from ..reports.text import plural
from .drawing import drawn


@click.command(
    epilog="Examples: seclude lint seccomp.json ;  seclude lint --strict --runtime runc:1.3.3 *.json"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(REPORTS)),
    default="console",
    show_default=True,
    help="How the findings are written.",
)
@click.option(
    "--runtime",
    "runtimes",
    metavar="NAME[:VERSION]",
    multiple=True,
    help="The OCI runtime that will use it: what it needs itself must be allowed. May be given several times.",
)
@click.option("--strict", is_flag=True, help="Exit with 2 for warnings too.")
@click.argument("paths", metavar="PROFILE...", nargs=-1, required=True)
def command(form: str, runtimes: tuple[str, ...], strict: bool, paths: tuple[str, ...]) -> int:
    """Find what is wrong, useless or dangerous in profiles.

    Exit status: 2 if a finding is an error, with --strict also if one is a warning, else 0; 1 if a file is no profile.
    docs/findings.md explains each finding.
    """
    chosen = [_runtime(text) for text in runtimes]
    known = chosen or [_called(name, "") for name in sorted({item.runtime for item in baselines()})]
    findings: list[Finding] = []
    allowed = 0
    for path in paths:
        text = read_text(path, limit=oci.LARGEST, error=ProfileError)
        profile = oci.loads(text, path)
        findings += lint(profile, text, _relative(path), runtimes=known, chosen=bool(chosen))
        allowed += len(permitted(profile))
    report = Report(
        headline=_headline(paths, findings),
        profile=_relative(paths[0]) if len(paths) == 1 else "",
        difference=Difference(changes=()),
        findings=tuple(findings),
        allowed=allowed if len(paths) == 1 else 0,
    )
    click.echo(drawn(report, form, to_file=False), nl=False)
    grave = ("error", "warning") if strict else ("error",)
    return EXIT_FINDINGS if any(finding.severity in grave for finding in findings) else EXIT_CLEAN


def _headline(paths: Sequence[str], findings: Sequence[Finding]) -> str:
    counts = [
        plural(number, severity)
        for severity in ("error", "warning", "note")
        if (number := sum(finding.severity == severity for finding in findings))
    ]
    what = paths[0] if len(paths) == 1 else plural(len(paths), "profile")
    return f"{what}: {', '.join(counts) if counts else 'nothing found'}"


def _relative(path: str) -> str:
    """The path as seen from here, where it lies below."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _runtime(text: str) -> Runtime:
    name, colon, version = text.partition(":")
    known = sorted({item.runtime for item in baselines()})
    if name not in known:
        raise SecludeError(f"no data for the runtime {name[:80]!r}", hint=nearest(name, known))
    if colon and not version[:1].isdigit():
        raise SecludeError(f"{version[:80]!r} is no version", hint=f"such as {name}:1.3.3")
    return _called(name, version)


def _called(name: str, version: str) -> Runtime:
    newest = max((item.version for item in baselines() if item.runtime == name), key=ordered_version)
    return Runtime(
        name=name,
        version=version or newest,
        calls=calls_of([name], no_new_privileges=False, version=version),
        confined_calls=calls_of([name], no_new_privileges=True, version=version),
    )
