"""Processes of a runtime that cannot deliver their listener: none in, those found in /proc out, with the listener.

runc's init tells its parent of the listener when the filter is in force already. It is a Go program, whose threads wait
for one another and are interrupted by signals: where such a call is asked about first, nobody can answer it. So the
listener is fetched.
"""

from __future__ import annotations

import os
import time

from ..bundle import listener_of
from ..trace.seccomp_notify import fetched

_PATIENCE = 0.1
"""Seconds that a runtime gets to deliver a listener itself, and between two looks."""
STRANDED = "runc"
"""The runtime whose processes they are."""
_BUNDLE = "/userdata"
_LINK = "anon_inode:seccomp notify"


class Stranded:
    """Looks for those that would deliver to the socket `path`; each is given out once."""

    def __init__(self, path: str, proc: str = "/proc") -> None:
        self._path = path
        self._proc = proc
        self._known = self._processes()
        self._since: dict[int, float] = {}
        self._delivered: set[int] = set()
        self._next = 0.0

    def look(self) -> list[tuple[int, int]]:
        """(process, listener) of those that have waited for too long."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + _PATIENCE
        processes = self._processes()
        for process in processes - self._known - self._delivered:
            self._since[process] = now
        self._known = processes
        self._delivered &= processes
        found = []
        for process, since in list(self._since.items()):
            if not self._name(process).startswith(STRANDED.encode()):
                del self._since[process]  # it is gone, or has become the application
            elif now - since > _PATIENCE:
                listener = self._listener(process)
                if listener >= 0:
                    del self._since[process]
                    found.append((process, listener))
        return found

    def delivered(self, process: int) -> None:
        """The runtime has delivered this one itself."""
        self._since.pop(process, None)
        self._delivered.add(process)

    def _processes(self) -> frozenset[int]:
        return frozenset(int(name) for name in os.listdir(self._proc) if name.isdigit())

    def _name(self, process: int) -> bytes:
        try:
            with open(f"{self._proc}/{process}/comm", "rb") as file:
                return file.read(64)
        except OSError:
            return b""

    def _listener(self, process: int) -> int:
        directory = f"{self._proc}/{process}/fd"
        try:
            for name in os.listdir(directory):
                if os.readlink(f"{directory}/{name}") == _LINK and self._ours(process):
                    return fetched(process, int(name))
        except OSError:
            pass  # it is gone, or not ours
        return -1

    def _ours(self, process: int) -> bool:
        """Whether it belongs to a container whose bundle names our socket: others may be recorded meanwhile.

        Its parent's command line names files in podman's directory for the container, which is the bundle.
        """
        with open(f"{self._proc}/{process}/status", "rb") as file:
            parent = file.read(4096).partition(b"\nPPid:")[2].split()[0].decode()
        with open(f"{self._proc}/{parent}/cmdline", "rb") as file:
            words = file.read(65536).decode("utf-8", "replace").split("\0")
        bundles = {
            word.partition(_BUNDLE)[0] + _BUNDLE for word in words if word.startswith("/") and _BUNDLE in word
        }
        return any(listener_of(bundle) == self._path for bundle in bundles)
