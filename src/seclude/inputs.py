"""Files that we are told to read: a path in, its text out, or an error that says which limit was met."""

from __future__ import annotations

import os
import stat

from .errors import SecludeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def opened(path: str, *, error: type[SecludeError]) -> BinaryIO:
    """A regular file to read bytes from, to be closed; raises `error`.

    Opened without blocking, so that a FIFO or a device under the name cannot hold us.
    """
    shown = _shown(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        hint = "check the path" if isinstance(failure, FileNotFoundError) else ""
        raise error(f"{shown} cannot be read: {os.strerror(failure.errno or 0)}", hint=hint) from failure
    except ValueError as failure:
        raise error(f"{path!r} is no path: {failure}") from failure
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"{shown} is no regular file")
    return os.fdopen(descriptor, "rb")


def read_text(path: str, *, limit: int, error: type[SecludeError]) -> str:
    """The UTF-8 text of a regular file of at most `limit` bytes; raises `error`."""
    with opened(path, error=error) as file:
        raw = file.read(limit + 1)
    shown = _shown(path)
    if len(raw) > limit:
        raise error(f"{shown} is larger than {limit} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise error(f"{shown} is not UTF-8 text: byte {failure.start}") from failure


def _shown(path: str) -> str:
    # Whoever starts a container chooses paths, and somebody else may read the message.
    return path if path.isprintable() else repr(path)
