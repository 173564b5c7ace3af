"""A report in, lines for a terminal or a log out; nothing in them that a terminal or a workflow's runner acts upon."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..model.change import Change, Step
from ..model.finding import Finding
from ..model.report import Report
from .text import became, counted, logged, maker, plural

WIDTH = 100
MOST_UNUSED = 200

_COLOURS = {
    "error": "31;1",
    "warning": "33",
    "note": "2",
    "critical": "31;1",
    "high": "33;1",
    "medium": "36",
    "low": "2",
    "failed": "31;1",
    "added": "32",
    "removed": "31",
    "changed": "33",
    "bold": "1",
}


class ConsoleReport:
    """Draws a report as indented text, wrapped at `width` columns, in colour where that is asked for."""

    name = "console"

    def __init__(self, *, colour: bool = False, width: int = WIDTH) -> None:
        self._colour = colour
        self._width = max(width, 40)

    def render(self, report: Report) -> str:
        """The headline, what was found, what changed, the steps, what is not used."""
        lines = [self._painted("bold", f"seclude: {logged(report.headline)}")]
        lines += self._findings(report.findings)
        lines += self._changes(report)
        if report.difference.others:
            lines += ["", "beside the calls"]
            for text in report.difference.others:
                lines += self._wrapped("  - ", text)
        if report.denied:
            lines += ["", f"denied under the new profile: {', '.join(map(logged, report.denied))}"]
        lines += self._steps(report.steps)
        if report.unused:
            lines += ["", f"{plural(len(report.unused), 'call')} allowed that the tests did not make"]
            shown = list(report.unused[:MOST_UNUSED])
            if len(report.unused) > MOST_UNUSED:
                shown.append(f"and {len(report.unused) - MOST_UNUSED} more")
            lines += self._wrapped("  - ", ", ".join(shown), longest=20_000)
        return "\n".join(lines) + "\n"

    def _findings(self, findings: Sequence[Finding]) -> list[str]:
        lines = ["", "findings"] if findings else []
        for finding in findings:
            label = self._painted(finding.severity, finding.severity)
            lines.append(
                f"  {label} {logged(finding.rule)}" + (f" ({self._place(finding)})" if finding.path else "")
            )
            lines += self._wrapped("    ", f"> {finding.message}")
            for detail in finding.details:
                lines += self._wrapped("      - ", detail)
            if finding.hint:
                lines += self._wrapped("    hint: ", finding.hint)
        return lines

    def _place(self, finding: Finding) -> str:
        return logged(finding.path) + (f":{finding.line}" if finding.line else "")

    def _changes(self, report: Report) -> list[str]:
        changes = report.difference.changes
        if not changes:
            return []
        lines = ["", f"calls: {counted(report)}"]
        longest = max(len(logged(change.call, longest=60)) for change in changes)
        for change in changes:
            lines += self._change(change, longest)
        return lines

    def _change(self, change: Change, longest: int) -> list[str]:
        kind = self._painted(change.kind, f"{change.kind:<8}")
        call = self._painted("bold", logged(change.call, longest=60).ljust(longest))
        danger = self._painted(change.danger.tier, f"{change.danger.tier:<8}")
        lines = [f"  {kind} {call}  {danger}  {logged(change.category)}"]
        lines += self._wrapped("           ", became(change))
        lines += self._wrapped("           ", change.danger.reason)
        for made in change.makers:
            lines += self._wrapped("           by ", maker(made))
        return lines

    def _steps(self, steps: Sequence[Step]) -> list[str]:
        if not steps:
            return []
        longest = max(len(logged(step.name)) for step in steps)
        return ["", "steps"] + [
            f"  - {logged(step.name):<{longest}}  {step.seconds:7.1f} s  "
            f"{self._painted(step.outcome, logged(step.outcome))}"
            + (f"  {logged(step.detail)}" if step.detail else "")
            for step in steps
        ]

    def _wrapped(self, first: str, text: str, *, longest: int = 2000) -> list[str]:
        # No line begins with what came from elsewhere but for its indentation: a runner would take "::" for a command.
        lines = textwrap.wrap(
            logged(text, longest=longest),
            self._width,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [line.replace("::", "\\x3a:", 1) if line.lstrip().startswith("::") else line for line in lines]

    def _painted(self, style: str, text: str) -> str:
        code = _COLOURS.get(style, "")
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text
