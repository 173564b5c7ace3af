"""The processes that answer notifications for a seclude, found and killed from outside."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from plain import children_of


def receiver(seclude: int, besides: Sequence[int] = ()) -> int:
    """A receiver of the seclude with this process id, which is none of `besides`; AssertionError if none comes."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        mine = _command(seclude)
        for pid in children_of(seclude):
            # A copy of seclude. It is one once it has a group of its own; before it may be the child that will be the
            # command.
            if pid not in besides and _command(pid) == mine and _group(pid) == pid:
                return pid
        time.sleep(0.01)
    raise AssertionError("no receiver")


def kill_one_after_the_other(seclude: int, count: int) -> list[int]:
    """Kill `count` receivers, each once it has taken over; their process ids."""
    killed: list[int] = []
    for _ in range(count):
        killed.append(receiver(seclude, killed))
        os.kill(killed[-1], signal.SIGKILL)
    return killed


def _command(pid: int) -> bytes:
    """The command line; empty for one that was killed, or is there no more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
