"""Marks for a process tree that runs already: process numbers in, entries of the recorder's tables out."""

from __future__ import annotations

import errno
import os

from . import layout
from .libbpf import BPF_NOEXIST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .libbpf import LibBpf

FIRST_NAME = 1 << 30
"""The recorder gives out the ids of names from 1 up to some 20,000: ours, this and the process's number, lie beyond."""


class Adoption:
    """Marks the processes of one target that are past their exec. OSError passes through."""

    def __init__(self, library: LibBpf, map_of: Callable[[str], int], number: int) -> None:
        self._library = library
        self._map = map_of
        self._number = number

    def first(self, pid: int, mark: tuple[int, ...], record: list[int]) -> tuple[int, ...]:
        """The mark of the target's first process; what goes with it is entered in `record`, which is yet to be put.

        Only for a private recorder, where nobody else gives out sets meanwhile.
        """
        number, flags, context, set_of_calls, _, base_filters = mark
        if not flags & layout.FLAG_COUNTS:
            # Without an exec nothing else gives the tree its set, and every call would take the slow way.
            used = int.from_bytes(self._library.lookup(self._map("sets_used"), bytes(4), 4) or b"", "little")
            self._library.update(self._map("sets_used"), bytes(4), layout.ID.pack(used + 1))
            set_of_calls = used + layout.SLOW_SET + 1
            record[layout.TARGET_SET] = set_of_calls
        record[layout.TARGET_LAST_NAME] = 1  # there are names to read
        return number, flags | layout.FLAG_APP, context, set_of_calls, self._executable(pid), base_filters

    def adopt(self, processes: Mapping[int, int]) -> int:
        """Mark those that have no mark, as children of the first would have it; how many they were.

        pid -> seccomp filters that it has. Where a container runs under a filter, who has none yet is on its way in
        (`podman exec`): its calls are the runtime's up to its exec.
        """
        value = self._library.lookup(self._map("targets"), layout.ID.pack(self._number), layout.TARGET.size)
        record = layout.TARGET.unpack(value or bytes(layout.TARGET.size))
        flags, base_filters = record[layout.SET_WORDS + 6 : layout.SET_WORDS + 8]
        inside = (flags | layout.FLAG_APP, 0, record[layout.TARGET_SET] or layout.SLOW_SET)
        entering = (flags, 0, layout.SLOW_SET)
        confined = not flags & layout.FLAG_UNCONFINED
        return sum(
            self._mark(pid, entering, filters)
            if confined and filters <= base_filters
            else self._mark(pid, inside, base_filters)
            for pid, filters in processes.items()
        )

    def _mark(self, pid: int, state: tuple[int, int, int], base_filters: int) -> bool:
        try:
            process = os.pidfd_open(pid)
        except OSError:
            return False  # it has ended
        try:
            value = layout.MARK_VALUE.pack(self._number, *state, self._executable(pid), base_filters)
            self._library.update(self._map("marks"), process.to_bytes(4, "little"), value, BPF_NOEXIST)
        except OSError as error:
            # ENOENT: it has ended since (kernel/bpf/bpf_task_storage.c, bpf_pid_task_storage_update_elem)
            if error.errno in (errno.EEXIST, errno.ENOENT):
                return False
            raise
        finally:
            os.close(process)
        return True

    def _executable(self, pid: int) -> int:
        """The id of the name of a process's file, 0 where there is none, as for one that has just ended."""
        try:
            path = os.fsencode(os.readlink(f"/proc/{pid}/exe")).removesuffix(b" (deleted)")
        except OSError:
            return 0
        key = layout.NAME_KEY.pack(self._number, layout.NAME_EXECUTABLE, path[: layout.NAME_BYTES - 1])
        names = self._map("names")
        known = self._library.lookup(names, key, layout.NAME.size)
        if known is None:
            known = layout.NAME.pack(FIRST_NAME + pid, layout.SLOW_SET)
            try:
                self._library.update(names, key, known, BPF_NOEXIST)
            except OSError as error:
                if error.errno == errno.E2BIG:
                    return layout.NAME_OVERFLOW
                if error.errno != errno.EEXIST:
                    raise
                known = self._library.lookup(names, key, layout.NAME.size) or bytes(layout.NAME.size)
        return int(layout.NAME.unpack(known)[0])
