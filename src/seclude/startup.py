"""What a recording that began while its container ran cannot have: recordings and their profile in, notes out."""

from __future__ import annotations

from .model.environment import NATIVE_ABIS, Environment
from .syscalls import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model.profile import Profile
    from .model.recording import Recording

STARTING = frozenset(
    "access arch_prctl brk close execve exit exit_group getrandom mmap mprotect munmap newfstatat openat pread64 "
    "prlimit64 read restart_syscall rseq rt_sigreturn set_robust_list set_tid_address".split()
)
"""What it takes to get a program of glibc 2.36 from its exec to its main and to an end: `seclude record -- true` on
Debian 12, x86_64, and the getrandom of a shell's first malloc. And what may always come: the end of a thread, the way
back from a signal, and that of a call which a stop has interrupted."""

REMEDY = (
    "record one start too (seclude record -o START -- CMD) and merge the profiles (seclude merge START THIS)"
)


def caveats(recordings: Sequence[Recording], profile: Profile) -> list[str]:
    """What the reader of the profile should know of it; nothing where a start of the same program was recorded."""
    started = {recording.command for recording in recordings if not recording.attached}
    late = [recording for recording in recordings if recording.attached and recording.command not in started]
    if not late:
        return []
    notes = [
        "the recording began while the program ran, so what it calls only to start is missing, unless the base or "
        f"another recording has it; {REMEDY}"
    ]
    for recording in late:
        # access and arch_prctl are calls of some processors only.
        made = STARTING.intersection(names(NATIVE_ABIS.get(recording.machine, "x86_64")))
        refused = sorted(made - _allowed(profile, recording))
        if refused:
            what = "nothing can start" if "execve" in refused else "programs may not start"
            notes.append(f"{what} under this profile: {', '.join(refused)} {_is(refused)} refused")
    return list(dict.fromkeys(notes))


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _allowed(profile: Profile, recording: Recording) -> frozenset[str]:
    """Those of STARTING that the profile allows with whatever arguments."""
    environment = Environment(
        machine=recording.machine, kernel=recording.kernel, capabilities=recording.capabilities
    )
    rules = [rule for rule in profile.rules if environment.applies(rule)]
    permitted = {name for rule in rules if rule.permits for name in rule.names}
    if profile.permits:
        permitted |= STARTING.difference(
            name for rule in rules if not rule.permits and rule.unconditional() for name in rule.names
        )
    return frozenset(permitted & STARTING)
