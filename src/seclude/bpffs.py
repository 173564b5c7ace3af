"""The BPF file system: whether a directory lies on one, and mounting it where an init system has not."""

from __future__ import annotations

import ctypes
import os

from .errors import TraceError

DEFAULT = "/sys/fs/bpf"
MAGIC = 0xCAFE4A11  # include/uapi/linux/magic.h, BPF_FS_MAGIC
_MOUNT_FLAGS = 2 | 4 | 8  # MS_NOSUID | MS_NODEV | MS_NOEXEC, as systemd mounts it


def is_bpffs(path: str) -> bool:
    """Whether `path` lies on a mounted BPF file system."""
    buffer = (ctypes.c_long * 32)()  # struct statfs begins with f_type
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.statfs(os.fsencode(path), buffer) == 0 and buffer[0] & 0xFFFFFFFF == MAGIC


def ensure(path: str) -> bool:
    """Mount the kernel's usual one if it is missing; True if that was needed. Raises TraceError.

    Any other directory is the user's to mount.
    """
    if is_bpffs(path):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    if path != DEFAULT or libc.mount(b"bpf", os.fsencode(path), b"bpf", _MOUNT_FLAGS, b"mode=0700") != 0:
        reason = f": {os.strerror(ctypes.get_errno())}" if ctypes.get_errno() else ""
        raise TraceError(
            f"no BPF file system is mounted at {path}{reason}", hint=f"run `mount -t bpf bpf {path}` as root"
        )
    return True
