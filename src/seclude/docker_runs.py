"""A `docker run` and a profile in; it runs under the profile, and its exit status and what it was denied come out.

Where docker's engine has no runtime of ours no hook of ours is started, and a denial watch looks at the container from
outside.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence

from .children import run_watched
from .commandline import RunCommand
from .engines.docker import DockerEngine
from .engines.running import belongs, processes, processes_of
from .errors import EngineError, TraceError
from .model.capabilities import CAPABILITIES
from .model.denial import Denial, Sighting
from .model.frozen import frozen, replace
from .model.recording import Recording
from .trace.libbpf import LibBpf
from .trace.watch import DenialWatch
from .witness import Witness

FAILED = 125
"""What docker ends with where it could not start the container (docker-run(1))."""

_ID, _SHORT_ID = 64, 12
_RUNTIMES = ("runc", "crun")
"""How the names of processes begin that have yet to become the container's entrypoint."""


@frozen
class Watched:
    """How a watched container ended: docker's exit status, what was denied, and how many denials were lost."""

    status: int
    denials: tuple[Denial, ...]
    lost: int


class ContainerWatch(DenialWatch):
    """Sees the denials of the one container whose id docker is about to write to `cidfile`.

    What the container is becomes known while it starts: its id first, then its namespaces. Until then the kernel notes
    the denials of every process and stops none; what others were denied is left out of `sightings`.
    """

    def __init__(self, cidfile: str, *, library: LibBpf | None = None) -> None:
        super().__init__(library=library)
        self._cidfile = cidfile
        self._identity = ""
        self._first = 0
        self._held: dict[int, tuple[int, float]] = {}
        self._inner = False
        self._aimed = 0.0
        self._before = frozenset(processes())
        self.found = False
        self.confined: bool | None = None

    def find(self) -> None:
        """Look for the container's first process, until it is there; to be called often.

        `found`: a process of it was seen here. `confined`: whether it has a filter, None as long as that is not known.
        """
        if not self._first or not os.path.exists(f"/proc/{self._first}"):
            self._first = 0
            if self._identified():
                self._follow()
        if self._first and not self.confined:
            self.confined = _confined(self._first)

    def _identified(self) -> bool:
        if not self._identity:
            try:
                with open(self._cidfile, encoding="ascii") as file:
                    written = file.read().strip()
            except OSError:
                return False  # the container is not made yet
            self._identity = written if len(written) == _ID else ""
        return bool(self._identity)

    def _follow(self) -> None:
        for pid in processes_of(self._identity, self._before):
            self.found = True
            # The runtime puts its process into the control group before it gives it namespaces.
            mnt, inner = self._own(pid, "mnt"), self._own(pid, "pid")
            if not mnt:
                continue
            self.follow_namespaces(mnt=mnt, pid=inner)
            self._first = pid
            if inner:
                self._inner = True
                return

    def _own(self, pid: int, kind: str) -> int:
        """The inode number of a namespace that the container has for itself, 0 for another (--pid=host)."""
        try:
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0
        inode = os.fstat(descriptor).st_ino
        if inode in self._held or self._is_shared(inode, kind):
            os.close(descriptor)
            return inode if inode in self._held else 0
        # From now on its number is no other's: the kernel gives those of namespaces that have ended away at once.
        self._held[inode] = descriptor, _now()
        return inode

    def _is_shared(self, inode: int, kind: str) -> bool:
        """Whether a process of something else is in that namespace."""
        for pid in processes():
            try:
                inside = os.stat(f"/proc/{pid}/ns/{kind}").st_ino == inode
            except OSError:
                continue
            if inside and not belongs(pid, self._identity):
                return True
        return False

    def close(self) -> None:
        super().close()
        for descriptor, _ in self._held.values():
            os.close(descriptor)
        self._held = {}

    def aim(self, until: int) -> None:
        """Have processes of the container, and of no other, stop at their first denials, up to `until` (ns since boot).

        Without a pid namespace of its own nothing holds all of its processes: then none is stopped.
        """
        self.configure(everything=not self._inner, pause_until=until if self._inner else 0)
        if self._inner and not self._aimed:
            self._aimed = _now()

    def sightings(
        self, target: int | None = None, seen: dict[bytes, int] | None = None
    ) -> tuple[Sighting, ...]:
        """Those of the container, and whatever was stopped: that must be let go in any case.

        As long as the container has no id nobody is stopped, and what is new (`seen`) can wait.
        """
        if not self._identity and seen is not None:
            return ()
        return tuple(
            sighting
            for sighting in super().sightings(target, seen)
            if sighting.paused or self._is_ours(sighting)
        )

    def _is_ours(self, sighting: Sighting) -> bool:
        if self._identity and self._identity in sighting.cgroup:
            return True
        # Once it is aimed at the container the kernel notes no other, but containers in the container all the same.
        since = [self._aimed] if self._aimed else []
        for inode in (sighting.mnt_namespace, sighting.pid_namespace):
            if inode in self._held:
                since.append(self._held[inode][1])
        return any(sighting.denial.first > moment for moment in since)

    def denials(self, witness: Witness | None) -> tuple[Denial, ...]:
        """All that the container was denied so far, with the stacks that the witness has read."""
        found = [
            replace(sighting.denial, container=self._identity[:_SHORT_ID])
            for sighting in self.sightings()
            if self._is_ours(sighting)
        ]
        self.found = self.found or bool(found)
        return tuple(found) if witness is None else witness.with_stacks(found)


