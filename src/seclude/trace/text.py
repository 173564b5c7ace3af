"""Names from a hostile process: NUL-ended bytes in, text out."""

from __future__ import annotations


def text_of(raw: bytes) -> str:
    """The bytes before the first NUL as text; what is no UTF-8 comes out as \\xNN."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
