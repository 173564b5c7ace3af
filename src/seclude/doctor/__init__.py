"""What this machine offers for recording: places and search path in, one check for each thing that matters out.

`missing` is said only of what no recording can do without; whatever else is absent leaves a check `degraded`.
"""

from __future__ import annotations

import os

from .. import bpffs
from ..registrations import STATE
from . import engines, hooks, kernel, launchers, libraries, rootless
from .check import DEGRADED, MISSING, OK, Check

__all__ = ["DEGRADED", "MISSING", "OK", "Check", "diagnose", "search_path"]

_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where podman finds runtimes although an ordinary user's PATH has none of it (containers.conf(5), runtimes)."""


def search_path(path: str) -> tuple[str, ...]:
    """The directories of a PATH and those of system programs; relative ones are left out, we may run as root."""
    directories = [*path.split(os.pathsep), *_SYSTEM_DIRECTORIES]
    return tuple(dict.fromkeys(directory for directory in directories if directory.startswith("/")))


def _user() -> tuple[str, ...]:
    """The names under which /etc/subuid may list this user (subuid(5)): the login's and the number."""
    import pwd

    uid = os.getuid()
    try:
        return (pwd.getpwuid(uid).pw_name, str(uid))
    except KeyError:
        return (str(uid),)


def diagnose(
    *,
    root: str = "",
    bpffs_path: str = bpffs.DEFAULT,
    state_dir: str = STATE,
    search: tuple[str, ...] | None = None,
    timeout: float = 5.0,
) -> tuple[Check, ...]:
    """Every check, in the order in which things depend on one another.

    `root` stands before every file of the system that is read; `search` has the directories of programs, PATH's
    unless given; no program runs for longer than `timeout` seconds. Changes nothing, and raises nothing that a
    machine can cause.
    """
    if search is None:
        search = search_path(os.environ.get("PATH", os.defpath))
    system = os.uname()
    capabilities = kernel.capabilities(root)
    capable = capabilities.state == OK
    podman = engines.podman(search, timeout)
    return (
        kernel.release(system.release, system.machine),
        kernel.btf(root),
        capabilities,
        kernel.filters(root, system.release),
        kernel.bpf_file_system(root, bpffs_path, mountable=capable and kernel.may_mount(root)),
        kernel.tracing_file_system(root),
        kernel.cgroups(root),
        libraries.libbpf(),
        libraries.recorder(capable=capable),
        libraries.pinned(bpffs_path, state_dir),
        libraries.libseccomp(system.machine),
        podman,
        engines.docker(search, timeout),
        engines.containerd(search, timeout),
        *engines.runtimes(search, timeout),
        *hooks.checks(root, hooks.directories(search, timeout)),
        launchers.check(root),
        rootless.check(root, search, () if os.geteuid() == 0 else _user()),
    )
