"""A live process, held so that its number cannot come to mean another: its executable mappings and their files out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ..model.frozen import frozen

MAPPINGS_READ = 16 * 1024 * 1024
"""Bytes of /proc/PID/maps that are looked at: a process may have 65,530 mappings with names of 4 KiB."""

MAPPINGS_KEPT = 4096
DELETED = " (deleted)"


@frozen
class Mapping:
    """Executable memory from `start` up to `end` (addresses), that shows a file from `offset` on.

    `name` is the file's basename, or what the kernel calls memory that is no file's ([vdso]); it may be empty.
    `device` is "major:minor" in hexadecimal; `inode` is 0 where there is no file.
    """

    start: int
    end: int
    offset: int
    device: str
    inode: int
    name: str


class Process:
    """A process by its directory in /proc; after its end all look-ups fail with OSError, whoever has its number.

    Use as a context manager. `started` is its start in clock ticks since boot (0: any); raises OSError if there
    is no such process.
    """

    def __init__(self, pid: int, started: int = 0) -> None:
        self.pid = pid
        self._directory = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if started and self._started() != started:
                raise ProcessLookupError(f"process {pid} is another one")
        except BaseException:
            os.close(self._directory)
            raise

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._directory)

    def _open(self, name: str, flags: int = os.O_RDONLY) -> int:
        return os.open(name, flags | os.O_CLOEXEC, dir_fd=self._directory)

    def _started(self) -> int:
        with os.fdopen(self._open("stat"), "rb") as file:
            # The command name may hold spaces and brackets; the fields go on after its last bracket.
            try:
                return int(file.read().rpartition(b")")[2].split()[19])
            except (IndexError, ValueError) as error:
                raise ProcessLookupError(f"process {self.pid} has no start") from error

    def inner_thread(self, tid: int) -> int:
        """The number that thread `tid` has in its own pid namespace, which is what it gets from gettid(2)."""
        with os.fdopen(self._open(f"task/{tid}/status"), "rb") as file:
            for line in file:
                if line.startswith(b"NSpid:"):
                    return int(line.split()[-1])
        return tid

    def threads(self) -> int:
        """How many threads it has."""
        tasks = self._open("task", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return len(os.listdir(tasks))
        finally:
            os.close(tasks)

    def executable(self) -> str:
        """The basename of the program that it runs, as its own mount namespace has it."""
        path = os.readlink("exe", dir_fd=self._directory)
        return _basename(path.encode("utf-8", "surrogateescape"))

    def mappings(self) -> Iterator[Mapping]:
        """Its executable mappings in the order of their addresses, up to MAPPINGS_KEPT."""
        kept = 0
        left = MAPPINGS_READ
        with os.fdopen(self._open("maps"), "rb") as file:
            while left > 0 and kept < MAPPINGS_KEPT and (line := file.readline(left)):
                left -= len(line)
                if line.find(b"x", 0, line.find(b" ", line.find(b" ") + 1)) < 0:
                    continue
                fields = line.rstrip(b"\n").split(None, 5)
                if len(fields) < 5:
                    continue
                start, _, end = fields[0].partition(b"-")
                kept += 1
                yield Mapping(
                    start=int(start, 16),
                    end=int(end, 16),
                    offset=int(fields[2], 16),
                    device=fields[3].decode("ascii"),
                    inode=int(fields[4]),
                    name=_basename(fields[5] if len(fields) == 6 else b""),
                )

    def open_file(self, mapping: Mapping) -> int:
        """A descriptor of the mapped file, to read; raises OSError, also where it is no regular file.

        It goes through map_files, whose entries lead to the file itself and not along a path: the container's
        own links and mounts cannot lead us elsewhere. A device is not opened, since that can do something.
        """
        entry = self._open(f"map_files/{mapping.start:x}-{mapping.end:x}", os.O_PATH)
        try:
            if not stat.S_ISREG(os.fstat(entry).st_mode):
                raise OSError(f"{mapping.name!r} is no regular file")
            return os.open(f"/proc/self/fd/{entry}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(entry)


def _basename(path: bytes) -> str:
    """The last part of a path as the kernel writes it, without its remark that the file is gone."""
    text = path.decode("utf-8", "backslashreplace").replace("\\012", "\n").removesuffix(DELETED)
    return text.rpartition("/")[2] if text.startswith("/") else text
