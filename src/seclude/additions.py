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

from .complements import complement, exactly, faithful, telling
from .model.environment import NATIVE_ABIS, Environment, all_of
from .model.frozen import frozen
from .model.profile import (
    ALLOW,
    EVERYWHERE,
    LARGEST_VALUE,
    NARROW,
    Filter,
    Profile,
    Rule,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model.profile import Argument
    from .model.recording import Recording

    Values = dict[int, int]
    Conditions = tuple[Argument, ...]
    Guard = tuple[Filter, Filter]

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
        alternatives = self._rest()
        if alternatives is None:
            return self._left_denied("no rules that libseccomp compiles faithfully allow the rest of it")
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

    def _rest(self) -> tuple[Conditions, ...] | None:
        """Rules to allow what the denying rules leave over; None where none can be trusted to do it."""
        conditional = [rule for rule in self.effective if not rule.unconditional(width=self.width)]
        live = [
            conditions
            for rule in conditional
            if rule.outcome != self.base.outcome
            for conditions in telling(rule, self.width)
        ]
        present = [rule.args for rule in self.allowing]
        alternatives = complement(self.denying, self.width)
        if alternatives is not None and (len(conditional) == 1 or faithful([*live, *alternatives])):
            return tuple(each for each in alternatives if each not in present)
        if self.values is not None:
            left = [
                item for item in self.values if not self._denied_here(item) and not self._allowed_here(item)
            ]
            indices = sorted({argument.index for rule in self.denying for argument in rule.args})
            alternatives = exactly(left, indices)
            if alternatives is not None and faithful([*live, *alternatives]):
                return alternatives
        return None
