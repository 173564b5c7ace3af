"""The kernel and this process's rights: files below a root directory in, one check for each feature out."""

from __future__ import annotations

import gzip
import os
import zlib

from ..bpffs import DEFAULT, is_bpffs
from ..model.profile import kernel_version
from ..trace.ebpf import BTF
from . import look
from .check import Check, degraded, missing, ok

OLDEST = (5, 13)
"""Task storage for tracing programs (a10787e6d58c); 5.11 and 5.12 have it for BPF LSM alone."""

OLDEST_FOR_WATCHING = (5, 17)
"""bpf_loop (e6f2dd0f8067), with which denials are told from other calls that return at once."""

MACHINES = ("x86_64", "aarch64")
LARGEST_CONFIG = 4 * 1024 * 1024

# include/uapi/linux/capability.h
_SYS_ADMIN, _PERFMON, _BPF = 21, 38, 39
_INITIAL_USER_NAMESPACE = "user:[4026531837]"  # include/linux/proc_ns.h, PROC_USER_INIT_INO
_EVERYBODY = ["0", "0", "4294967295"]


def release(text: str, machine: str) -> Check:
    """Whether the recorder was made for a kernel such as this: `text` is uname's release."""
    name, found = "kernel", f"Linux {text} on {machine}"
    version = kernel_version(text)
    if machine not in MACHINES:
        return missing(
            name, found, f"record on {' or '.join(MACHINES)}: the recorder knows no other machine's calls"
        )
    if version is None:
        return degraded(
            name, f"{found}, which names no version", "compare it with the least that is needed, Linux 5.13"
        )
    if version < OLDEST:
        # Distributions bring features to old releases: whether the kernel takes the recorder is tried (libraries.py).
        next_step = "boot Linux 5.13 or newer, unless this one takes the recorder (below)"
        return degraded(name, f"{found}, older than 5.13", next_step)
    if version < OLDEST_FOR_WATCHING:
        return degraded(name, found, "boot Linux 5.17 or newer to watch denials live; recording works")
    return ok(name, found)


def btf(root: str = "") -> Check:
    """The kernel's type information, by which the recorder finds its way in the kernel's structures."""
    try:
        size = os.stat(root + BTF).st_size
    except OSError as error:
        next_step = (
            "boot a kernel that is built with CONFIG_DEBUG_INFO_BTF, as those of the distributions are"
        )
        return missing("BTF", f"{BTF}: {error.strerror}", next_step)
    return ok("BTF", f"{BTF}, {size // 1024} kB")


def may_mount(root: str = "") -> bool:
    """Whether this process has CAP_SYS_ADMIN, wherever that counts."""
    return bool((_effective(root) or 0) >> _SYS_ADMIN & 1)


def _effective(root: str) -> int | None:
    status = dict(line.partition(":")[::2] for line in look.contents(root, "/proc/self/status").splitlines())
    try:
        return int(status["CapEff"], 16)
    except (KeyError, ValueError):
        return None


def capabilities(root: str = "") -> Check:
    """Whether this process may load programs into the kernel: by its capabilities and its user namespace."""
    name = "capabilities"
    effective = _effective(root)
    if effective is None:
        return missing(name, "/proc/self/status names no effective capabilities", "mount /proc")
    held = {bit for bit in (_SYS_ADMIN, _PERFMON, _BPF) if effective >> bit & 1}
    if _SYS_ADMIN not in held and held != {_PERFMON, _BPF}:
        found = f"neither CAP_SYS_ADMIN nor CAP_BPF and CAP_PERFMON (effective: {effective:#x})"
        return missing(name, found, "run as root: `sudo seclude ...`; without, `seclude record` uses notify")
    try:
        namespace = os.readlink(root + "/proc/self/ns/user")
    except OSError:
        namespace = _INITIAL_USER_NAMESPACE  # then uid_map alone must do
    ranges = look.contents(root, "/proc/self/uid_map").split()
    if ranges != _EVERYBODY or namespace != _INITIAL_USER_NAMESPACE:
        found = "a user namespace, in which the kernel refuses eBPF to root too"
        return missing(name, found, "run outside of it, not in a rootless container or `unshare --user`")
    return ok(name, "CAP_SYS_ADMIN" if _SYS_ADMIN in held else "CAP_BPF, CAP_PERFMON")


