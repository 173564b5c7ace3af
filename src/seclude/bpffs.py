"""The BPF file system: whether a directory lies on one, and mounting it where an init system has not."""

from __future__ import annotations

import os

from .errors import TraceError
from .foreign import U64, Int, Library, Pointer, Text, get_errno, set_errno

DEFAULT = "/sys/fs/bpf"
MAGIC = 0xCAFE4A11  # include/uapi/linux/magic.h, BPF_FS_MAGIC
_MOUNT_FLAGS = 2 | 4 | 8  # MS_NOSUID | MS_NODEV | MS_NOEXEC, as systemd mounts it


def is_bpffs(path: str) -> bool:
    """Whether `path` lies on a mounted BPF file system."""
    status = (U64 * 32)()  # struct statfs begins with f_type, a long
    statfs = Library(None).function("statfs", Int, (Text, Pointer))
    return bool(statfs(os.fsencode(path), status) == 0 and status[0] & 0xFFFFFFFF == MAGIC)


def ensure(path: str) -> bool:
    """Mount the kernel's usual one if it is missing; True if that was needed. Raises TraceError.

    Any other directory is the user's to mount.
    """
    if is_bpffs(path):
        return False
    mount = Library(None).function("mount", Int, (Text, Text, Text, U64, Text))
    set_errno(0)
    if path != DEFAULT or mount(b"bpf", os.fsencode(path), b"bpf", _MOUNT_FLAGS, b"mode=0700") != 0:
        reason = f": {os.strerror(get_errno())}" if get_errno() else ""
        raise TraceError(
            f"no BPF file system is mounted at {path}{reason}", hint=f"run `mount -t bpf bpf {path}` as root"
        )
    return True
