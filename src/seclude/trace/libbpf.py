"""The part of libbpf 1.x that the recorder needs: file descriptors and bytes in and out."""

from __future__ import annotations

import errno
import os

from .. import foreign
from ..errors import TraceError
from ..foreign import U32, U64, Int, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

BPF_TRACE_RAW_TP = 23  # include/uapi/linux/bpf.h, enum bpf_attach_type
BPF_TRACE_ITER = 28
BPF_ANY = 0
BPF_NOEXIST = 1

_POINTER = foreign.Pointer
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (_POINTER, [_POINTER]),
    "bpf_object__open_file": (_POINTER, [Text, _POINTER]),
    "bpf_object__load": (Int, [_POINTER]),
    "bpf_object__close": (None, [_POINTER]),
    "bpf_object__find_map_fd_by_name": (Int, [_POINTER, Text]),
    "bpf_object__find_map_by_name": (_POINTER, [_POINTER, Text]),
    "bpf_map__reuse_fd": (Int, [_POINTER, Int]),
    "bpf_object__find_program_by_name": (_POINTER, [_POINTER, Text]),
    "bpf_program__fd": (Int, [_POINTER]),
    "bpf_obj_pin": (Int, [Int, Text]),
    "bpf_obj_get": (Int, [Text]),
    "bpf_link_create": (Int, [Int, Int, Int, _POINTER]),
    "bpf_iter_create": (Int, [Int]),
    "bpf_map_update_elem": (Int, [Int, _POINTER, _POINTER, U64]),
    "bpf_map_lookup_elem": (Int, [Int, _POINTER, _POINTER]),
    "bpf_map_delete_elem": (Int, [Int, _POINTER]),
    "bpf_map_lookup_batch": (Int, [Int, *[_POINTER] * 6]),
    "bpf_map_get_info_by_fd": (Int, [Int, _POINTER, _POINTER]),
    "bpf_obj_get_info_by_fd": (Int, [Int, _POINTER, _POINTER]),
}


class LibBpf:
    """libbpf.so.1, loaded on construction; raises TraceError naming the package where it is missing.

    Every call raises OSError with the errno of the kernel's answer, but for a missing key, which is None or False.
    """

    def __init__(self, name: str = "libbpf.so.1") -> None:
        try:
            self._library = foreign.Library(name)
        except OSError as error:
            raise TraceError(
                f"{name} cannot be loaded: {error}",
                hint="install libbpf 1.x: `apt-get install libbpf1` on Debian and Ubuntu, "
                "`dnf install libbpf` on Fedora",
            ) from error
        self._functions: dict[str, Any] = {}
        self._call("libbpf_set_print", None)

    def _call(self, name: str, *arguments: object) -> int:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._library.function(name, *_SIGNATURES[name])
        foreign.set_errno(0)
        result = function(*arguments)
        return result if result is not None else 0

    def _checked(self, name: str, *arguments: object) -> int:
        result = self._call(name, *arguments)
        if result < 0:
            number = foreign.get_errno() or -result
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result

    def open_object(self, path: str, reused: Mapping[str, int] = {}) -> BpfObject:
        """The compiled programs and maps in `path`, loaded into the kernel.

        `reused`: name -> descriptor of maps that are there already, which take the place of the object's own.
        """
        handle = self._call("bpf_object__open_file", os.fsencode(path), None)
        if not handle:
            number = foreign.get_errno()
            raise OSError(number, f"{path}: {os.strerror(number)}")
        loaded = BpfObject(self, handle)
        try:
            for name, descriptor in reused.items():
                place = self._call("bpf_object__find_map_by_name", handle, name.encode())
                self._checked("bpf_map__reuse_fd", place, descriptor)
            self._checked("bpf_object__load", handle)
        except OSError:
            loaded.close()
            raise
        return loaded

    def pin(self, descriptor: int, path: str) -> None:
        self._checked("bpf_obj_pin", descriptor, os.fsencode(path))

    def get(self, path: str) -> int:
        """A new descriptor of what is pinned at `path`."""
        return self._checked("bpf_obj_get", os.fsencode(path))

    def attach(self, program: int) -> int:
        """A link that runs a tp_btf program; it ends when its last descriptor and pin are gone."""
        return self._checked("bpf_link_create", program, 0, BPF_TRACE_RAW_TP, None)

    def iterate(self, program: int) -> bytes:
        """Run an iter program once over all that there is of its kind; what it has written."""
        link = self._checked("bpf_link_create", program, 0, BPF_TRACE_ITER, None)
        try:
            descriptor = self._checked("bpf_iter_create", link)
        finally:
            os.close(link)
        with open(descriptor, "rb", buffering=0) as file:
            return file.readall()

    def map_sizes(self, descriptor: int) -> tuple[int, int]:
        """(bytes of a key, bytes of a value): struct bpf_map_info has type, id, key_size, value_size, ..."""
        info = (U32 * 32)()
        length = U32(foreign.sizeof(info))
        self._checked("bpf_obj_get_info_by_fd", descriptor, foreign.byref(info), foreign.byref(length))
        return info[2], info[3]

    def update(self, descriptor: int, key: bytes, value: bytes, flags: int = BPF_ANY) -> None:
        self._checked("bpf_map_update_elem", descriptor, key, value, flags)

    def lookup(self, descriptor: int, key: bytes, size: int) -> bytes | None:
        value = foreign.buffer(size)
        try:
            self._checked("bpf_map_lookup_elem", descriptor, key, value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return bytes(value.raw)

    def delete(self, descriptor: int, key: bytes) -> bool:
        try:
            self._checked("bpf_map_delete_elem", descriptor, key)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def entries(self, descriptor: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
        """Every (keys, values) block of a hash map, each a run of whole entries in the same order."""
        room = 1024
        token = foreign.buffer(8)
        first = True
        while True:
            keys = foreign.buffer(room * key_size)
            values = foreign.buffer(room * value_size)
            count = U32(room)
            following = foreign.buffer(8)
            last = False
            try:
                self._checked(
                    "bpf_map_lookup_batch",
                    descriptor,
                    None if first else token,
                    following,
                    keys,
                    values,
                    foreign.byref(count),
                    None,
                )
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    room *= 2  # one bucket holds more than we made room for
                    continue
                if error.errno != errno.ENOENT:
                    raise
                last = True
            if count.value:
                yield keys.raw[: count.value * key_size], values.raw[: count.value * value_size]
            if last:
                return
            token, first = following, False


class BpfObject:
    """A loaded object: its maps and programs by name, until `close`."""

    def __init__(self, library: LibBpf, handle: int) -> None:
        self._library = library
        self._handle = handle

    def map(self, name: str) -> int:
        """The descriptor of a map, owned by the object."""
        return self._library._checked("bpf_object__find_map_fd_by_name", self._handle, name.encode())

    def program(self, name: str) -> int:
        """The descriptor of a program, owned by the object."""
        handle = self._library._call("bpf_object__find_program_by_name", self._handle, name.encode())
        if not handle:
            raise OSError(errno.ENOENT, f"no program {name}")
        return self._library._checked("bpf_program__fd", handle)

    def close(self) -> None:
        self._library._call("bpf_object__close", self._handle)