def filters(root: str, kernel: str) -> Check:
    """Whether the kernel keeps seccomp filters as they were loaded; `kernel` is uname's release."""
    name, option = "seccomp filters", "CONFIG_CHECKPOINT_RESTORE"
    places = ("/proc/config.gz", f"/boot/config-{kernel}", f"/lib/modules/{kernel}/config")
    for place in places:
        lines = _config(root + place).splitlines()
        if not lines:
            continue
        if f"{option}=y" in lines:
            return ok(name, f"the kernel keeps them readable ({option} in {place})")
        found = f"the kernel does not keep them readable (no {option} in {place})"
        return degraded(name, found, f"boot a kernel with {option} to watch denials; recording works")
    found = (
        f"unknown whether the kernel keeps them readable: its configuration is in none of {', '.join(places)}"
    )
    return degraded(
        name, found, f"`modprobe configs`, or see that the kernel is built with {option} (to watch denials)"
    )


def _config(path: str) -> str:
    """The text of a kernel's configuration, compressed or not, empty where it cannot be read."""
    opened = gzip.open if path.endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            return str(file.read(LARGEST_CONFIG), "utf-8", "replace")
    except (OSError, EOFError, zlib.error):
        return ""


# File systems


def bpf_file_system(root: str = "", path: str = DEFAULT, *, mountable: bool = True) -> Check:
    """Where the recorder of containers is pinned; mounted at need, if it is the usual place and we may mount."""
    name = "bpffs"
    if is_bpffs(root + path):
        return ok(name, f"mounted at {path}")
    mount = f"mount -t bpf bpf {path}"
    # "nodev\tbpf", or for a file system on a device "\text4"
    if "bpf" not in look.contents(root, "/proc/filesystems").split():
        return missing(name, "this kernel has no BPF file system", "boot a kernel with CONFIG_BPF_SYSCALL")
    if not os.path.isdir(root + path):
        return missing(
            name, f"there is no directory {path}", f"give one that there is (--bpffs), then `{mount}`"
        )
    if path != DEFAULT:
        return missing(name, f"not mounted at {path}", f"run `{mount}` as root")
    if not mountable:
        return missing(
            name, f"not mounted at {path}", f"run `{mount}` as root; `sudo seclude ...` does it at need"
        )
    return degraded(name, f"not mounted at {path}; recording a container mounts it", f"run `{mount}`")


def tracing_file_system(root: str = "") -> Check:
    """Tracefs, which other tracers need; ours attaches by BTF."""
    places = [place for place, kind in look.mounts(root) if kind == "tracefs"]
    found = f"mounted at {places[0]}" if places else "not mounted"
    return ok("tracefs", f"{found} (seclude does without)")


def cgroups(root: str = "") -> Check:
    """The version of control groups: all the same to the recorder, not to every runtime."""
    name = "cgroups"
    mounted = look.mounts(root)
    kinds = {kind for place, kind in mounted if place.split("/")[:4] == ["", "sys", "fs", "cgroup"]}
    if kinds >= {"cgroup", "cgroup2"}:
        next_step = "use runc (`podman --runtime runc`), or boot with systemd.unified_cgroup_hierarchy=1"
        return degraded(name, "hybrid: version 1, and version 2 beside it, which crun refuses", next_step)
    if "cgroup2" in kinds:
        return ok(name, "version 2")
    if "cgroup" in kinds:
        return ok(name, "version 1 (Podman 5 and newer ask for version 2)")
    return degraded(
        name,
        "none mounted below /sys/fs/cgroup",
        "mount them to start containers; plain processes do without",
    )
