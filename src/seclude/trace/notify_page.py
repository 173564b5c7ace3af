"""What a receiver of notifications leaves to those that outlive it: shared memory and a journal, facts in and out.

A receiver can be killed at any moment. What it works at lies in memory that its parent shares, the kernel writes
notifications straight into it, and new facts are appended to a file in memory: another receiver goes on from there.
"""

from __future__ import annotations

import mmap
import os

from ..errors import TraceError
from ..formats import jsontext
from ..model.frozen import frozen
from .seccomp_notify import ANSWERED, CONTINUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ENTRIES = 65536
"""Facts of one filter (bpf/recorder.h, TARGET_FACTS); the set of calls itself has no limit."""

DENIALS = 32768
"""Denials of one filter, those of merged processes included (bpf/watch.h, MAX_DENIALS and MAX_MERGED)."""

_ANSWER, _WORDS, _COUNTS = 1024, 3584, 4096
_DENIALS = _COUNTS + 8 * ENTRIES
# fcntl.ioctl takes a copy of what is no larger than 1,024 bytes, and the kernel would write to that.
_ANSWER_BYTES = 2048

APP, EXECUTING, NEXT, LOST_CALLS, LOST_FACTS, LOST_CONTEXTS, LOST_EXECUTABLES, LOST_MARKERS, OVERFLOWED = (
    range(9)
)
NEXT_DENIAL, LOST_DENIALS = 9, 10
"""Words of the page: past the entrypoint's exec, the process that is about to make it, entries used, losses."""
WORDS = 16


class Page:
    """Shared with every process that is forked from here on.

    `notification` is what the kernel fills, `answer` what it reads, both larger than they need be; `words` holds the
    state, `counts` how often the call of each entry was made, `denials` two words for each denial: how often, and when
    last (ns since boot).
    """

    def __init__(self) -> None:
        self.notification = mmap.mmap(-1, _DENIALS + 16 * DENIALS)
        whole = memoryview(self.notification)
        self.answer = whole[_ANSWER : _ANSWER + _ANSWER_BYTES]
        self.answer[: ANSWERED.size] = ANSWERED.pack(0, 0, 0, CONTINUE)
        self.words = whole[_WORDS : _WORDS + 8 * WORDS].cast("Q")
        self.counts = whole[_COUNTS:_DENIALS].cast("Q")
        self.denials = whole[_DENIALS:].cast("Q")


@frozen
class Entry:
    """One line of the journal: a call that was new to its context and phase. `time` in ns since the recording began."""

    index: int
    phase: int
    abi: str
    number: int
    context: str
    time: int
    pid: int
    tid: int
    comm: str
    executable: str
    arguments: tuple[int, ...]


@frozen
class Values:
    """One line of the journal: values that the watched arguments of a call had."""

    abi: str
    number: int
    values: tuple[int, ...]


@frozen
class Denied:
    """One line of the journal: the first time that a process was denied a call in a context. `time` in ns since boot.

    `python` and `native`: frames as (module, function, line, offset), innermost first.
    """

    index: int
    action: str
    data: int
    abi: str
    number: int
    context: str
    time: int
    pid: int
    tid: int
    comm: str
    executable: str
    python: tuple[tuple[str, str, int, int], ...]
    native: tuple[tuple[str, str, int, int], ...]
    arguments: tuple[int, ...]


Fact = Entry | Values | Denied


class Journal:
    """Lines in a file in memory, each a fact; a line that was not finished is passed over."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("seclude-journal", os.MFD_CLOEXEC)

    def close(self) -> None:
        os.close(self.descriptor)

    def begin(self) -> None:
        """End the line that another writer may not have finished."""
        os.write(self.descriptor, b"\n")

    def add(self, item: Fact) -> None:
        """Append a fact."""
        fields = [getattr(item, name) for name in _fields(type(item))]
        os.write(self.descriptor, jsontext.encode(fields).encode() + b"\n")

    def facts(self) -> Iterator[Fact]:
        """All that was appended so far, in its order."""
        size = os.fstat(self.descriptor).st_size
        for line in os.pread(self.descriptor, size, 0).split(b"\n"):
            try:
                fields = jsontext.decode(line.decode(), "the journal", error=TraceError)
            except TraceError:
                continue
            for kind in (Entry, Values, Denied):
                names = _fields(kind)
                if isinstance(fields, list) and len(fields) == len(names):
                    yield kind(**dict(zip(names, map(_frozen, fields), strict=True)))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(kind.__fields__)
