"""A report in, its text in one of the formats out: in colour, and as wide, as the terminal that it goes to."""

from __future__ import annotations

import os
import shutil
import sys

from ..model.report import Report
from ..reports import renderer
from ..reports.console import ConsoleReport


def drawn(report: Report, form: str, *, to_file: bool) -> str:
    if form == "console" and not to_file and sys.stdout.isatty():
        colour = not os.environ.get("NO_COLOR")
        return ConsoleReport(colour=colour, width=shutil.get_terminal_size().columns).render(report)
    return renderer(form).render(report)
