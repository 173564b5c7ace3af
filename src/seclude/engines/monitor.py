"""What watches over a container (conmon, containerd's shim): its process in; container, bundle and runtime out."""

from __future__ import annotations

import os
import stat
from itertools import pairwise

from ..model.frozen import frozen

LONGEST = 65536
RUNTIMES = ("runc", "crun")
"""What we ask for its version. A monitor can be any user's, so that nothing else of what it names is ever started."""


@frozen
class Monitor:
    """What a container's monitor was started with; empty where it does not say."""

    container: str = ""
    bundle: str = ""
    runtime: str = ""

    @property
    def runtime_path(self) -> str:
        """The runtime's file, if it is one that we know and that only root can have put there."""
        path = os.path.realpath(self.runtime) if self.runtime.startswith("/") else ""
        if os.path.basename(path) not in RUNTIMES:
            return ""
        try:
            status = os.stat(path)
        except OSError:
            return ""
        safe = stat.S_ISREG(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022
        return path if safe else ""


def monitor_of(pid: int, container: str = "") -> Monitor:
    """What process `pid`, a container's parent, says of it; empty if it is no monitor that we know."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(LONGEST).decode("utf-8", "replace").split("\0")
    except OSError:
        return Monitor()
    name = os.path.basename(words[0])
    if name == "conmon":
        # libpod/oci_conmon_linux.go, sharedConmonArgs. Paths are the monitor's, which may be in a container itself.
        elsewhere = not _has_our_root(pid)
        bundle, runtime = _after(words, "-b", "--bundle"), _after(words, "-r", "--runtime")
        return Monitor(
            container=_after(words, "-c", "--cid"),
            bundle=f"/proc/{pid}/root{bundle}" if elsewhere and bundle else bundle,
            runtime=os.path.basename(runtime) if elsewhere else runtime,
        )
    if name.startswith("containerd-shim"):
        # One shim can have all containers of a pod: their bundles lie beside the one that it was started in.
        container = container or _after(words, "-id")
        beside = f"/proc/{pid}/cwd/../{container}"
        return Monitor(container=container, bundle=beside if container else "")
    return Monitor()


def _has_our_root(pid: int) -> bool:
    try:
        theirs, ours = os.stat(f"/proc/{pid}/root"), os.stat("/")
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _after(words: list[str], *options: str) -> str:
    """The word after one of these options, empty where there is none."""
    return next((value for option, value in pairwise(words) if option in options), "")
