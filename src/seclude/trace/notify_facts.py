"""What a receiver keeps of calls that are made: each in, a line of the journal where it is new to its context out."""

from __future__ import annotations

import os
import time

from ..model.recording import OVERFLOW
from . import notify_page as page_of
from .notify_page import ENTRIES, Entry, Values
from .text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .notify_page import Journal, Page

# bpf/recorder.h: TARGET_EXECUTABLES, TARGET_NUMBERS, TARGET_ARGUMENTS, NAME_BYTES.
EXECUTABLES, NUMBERS, ARGUMENTS, NAME_BYTES = 2048, 64, 1024, 248

_RESERVED = 8192
"""Entries left for calls of no context of their own: two phases and every number of every table."""


class KeptCalls:
    """The calls of one filter; `started` in ns since boot."""

    def __init__(self, page: Page, journal: Journal, started: int) -> None:
        self._words, self._journal, self._started = page.words, journal, started
        self._entries: dict[tuple[int, str, int, str], int] = {}
        self._executables: set[str] = set()
        self._numbers: set[tuple[str, int]] = set()
        self._values: dict[tuple[str, int], set[tuple[int, ...]]] = {}

    def entry(
        self,
        phase: int,
        abi: str,
        number: int,
        name: str,
        context: str,
        thread: int,
        arguments: Sequence[int],
    ) -> int | None:
        """The entry of a call in its phase and context; written down on first sight, None where it cannot be."""
        key = (phase, abi, number, context)
        index = self._entries.get(key)
        if index is not None:
            return index
        if name.startswith("#") and (abi, number) not in self._numbers:
            if len(self._numbers) >= NUMBERS:
                self._words[page_of.LOST_FACTS] += 1  # no profile can name it
                return None
            self._numbers.add((abi, number))
        index = self._words[page_of.NEXT]
        if index >= ENTRIES - _RESERVED and context != OVERFLOW:
            self._words[page_of.LOST_FACTS] += 1
            return self.entry(phase, abi, number, name, OVERFLOW, thread, arguments)
        comm, executable, process = self.who(thread)
        entry = Entry(
            index=index,
            phase=phase,
            abi=abi,
            number=number,
            context=context,
            time=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._started,
            pid=process,
            tid=thread,
            comm=comm,
            executable=executable,
            arguments=tuple(arguments),
        )
        # In this order: should we be killed in between, nobody else uses the same count.
        self._words[page_of.NEXT] = index + 1
        self._journal.add(entry)
        self._entries[key] = index
        return index

    def who(self, thread: int) -> tuple[str, str, int]:
        """(command name, executable, process) of a thread; empty where it cannot be told."""
        comm = executable = b""
        try:
            with open(f"/proc/{thread}/comm", "rb") as file:
                comm = file.read(64).rstrip(b"\n")
            executable = os.readlink(f"/proc/{thread}/exe".encode())[: NAME_BYTES - 1]
        except OSError:
            pass
        path = text_of(executable)
        if path not in self._executables:
            if len(self._executables) >= EXECUTABLES:
                self._words[page_of.LOST_EXECUTABLES] += 1
                path = OVERFLOW
            else:
                self._executables.add(path)
        return text_of(comm), path, process_of(thread)

    def values(self, abi: str, number: int, values: tuple[int, ...]) -> None:
        """Keep what the watched arguments of a call were, where they have not been that before."""
        kept = self._values.setdefault((abi, number), set())
        if values in kept:
            return
        if sum(map(len, self._values.values())) >= ARGUMENTS:
            self._words[page_of.OVERFLOWED] = 1
            return
        kept.add(values)
        self._journal.add(Values(abi=abi, number=number, values=values))


def process_of(thread: int) -> int:
    """The process of a thread, itself where that cannot be told any more."""
    try:
        with open(f"/proc/{thread}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    return int(line[5:])
    except OSError:
        pass
    return thread
