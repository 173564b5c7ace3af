"""A report in, JSON with all of it out, for other programs."""

from __future__ import annotations

import json

from ..model.change import Change, Step
from ..model.finding import Finding
from ..model.report import Report

FORMAT = "seclude-report"
VERSION = 1


class JsonReport:
    """Draws a report as one JSON object with the name and the version of the format."""

    name = "json"

    def render(self, report: Report) -> str:
        """One object, nothing left out and nothing cut."""
        values = {
            "format": FORMAT,
            "version": VERSION,
            "headline": report.headline,
            "profile": report.profile,
            "failed": report.failed,
            "wrote": report.wrote,
            "allowed": report.allowed,
            "changes": [_change(change) for change in report.difference.changes],
            "others": list(report.difference.others),
            "findings": [_finding(finding) for finding in report.findings],
            "denied": list(report.denied),
            "unused": list(report.unused),
            "steps": [_step(step) for step in report.steps],
        }
        return json.dumps(values, indent=2) + "\n"


def _change(change: Change) -> dict[str, object]:
    return {
        "call": change.call,
        "kind": change.kind,
        "loosened": change.loosened,
        "before": change.before,
        "after": change.after,
        "category": change.category,
        "tier": change.danger.tier,
        "reason": change.danger.reason,
        "makers": [
            {"comm": made.comm, "executable": made.executable, "context": made.context}
            for made in change.makers
        ],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "message": finding.message,
        "call": finding.call,
        "path": finding.path,
        "line": finding.line,
        "hint": finding.hint,
        "details": list(finding.details),
    }


def _step(step: Step) -> dict[str, object]:
    return {"name": step.name, "seconds": step.seconds, "outcome": step.outcome, "detail": step.detail}