def _now() -> float:
    """Seconds since boot, the clock of denials."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _confined(pid: int) -> bool | None:
    """Whether a container's process has a filter; None while that is not decided, or if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            parts = (line.partition(":") for line in file)
            status = {name: value.strip() for name, _, value in parts}
    except OSError:
        return None
    if status.get("Seccomp", "0") != "0":
        return True
    starting = status.get("Name", "").startswith(_RUNTIMES) or status.get("State", "").startswith("Z")
    return None if starting else False


def checked(command: Sequence[str], profile: str) -> RunCommand:
    """The parts of a `docker run` that can be put under the profile and watched to its end; raises EngineError."""
    run = DockerEngine().parse(command)
    DockerEngine().enforced(run, profile)
    if run.detached:
        raise EngineError(
            "a detached container is still running when docker returns",
            hint="leave out --detach; or start it with `seclude run` and see its denials with "
            "`seclude watch --container NAME`",
        )
    if run.values("--cidfile"):
        raise EngineError("--cidfile is needed to know the container", hint="leave that option out")
    return run


def capabilities(run: RunCommand) -> tuple[str, ...]:
    """The bounding set of the container that the command starts."""
    return DockerEngine().capabilities(run, CAPABILITIES)


def run_under(
    run: RunCommand, profile: str, progress: Callable[[str], None], *, stacks: bool = True
) -> Watched:
    """Run a container under the profile in a file, to its end. Raises SecludeError.

    `stacks`: stop its processes for a moment where they are refused something, to read their stacks.
    """
    if os.geteuid() != 0:
        raise TraceError("watching denials needs root", hint="run `sudo seclude verify -- docker run ...`")
    with tempfile.TemporaryDirectory(prefix="seclude-docker-") as directory:
        cidfile = os.path.join(directory, "id")
        command = DockerEngine().enforced(run, os.path.abspath(profile), ["--cidfile", cidfile])
        watch = ContainerWatch(cidfile)
        try:
            watch.start()
            watch.aim(0)
            status, denials = _seen(watch, command, progress, stacks=stacks)
            lost = watch.lost()
        finally:
            watch.close()
    _assured(watch, run, status)
    return Watched(status=status, denials=denials, lost=lost)


def _assured(watch: ContainerWatch, run: RunCommand, status: int) -> None:
    """Raises EngineError where what was seen proves nothing."""
    if not watch.found and status == FAILED:
        raise EngineError(f"docker ended with status {status} and started no container", hint="see above")
    if not watch.found:
        raise EngineError(
            "the container was not seen on this machine, so what it was denied is not known",
            hint="run seclude where docker's engine runs; `docker context show` and DOCKER_HOST say where that is",
        )
    check_confined(run, watch.confined)


def check_confined(run: RunCommand, confined: bool | None) -> None:
    """Raise EngineError where a container that had no filter, or may have had none (None), proves nothing."""
    privileged = run.switched_on("--privileged")
    if confined is False or (privileged and confined is None):
        seen = "the container had no filter" if confined is False else "its filter was not seen"
        raise EngineError(
            f"the profile may not have been in force: {seen}",
            hint="leave out --privileged" if privileged else "see `docker info` for seccomp",
        )


def named(recording: Recording) -> Recording:
    """The recording of a container, which each denial names as if it had been looked at from outside."""
    container = recording.container[:_SHORT_ID]
    return replace(
        recording, denials=tuple(replace(denial, container=container) for denial in recording.denials)
    )


def _seen(
    watch: ContainerWatch, command: Sequence[str], progress: Callable[[str], None], *, stacks: bool
) -> tuple[int, tuple[Denial, ...]]:
    if not stacks:

        def find() -> None:
            watch.find()
            watch.aim(0)

        status = run_watched(command, progress, find)
        find()
        return status, watch.denials(None)
    with Witness(lambda: watch, pause=True, configure=lambda _, until: watch.aim(until)) as witness:

        def look() -> None:
            watch.find()
            witness.look()

        status = run_watched(command, progress, look)
        look()
        return status, watch.denials(witness)
