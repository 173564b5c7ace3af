"""What receivers judge calls by: a profile in, its filter as the one who enforces it would have made it out."""

from __future__ import annotations

import errno
import platform

from ..compilation import compiled
from ..errors import EngineError
from ..formats import libseccomp, oci
from ..inputs import read_text
from ..model.environment import NATIVE_ABIS, Environment
from ..model.profile import NATIVE, PERMITTING
from ..syscalls import ARCHITECTURES, number_of
from ..trace.notify_rulings import Judgement, questions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.profile import Profile

DELIVERING = {"crun": frozenset(("kill", "munmap", "wait4"))}
"""What a runtime calls under the filter only to deliver its listener (libcrun_apply_seccomp; compared with what eBPF
sees of crun 1.8.1). No profile needs it."""


def judgement_of_process(profile: Profile, capabilities: Sequence[str]) -> tuple[Judgement, bytes]:
    """(what a plain process is judged by, the instructions of the filter that asks about it). Raises SecludeError."""
    program = compiled(profile, _here(capabilities))
    return Judgement(program=program), questions(program)


class Judging:
    """Judges containers by the profile that the hook leaves in the file `path`, once there is one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made: dict[str, Judgement] = {}

    def by(self, runtime: str) -> Judgement:
        """What a container of `runtime` (a name such as "crun") is judged by; raises SecludeError."""
        if runtime not in self._made:
            profile = oci.loads(read_text(self._path, limit=oci.LARGEST, error=EngineError), "the profile")
            self._made[runtime] = Judgement(
                # Engines have resolved what depends on capabilities.
                program=compiled(profile, _here(())),
                newest=_newest(profile) if runtime == "runc" else {},
                exempt=DELIVERING.get(runtime, frozenset()),
            )
        return self._made[runtime]


def _here(capabilities: Sequence[str]) -> Environment:
    return Environment(
        machine=platform.machine(), kernel=platform.release(), capabilities=tuple(capabilities)
    )


def _newest(profile: Profile) -> dict[str, int]:
    """ABI -> the highest number that the profile names there; runc answers those above with ENOSYS.

    Not where the default permits or answers so anyway (libcontainer/seccomp/patchbpf, generatePatch; runc's pull 2750).
    """
    if profile.outcome[0] in (*PERMITTING, "SCMP_ACT_TRACE") or profile.outcome == (
        "SCMP_ACT_ERRNO",
        errno.ENOSYS,
    ):
        return {}
    native = NATIVE_ABIS.get(platform.machine(), "")
    names = {name for rule in profile.rules for name in rule.names}
    found = {}
    for abi, architecture in ARCHITECTURES.items():
        if architecture in profile.architectures or (abi == native and NATIVE in profile.architectures):
            # Asked for no machine: what libseccomp has no name for, runc does not find on any.
            lacking = libseccomp.unnamed(names, machine="", abis=(abi,))[abi]
            numbers = [number for name in names - lacking if (number := number_of(abi, name)) is not None]
            if numbers:
                found[abi] = max(numbers)
    return found
