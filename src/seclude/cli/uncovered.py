"""Uncovered code in, what `seclude complete --coverage` says of it out; and the sources that it is found in."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..analyse.incidence import by_test
from ..analyse.uncovered import uncovered
from ..coverage_reports import read_lines
from ..errors import SecludeError
from ..inputs import read_text
from ..model.coverage import CoverageError, FileLines
from ..model.recording import Recording
from ..model.uncovered import Uncovered, UncoveredFile
from ..reports.text import plural
from .console import printable

LARGEST_SOURCE = 4 * 1024 * 1024
MOST_FILES = 20
MOST_LINES = 8
LONGEST_CELL = 250


def found_uncovered(recordings: Sequence[Recording], report: str, directory: str) -> Uncovered:
    """What the report and the sources below the directory say; raises CoverageError for the report alone."""
    files = read_lines(report)
    recorded = {call.name for recording in recordings for call in recording.calls if call.phase == "app"}
    return uncovered(files, _sources(files, directory), recorded, by_test(recordings).names)


def _sources(files: Sequence[FileLines], directory: str) -> dict[str, str]:
    """Path -> text of the Python files below the directory, links resolved: the report may name any file."""
    root = os.path.realpath(directory)
    found = {}
    for file in files:
        try:
            path = os.path.realpath(os.path.join(root, file.path))
            if os.path.commonpath((root, path)) == root and path.endswith(".py"):
                found[file.path] = read_text(path, limit=LARGEST_SOURCE, error=CoverageError)
        except (SecludeError, ValueError):
            continue
    return found


def uncovered_lines(found: Uncovered) -> list[str]:
    """The files that could need further calls, with the lines to look at; names are escaped."""
    lines = ["code that no recorded test runs, and the calls it could need", ""]
    if found.tests:
        lines.append(f"  {found.joined} of the {found.tests} tests of the coverage report are recorded")
    wanting = [file for file in found.files if file.unrecorded]
    for file in wanting[:MOST_FILES]:
        lines += ["", *_file(file)]
    if len(wanting) > MOST_FILES:
        lines += ["", f"  and {len(wanting) - MOST_FILES} more files (--format json has all)"]
    if rest := len(found.files) - len(wanting):
        lines += ["", f"  {plural(rest, 'file')} with such code could need calls that are recorded already"]
    if not found.files:
        lines.append("  no line that calls a function known to make calls")
    if found.unread:
        lines += ["", f"  not looked at, no Python source below --source: {_names(found.unread)}"]
    return lines


def _file(file: UncoveredFile) -> list[str]:
    lines = [f"  {_cell(file.path)}: could need {_names(file.unrecorded)}"]
    shown = [line for line in file.lines if line.unrecorded]
    for line in shown[:MOST_LINES]:
        by = f", run by {_names(line.tests, 3)} alone" if line.tests else ""
        lines.append(f"    line {line.line}: {line.function} ({', '.join(line.calls)}){by}")
    if len(shown) > MOST_LINES:
        lines.append(f"    and {plural(len(shown) - MOST_LINES, 'more line')}")
    return lines


def _names(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(_cell(name) for name in names[:most]) + more


def _cell(text: str) -> str:
    return printable(text, longest=LONGEST_CELL)


def uncovered_values(found: Uncovered) -> dict[str, object]:
    """All of it as plain values."""
    return {
        "tests": found.tests,
        "joined": found.joined,
        "files": [
            {
                "path": file.path,
                "missing": file.missing,
                "unrecorded": list(file.unrecorded),
                "lines": [
                    {
                        "line": line.line,
                        "function": line.function,
                        "calls": list(line.calls),
                        "unrecorded": list(line.unrecorded),
                        "tests": list(line.tests),
                    }
                    for line in file.lines
                ],
            }
            for file in found.files
        ],
        "unread": list(found.unread),
        "notes": list(found.notes),
    }
