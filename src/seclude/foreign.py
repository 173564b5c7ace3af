"""Shared libraries in, their functions out: the little of ctypes that the hook needs, without loading ctypes.

The package takes some 4 ms to import, its types and their checks mostly, and the hook starts twice for each container.
`_ctypes` is the extension module beneath it; what is used here has been the same since Python 3.3.
"""

from __future__ import annotations

import os
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    byref,
    dlopen,
    get_errno,
    set_errno,
    sizeof,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = [
    "U32",
    "U64",
    "Int",
    "Library",
    "Pointer",
    "Text",
    "buffer",
    "byref",
    "get_errno",
    "set_errno",
    "sizeof",
]


class Int(_SimpleCData):  # type: ignore[type-arg]
    """An int."""

    _type_ = "i"


class U32(_SimpleCData):  # type: ignore[type-arg]
    """An unsigned 32-bit integer."""

    _type_ = "I"


class U64(_SimpleCData):  # type: ignore[type-arg]
    """An unsigned 64-bit integer."""

    _type_ = "Q"


class Text(_SimpleCData):  # type: ignore[type-arg]
    """A char *, from bytes."""

    _type_ = "z"


class Pointer(_SimpleCData):  # type: ignore[type-arg]
    """A void *: from None, a number, bytes, an array or byref(...)."""

    _type_ = "P"


class _Byte(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = Int


def buffer(size: int) -> Any:
    """`size` zero bytes that C may write to; `.raw` gives them."""
    return (_Byte * size)()


class Library:
    """A shared library, or the running program itself (None); raises OSError where it cannot be loaded."""

    def __init__(self, name: str | None) -> None:
        self._handle = dlopen(name, os.RTLD_NOW)  # type: ignore[arg-type]  # the name by which _ctypes looks for it

    def function(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """The function `name`; the C error number of its last call is what get_errno says. Raises AttributeError."""
        function: Any = _Function((name, self))  # type: ignore[arg-type]
        function.restype, function.argtypes = result, list(arguments)
        return function
