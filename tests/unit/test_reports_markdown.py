"""Markdown: the page stays the page whatever the names are, and within what GitHub takes."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from seclude.reports.markdown import (
    LARGEST_COMMENT,
    LARGEST_SUMMARY,
    MARKER,
    MarkdownReport,
    code,
    comment,
    prose,
)

from .report_samples import FULL, HOSTILE, PAYLOADS, hostile

# GitHub makes links of bare addresses too; linkify-it is not needed to see that there is none outside of code.
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OWN_HTML = re.compile(
    r"<br>|<details><summary>[0-9]+ calls? allowed that the tests did not make</summary>|</details>"
)
LINKED = re.compile(r"://|www\.|@|#|\bGH-\d|[0-9a-f]{7}|:[a-z]+:", re.IGNORECASE)


def tokens(text):
    for token in PARSER.parse(text):
        yield token
        yield from token.children or []


def inert(text):
    """Raise unless the page has only our own HTML, no links or images, and nothing that GitHub would make one of."""
    for token in tokens(text):
        if token.type in ("html_block", "html_inline"):
            rest = OWN_HTML.sub("", token.content).strip()
            assert rest == "" or (rest == MARKER and text.startswith(MARKER)), token.content
        assert token.type not in (
            "link_open",
            "image",
            "fence",
            "code_block",
            "hr",
            "s_open",
            "blockquote_open",
        )
        if token.type == "text":
            assert not LINKED.search(token.content), token.content
    assert all(letter == "\n" or letter.isprintable() for letter in text)


def shape(text):
    """The kinds of blocks and the number of cells, without what is in them."""
    return [token.type for token in PARSER.parse(text) if token.type not in ("inline", "html_block")]


def test_the_full_report_is_inert():
    inert(MarkdownReport().render(FULL))


@given(HOSTILE)
@settings(deadline=None)
def test_hostile_text_stays_text(text):
    page = MarkdownReport().render(hostile(text))
    inert(page)
    inert(comment(hostile(text)))
    expected = MarkdownReport().render(hostile("word"))
    # An empty name leaves out its line; all others keep every row, cell and item where it was.
    if text.strip():
        assert shape(page) == shape(expected)


@pytest.mark.parametrize("text", PAYLOADS)
def test_payloads(text):
    page = MarkdownReport().render(hostile(text))
    inert(page)
    assert page.count("<details>") == 1


@given(HOSTILE)
def test_a_code_span_holds_its_text(text):
    for cell in (False, True):
        span = code(text, cell=cell)
        found = [token for token in tokens(f"a {span} b") if token.type == "code_inline"]
        assert len(found) == (1 if span else 0)
        assert "|" not in span.replace("\\|", "") or not cell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("allowed if arg0 == AF_UNIX; otherwise refused", "allowed if arg0 == AF_UNIX; otherwise refused"),
        ("_x_ is not emphasised", "`_x_ is not emphasised`"),
        ("a _x_ b", "a \\_x\\_ b"),
        ("see https://evil.example", "`see https://evil.example`"),
        ("a `b` c", "``a `b` c``"),
        ("1. one", "`1. one`"),
        ("- one", "`- one`"),
        ("@octocat", "`@octocat`"),
        ("a::b", "`a::b`"),
        ("two\nlines", "`two\\nlines`"),
        ("", ""),
    ],
)
def test_prose(text, expected):
    assert prose(text) == expected


def test_pipes_in_cells():
    assert code("A|B", cell=True) == "`A\\|B`"
    assert code("a\\|b", cell=True) == "`a\\\\x7cb`"
    assert code("A|B") == "`A|B`"


@given(st.integers(1, 3), st.sampled_from(PAYLOADS))
@settings(deadline=None, max_examples=20)
def test_small_limits_are_kept(number, text):
    for largest in (400, 1000, 5000):
        page = MarkdownReport(largest=largest).render(hostile(text, number))
        assert len(page.encode()) <= largest
        inert(page)


def test_what_github_takes():
    large = hostile("\N{SNOWMAN}" * 400, 3000)
    page, body = MarkdownReport().render(large), comment(large)
    assert LARGEST_SUMMARY - 10_000 < len(page.encode()) <= LARGEST_SUMMARY
    assert LARGEST_COMMENT - 10_000 < len(body.encode()) <= LARGEST_COMMENT
    for text in (page, body):
        assert text.endswith("The JSON report has all of it.*\n")
        inert(text)
    assert body.startswith(f"{MARKER}\n")
