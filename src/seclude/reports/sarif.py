"""A report in, its findings as SARIF 2.1.0 out, for code scanning and other programs that collect findings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import quote

from .. import __version__
from ..model.finding import Finding
from ..model.report import Report
from ..model.rules import RULES
from .text import visible

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "SRCROOT"
"""What paths are relative to: the root of the repository (SARIF 2.1.0, 3.14.14)."""


class SarifReport:
    """Draws the findings as one SARIF run."""

    name = "sarif"

    def render(self, report: Report) -> str:
        """The log file, as text."""
        used = sorted({finding.rule for finding in report.findings})
        numbers = {rule: number for number, rule in enumerate(used)}
        run = {
            "tool": {
                "driver": {"name": "seclude", "version": __version__, "rules": [_rule(name) for name in used]}
            },
            "columnKind": "unicodeCodePoints",
            "results": list(_results(report, numbers)),
        }
        return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(name: str) -> dict[str, object]:
    known = RULES.get(name)
    if known is None:
        return {"id": visible(name)}
    return {
        "id": name,
        "shortDescription": {"text": known.title},
        "fullDescription": {"text": known.meaning},
        "help": {
            "text": f"{known.meaning}\n\n{known.why}\n\n{known.remedy}",
            "markdown": f"{known.meaning}\n\n**Why it matters.** {known.why}\n\n**What to do.** {known.remedy}",
        },
    }


def _results(report: Report, numbers: dict[str, int]) -> Iterable[dict[str, object]]:
    seen: dict[tuple[str, str, str], int] = {}
    for finding in report.findings:
        path = finding.path or report.profile
        # Findings with the same rule, call and file are told apart by their order; what they say may change.
        key = (finding.rule, finding.call, path)
        seen[key] = seen.get(key, 0) + 1
        yield {
            "ruleId": visible(finding.rule),
            "ruleIndex": numbers[finding.rule],
            "level": finding.severity,
            "message": {"text": _message(finding)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": _location(path),
                        "region": {"startLine": max(finding.line, 1)},
                    }
                }
            ],
            "partialFingerprints": {"secludeFinding/v1": _fingerprint(*key, str(seen[key]))},
            "properties": {"call": finding.call, "hint": finding.hint, "details": list(finding.details)},
        }


def _message(finding: Finding) -> str:
    lines = [finding.message, *finding.details, *([f"Hint: {finding.hint}"] if finding.hint else [])]
    text = "\n".join(visible(line) for line in lines)
    # Brackets make links and braces are places for arguments (SARIF 2.1.0, 3.11.6 and 3.11.5).
    for letter, escaped in (("\\", "\\\\"), ("[", "\\["), ("]", "\\]"), ("{", "{{"), ("}", "}}")):
        text = text.replace(letter, escaped)
    return text


def _location(path: str) -> dict[str, str]:
    plain = path.removeprefix("./")
    if plain.startswith("/"):
        return {"uri": "file://" + quote(plain, errors="replace")}
    # A colon in the first part would make it a scheme.
    return {"uri": quote(plain, errors="replace"), "uriBaseId": ROOT}


def _fingerprint(*parts: str) -> str:
    return sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]
