"""What a profile says of one call: profile, environment and call in, the action and why out."""

from __future__ import annotations

from ..syscalls import ARCHITECTURES
from .environment import NATIVE_ABIS, Environment
from .frozen import frozen
from .profile import LARGEST_VALUE, NARROW, Profile, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BY_RULE = "rule"
BY_DEFAULT = "no rule"
BY_ARGUMENTS = "arguments"
BY_ARCHITECTURE = "architecture"
"""Why a call is decided as it is: by a rule; by the default, as no rule names it; by the default, as the rules that
name it ask for other arguments; or because its ABI is not among the profile's architectures."""

_WIDTHS = {"x86": NARROW, "arm": NARROW}
_BAD_ARCHITECTURE = ("SCMP_ACT_KILL_THREAD", 0)
"""libseccomp's answer to an architecture that is not in the filter (seccomp_attr_set(3), SCMP_FLTATR_ACT_BADARCH)."""


@frozen
class Decision:
    """`action` and `data` (an errno, or 0) for a call; `rules`: those that decided, or asked for other arguments."""

    action: str
    data: int
    cause: str
    rules: tuple[Rule, ...] = ()


def decide(
    profile: Profile, environment: Environment, abi: str, name: str, arguments: Sequence[int]
) -> Decision:
    """What happens to a call with these six arguments, as libseccomp compiles the engines' rules.

    Rules with the default's outcome are left out; one without conditions outranks those that have some.
    """
    covered = (environment.architecture, *environment.architectures(profile))
    if abi != NATIVE_ABIS.get(environment.machine) and ARCHITECTURES[abi] not in covered:
        action, data = _BAD_ARCHITECTURE
        return Decision(action=action, data=data, cause=BY_ARCHITECTURE)
    width = _WIDTHS.get(abi, LARGEST_VALUE)
    values = dict(enumerate(arguments))
    naming = [rule for rule in profile.rules if name in rule.names and environment.applies(rule)]
    telling = [rule for rule in naming if rule.outcome != profile.outcome]
    plain = [rule for rule in telling if rule.unconditional(width=width)]
    for rule in (*plain, *telling):
        if rule in plain or rule.matches(values, width=width):
            action, data = rule.outcome
            return Decision(action=action, data=data, cause=BY_RULE, rules=(rule,))
    action, data = profile.outcome
    if telling:
        return Decision(action=action, data=data, cause=BY_ARGUMENTS, rules=tuple(telling))
    cause = BY_RULE if naming else BY_DEFAULT
    return Decision(action=action, data=data, cause=cause, rules=tuple(naming))
