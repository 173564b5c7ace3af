"""The console: nothing that a terminal or a workflow's runner acts upon, and colour only where it is asked for."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from seclude.reports.console import ConsoleReport
from seclude.reports.json import FORMAT, VERSION, JsonReport

from .report_samples import EMPTY, FULL, HOSTILE, PAYLOADS, hostile

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@given(HOSTILE, st.booleans(), st.integers(20, 200))
def test_hostile_text_is_only_shown(text, colour, width):
    shown = ConsoleReport(colour=colour, width=width).render(hostile(text))
    if colour:
        shown = COLOUR.sub("", shown)
    for line in shown.removesuffix("\n").split("\n"):
        assert line.isprintable()
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


def test_colour():
    plain, coloured = ConsoleReport().render(FULL), ConsoleReport(colour=True).render(FULL)
    assert "\x1b" not in plain
    assert COLOUR.sub("", coloured) == plain
    assert "\x1b[31;1mcritical" in coloured


def test_width():
    shown = ConsoleReport(width=60).render(FULL)
    assert max(map(len, shown.split("\n"))) < 90


# JSON


def test_json_has_everything():
    values = json.loads(JsonReport().render(FULL))
    assert (values["format"], values["version"]) == (FORMAT, VERSION)
    assert values["failed"] is True
    assert values["changes"][0]["makers"][0]["context"] == "tests/test_debug.py::test_attach"
    assert set(FULL.__fields__) - {"difference"} <= set(values)
    assert set(FULL.findings[0].__fields__) == set(values["findings"][0])
    assert set(FULL.steps[0].__fields__) == set(values["steps"][0])
    assert set(FULL.difference.changes[0].__fields__) - {"danger"} <= set(values["changes"][0])
    assert json.loads(JsonReport().render(EMPTY))["changes"] == []


def test_json_keeps_hostile_text_as_it_is():
    for text in PAYLOADS:
        shown = JsonReport().render(hostile(text))
        assert shown.isascii()
        assert json.loads(shown)["headline"] == text
