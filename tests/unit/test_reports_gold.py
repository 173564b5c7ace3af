"""Each format against its gold file. `SECLUDE_GOLD=write pytest ...` writes them anew, to be looked at in the diff."""

import os
from pathlib import Path

import pytest

from seclude import __version__
from seclude.reports import REPORTS, renderer
from seclude.reports.markdown import comment

from .report_samples import EMPTY, FULL

GOLD = Path(__file__).parents[1] / "gold"
SUFFIXES = {"console": "txt", "json": "json", "markdown": "md", "sarif": "sarif", "github": "txt"}


def compare(path, text):
    if os.environ.get("SECLUDE_GOLD") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_every_format_has_a_gold_file():
    assert set(SUFFIXES) == set(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_a_full_report(name):
    made = renderer(name)
    assert made.name == name
    # The gold files outlive a release.
    text = made.render(FULL).replace(f'"version": "{__version__}"', '"version": "VERSION"')
    compare(GOLD / f"report-{name}.{SUFFIXES[name]}", text)


@pytest.mark.parametrize("name", ["console", "markdown", "github"])
def test_a_report_of_nothing(name):
    compare(GOLD / f"report-{name}-empty.{SUFFIXES[name]}", renderer(name).render(EMPTY))


def test_a_comment():
    compare(GOLD / "report-comment.md", comment(FULL))
