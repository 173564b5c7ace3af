"""A profile and a command in, a process, podman's or docker's; it runs under the profile, and its exit status out."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .children import run_plain, signals_left_to
from .engines.docker import DockerEngine
from .engines.podman import PodmanEngine
from .engines.process import Child
from .errors import EngineError
from .formats import libseccomp, oci
from .inputs import read_text
from .marking import ANNOUNCED
from .model.capabilities import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model.profile import Profile


def run_process(command: Sequence[str], profile: str) -> int:
    """Run a plain process under a profile; its exit status. Raises SecludeError."""
    with (
        confinement(read_profile(profile)) as confine,
        Child(command, confine) as child,
        signals_left_to(child),
    ):
        child.go()
        return child.wait()


@contextmanager
def confinement(profile: Profile, *, announced: bool = False) -> Iterator[Callable[[], None]]:
    """What puts a child under the profile, as long as the block lasts. Raises SecludeError.

    `announced`: the child is recorded and shall mark what it does, unless the profile may kill it for that.
    """
    bounding, effective = own_capabilities()
    with libseccomp.build(
        profile, capabilities=bounding, machine=platform.machine(), kernel=platform.release()
    ) as filter_:
        # Where the kernel lets us do without, set-user-id programs keep working, as in a container.
        no_new_privileges = not effective >> CAPABILITIES.index("CAP_SYS_ADMIN") & 1

        def confine() -> None:
            if announced and not may_kill(profile):
                announce()
            filter_.load(no_new_privileges=no_new_privileges)

        yield confine


def run_podman(command: Sequence[str], profile: str) -> int:
    """Run a container under a profile; podman's exit status. Raises SecludeError."""
    engine = PodmanEngine()
    return run_plain(engine.enforced(engine.parse(command), _checked(profile)))


def run_docker(command: Sequence[str], profile: str) -> int:
    """Run a container under a profile; docker's exit status. Raises SecludeError."""
    engine = DockerEngine()
    return run_plain(engine.enforced(engine.parse(command), _checked(profile)))


def _checked(profile: str) -> str:
    """The absolute path of a profile that can be read; raises SecludeError."""
    read_profile(profile)
    return os.path.abspath(profile)


def read_profile(profile: str) -> Profile:
    """The profile at a path; raises SecludeError."""
    return oci.loads(read_text(profile, limit=oci.LARGEST, error=EngineError), profile)


def announce() -> None:
    """Say to the command, in whose process this runs before its exec, that a recorder is there."""
    os.environ[ANNOUNCED] = "1"


def may_kill(profile: Profile) -> bool:
    """Whether a marker, which the profile need not allow, may end the process that makes it."""
    actions = {profile.outcome[0], *(rule.outcome[0] for rule in profile.rules)}
    return bool(actions & {"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"})


def own_capabilities() -> tuple[tuple[str, ...], int]:
    """(names of the bounding set, bits of the effective set) of this process (proc(5), status)."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    bounding = int(fields.get("CapBnd", "0"), 16)
    names = tuple(name for bit, name in enumerate(CAPABILITIES) if bounding >> bit & 1)
    return names, int(fields.get("CapEff", "0"), 16)
