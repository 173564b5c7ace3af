"""What a receiver keeps of refused calls: each refusal in, one line of the journal for its first time, counts after."""

from __future__ import annotations

import time

from ..model.denial import OTHER_PROCESSES
from ..model.frozen import frozen
from . import notify_page as page_of
from .notify_page import DENIALS, Denied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .notify_page import Journal, Page
    from .notify_rulings import Ruling

    Frames = tuple[tuple[str, str, int, int], ...]
    Stacks = Callable[[int, int, int], tuple[Frames, Frames]]
    """Reads the stacks of a waiting thread: (process, thread, instruction pointer) -> Python, native."""

PROCESSES = DENIALS // 2
"""(process, call) pairs that are told apart; beyond those calls alone, so that none is missed (bpf/watch.h)."""

MOST_THREADS = 4096
MOST_STACKS = 256
"""Each holds up everybody who is asked about: reading Python code takes a while."""


@frozen
class Refused:
    """One refused call as it is seen."""

    abi: str
    number: int
    context: str
    thread: int
    pointer: int
    arguments: Sequence[int]


class KeptDenials:
    """The denials of one filter. `who` tells (command name, executable, process) of a thread, `stacks` may be None."""

    def __init__(
        self, page: Page, journal: Journal, who: Callable[[int], tuple[str, str, int]], stacks: Stacks | None
    ) -> None:
        self._page, self._journal, self._who, self._stacks = page, journal, who, stacks
        self._indices: dict[tuple[object, ...], int] = {}
        self._processes: dict[int, int] = {}
        self._read = 0

    def add(self, call: Refused, ruling: Ruling) -> None:
        """Count a refused call, or write it down where its process is denied it for the first time."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        process = self._processes.get(call.thread)
        found = None if process is None else self._indices.get(_key(process, call, ruling))
        if found is None:
            found = self._first(call, ruling, now)
        if found is None:
            self._page.words[page_of.LOST_DENIALS] += 1
            return
        self._page.denials[2 * found] += 1
        self._page.denials[2 * found + 1] = now

    def forget(self, thread: int, *, whole: bool) -> None:
        """The thread ends, or its whole process does, and its number may be given to another."""
        if whole:
            self._processes.clear()
        else:
            self._processes.pop(thread, None)

    def _first(self, call: Refused, ruling: Ruling, now: int) -> int | None:
        comm, executable, process = self._who(call.thread)
        if len(self._processes) >= MOST_THREADS:
            self._processes.clear()
        self._processes[call.thread] = process
        index = self._page.words[page_of.NEXT_DENIAL]
        if index >= PROCESSES and _key(process, call, ruling) not in self._indices:
            process = OTHER_PROCESSES
        key = _key(process, call, ruling)
        known = self._indices.get(key)
        if known is not None or index >= DENIALS:
            return known
        python, native = self._stacks_of(process, call)
        # In this order: should we be killed in between, nobody else uses the same count.
        self._page.words[page_of.NEXT_DENIAL] = index + 1
        self._journal.add(
            Denied(
                index=index,
                action=ruling.action,
                data=ruling.data,
                abi=call.abi,
                number=call.number,
                context=call.context,
                time=now,
                pid=process,
                tid=call.thread if process != OTHER_PROCESSES else 0,
                comm=comm,
                executable=executable,
                python=python,
                native=native,
                arguments=tuple(call.arguments),
            )
        )
        self._indices[key] = index
        return index

    def _stacks_of(self, process: int, call: Refused) -> tuple[Frames, Frames]:
        if self._stacks is None or process == OTHER_PROCESSES or self._read >= MOST_STACKS:
            return (), ()
        self._read += 1
        return self._stacks(process, call.thread, call.pointer)


def _key(process: int, call: Refused, ruling: Ruling) -> tuple[object, ...]:
    return process, call.abi, call.number, call.context, ruling.action, ruling.data
