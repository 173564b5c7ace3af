"""What our children start and leave behind, found through /proc and ended for certain."""

from __future__ import annotations

import os
import signal
import time

from ..engines.process import Descendants
from ..errors import EngineError

LONGEST_END = 10.0
"""Seconds within which processes must end, by themselves or killed."""


class Family:
    """All processes that the runs start: those that lose their parent become our children, so none gets away."""

    def __init__(self) -> None:
        self._descendants = Descendants()
        self._strangers = {pid for pid, (parent, _, _) in _processes().items() if parent == os.getpid()}
        self._descendants.__enter__()

    def members(self, *spared: str) -> list[int]:
        """Those that still run."""
        processes, family = _processes(), {os.getpid()}
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _) in processes.items():
            if not (parent == os.getpid() and pid in self._strangers):
                children.setdefault(parent, []).append(pid)
        waiting = list(children.get(os.getpid(), ()))
        while waiting:
            pid = waiting.pop()
            family.add(pid)
            waiting += children.get(pid, ())
        return [
            pid
            for pid in family - {os.getpid()}
            if processes[pid][1] not in "ZX" and processes[pid][2] not in spared
        ]

    def _bury(self, keep: int = 0) -> None:
        for pid, (parent, state, _) in _processes().items():
            if parent == os.getpid() and state == "Z" and pid not in self._strangers and pid != keep:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    def end(self, child: int = 0, *spared: str) -> None:
        """Kill all that there is; `child` is buried by whoever started it. Raises EngineError if something stays."""
        deadline = time.monotonic() + LONGEST_END
        while members := self.members(*spared):
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > deadline:
                raise EngineError(
                    f"processes {', '.join(map(str, sorted(members)))} of the command cannot be ended",
                    hint="look at what they wait for",
                )
            time.sleep(0.002)
        self._bury(child)

    def wait(self, seconds: float, *spared: str) -> None:
        """Until all have ended by themselves, but not longer."""
        deadline = time.monotonic() + seconds
        while self.members(*spared) and time.monotonic() < deadline:
            time.sleep(0.02)

    def close(self) -> None:
        self._bury()
        self._descendants.__exit__()


def _processes() -> dict[int, tuple[int, str, str]]:
    """pid -> (parent, state, name), of /proc/PID/stat (proc(5))."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    head, _, tail = file.read().rpartition(")")
            except OSError:
                continue
            fields = tail.split()
            found[int(entry)] = int(fields[1]), fields[0], head.partition("(")[2]
    return found
