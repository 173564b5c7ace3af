"""Policies of minijail0 -S: a Profile in, one line a call out.

The syntax is that which minijail0(5) describes and syscall_filter.c reads: all that is not listed is killed, only the
native architecture is let in. tools/compile_seccomp_policy.py reads what is written here too, and means the same;
`EXPRESSION; return ERRNO` is not written, of which the two make opposites.
"""

from __future__ import annotations

from ..errors import ProfileError
from ..model.environment import NATIVE_ABIS
from ..model.export import (
    Exporter,
    Losses,
    Written,
    architectures,
    by_call,
    errno_name,
    named,
    resolution,
    words,
)
from ..model.profile import EQUAL, ERRNO, LARGEST_VALUE, MASKED_EQUAL, NARROW, PERMITTING, Argument, Profile
from ..syscalls import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.export import Meaning, Outcome

MARK = "# seclude export: minijail\n"
KILL, LOG = "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"
_KILLING = (KILL, "SCMP_ACT_KILL_THREAD")
_OPERATORS = {
    EQUAL: "==",
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
}
_NARROW_ABIS = ("x86", "arm")


class MinijailFormat(Exporter):
    """Writes a policy."""

    name = "minijail"

    def written(self, profile: Profile) -> Written:
        """A policy for the settings' machine; raises ProfileError where other calls than the listed are allowed."""
        here = self.settings.environment
        losses = Losses(self.name)
        if profile.permits:
            raise ProfileError(
                f"minijail kills all that is not listed, this profile answers {profile.default_action}",
                hint="list what is allowed, and refuse the rest",
            )
        words((name for rule in profile.rules for name in rule.names), self.name)
        self._whole(profile, losses)
        abi = NATIVE_ABIS.get(here.machine, "")
        lines, absent = [], []
        for name, meaning in sorted(by_call(profile, here).items()):
            if abi and number_of(abi, name) is None:
                absent.append(name)
            elif line := _filter(name, meaning, losses, narrow=abi in _NARROW_ABIS):
                lines.append(f"{name}: {line}")
        notes = [
            *resolution(profile, here),
            "minijail0 -S FILE; a static program, or -T static, needs execve in it",
        ]
        if absent:
            notes.append(f"left out, as {here.machine} has no such call: {named(absent)}")
        return Written(text=MARK + "\n".join(lines) + "\n", losses=losses.all(), notes=tuple(notes))

    def _whole(self, profile: Profile, losses: Losses) -> None:
        action, data = profile.outcome
        if action != KILL:
            told = f"{errno_name(data)}" if action == ERRNO else action
            losses.add("default", f"minijail kills the process where the profile answers {told}")
        for name in architectures(profile, self.settings.environment)[1:]:
            losses.add("architecture", "minijail lets in the native architecture alone, not {}", name)
        if profile.flags:
            losses.add("flags", "minijail has no flags of the filter")
        if profile.listener_path:
            losses.add("listener", "minijail has no listener")


def _filter(name: str, meaning: Meaning, losses: Losses, *, narrow: bool) -> str:
    """What stands behind the name; the empty string where the call is not listed, and so killed."""
    permitting = [(args, outcome) for args, outcome in meaning if outcome[0] in PERMITTING]
    if any(outcome[0] == LOG for _, outcome in permitting):
        losses.add("log", "minijail does not log {}, which is allowed", name)
    if not meaning[0][0]:
        return "1" if permitting else _refusal(name, meaning[0][1], losses)
    if len(permitting) < len(meaning):
        # A refusal among conditions may come before what allows: only all or nothing is safe to say.
        losses.add("conditions", "minijail cannot refuse by argument, so it kills every call of {}", name)
        return ""
    return " || ".join(_conjunction(args, narrow) for args, _ in meaning)


def _refusal(name: str, outcome: Outcome, losses: Losses) -> str:
    action, number = outcome
    if action == ERRNO:
        return f"return {errno_name(number) if number else 0}"
    if action not in _KILLING:
        losses.add("action", f"minijail's policies have no {action}: the process is killed for {{}}", name)
    elif action != KILL:
        losses.add("kill-thread", "minijail kills the process, not the thread alone")
    return ""


def _conjunction(args: tuple[Argument, ...], narrow: bool) -> str:
    return " && ".join(atom for each in args for atom in _atoms(each, NARROW if narrow else LARGEST_VALUE))


def _atoms(argument: Argument, width: int) -> list[str]:
    """The condition in comparisons that must all hold; `&` asks for any of the bits, `in` for no other bits."""
    left = f"arg{argument.index}"
    value, two = argument.value & width, argument.value_two & width
    if argument.op != MASKED_EQUAL:
        return [f"{left} {_OPERATORS[argument.op]} {value:#x}"]
    if value == width:
        return [f"{left} == {two:#x}"]
    bits = [1 << bit for bit in range(value.bit_length()) if value & two & 1 << bit]
    zero = value & ~two
    return [*(f"{left} & {bit:#x}" for bit in bits), *([f"{left} in ~{zero:#x}"] if zero else [])]
