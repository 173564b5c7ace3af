"""`seclude complete`: sentences, table, JSON and picture against gold files; hostile names stay text."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner

from seclude import store
from seclude.analyse.completeness import completeness
from seclude.cli import complete
from seclude.cli.complete import headline, percent, plain, svg, values
from seclude.model.completeness import CurvePoint
from seclude.reports.curve import as_svg, in_blocks

from .test_completeness import recording

GOLD = Path(__file__).parents[1] / "gold"
HOSTILE = 'x\x1b[31m\n</title><script>alert(1)</script>&"\u202e'

SUITE = recording(
    [
        ("", "execve brk mmap"),
        *(
            (f"tests/test_{file}.py::test_{number}|call", f"read write call_{(file * 7 + number) % 17}")
            for file in (1, 2, 3)
            for number in range(10)
        ),
        ("tests/test_4.py::test_socket[tcp]|call", "read socket connect"),
        ("tests/test_4.py::test_socket[udp]|call", "read socket sendto"),
    ]
)


def run(*arguments):
    return CliRunner().invoke(complete.command, list(map(str, arguments)), standalone_mode=False)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "suite.json"
    found.write_text(store.dumps(SUITE))
    return found


@pytest.mark.parametrize(("form", "gold"), [("table", "txt"), ("json", "json"), ("svg", "svg")])
def test_gold(path, form, gold, monkeypatch):
    monkeypatch.chdir(path.parent)
    done = run("--format", form, path.name)
    assert (done.exception, done.return_value) == (None, 0)
    assert done.output == (GOLD / f"complete-suite.{gold}").read_text()


def test_one_and_no_test():
    found = completeness([recording([("", "a b")])])
    (sentence,) = headline(found)
    assert sentence == (
        "How likely the next test makes a call that was not recorded cannot be said: the recording has one unit."
    )
    assert sentence in " ".join(plain(found).split())
    assert values(found)["estimate"] == {"units": 1, "reason": "cannot be said: the recording has one unit"}
    assert "cannot be said: no test made a call" in plain(completeness([recording([])]))


def test_nothing_stands_alone():
    found = completeness([recording([(f"t{number}", "a b") for number in range(30)])])
    text = " ".join(plain(found).split())
    assert "a probability of 0.0 % (0 of 30 tests" in text
    assert "it is at most 9.5 %" in text
    assert "It makes 0 new calls on average." in text
    assert "more test" not in text


def test_percent():
    assert [percent(share) for share in (0, 0.0001, 0.5, 0.9999, 1)] == [
        "0.0 %",
        "less than 0.1 %",
        "50.0 %",
        "more than 99.9 %",
        "100.0 %",
    ]


def test_hostile_names():
    found = completeness([recording([(HOSTILE, "read"), ("other", "write")])])
    text = plain(found)
    assert text.replace("\n", "").isprintable()
    assert "\\x1b[31m\\n</title>" in text
    picture = svg(found, [HOSTILE])
    assert "<script" not in picture
    assert "\x1b" not in picture
    root = ElementTree.fromstring(picture)
    assert "alert(1)" in root[0].text
    assert json.loads(json.dumps(values(found)))["lone_calls"][0]["unit"] in (HOSTILE, "other")


def test_the_picture_says_what_it_shows():
    found = completeness([SUITE])
    root = ElementTree.fromstring(svg(found, ["a.json"]))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    named = root.get("aria-labelledby").split()
    assert [root.find(f"{space}{kind}").get("id") for kind in ("title", "desc")] == named
    assert root.find(f"{space}desc").text == " ".join(headline(found))
    drawn = ElementTree.tostring(root, encoding="unicode")
    assert "href" not in drawn
    assert "url(" not in drawn


def test_curves_of_few_points():
    point = CurvePoint(units=1, calls=4.0, low=4.0, high=4.0)
    assert in_blocks((), width=80) == in_blocks((point,), width=80) == []
    for points in ((), (point,)):
        ElementTree.fromstring(as_svg(points, title="t", description="d"))
    flat = (point, CurvePoint(units=2, calls=4.0, low=4.0, high=4.0))
    assert in_blocks(flat, width=80, floor=4) == []


@pytest.mark.parametrize("width", [1, 20, 40, 80, 300])
def test_the_drawing_fits(width):
    lines = in_blocks(completeness([SUITE]).curve, width=width)
    assert lines
    assert all(len(line) <= max(width, 12) for line in lines)


def test_no_recording(tmp_path):
    (tmp_path / "profile.json").write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    done = run(tmp_path / "profile.json")
    assert "recording" in str(done.exception)
