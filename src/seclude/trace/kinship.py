"""Who belongs to a process tree that runs already: the recorder's maps in, marks that the kernel sets itself out."""

from __future__ import annotations

import errno
import os

from ..errors import TraceError
from .libbpf import BpfObject, LibBpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OBJECT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "adopt.bpf.o")

SHARED = ("marks", "targets", "namespaces")
"""The recorder's maps: who is recorded, and whose namespaces are."""

PROGRAMS = ("on_birth", "on_leaving")
"""Attached while processes are being marked."""

ITERATORS = ("take_roots", "mark_the_rest")
"""Run over all processes of the machine when asked for."""


class Kinship:
    """Marks children at their birth, and knows those whose parent ends, from `start` to `close`.

    For a private recorder with one target. All but `start` raise OSError where the kernel refuses.
    """

    def __init__(self, library: LibBpf, *, object_path: str = OBJECT) -> None:
        self._library = library
        self._object_path = object_path
        self._object: BpfObject | None = None
        self._links: list[int] = []

    def start(self, map_of: Callable[[str], int]) -> None:
        """Load and attach the programs over the recorder's maps; raises TraceError."""
        if not os.path.exists(self._object_path):
            raise TraceError(f"{self._object_path} is missing", hint="reinstall seclude")
        try:
            shared = {name: map_of(name) for name in SHARED}
            loaded = self._object = self._library.open_object(self._object_path, shared)
            for name in PROGRAMS:
                self._links.append(self._library.attach(loaded.program(name)))
        except OSError as error:
            self.close()
            if error.errno in (errno.EPERM, errno.EACCES):
                raise TraceError(
                    "the kernel refused to follow what runs (permission denied)",
                    hint="run as root, outside user namespaces",
                ) from error
            raise TraceError(
                f"what runs cannot be followed: {error}", hint="see Install in the README for what it needs"
            ) from error

    def take_roots(self) -> int:
        """From now on all descendants of those who are marked belong; how many are marked.

        A descendant is told by its ancestors, as they are when this is called for the first time.
        """
        return len(self._run("take_roots")) // 4

    def mark_the_rest(self) -> None:
        """Mark all who belong and have no mark: then there is none left, and none can come."""
        self._run("mark_the_rest")

    def _run(self, name: str) -> bytes:
        return self._library.iterate(self._object.program(name)) if self._object else b""

    def close(self) -> None:
        """Take the programs away; the marks stay."""
        for descriptor in self._links:
            os.close(descriptor)
        self._links = []
        if self._object is not None:
            self._object.close()
            self._object = None
