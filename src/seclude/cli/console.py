"""What the commands say on standard error: messages, a live line on a terminal, JSON instead where asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TextIO


def printable(text: str, *, lines: bool = False, longest: int = 4000) -> str:
    """`text` with everything a terminal might act upon escaped, cut at `longest` characters."""
    shown = "".join(
        character
        if character.isprintable() or (lines and character == "\n")
        else character.encode("unicode_escape").decode()
        for character in text[:longest]
    )
    return shown + "..." if len(text) > longest else shown


class Console:
    """Where a command's own words go. `quiet`: errors only; `as_json`: one JSON object at the end, nothing else."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet or as_json
        self._json = as_json
        # A live line on the terminal that CMD prints to would mix with its output.
        self._live = not self._quiet and self._stream.isatty() and not sys.stdout.isatty()
        self._colour = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._shown = ""
        self._tick = 0

    def say(self, text: str) -> None:
        """One line."""
        if not self._quiet:
            self._clear()
            prefix = "\x1b[1mseclude:\x1b[0m" if self._colour else "seclude:"
            print(prefix, printable(text), file=self._stream, flush=True)

    def progress(self, text: str) -> None:
        """The present state: a live line on a terminal, elsewhere a line where it differs from the last."""
        if self._live:
            self._tick += 1
            self._clear()
            self._stream.write(f"{'|/-' + chr(92)}"[self._tick % 4] + f" seclude: {printable(text)}")
            self._stream.flush()
        elif not text.endswith("so far") and text != self._shown:
            self.say(text)
        self._shown = text

    def result(self, text: str, values: Mapping[str, object]) -> None:
        """The end: `text` for people, `values` for --json."""
        if self._json:
            print(json.dumps(values), file=self._stream, flush=True)
        else:
            self.say(text)

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
