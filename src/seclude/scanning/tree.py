"""The files of an archive without unpacking it: members by name in, a file's contents by its path out.

Nothing is made on disk. Links lead where they lead in a container, never out of the tree; devices are no files.
"""

from __future__ import annotations

import os

from ..errors import SecludeError
from ..model.frozen import frozen
from .root import LARGEST_FILE, MOST_ENTRIES, MOST_LINKS

MOST_NODES = 1_000_000
"""Files and directories of one tree, over all layers."""

LONGEST_PATH = 4096
DEEPEST = 256
MOST_STEPS = 100_000_000
"""Names looked at on the way to all paths together: links may make one path as long as many."""

_CHUNK = 1024 * 1024


@frozen
class Held:
    """A regular file: `size` bytes from `offset` of an open file."""

    descriptor: int
    offset: int
    size: int


@frozen
class Link:
    """A symbolic link."""

    target: str


@frozen
class Special:
    """What is there and cannot be read: `reason` says what it is."""

    reason: str


Node = dict[str, "Node"] | Held | Link | Special


class Tree:
    """A root file system in memory, with the methods of Root that read; a context manager like it."""

    def __init__(self) -> None:
        self._top: dict[str, Node] = {}
        self._nodes = 0
        self._steps = MOST_STEPS
        self.held: list[int] = []
        """Descriptors that it closes at the end."""

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that the contents lie in."""
        while self.held:
            os.close(self.held.pop())

    def put(self, path: str, node: Node) -> None:
        """A member: it replaces what is there, but a directory leaves a directory as it is.

        Raises SecludeError for a path that leads out of the tree, and beyond the limits.
        """
        parts = _parts(path)
        if not parts:
            return
        directory = self._directory(parts[:-1])
        if isinstance(node, dict) and isinstance(directory.get(parts[-1]), dict):
            return
        self._count()
        directory[parts[-1]] = node

    def alias(self, path: str, other: str) -> None:
        """A hard link: `path` becomes what `other` is; one to what is not there is passed over, as nothing is read."""
        try:
            target = self._found(other, follow=False)[0]
        except OSError:
            return
        if not isinstance(target, dict):
            self.put(path, target)

    def remove(self, path: str) -> None:
        """What is at a path, if anything."""
        parts = _parts(path)
        try:
            parent = self._found("/".join(parts[:-1]))[0]
        except OSError:
            return
        if parts and isinstance(parent, dict):
            parent.pop(parts[-1], None)

    def clear(self, path: str) -> None:
        """What is in a directory, if there is one."""
        try:
            node = self._found(path)[0]
        except OSError:
            return
        if isinstance(node, dict):
            node.clear()

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise SecludeError(f"the archive has more than {MOST_NODES} files and directories")

    def _directory(self, parts: list[str]) -> dict[str, Node]:
        """The directory, made where it is missing; links to directories are followed inside of the tree."""
        try:
            node = self._found("/".join(parts))[0]
        except OSError:
            node = None
        if isinstance(node, dict):
            return node
        parent = self._directory(parts[:-1])
        made: dict[str, Node] = {}
        self._count()
        parent[parts[-1]] = made
        return made

    def _found(self, path: str, *, follow: bool = True) -> tuple[Node, str]:
        """(what is at a path, the path without links); raises OSError. `follow`: also the last link."""
        parts = [part for part in reversed(path.split("/")) if part]
        nodes: list[Node] = [self._top]
        names: list[str] = []
        links = 0
        while parts:
            part = parts.pop()
            here = nodes[-1]
            self._steps -= 1
            if self._steps < 0:
                raise SecludeError(f"the links in the archive make more than {MOST_STEPS} steps")
            if part == ".":
                continue
            if part == "..":
                if names:  # the root is its own parent
                    nodes.pop()
                    names.pop()
                continue
            if not isinstance(here, dict):
                raise NotADirectoryError(20, "Not a directory")
            if part not in here:
                raise FileNotFoundError(2, "No such file or directory")
            node = here[part]
            if not isinstance(node, Link) or not (parts or follow):
                nodes.append(node)
                names.append(part)
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(40, "too many links")
            if len(node.target) > LONGEST_PATH:
                raise OSError(36, "a link is too long")
            if node.target.startswith("/"):
                del nodes[1:], names[:]
            parts += [part for part in reversed(node.target.split("/")) if part]
        return nodes[-1], "/" + "/".join(names)

    def read(self, path: str, most: int = LARGEST_FILE) -> tuple[bytes, str]:
        """(the contents, the path without links) of a regular file; raises OSError, also for one larger than `most`."""
        held, real = self.place(path)
        if held.size > most:
            raise OSError(27, f"larger than {most} bytes")
        parts = []
        at = 0
        while at < held.size:
            part = os.pread(held.descriptor, min(_CHUNK, held.size - at), held.offset + at)
            if not part:
                raise OSError(5, "the archive ends within the file")
            parts.append(part)
            at += len(part)
        return b"".join(parts), real

    def place(self, path: str) -> tuple[Held, str]:
        """(where a regular file lies, its path without links); raises OSError."""
        node, real = self._found(path)
        if not isinstance(node, Held):
            raise OSError(22, node.reason if isinstance(node, Special) else "no regular file")
        return node, real

    def exists(self, path: str) -> bool:
        """Whether there is a regular file at the path."""
        try:
            self.place(path)
        except OSError:
            return False
        return True

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted, up to MOST_ENTRIES; none where there is no directory."""
        try:
            node = self._found(path)[0]
        except OSError:
            return []
        return sorted(node)[:MOST_ENTRIES] if isinstance(node, dict) else []


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise SecludeError(f"{path[:200]!r} in the archive leads out of it", hint="no engine would unpack it")
    if len(path) > LONGEST_PATH or len(parts) > DEEPEST:
        raise SecludeError(
            f"{path[:200]!r} in the archive is longer than {LONGEST_PATH} letters or {DEEPEST} names"
        )
    return parts
