"""What a profile lacks for some recordings: a profile and recordings in, the allow rules to append out.

Every decision follows what engines and libseccomp make of the rules, so that an appended rule cannot undo one
that denies. What counts there:
- A rule whose action is the default's is left out of the filter (runc matchCall, crun libcrun_generate_seccomp),
  so it cannot win against an allow rule: no rule may be appended that allows what it denies.
- Of several rules without conditions the first counts, whatever its action, and it replaces all rules with
  conditions, before and after it (libseccomp src/db.c, db_rule_add: "existing filter is at least as large").
- Conditions of one rule are ANDed, but ORed where two are on one argument (Rule.alternatives).
"""

from __future__ import annotations

from .model.environment import NATIVE_ABIS, Environment, all_of
from .model.frozen import frozen
from .model.profile import (
    ALLOW,
    EQUAL,
    EVERYWHERE,
    LARGEST_VALUE,
    MASKED_EQUAL,
    NARROW,
    Argument,
    Filter,
    Profile,
    Rule,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model.recording import Recording

    Values = dict[int, int]
    Conditions = tuple[Argument, ...]
    Guard = tuple[Filter, Filter]

COMPLEMENTS = {
    EQUAL: "SCMP_CMP_NE",
    "SCMP_CMP_NE": EQUAL,
    "SCMP_CMP_LT": "SCMP_CMP_GE",
    "SCMP_CMP_GE": "SCMP_CMP_LT",
    "SCMP_CMP_GT": "SCMP_CMP_LE",
    "SCMP_CMP_LE": "SCMP_CMP_GT",
}

MOST_RULES = 64
"""Rules that one call may get before it is rather left denied: they multiply with the rules that deny it."""

MULTIPLEXED = {
    "socketcall": frozenset(
        "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom "
        "shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg".split()
    ),
    "ipc": frozenset(
        "semop semget semctl semtimedop msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl".split()
    ),
}
"""Calls of 32-bit x86 through which others are made: libseccomp extends a rule on one of those to them
(src/arch-x86.c), so a rule on `socketcall` itself without conditions would replace what denies `socket`."""

_WIDTHS = {"x86": NARROW, "x32": NARROW, "arm": NARROW}


@frozen
class Additions:
    """The rules to append, in a fixed order, and what was left denied and why."""

    rules: tuple[Rule, ...]
    notes: tuple[str, ...]


@frozen
class _Verdict:
    """What one call needs: the conditions of each allow rule to append, where those rules hold, and a note."""

    alternatives: tuple[Conditions, ...] = ()
    guard: Guard = (EVERYWHERE, EVERYWHERE)
    note: str = ""


_NOTHING = _Verdict()
_BY_RULE = "a rule of the base profile denies it"


def additions(base: Profile, recordings: Sequence[Recording], baseline: frozenset[str]) -> Additions:
    """What to append to `base` so that what was recorded, and the names in `baseline`, are allowed.

    A name of the baseline that `base` allows under conditions stays under them: its arguments are not known.
    """
    wanted: dict[tuple[Conditions, Filter, Filter], set[str]] = {}
    notes: list[str] = []
    rules_of = _by_name(base)
    for recording in recordings:
        environment = Environment(
            machine=recording.machine, kernel=recording.kernel, capabilities=recording.capabilities
        )
        for abi, name in _calls(recording, baseline):
            recorded = name in recording.names(abi=abi)
            values = _values(recording, abi, name) if recorded else None
            call = _Call(base, rules_of.get(name, ()), environment, abi, name, values, recorded)
            denied = MULTIPLEXED.get(name, frozenset()).intersection(rules_of)
            verdict = call.verdict(sorted(part for part in denied if _denied(rules_of[part])))
            if verdict.note:
                notes.append(verdict.note)
            for conditions in verdict.alternatives:
                wanted.setdefault((conditions, *verdict.guard), set()).add(name)
    rules = tuple(
        Rule(names=tuple(sorted(names)), action=ALLOW, args=conditions, includes=includes, excludes=excludes)
        for (conditions, includes, excludes), names in sorted(wanted.items(), key=_order)
    )
    return Additions(rules=rules, notes=tuple(dict.fromkeys(notes)))


def _order(item: tuple[tuple[Conditions, Filter, Filter], set[str]]) -> tuple[object, ...]:
    (conditions, includes, excludes), names = item
    plain = not conditions and includes == excludes == EVERYWHERE
    return (not plain, sorted(names), repr(conditions), repr(includes), repr(excludes))


def _by_name(profile: Profile) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in profile.rules:
        for name in dict.fromkeys(rule.names):
            found.setdefault(name, []).append(rule)
    return found


def _denied(rules: Iterable[Rule]) -> bool:
    return any(not rule.permits for rule in rules)


def _calls(recording: Recording, baseline: frozenset[str]) -> list[tuple[str, str]]:
    """(ABI, name) of all calls to be allowed, sorted."""
    native = NATIVE_ABIS.get(recording.machine, "")
    calls = {(call.abi, call.name) for call in recording.calls if call.phase != "denied" and call.named}
    return sorted(calls | {(native, name) for name in baseline})


def _values(recording: Recording, abi: str, name: str) -> list[Values] | None:
    """The arguments the call was made with, index -> value; None where they are not all known."""
    found = [item for item in recording.arguments if (item.abi, item.name) == (abi, name)]
    if not found or not all(item.complete for item in found):
        return None
    return [dict(zip(item.indices, values, strict=True)) for item in found for values in item.values]


class _Call:
    """One call in one environment, with the base's rules that name it."""

    def __init__(
        self,
        base: Profile,
        rules: Sequence[Rule],
        environment: Environment,
        abi: str,
        name: str,
        values: list[Values] | None,
        recorded: bool,
    ) -> None:
        self.base = base
        self.name = name
        self.abi = abi
        self.width = _WIDTHS.get(abi, LARGEST_VALUE)
        self.recorded = recorded
        self.effective = [rule for rule in rules if environment.applies(rule)]
        conditional = [rule for rule in self.effective if not rule.unconditional(width=self.width)]
        self.denying = [rule for rule in conditional if not rule.permits]
        self.allowing = [rule for rule in conditional if rule.permits]
        guards = [environment.guard(rule) for rule in rules if not rule.permits]
        self.guards = [guard for guard in guards if guard is not None]
        needed = {argument.index for rule in (*self.denying, *self.allowing) for argument in rule.args}
        known = values is not None and all(needed <= set(item) for item in values)
        self.values = values if known else None

    def verdict(self, denied_parts: Sequence[str]) -> _Verdict:
        """`denied_parts`: calls made through this one that a rule denies."""
        decided = self._unconditional()
        if decided is not None:
            return decided
        if self.base.permits or self._satisfied():
            return self._note_on_denied_values()
        if denied_parts:
            return self._left_denied(
                f"{', '.join(denied_parts)}, denied by the base profile, is made through it"
            )
        if not self.denying:
            return _Verdict(alternatives=((),), guard=all_of(self.guards))
        alternatives = self._complement()
        if alternatives is None:
            alternatives = self._exactly_what_was_seen()
        if alternatives is None:
            return self._left_denied("what the base profile's conditions leave cannot be written as rules")
        note = self._note_on_denied_values().note
        return _Verdict(alternatives=alternatives, guard=all_of(self.guards), note=note)

    def _left_denied(self, why: str) -> _Verdict:
        return _Verdict(note=f"{self.name} stays denied: {why}")

    def _unconditional(self) -> _Verdict | None:
        """The verdict of the rules without conditions, None where there is none."""
        plain = [rule for rule in self.effective if rule.unconditional(width=self.width)]
        for rule in plain:
            if rule.outcome != self.base.outcome:
                return _NOTHING if rule.permits else self._left_denied(_BY_RULE)
        if any(not rule.permits for rule in plain):
            return _NOTHING if self._satisfied() else self._left_denied(_BY_RULE)
        return None

    def _denied_here(self, values: Values) -> bool:
        return any(rule.matches(values, width=self.width) for rule in self.denying)

    def _allowed_here(self, values: Values) -> bool:
        return any(rule.matches(values, width=self.width) for rule in self.allowing)

    def _satisfied(self) -> bool:
        """Whether conditional rules decide all that was recorded, one way or the other."""
        if not self.recorded:
            return bool(self.allowing)
        if self.values is None or not (self.allowing or self.denying):
            return False
        return all(self._allowed_here(item) or self._denied_here(item) for item in self.values)

    def _note_on_denied_values(self) -> _Verdict:
        if self.values is not None and any(self._denied_here(item) for item in self.values):
            return self._left_denied("with some recorded arguments a rule of the base profile denies it")
        return _NOTHING

    def _complement(self) -> tuple[Conditions, ...] | None:
        """Rules that hold exactly where no denying rule does; None where conditions cannot say that."""
        choices: list[Conditions] = [()]
        for rule in self.denying:
            telling = [argument for argument in rule.args if not argument.vacuous(width=self.width)]
            opposites = [_complement(argument) for argument in telling]
            if rule.alternatives:
                return None
            choices = [(*chosen, each) for chosen in choices for each in opposites if each is not None]
            if None in opposites or len(choices) > MOST_RULES:
                return None
        found = {_plain(chosen) for chosen in choices}
        if None in found:
            return None
        return tuple(sorted((chosen for chosen in found if chosen is not None), key=repr))

    def _exactly_what_was_seen(self) -> tuple[Conditions, ...] | None:
        """One rule for each recorded set of arguments that no rule decides; None where they are not known."""
        if self.values is None:
            return None
        indices = sorted({argument.index for rule in self.denying for argument in rule.args})
        found = {
            tuple(Argument(index=index, value=item[index], op=EQUAL) for index in indices)
            for item in self.values
            if not self._denied_here(item) and not self._allowed_here(item)
        }
        return tuple(sorted(found, key=repr)) if len(found) <= MOST_RULES else None


def _complement(argument: Argument) -> Argument | None:
    """The condition that holds exactly where this one does not, None where there is none.

    Of a masked comparison that is so only for a mask of one bit: the bit has the other value.
    """
    index, value, two = argument.index, argument.value, argument.value_two
    if argument.op != MASKED_EQUAL:
        return Argument(index=index, value=value, op=COMPLEMENTS[argument.op])
    if value.bit_count() != 1:
        return None
    return Argument(index=index, value=value, value_two=value & ~two, op=MASKED_EQUAL)


def _plain(conditions: Conditions) -> Conditions | None:
    """The conditions without repeats, by index; None where two on one argument are left (engines OR those)."""
    kept = tuple(sorted(dict.fromkeys(conditions), key=lambda argument: argument.index))
    return kept if len({argument.index for argument in kept}) == len(kept) else None
