"""How test commands ended in, TAP or JUnit's XML out: what CI systems show of tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO
from xml.etree import ElementTree  # writes only; nothing is parsed
from xml.etree.ElementTree import Element

from ..suite import Command, Ended, Suite, failed
from .console import printable

LONGEST_REASON = 500
SUITE = "seclude record"


class Tap:
    """Writes TAP (version 14) as commands end; whoever has stopped reading is no failure."""

    def __init__(self, stream: TextIO, number: int) -> None:
        self._stream: TextIO | None = stream
        self._number = number
        self._written = 0

    def begin(self) -> None:
        self._write(f"TAP version 14\n1..{self._number}\n")

    def tell(self, ended: Ended) -> None:
        self._written += 1
        text = f"{'not ok' if ended.status else 'ok'} {self._written} - {_tap_escaped(ended.name)}\n"
        if ended.status:
            # A YAML string in double quotes: printable leaves no control character in it.
            reason = printable(ended.reason, longest=LONGEST_REASON).replace("\\", "\\\\").replace('"', '\\"')
            text += f"  ---\n  exitstatus: {ended.status}\n" + (f'  reason: "{reason}"\n' if reason else "")
            text += "  ...\n"
        self._write(text)

    def finish(self) -> None:
        """Say that the rest does not come, where it does not."""
        if self._written < self._number:
            self._write("Bail out! not all commands were run\n")

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._stream = None


def _tap_escaped(name: str) -> str:
    """A `#` would begin a directive such as SKIP."""
    return printable(name).replace("\\", "\\\\").replace("#", "\\#")


@contextmanager
def standard_output_for_tap() -> Iterator[TextIO]:
    """While entered, what commands print to standard output goes to standard error; yields the true one."""
    sys.stdout.flush()
    true = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(true, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    try:
        yield stream
    finally:
        os.dup2(true, 1)
        os.close(true)


def junit(suite: Suite, commands: Sequence[Command]) -> str:
    """The XML that most CI systems read: a test case for each command, skipped where it was not run any more."""
    left_out = commands[len(suite.ended) :]
    counts = {
        "tests": str(len(commands)),
        "failures": str(len(failed(suite.ended))),
        "errors": "0",
        "skipped": str(len(left_out)),
        "time": f"{sum(each.seconds for each in suite.ended):.3f}",
    }
    root = ElementTree.Element("testsuites")
    parent = ElementTree.SubElement(
        root, "testsuite", {"name": SUITE, **counts, "timestamp": suite.recording.created.removesuffix("Z")}
    )
    for each in suite.ended:
        case = _case(parent, each.name, f"{each.seconds:.3f}")
        if each.status:
            message = f"exit status {each.status}"
            failure = ElementTree.SubElement(case, "failure", {"message": message, "type": "status"})
            failure.text = printable(each.reason, longest=LONGEST_REASON) or message
    for command in left_out:
        case = _case(parent, command.name, "0")
        ElementTree.SubElement(case, "skipped", {"message": "interrupted"})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(parent: Element, name: str, seconds: str) -> Element:
    # What is not printable is escaped: no character is left that XML 1.0 forbids.
    return ElementTree.SubElement(
        parent, "testcase", {"classname": SUITE, "name": printable(name), "time": seconds}
    )


def looks_like_junit(text: str) -> bool:
    """Whether a file is one that may be replaced."""
    return text.startswith("<?xml") and "<testsuites" in text[:200]
