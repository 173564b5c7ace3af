"""Profiles as the kernel's filters: a profile and where it is applied in, the program and how true to it it is out."""

from __future__ import annotations

from .analyse.faithful import Comparison, abis_of, faithful
from .formats import bpf, libseccomp
from .model.environment import NATIVE_ABIS, Environment
from .model.profile import Argument, Profile, Rule
from .syscalls import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WEAK = "GHSA-4q85-33p6-j5g6"
"""libseccomp's advisory: "incorrect 64-bit comparison merge that can weaken libseccomp filters", before 2.6.1."""


def compiled(profile: Profile, environment: Environment, *, optimize: bool | None = None) -> bpf.Program:
    """The program that libseccomp makes of a profile; raises ProfileError, EngineError.

    `optimize`: see libseccomp.build. The environment's machine must be this one.
    """
    with libseccomp.build(
        profile,
        capabilities=environment.capabilities,
        machine=environment.machine,
        kernel=environment.kernel,
        optimize=optimize,
    ) as filter_:
        return bpf.loads(filter_.exported())


def compared(program: bpf.Program, profile: Profile, environment: Environment) -> Comparison:
    """What the program answers, over every number and the boundaries of every condition, against the profile."""
    machine = bpf.Machine(program)

    def answer(abi: str, number: int, arguments: Sequence[int]) -> tuple[str, int]:
        return machine(bpf.call_data(abi, number, arguments))

    names = {name for rule in profile.rules for name in rule.names}
    abis = abis_of(environment.machine)
    unnamed = libseccomp.unnamed(names, machine=environment.machine, abis=abis)
    return faithful(profile, environment, answer, unnamed=unnamed)


# Two conditions on one argument whose values have the same upper half and other lower halves. What the smaller one
# forbids below that half, _db_tree_add (src/db.c) wrote into the wrong field before commit 5404f5c, so that the greater
# one's permission stayed: 0 is let through, though 0x2_0000_0003, to which the same conditions apply, is not.
_HALF = 2 << 32
_WITNESS = "getppid"


def _probe() -> Profile:
    def rule(action: str, value: int) -> Rule:
        return Rule(
            names=(_WITNESS,), action=action, args=(Argument(index=0, value=value, op="SCMP_CMP_LE"),)
        )

    return Profile(
        default_action="SCMP_ACT_KILL_PROCESS",
        rules=(rule("SCMP_ACT_ALLOW", _HALF + 7), rule("SCMP_ACT_ERRNO", _HALF + 5)),
    )


def weak_library(machine: str) -> str:
    """Why filters of the installed libseccomp may let through more than asked for, or "".

    A filter is made that shows it: distributions mend libraries without changing their version. It is not shown on a
    machine of 32 bits, where the fault is not. Raises EngineError where there is no libseccomp.
    """
    abi = NATIVE_ABIS.get(machine, "")
    number = number_of(abi, _WITNESS) if abi in ("x86_64", "aarch64") else None
    if number is None:
        return ""
    environment = Environment(machine=machine, kernel="", capabilities=())
    probe = bpf.Machine(compiled(_probe(), environment))
    below, beside = (probe(bpf.call_data(abi, number, (value, 0, 0, 0, 0, 0))) for value in (0, _HALF + 3))
    if below == beside:
        return ""
    return f"libseccomp {libseccomp.version()} merges comparisons of 64 bits wrongly ({WEAK})"
