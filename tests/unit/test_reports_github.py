"""Workflow commands: one a line, ours alone, and as many as GitHub shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude.model.finding import Finding
from seclude.model.frozen import replace
from seclude.reports.github import MOST, GithubReport, command

from .report_samples import EMPTY, HOSTILE, PAYLOADS, hostile


def lines(report):
    text = GithubReport().render(report)
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def parsed(line):
    """(command, properties, message) as the runner reads them (actions/runner, ActionCommand.TryParseV2)."""
    assert line.startswith("::")
    head, _, message = line[2:].partition("::")
    name, _, rest = head.partition(" ")
    properties = dict(part.split("=", 1) for part in rest.split(",")) if rest else {}
    return name, properties, message


@pytest.mark.parametrize(
    ("properties", "message", "expected"),
    [
        ({}, "", "::error::"),
        ({"file": "a.py"}, "hello", "::error file=a.py::hello"),
        ({"file": "a:b,c%\r\n"}, "x:y,z%\r\n", "::error file=a%3Ab%2Cc%25%0D%0A::x:y,z%25%0D%0A"),
        ({"file": "", "title": "t"}, "m", "::error title=t::m"),
    ],
)
def test_as_the_toolkit_writes_them(properties, message, expected):
    assert command("error", properties, message) == expected


@given(HOSTILE)
def test_hostile_text_stays_in_its_command(text):
    made = lines(hostile(text))
    assert len(made) == 3
    for line, name in zip(made, ("error", "warning", "notice"), strict=True):
        found, properties, _ = parsed(line)
        assert found == name
        assert set(properties) <= {"file", "line", "title"}
        assert line.isprintable()
        assert line.isascii() or "\u202e" not in line


@pytest.mark.parametrize("text", PAYLOADS)
def test_a_headline_is_no_command(text):
    (line,) = lines(replace(EMPTY, headline=text))
    assert line.startswith("seclude: ")
    assert "##[" not in line
    assert line.isprintable()


@given(st.lists(st.sampled_from(["error", "warning", "note"]), max_size=60))
def test_no_more_than_github_shows_and_none_lost(severities):
    findings = tuple(
        Finding(rule="gate/deny", severity=severity, message=f"number {number} ends", call=f"call{number}x")
        for number, severity in enumerate(severities)
    )
    made = lines(replace(EMPTY, findings=findings))
    for name in ("error", "warning", "notice"):
        assert sum(line.startswith(f"::{name}") for line in made) <= MOST
    text = "\n".join(made)
    assert all(f"number {n} ends" in text or f"call{n}x" in text for n in range(len(severities)))
