"""Who is in which context, as far as notifications and /proc tell: threads and markers in, names of contexts out.

A notification does not tell of forks. A process belongs to the context that its parent was in when it was started; so
before the parent enters another one, or ends, its children that have not called anything yet are put down. Nothing is
looked at until somebody enters a context.
"""

from __future__ import annotations

import os

from ..model.recording import NO_CONTEXT

_PRUNE = 256
"""New threads after which those that have ended are forgotten: their numbers may be given to others."""
_GENERATIONS = 64


class Contexts:
    """The context of each thread that was met."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._of: dict[int, str] = {}
        self._leaders: dict[int, int] = {}
        self._met = 0
        self.used = False

    def of(self, thread: int) -> str:
        """The name of the context that a thread is in."""
        if not self.used:
            return NO_CONTEXT
        if thread not in self._of:
            self._meet(thread)
        return self._of.get(thread, NO_CONTEXT)

    def enter(self, thread: int, context: str) -> frozenset[int]:
        """The whole process of a thread enters a context; the threads of it that were met."""
        self.used = True
        process, before = self._process(thread), self.of(thread)
        self._put_down_children(process, before)
        self._leaders[thread], self._leaders[process] = process, process
        threads = frozenset(each for each, leader in self._leaders.items() if leader == process)
        for each in threads:
            self._of[each] = context
        return threads

    def leave(self, thread: int, *, whole: bool) -> frozenset[int]:
        """A thread ends, or its whole process does; the threads that are forgotten."""
        if not self.used:
            return frozenset()
        process = self._process(thread)
        if not whole and thread != process:
            return self._forget({thread})
        self._put_down_children(process, self.of(thread))
        if not whole:
            return frozenset()
        return self._forget({each for each, leader in self._leaders.items() if leader == process})

    def pruned(self) -> frozenset[int]:
        """The threads that have ended unseen and are forgotten; looked for once in a while."""
        if self._met < _PRUNE:
            return frozenset()
        self._met = 0
        return self._forget({each for each in self._of if not os.path.exists(f"{self._proc}/{each}")})

    def _forget(self, threads: set[int]) -> frozenset[int]:
        for thread in threads:
            self._of.pop(thread, None)
            self._leaders.pop(thread, None)
        return frozenset(threads)

    def _meet(self, thread: int) -> None:
        """Find the context of a thread: its process's, or that of the nearest ancestor that is known."""
        self._met += 1
        line = []
        current = thread
        context = NO_CONTEXT
        for _ in range(_GENERATIONS):
            if current in self._of:
                context = self._of[current]
                break
            process, parent = self._family(current)
            line.append((current, process))
            if process in self._of:
                context = self._of[process]
                break
            if parent <= 1:
                break
            current = parent
        for each, process in line:
            for known in (each, process):
                self._of[known], self._leaders[known] = context, process

    def _put_down_children(self, process: int, context: str) -> None:
        for child in self._children(process):
            if child not in self._of:
                self._of[child], self._leaders[child] = context, child

    def _process(self, thread: int) -> int:
        return self._leaders.get(thread) or self._family(thread)[0]

    def _family(self, thread: int) -> tuple[int, int]:
        """(process, its parent) of a thread, itself and 0 where that cannot be told any more."""
        try:
            with open(f"{self._proc}/{thread}/status", "rb") as file:
                fields = dict(line.split(b":", 1) for line in file.read(4096).splitlines() if b":" in line)
            return int(fields[b"Tgid"]), int(fields[b"PPid"])
        except (OSError, KeyError, ValueError):
            return thread, 0

    def _children(self, process: int) -> list[int]:
        """The processes that the threads of a process have started; none where the kernel does not list them."""
        found: list[int] = []
        try:
            for thread in os.listdir(f"{self._proc}/{process}/task"):
                with open(f"{self._proc}/{process}/task/{thread}/children", "rb") as file:
                    found += map(int, file.read(1 << 20).split())
        except (OSError, ValueError):
            pass
        return found
