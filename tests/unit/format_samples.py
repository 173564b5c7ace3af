"""Profiles for the tests of formats: hand-made ones, strategies, and whether two mean the same."""

from hypothesis import strategies as st

from seclude.analyse.diff import difference, environments_for
from seclude.formats import oci
from seclude.model.environment import Environment
from seclude.model.export import Settings
from seclude.model.profile import OPERATORS, Argument, Profile, Rule

ALLOW, ERRNO, LOG, KILL = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"
HERE = Environment(machine="x86_64", kernel="6.1.0", capabilities=("CAP_CHOWN",))
SETTINGS = Settings(environment=HERE)
NAMES = "read write openat close clone socket ioctl ptrace mount getpid fchown prctl".split()
REQUIRED = ("execve", "exit_group")

SAMPLE = oci.loads(
    """{
 "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EPERM",
 "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
             {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
 "syscalls": [
  {"names": ["read", "write", "execve", "exit_group"], "action": "SCMP_ACT_ALLOW"},
  {"names": ["chown"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
  {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
  {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
  {"names": ["arm_fadvise64_64"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "arm64"]}},
  {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
   "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
  {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
  {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
  {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS"}
 ]}""",
    "sample",
)
"""What depends on the place, conditions on arguments, and one call with an errno of its own."""


def same(one, two, places=(HERE,)):
    """Nothing where both mean the same in these places; else what differs."""
    return difference(one, two, environments=places)


def everywhere(one, two):
    """As `same`, wherever either makes a difference."""
    return difference(one, two, environments=environments_for([one, two], machine="x86_64", kernel="6.1.0"))


def arguments(largest=2**64 - 1, operators=OPERATORS):
    values = st.sampled_from([0, 1, 2, 0x40, 0xFFFFFFFF, 2**32, 2**63 - 1, 2**63, 2**64 - 1]).filter(
        lambda value: value <= largest
    )
    return st.builds(
        Argument,
        index=st.integers(0, 5),
        value=values,
        value_two=values,
        op=st.sampled_from(operators),
    )


def rules(actions, args, names=NAMES):
    conditions = st.lists(args, max_size=2, unique_by=lambda each: each.index).map(tuple)
    return st.builds(
        Rule,
        names=st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(tuple),
        action=st.sampled_from(actions),
        args=conditions if args is not None else st.just(()),
    )


def profiles(actions, args, defaults, **fields):
    """Profiles of up to eight rules, with what must be allowed for a program to start."""
    needed = Rule(names=REQUIRED, action=ALLOW)
    return st.builds(
        Profile,
        default_action=st.sampled_from(defaults),
        rules=st.lists(rules(actions, args), max_size=8).map(lambda found: (needed, *found)),
        **fields,
    )
