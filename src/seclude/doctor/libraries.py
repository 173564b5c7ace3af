"""What seclude loads: libbpf and the recorder, libseccomp and the calls it has no name for, what is pinned."""

from __future__ import annotations

import ctypes
import os

from ..compilation import weak_library
from ..errors import EngineError, SecludeError, TraceError
from ..formats.libseccomp import LIBRARY
from ..model.environment import NATIVE_ABIS
from ..registrations import Registrations
from ..syscalls import names
from ..trace import layout
from ..trace.ebpf import OBJECT
from ..trace.libbpf import LibBpf
from .check import Check, degraded, missing, ok

LIBBPF = "libbpf.so.1"
SHOWN = 24
"""Unnamed calls that are listed; the rest is counted."""

_UNNAMED = -1  # seccomp.h, __NR_SCMP_ERROR


def libbpf(library: str = LIBBPF) -> Check:
    """The library that loads the recorder."""
    try:
        version = ctypes.CDLL(library).libbpf_version_string
    except (OSError, AttributeError) as error:
        next_step = "install libbpf 1.x: `apt-get install libbpf1` on Debian and Ubuntu, `dnf install libbpf` on Fedora"
        return missing("libbpf", f"{library} cannot be loaded: {error}", next_step)
    version.restype = ctypes.c_char_p
    return ok("libbpf", (version() or b"").decode("utf-8", "replace").removeprefix("v"))


def recorder(object_path: str = OBJECT, *, capable: bool = True) -> Check:
    """Whether the kernel takes the compiled recorder, tried where we may: loaded, attached to nothing, let go."""
    name = "recorder"
    if not os.path.isfile(object_path):
        return missing(name, f"{object_path} is not there", "reinstall seclude")
    found = object_path
    if not capable:
        return ok(name, f"{found}; not tried, for want of capabilities")
    try:
        LibBpf().open_object(object_path).close()
    except TraceError as error:
        return missing(name, f"{found}, cannot be loaded: {error.message}", error.hint or "reinstall seclude")
    except OSError as error:
        next_step = (
            "see what else is missing above, and whether /sys/kernel/security/lockdown says [confidentiality]"
        )
        return missing(name, f"{found}, which the kernel refuses: {error}", next_step)
    return ok(name, f"{found}, which the kernel takes")


def pinned(bpffs_path: str, state_dir: str) -> Check:
    """The recorder that containers share while any is being recorded, and whose it is."""
    name = "in use"
    directory = os.path.join(bpffs_path, "seclude")
    try:
        os.stat(directory)
    except (FileNotFoundError, NotADirectoryError):
        return ok(name, "no container is being recorded")
    except OSError as error:
        return degraded(name, f"{directory}: {error.strerror}", "run as root to see what is being recorded")
    if not os.path.exists(os.path.join(directory, "meta")):
        found = f"half a recorder in {directory}, from a load that is under way or was interrupted"
        return degraded(name, found, "run `seclude hook gc` if it stays")
    try:
        version = _pinned_version(directory)
    except (OSError, SecludeError) as error:
        found = f"the recorder in {directory} cannot be opened: {error}"
        return degraded(name, found, "let its recordings end, or remove it with `seclude hook gc --all`")
    if version != layout.RECORDER_VERSION:
        found = (
            f"version {version} of the recorder in {directory}, this seclude has {layout.RECORDER_VERSION}"
        )
        return degraded(name, found, "let its recordings end, or remove it with `seclude hook gc --all`")
    try:
        alive = [registration.alive() for registration in Registrations(state_dir)]
    except (OSError, SecludeError) as error:
        return degraded(name, f"the registrations cannot be read: {error}", "run `seclude hook gc --all`")
    if not any(alive):
        return degraded(name, f"a recorder that no container needs, in {directory}", "run `seclude hook gc`")
    return ok(name, f"containers being recorded: {sum(alive)} (`seclude hook status` lists them)")


def _pinned_version(directory: str) -> int:
    """The version of a pinned recorder, 0 if it is laid out in another way than ours; raises OSError, TraceError."""
    library = LibBpf()
    descriptor = library.get(os.path.join(directory, "meta"))
    try:
        sizes = library.map_sizes(descriptor)
        if sizes != layout.MAPS["meta"]:
            return 0
        return int.from_bytes((library.lookup(descriptor, bytes(sizes[0]), sizes[1]) or b"")[:4], "little")
    finally:
        os.close(descriptor)


def libseccomp(machine: str, library: str = LIBRARY) -> Check:
    """The library that makes filters of profiles for seclude, runc and crun. Recording does without."""
    try:
        loaded = ctypes.CDLL(library)
        numbers = loaded.seccomp_version
        resolve = loaded.seccomp_syscall_resolve_name
    except (OSError, AttributeError) as error:
        next_step = (
            "install it to run under profiles: `apt-get install libseccomp2`, `dnf install libseccomp`"
        )
        return degraded("libseccomp", f"{library} cannot be loaded: {error}", next_step)
    # struct scmp_version: major, minor, micro
    numbers.restype = ctypes.POINTER(ctypes.c_uint * 3)
    resolve.argtypes = (ctypes.c_char_p,)
    abi = NATIVE_ABIS.get(machine)
    wanted = sorted(names(abi)) if abi else []
    unnamed = [name for name in wanted if resolve(name.encode()) == _UNNAMED]
    try:
        weak = weak_library(machine)
    except EngineError:
        weak = ""  # it is one for another machine, and makes no filters here
    return judge_libseccomp(tuple(numbers().contents), unnamed, weak)


def judge_libseccomp(version: tuple[int, ...], unnamed: list[str], weak: str) -> Check:
    """What `weak_library` says of a libseccomp, and what the calls mean that it has no name for."""
    name, found = "libseccomp", ".".join(map(str, version))
    next_steps = []
    if unnamed:
        more = f" and {len(unnamed) - SHOWN} more" if len(unnamed) > SHOWN else ""
        found += f", cannot name {len(unnamed)} calls: {' '.join(unnamed[:SHOWN])}{more}"
        next_steps.append(
            "engines leave these calls out of a filter, so a profile that allows them does not help"
        )
    if weak:
        found += f"{';' if unnamed else ','} merges comparisons of 64 bits wrongly"
        next_steps.append(
            "rules that order one argument around several large values may let more through (GHSA-4q85-33p6-j5g6); "
            "`seclude compile` says whether a profile's do"
        )
    if not next_steps:
        return ok(name, f"{found}, names every call")
    return degraded(name, found, f"update to 2.6.1 or newer: {'; '.join(next_steps)}")
