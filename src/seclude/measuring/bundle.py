"""OCI bundles to measure a runtime with: a condition in, a directory with a tiny container that meets it out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..confined_runs import own_capabilities
from ..errors import SecludeError
from ..model.frozen import frozen
from ..model.profile import ALLOW, ERRNO

INITS = ("catatonit", "docker-init", "tini-static")
"""Static programs that engines mount into a container for --init (podman, docker, and their packages)."""

USUAL = (
    "CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_MKNOD CAP_NET_BIND_SERVICE "
    "CAP_NET_RAW CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT"
).split()
"""What engines leave a container (moby/moby, oci/caps/defaults.go)."""

REFUSED = (
    "bpf clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree "
    "perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns swapoff swapon umount umount2 "
    "unshare"
).split()
"""What engines' own profiles refuse a container without CAP_SYS_ADMIN (moby/profiles, seccomp/default_linux.go), clone3
with ENOSYS. A runtime finds another way where it has one, as it must there; that way is what is measured."""

HOST_ID, RANGE = 100_000, 65_536
EPERM, ENOSYS = 1, 38


@frozen
class Case:
    """One container to start: the condition it meets, and whether no-new-privileges is set."""

    condition: str
    no_new_privileges: bool


def find_busybox() -> str:
    """The static busybox that containers consist of; raises SecludeError where there is none."""
    found = shutil.which("busybox", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/bin")
    if not found or _dynamic(found):
        raise SecludeError(
            f"{found} is not static" if found else "busybox was not found",
            hint="the container that is measured consists of it: apt-get install busybox-static",
        )
    return found


def find_init() -> str:
    """A static init, empty where there is none."""
    places = f"{os.environ.get('PATH', '')}:/usr/libexec/podman:/usr/lib/podman"
    found = (shutil.which(name, path=places) for name in INITS)
    return next((path for path in found if path and not _dynamic(path)), "")


def _dynamic(path: str) -> bool:
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            return any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(file).iter_segments())
    except Exception:
        return True  # a script, or nothing that can be read: of no use either


def make_root(directory: Path, busybox: str, init: str) -> None:
    """Put a root file system into `directory`, which any user may read: busybox under some names, and the init."""
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        (directory / name).mkdir(parents=True)
    shutil.copy(busybox, directory / "bin" / "busybox")
    for name in ("true", "sleep"):
        (directory / "bin" / name).symlink_to("busybox")
    if init:
        (directory / "init").touch()
    for path in (directory.parent, directory, *directory.iterdir()):
        path.chmod(0o755)


def configuration(
    case: Case, root: Path, init: str, hook: Mapping[str, Any], recording: str
) -> dict[str, Any]:
    """The config.json of a container that meets the case; `hook` has path and args, and writes to `recording`."""
    command = ["/bin/sleep", "600"] if case.condition == "exec" else ["/bin/true"]
    namespaces = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")]
    linux: dict[str, Any] = {"namespaces": namespaces, "seccomp": _filter()}
    mounts = _mounts()
    if case.condition == "init":
        mounts.append(
            {"destination": "/init", "type": "bind", "source": init, "options": ["bind", "ro"]},
        )
        command = ["/init", "--", *command]
    if case.condition == "user-namespace":
        namespaces.append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": HOST_ID, "size": RANGE}]
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    if case.condition == "personality":
        linux["personality"] = {"domain": "LINUX32"}
    return {
        "ociVersion": "1.0.2",
        "process": process(case, command),
        "root": {"path": str(root), "readonly": case.condition == "read-only"},
        "hostname": "measured",
        "mounts": mounts,
        "linux": linux,
        "hooks": {"createRuntime": [hook], "poststop": [hook]},
        "annotations": {"io.seclude.recording": recording},
    }


def process(case: Case, command: Sequence[str]) -> dict[str, Any]:
    """The process of a container, or one that enters it, as the runtime-spec has it."""
    sets: dict[str, list[str]] = dict.fromkeys(("bounding", "effective", "permitted"), USUAL)
    user: dict[str, Any] = {"uid": 0, "gid": 0}
    if case.condition == "user":
        user = {"uid": 1000, "gid": 1000, "additionalGids": [10, 20]}
        sets = {"bounding": USUAL}
    elif case.condition == "no-capabilities":
        sets = {}
    elif case.condition == "all-capabilities":
        every = list(own_capabilities()[0])
        sets = dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), every)
    return {
        "terminal": case.condition == "terminal",
        "user": user,
        "args": list(command),
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"],
        "cwd": "/bin" if case.condition == "working-directory" else "/",
        "capabilities": {name: sets.get(name, []) for name in (*_SETS, "ambient")},
        "noNewPrivileges": case.no_new_privileges,
    }


_SETS = ("bounding", "effective", "inheritable", "permitted")


def _filter() -> dict[str, Any]:
    """A filter under which a runtime can do all that it can under an engine's own."""
    refused = [name for name in REFUSED if name != "clone3"]
    return {
        "defaultAction": ALLOW,
        "syscalls": [
            {"names": refused, "action": ERRNO, "errnoRet": EPERM},
            {"names": ["clone3"], "action": ERRNO, "errnoRet": ENOSYS},
        ],
    }


def _mounts() -> list[dict[str, Any]]:
    """What every container has (runtime-spec, config-linux.md, "Default Filesystems")."""
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        {
            "destination": "/dev/shm",  # noqa: S108 (the container's)
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"],
        },
    ]


def write_bundle(directory: Path, config: Mapping[str, Any]) -> None:
    """Make `directory` a bundle."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
