"""The console: nothing that a terminal acts upon, live lines on a terminal only, and quiet and JSON as they say."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude.cli.console import Console, printable


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def piped(monkeypatch):
    """Standard output is no terminal."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())


class TestPrintable:
    @given(st.text(st.characters()))
    def test_always_printable(self, text):
        assert printable(text).isprintable()
        assert printable(text, lines=True).replace("\n", "").isprintable()
        printable(text).encode("utf-8")  # no half of a pair is left

    @given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=4000))
    def test_plain_text_stays(self, text):
        assert printable(text) == text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("\x1b[31m", "\\x1b[31m"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u202eevil", "\\u202eevil"),
            ("\udcff", "\\udcff"),
            ("\x9b2J", "\\x9b2J"),
            ("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n", "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n"),
        ],
    )
    def test_what_is_escaped(self, text, shown):
        assert printable(text) == shown

    def test_lines(self):
        assert printable("a\nb\x07", lines=True) == "a\nb\\x07"

    def test_cut(self):
        assert printable("x" * 11, longest=10) == "x" * 10 + "..."
        assert len(printable("\x1b" * 1_000_000)) < 20_000


class TestSaying:
    def test_plain(self, monkeypatch):
        stream = io.StringIO()
        console = Console(stream=stream)
        console.say("hello \x1b[31m")
        console.result("done", {"a": 1})
        assert stream.getvalue() == "seclude: hello \\x1b[31m\nseclude: done\n"

    def test_progress_off_a_terminal_says_each_state_once(self):
        stream = io.StringIO()
        console = Console(stream=stream)
        for text in (
            "3 calls so far",
            "4 calls so far",
            "the container is running",
            "the container is running",
        ):
            console.progress(text)
        assert stream.getvalue() == "seclude: the container is running\n"

    def test_quiet(self):
        stream = Terminal()
        console = Console(quiet=True, stream=stream)
        console.say("a")
        console.progress("b")
        console.result("c", {})
        assert stream.getvalue() == ""

    def test_json(self):
        stream = Terminal()
        console = Console(as_json=True, stream=stream)
        console.say("a")
        console.progress("b")
        console.result("c", {"hostile": "\x1b[31m\u202e"})
        assert json.loads(stream.getvalue()) == {"hostile": "\x1b[31m\u202e"}
        assert stream.getvalue().rstrip("\n").isprintable()


class TestTerminal:
    def test_a_live_line(self, piped, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        stream = Terminal()
        console = Console(stream=stream)
        console.progress("3 calls so far")
        console.progress("4 calls so far")
        console.say("done")
        *live, last = stream.getvalue().split("\r\x1b[K")
        assert [line[2:] for line in live[1:]] == ["seclude: 3 calls so far", "seclude: 4 calls so far"]
        assert last == "seclude: done\n"

    def test_none_where_the_command_prints_to_the_same_terminal(self, monkeypatch):
        monkeypatch.setattr(sys, "stdout", Terminal())
        stream = Terminal()
        console = Console(stream=stream)
        console.progress("3 calls so far")
        assert stream.getvalue() == ""

    @pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False), (None, True)])
    def test_no_color(self, value, coloured, piped, monkeypatch):
        monkeypatch.delenv("NO_COLOR", raising=False)
        if value is not None:
            monkeypatch.setenv("NO_COLOR", value)
        stream = Terminal()
        Console(stream=stream).say("hello")
        assert ("\x1b[1m" in stream.getvalue()) == coloured
