"""Files below a directory that somebody else filled: a path as the container sees it in, a descriptor out.

Symbolic links are resolved here and not by the kernel, so that none leads out of the directory.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

from ..errors import SecludeError

MOST_LINKS = 40
LARGEST_FILE = 256 * 1024 * 1024
MOST_ENTRIES = 10_000


class Files(Protocol):
    """What is asked of a root file system, in a directory (Root) or in an archive (Tree)."""

    def read(self, path: str, most: int = ...) -> tuple[bytes, str]: ...

    def exists(self, path: str) -> bool: ...

    def names(self, path: str) -> list[str]: ...


class Root:
    """A root file system by its directory; use as a context manager. Raises SecludeError if there is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SecludeError(f"{path} is no directory: {os.strerror(error.errno or 0)}") from error

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._directory)

    def find(self, path: str) -> tuple[int, str]:
        """(an O_PATH descriptor, the path without links) of what `path` means below the root; raises OSError."""
        parts = [part for part in path.split("/") if part]
        parts.reverse()
        held = [os.dup(self._directory)]
        names: list[str] = []
        links = 0
        try:
            while parts:
                part = parts.pop()
                if part == ".":
                    continue
                if part == "..":
                    if names:  # the root is its own parent
                        os.close(held.pop())
                        names.pop()
                    continue
                following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held[-1])
                if not stat.S_ISLNK(os.fstat(following).st_mode):
                    held.append(following)
                    names.append(part)
                    continue
                try:
                    target = os.readlink("", dir_fd=following)
                finally:
                    os.close(following)
                links += 1
                if links > MOST_LINKS:
                    raise OSError(40, "too many links")
                if target.startswith("/"):
                    while names:
                        os.close(held.pop())
                        names.pop()
                parts += [part for part in reversed(target.split("/")) if part]
            return held.pop(), "/" + "/".join(names)
        finally:
            for descriptor in held:
                os.close(descriptor)

    def read(self, path: str, most: int = LARGEST_FILE) -> tuple[bytes, str]:
        """(the contents, the path without links) of a regular file; raises OSError, also for one larger than `most`."""
        place, real = self.find(path)
        try:
            status = os.fstat(place)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(22, "no regular file")
            if status.st_size > most:
                raise OSError(27, f"larger than {most} bytes")
            descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(place)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most), real

    def exists(self, path: str) -> bool:
        """Whether there is a regular file at the path."""
        try:
            place, _ = self.find(path)
        except OSError:
            return False
        try:
            return stat.S_ISREG(os.fstat(place).st_mode)
        finally:
            os.close(place)

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted, up to MOST_ENTRIES; none where there is no directory."""
        try:
            place, _ = self.find(path)
        except OSError:
            return []
        try:
            with os.scandir(f"/proc/self/fd/{place}") as entries:
                return sorted(entry.name for entry, _ in zip(entries, range(MOST_ENTRIES), strict=False))
        except OSError:
            return []
        finally:
            os.close(place)
