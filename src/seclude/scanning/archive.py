"""Reads tar files that nobody vouches for: a place in an open file in, its members in a Tree out, nothing unpacked.

A file that is compressed is decompressed into a temporary file without a name, up to a limit.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator

from ..errors import SecludeError
from .tree import Held, Link, Node, Special, Tree

LARGEST_UNPACKED = 8 * 1024 * 1024 * 1024
"""Bytes of all layers of one archive together, once they are decompressed."""

LARGEST_HEADER = 1024 * 1024
"""Bytes of one header: a longer name or attribute is no container's."""

MOST_MEMBERS = 1_000_000
_CHUNK = 1024 * 1024
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_OTHERS = {b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}


class Window:
    """A part of an open file as tarfile and gzip read one; no read is longer than LARGEST_HEADER."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        if not 0 <= size <= LARGEST_HEADER:
            raise SecludeError(f"a header in the archive is longer than {LARGEST_HEADER} bytes")
        size = max(0, min(size, self._held.size - self._at))
        data = os.pread(self._held.descriptor, size, self._held.offset + self._at) if size else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """To a distance from the beginning (0), from here (1) or from the end (2)."""
        self._at = max(0, offset + (0, self._at, self._held.size)[whence])
        return self._at

    def tell(self) -> int:
        """The distance from the beginning."""
        return self._at

    def seekable(self) -> bool:
        """Always."""
        return True


class Unpacker:
    """Puts the members of tar files into one tree, a layer over the other. Its limits are for all of them together."""

    def __init__(self, tree: Tree, source: str) -> None:
        self._tree = tree
        self._source = source
        self._bytes = LARGEST_UNPACKED
        self._members = MOST_MEMBERS

    def plain(self, held: Held) -> Held:
        """The same without compression. Raises SecludeError if it is not gzip's, damaged or too large."""
        start = os.pread(held.descriptor, 6, held.offset)
        for magic, name in _OTHERS.items():
            if start.startswith(magic):
                raise SecludeError(
                    f"{self._source} is compressed with {name}, and only gzip is read here",
                    hint=f"decompress it first, or save the image without compression (it was made with {name})",
                )
        if start[:2] != b"\x1f\x8b":
            return held
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
            self._tree.held.append(descriptor)
            size = 0
            try:
                with gzip.GzipFile(fileobj=Window(held)) as stream:
                    while part := stream.read(_CHUNK):
                        size += len(part)
                        if size > self._bytes:
                            raise SecludeError(
                                f"{self._source} has more than {LARGEST_UNPACKED} bytes once it is decompressed"
                            )
                        file.write(part)
                file.flush()
            except (EOFError, zlib.error, OSError) as error:
                raise SecludeError(f"{self._source} cannot be decompressed: {error}") from error
        self._bytes -= size
        return Held(descriptor=descriptor, offset=0, size=size)

    def layer(self, held: Held) -> None:
        """All members of a tar file, and what it removes from the layers below (OCI image spec, layer.md).

        Raises SecludeError for a tar file that is damaged, leads out of itself or is beyond the limits.
        """
        held = self.plain(held)
        members: list[tuple[str, Node | str]] = []
        for member in self._read(held):
            directory, _, last = member.name.rstrip("/").rpartition("/")
            if last == _OPAQUE:
                self._tree.clear(directory)
            elif last.startswith(_WHITEOUT):
                self._tree.remove(f"{directory}/{last[len(_WHITEOUT) :]}")
            else:
                members.append((member.name, self._node(member, held)))
        # Afterwards, since a layer removes nothing of its own.
        for name, node in members:
            if isinstance(node, str):
                self._tree.alias(name, node)
            else:
                self._tree.put(name, node)

    def _node(self, member: tarfile.TarInfo, held: Held) -> Node | str:
        """What a member is in the tree; for a hard link the other name."""
        if member.isdir():
            return {}
        if member.issym():
            return Link(target=member.linkname)
        if member.islnk():
            return member.linkname
        if member.sparse is not None:
            return Special(reason="a sparse file, which is not read from an archive")
        if not member.isreg():
            return Special(reason="no regular file")
        if member.offset_data + member.size > held.size:
            raise SecludeError(f"{self._source} ends within {member.name[:200]!r}", hint="it is cut off")
        return Held(descriptor=held.descriptor, offset=held.offset + member.offset_data, size=member.size)

    def _read(self, held: Held) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(fileobj=Window(held), mode="r:", errors="surrogateescape") as tar:  # type: ignore[call-overload]
                last = -1
                while (member := tar.next()) is not None:
                    tar.members.clear()  # it would keep all of them
                    if member.size < 0 or member.offset <= last:
                        raise SecludeError(f"{self._source} is no tar file: it leads back into itself")
                    last = member.offset
                    self._members -= 1
                    if self._members < 0:
                        raise SecludeError(f"{self._source} has more than {MOST_MEMBERS} members")
                    yield member
        except (tarfile.TarError, ValueError, OverflowError, OSError, RecursionError) as error:
            raise SecludeError(f"{self._source} cannot be read as a tar file: {error}") from error
