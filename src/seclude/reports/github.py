"""A report in, GitHub's workflow commands out: an annotation for each finding, which the runner reads from a log.

Written as the toolkit writes them (actions/toolkit, packages/core/src/command.ts): what comes from elsewhere is in one
line and escaped, so that it cannot begin a command of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model.finding import SEVERITIES, Finding
from ..model.report import Report
from .text import logged, plural

MOST = 10
"""Annotations of each kind that GitHub takes from one step; the rest it drops without a word."""

LONGEST = 4000

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


class GithubReport:
    """Draws the findings as annotations, ten of each severity at most; the last of them stands for all the rest."""

    name = "github"

    def render(self, report: Report) -> str:
        """A command a line; where nothing was found, a line that says so."""
        lines = []
        for severity in SEVERITIES:
            found = [finding for finding in report.findings if finding.severity == severity]
            shown = found if len(found) <= MOST else found[: MOST - 1]
            lines += [_annotation(finding) for finding in shown]
            if len(found) > len(shown):
                lines.append(_rest(severity, found[len(shown) :]))
        if not lines:
            lines = [f"seclude: {logged(report.headline)}"]
        return "\n".join(lines) + "\n"


def _annotation(finding: Finding) -> str:
    lines = [finding.message, *finding.details, *([f"hint: {finding.hint}"] if finding.hint else [])]
    properties = {
        "file": logged(finding.path),
        "line": str(finding.line) if finding.path and finding.line else "",
        "title": logged(f"seclude {finding.rule}"),
    }
    return command(_COMMANDS[finding.severity], properties, "\n".join(map(logged, lines))[:LONGEST])


def _rest(severity: str, findings: Sequence[Finding]) -> str:
    """What GitHub would have dropped, in one annotation."""
    lines = [f"and {plural(len(findings), f'more {severity}')}:"]
    lines += [f"{finding.rule}: {finding.call or finding.message}" for finding in findings]
    message = "\n".join(map(logged, lines))
    return command(_COMMANDS[severity], {"title": "seclude"}, message[:LONGEST])


def command(name: str, properties: dict[str, str], message: str) -> str:
    """One command, such as "::error file=a,title=b::message"; empty properties are left out."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{' ' if given else ''}{given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
