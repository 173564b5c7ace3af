"""A report in, Markdown out: for a job's summary, and for a comment on a pull request that is found again and replaced.

GitHub's Markdown makes links of addresses, mentions and numbers, images, and HTML. What comes from elsewhere is plain
words, or else a code span, in which nothing of that happens (GitHub Flavored Markdown, 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..model.change import Change, Step
from ..model.finding import Finding
from ..model.report import Report
from .text import LONGEST, counted, maker, plural, visible

LARGEST_SUMMARY = 1024 * 1024
"""Bytes of a job's summary; GitHub refuses one that is larger."""

LARGEST_COMMENT = 65_536
"""Characters of a comment; we count bytes, which are at least as many."""

MARKER = "<!-- seclude -->"

_CUT = "\n*The rest is left out, to stay within what GitHub takes. The JSON report has all of it.*\n"
_PLAIN = re.compile(r"(?![0-9]+[.)])[A-Za-z0-9/][A-Za-z0-9 ,;:()'%/_.+=-]*(?<! )", re.ASCII)
"""Words, numbers and punctuation that mean nothing to Markdown; no list begins with it."""

_ACTIVE = re.compile(r"://|www\.|\bgh-[0-9]|:(?! |$)|[0-9a-f]{7}", re.ASCII | re.IGNORECASE)
"""What GitHub makes links or pictures of although its letters are harmless: addresses, GH-1, :shortcodes:, commits."""


class MarkdownReport:
    """Draws a report as a page, of at most `largest` bytes."""

    name = "markdown"

    def __init__(self, *, largest: int = LARGEST_SUMMARY) -> None:
        self._largest = largest

    def render(self, report: Report) -> str:
        """The page; what does not fit is left out from the end, with a note."""
        return _bounded(_blocks(report), self._largest)


def comment(report: Report) -> str:
    """The body of a comment: after a first line by which it is found again, as much of the page as fits."""
    head = f"{MARKER}\n"
    return head + _bounded(_blocks(report), LARGEST_COMMENT - len(head))


def code(text: str, *, cell: bool = False, longest: int = LONGEST) -> str:
    """A code span of the text; `cell`: for a table, in which a pipe ends a cell even here."""
    shown = visible(text, longest=longest)
    if not shown.strip(" "):
        return "` `" if shown else ""
    if cell:
        # Renderers disagree on what a backslash before an escaped pipe means.
        shown = shown.replace("|", "\\x7c" if "\\" in shown else "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    padded = shown[0] in " `" or shown[-1] in " `"
    return f"{fence} {shown} {fence}" if padded else f"{fence}{shown}{fence}"


def prose(text: str, *, cell: bool = False, longest: int = LONGEST) -> str:
    """A sentence: as it is where it has nothing but plain words in it, else as a code span."""
    shown = visible(text, longest=longest)
    if _PLAIN.fullmatch(shown) and not _ACTIVE.search(shown):
        # Within a word an underscore emphasises nothing.
        return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", shown)
    return code(text, cell=cell, longest=longest)


def _bounded(blocks: Iterator[str], largest: int) -> str:
    left = largest - len(_CUT.encode())
    taken = []
    for block in blocks:
        left -= len(block.encode())
        if left < 0:
            taken.append(_CUT)
            break
        taken.append(block)
    return "".join(taken)


def _blocks(report: Report) -> Iterator[str]:
    """The page in pieces after each of which it may end: the most important first, a table's rows one by one."""
    errors = sum(finding.severity == "error" for finding in report.findings)
    yield f"## seclude: {plural(errors, 'error') if errors else counted(report)}\n\n"
    yield f"{prose(report.headline)}\n\n"
    facts = [counted(report)]
    if report.allowed:
        facts.append(f"{plural(report.allowed, 'call')} allowed")
    if report.profile:
        # A comparison writes none, a run of the pipeline may.
        fate = " written" if report.wrote else " not written" if report.steps else ""
        facts.append(f"profile {code(report.profile)}{fate}")
    yield f"**{facts[0]}**{''.join(f', {fact}' for fact in facts[1:])}.\n"
    yield from _findings(report.findings)
    yield from _changes(report.difference.changes)
    if report.difference.others:
        yield "\n### Beside the calls\n\n"
        yield from (f"- {prose(text)}\n" for text in report.difference.others)
    if report.denied:
        yield "\n### Denied under the new profile\n\n"
        yield from (f"- {code(call)}\n" for call in report.denied)
    yield from _steps(report.steps)
    if report.unused:
        yield _unused(report.unused)


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    if findings:
        yield "\n### Findings\n\n"
    for finding in findings:
        lines = [f"- **{finding.severity}** {code(finding.rule)}: {prose(finding.message)}"]
        if finding.hint:
            lines.append(f"  - hint: {prose(finding.hint)}")
        lines += [f"  - {code(detail)}" for detail in finding.details if detail.strip()]
        yield "\n".join(lines) + "\n"


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield "\n### Calls\n\n"
    yield "| | call | danger | before | now | made by |\n| --- | --- | --- | --- | --- | --- |\n"
    for change in changes:
        makers = "<br>".join(code(maker(made), cell=True, longest=200) for made in change.makers)
        category, reason = (prose(text, cell=True) for text in (change.category, change.danger.reason))
        cells = (
            prose(change.kind) + (" (loosened)" if change.loosened and change.kind == "changed" else ""),
            code(change.call, cell=True, longest=100),
            f"**{prose(change.danger.tier)}** ({category}): {reason}",
            prose(change.before, cell=True),
            prose(change.after, cell=True),
            makers,
        )
        yield f"| {' | '.join(cells)} |\n"


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    if not steps:
        return
    yield "\n### Steps\n\n| step | outcome | seconds | |\n| --- | --- | ---: | --- |\n"
    for step in steps:
        cells = (
            prose(step.name, cell=True),
            prose(step.outcome, cell=True),
            f"{step.seconds:.1f}",
            prose(step.detail, cell=True),
        )
        yield f"| {' | '.join(cells)} |\n"


def _unused(unused: Sequence[str]) -> str:
    title = f"{plural(len(unused), 'call')} allowed that the tests did not make"
    names = ", ".join(code(name, longest=100) for name in unused)
    return f"\n<details><summary>{title}</summary>\n\n{names}\n\n</details>\n"
