"""A name in; from then on a recorder puts the calls of this process and its descendants under that name.

It is one system call, prctl with a first argument that no kernel knows, which the kernel refuses and the recorder
understands. It needs no privilege and nothing but this file, which may be copied into an image. Without a recorder,
and where prctl cannot be reached, it does nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MARK = 0x5EC1DE00
"""prctl's first argument (bpf/recorder.h, SECLUDE_MARK)."""

LONGEST = 247
"""Bytes of a name that the recorder keeps."""

ANNOUNCED = "SECLUDE_RECORDING"
"""The environment variable by which `seclude record` and `seclude ci` say to their command that a recorder is there."""


class _Prctl:
    """prctl(2) of the running program, looked up when it is first called.

    `_ctypes` and not `ctypes`: that one makes a closure as it is imported, for which libffi asks the kernel for
    executable memory, and such calls have no place in the profile of the program that is recorded. The interpreter's
    lock is kept meanwhile, since giving it up makes calls of its own (futex) where there are threads.
    """

    def __init__(self) -> None:
        self._call: Callable[[object, bytes], object] | None = None
        self._first: object = MARK

    def __call__(self, name: bytes) -> None:
        if self._call is None:
            self._call, self._first = _found()
        self._call(self._first, name)


def _found() -> tuple[Callable[[object, bytes], object], object]:
    """prctl and its first argument, made ready once: each conversion costs as much as the call itself.

    Neither the kernel nor the recorder looks at the other three arguments of a marker.
    """
    try:
        from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_PYTHONAPI, CFuncPtr, _SimpleCData, dlopen

        def kind(letter: str) -> Any:
            return type("Value", (_SimpleCData,), {"_type_": letter})

        number, text = kind("i"), kind("z")

        class Function(CFuncPtr):
            _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI
            _restype_ = None
            _argtypes_ = (number, text)

        class Program:
            _handle = dlopen(None, 0)  # type: ignore[arg-type]  # the name by which _ctypes looks for it

        return Function(("prctl", Program())), number(MARK)  # type: ignore[arg-type]
    except (ImportError, AttributeError, OSError):
        return lambda *_: None, MARK


_PRCTL = _Prctl()


def mark(name: str) -> None:
    """Enter the context `name`; the empty name leads back to none.

    It holds for the whole process and for those that it starts from then on, not for one thread. Of a name longer than
    247 bytes of UTF-8 the beginning is kept and a checksum of all of it, so that it stays one of its own.
    """
    enter(bounded(name))


def enter(name: bytes) -> None:
    """The same for a name that was made ready by `bounded`."""
    # Bytes that were just made are in memory: the recorder cannot fetch a page from disk.
    _PRCTL(name)


def bounded(name: str, longest: int = LONGEST) -> bytes:
    """`name` as the recorder can keep it: at most `longest` bytes of UTF-8, none of them NUL."""
    kept = name.encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
    if len(kept) <= longest:
        return kept
    end = b"~%08x" % _checksum(kept)
    return kept[: longest - len(end)].decode("utf-8", "ignore").encode() + end


def _checksum(data: bytes) -> int:
    """32 bits of FNV-1a: zlib and hashlib would load libraries, calls that the program itself does not make."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


class marked:
    """The context `name` for a block; after it there is none, whatever was before."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        mark(self._name)

    def __exit__(self, *_: object) -> None:
        mark("")
