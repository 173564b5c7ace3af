"""The reports: each draws a Report as one kind of text. A new one is a file here and a line below."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..ports import Renderer

REPORTS = {
    "console": "seclude.reports.console:ConsoleReport",
    "json": "seclude.reports.json:JsonReport",
    "markdown": "seclude.reports.markdown:MarkdownReport",
    "sarif": "seclude.reports.sarif:SarifReport",
    "github": "seclude.reports.github:GithubReport",
}
"""Name -> where the class is; imported when it is chosen."""


def renderer(name: str) -> Renderer:
    """The renderer of this name. Raises KeyError for an unknown one."""
    from importlib import import_module

    module, _, kind = REPORTS[name].partition(":")
    made: Renderer = getattr(import_module(module), kind)()
    return made
