"""What can be recorded while it runs: a container's name or a process's number in, what is known of it out."""

from __future__ import annotations

import os
import select
import shutil
import time

from . import bundle
from .baseline import PROCESS_ENGINE
from .containers import filters_of
from .engines.monitor import RUNTIMES, Monitor, monitor_of
from .engines.running import belongs, namespaces_of, running
from .engines.tree import Tree, parent_of, tree_of
from .errors import EngineError, SecludeError
from .model.capabilities import CAPABILITIES
from .model.frozen import frozen, replace
from .ports import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engines.running import Running

LARGEST_PID = (1 << 22) - 1
LONGEST_COMMAND = 65536


@frozen
class Subject:
    """A container or process that runs: `title` for people, what a recording says of it, and how to record it.

    `process` is a descriptor of the first process, which tells when it has ended. Use as a context manager: it is
    closed at the end of the block.
    """

    title: str
    known: bundle.Container
    tree: Tree
    target: Target
    process: int

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.process)


def container_named(name: str) -> Subject:
    """The running container of this name or id, of podman or docker; raises EngineError."""
    found = running(name)
    process = _opened(found.pid, f"container {found.name}")
    # Its number may have been given to another since the engine said it: not while we hold it.
    if not belongs(found.pid, found.identity) and _has_ended(process):
        os.close(process)
        raise EngineError(f"container {found.name} has ended", hint="start it again")
    return _container(
        f"container {found.name}",
        found.pid,
        process,
        found.identity,
        monitor_of(parent_of(found.pid), found.identity),
        found,
    )


def process_numbered(pid: int) -> Subject:
    """The process with its descendants; with all of its container if it is the first process of one.

    Raises EngineError.
    """
    if not 0 < pid <= LARGEST_PID:
        raise EngineError(f"{pid} is no process id", hint=f"1 to {LARGEST_PID}")
    if pid == os.getpid():
        raise EngineError(f"process {pid} is this seclude itself", hint="see `ps -e`")
    process = _opened(pid, f"process {pid}")
    title = f"process {pid}"
    if _is_first(pid):
        # Only who is outside can be its monitor: in it, anybody can have such a name.
        parent = parent_of(pid)
        monitor = Monitor() if _share_mounts(pid, parent) else monitor_of(parent)
        return _container(title, pid, process, monitor.container, monitor, None)
    known = bundle.Container(
        created=_now(),
        engine=PROCESS_ENGINE,
        runtime="",
        runtime_path="",
        image="",
        container="",
        command=_command(pid),
        confined=_status(pid).get("Seccomp") == "2",
        no_new_privileges=_status(pid).get("NoNewPrivs") == "1",
        capabilities=(),
    )
    target = Target(pid=pid, unconfined=True, running=True)
    return Subject(title=title, known=known, tree=tree_of(pid, "", 0), target=target, process=process)


def _container(
    title: str, pid: int, process: int, identity: str, monitor: Monitor, found: Running | None
) -> Subject:
    try:
        mnt, inner = namespaces_of(pid)
        filters, outer = filters_of(pid), filters_of(parent_of(pid))
    except (OSError, SecludeError) as error:
        os.close(process)
        raise EngineError(f"{title} has ended", hint="start it again") from error
    known = _described(pid, identity, monitor, found, confined=filters > outer)
    # A program can give itself a filter in a container that has none, and then nobody who enters has one. Only the
    # bundle tells; not to know costs no more than the runtime's calls of those who enter, which the baseline has.
    confined = bool(monitor.bundle) and known.confined and filters > outer
    target = Target(
        pid=pid,
        unconfined=not confined,
        base_filters=outer if confined else 0,
        mnt_namespace=mnt,
        pid_namespace=inner,
        running=True,
    )
    return Subject(title=title, known=known, tree=tree_of(pid, identity, mnt), target=target, process=process)


def _described(
    pid: int, identity: str, monitor: Monitor, found: Running | None, *, confined: bool
) -> bundle.Container:
    """What the bundle says; where there is none, or it cannot be read, what the kernel and the engine say."""
    path = monitor.runtime_path
    runtime = os.path.basename(monitor.runtime)
    if found and not runtime:
        # containerd names its shims: io.containerd.runc.v2
        name = os.path.basename(found.runtime)
        runtime = name.split(".")[2] if name.startswith("io.containerd.") and name.count(".") > 2 else name
        place = shutil.which(runtime) if runtime in RUNTIMES else None
        path = Monitor(runtime=place or "").runtime_path
    known = None
    if monitor.bundle:
        try:
            known = bundle.read_container(monitor.bundle, identity, 0)
        except SecludeError:
            pass  # it is the engine's own business where bundles are
    status = _status(pid)
    if known is None:
        bits = int(status.get("CapBnd", "0"), 16)
        known = bundle.Container(
            created=_now(),
            engine="oci",
            runtime="",
            runtime_path="",
            image="",
            container=identity,
            command=_command(pid),
            confined=confined,
            no_new_privileges=status.get("NoNewPrivs", "0") == "1",
            capabilities=tuple(sorted(name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1)),
        )
    if found:
        command = tuple(filter(None, found.command[:1])) + found.command[1:]
        known = replace(
            known,
            engine=found.engine,
            image=found.image or known.image,
            command=known.command or command,
        )
    return replace(known, runtime=runtime, runtime_path=path)


def _opened(pid: int, what: str) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # Linux answers EINVAL for a thread that leads no group.
        raise EngineError(f"{what} does not run: {error.strerror}", hint="see `ps -e`") from error


def _has_ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])


def _is_first(pid: int) -> bool:
    """Whether it is the first process of a pid namespace below ours (proc(5), status, NSpid)."""
    numbers = _status(pid).get("NSpid", "").split()
    return len(numbers) > 1 and numbers[-1] == "1"


def _share_mounts(pid: int, other: int) -> bool:
    """Whether two processes have one mount namespace, or that cannot be told."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino == os.stat(f"/proc/{other}/ns/mnt").st_ino
    except OSError:
        return True


def _status(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def _command(pid: int) -> tuple[str, ...]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read(LONGEST_COMMAND).decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(text.removesuffix("\0").split("\0")) if text else ()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
