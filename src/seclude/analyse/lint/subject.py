"""What checks ask of a profile: its rules by call, where they are in force, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence

from ...model.decision import asked, width_of
from ...model.environment import Environment
from ...model.frozen import frozen
from ...model.profile import PERMITTING, Filter, Profile, Rule
from ...syscalls import ARCHITECTURES, number_of
from ..diagrams import Conditions, Diagrams, Outcome, TooComplex
from ..diff import environments_for
from .lines import Spot

ALLOWED, REFUSED, CONDITIONAL = "allowed", "refused", "conditional"

KERNEL = "6.18"
"""The newest kernel that was looked at; what matters is on which side of a rule's minKernel it lies."""

_MOST_NODES = 20_000
_MACHINES = {"SCMP_ARCH_X86_64": "x86_64", "SCMP_ARCH_AARCH64": "aarch64"}


@frozen
class Found:
    """A finding before its line is known: `spot` is the path in the file."""

    rule: str
    severity: str
    message: str
    spot: Spot = ()
    call: str = ""
    hint: str = ""
    details: tuple[str, ...] = ()


@frozen
class Runtime:
    """What an OCI runtime calls after loading the filter: with and without no-new-privileges."""

    name: str
    version: str
    calls: tuple[str, ...]
    confined_calls: tuple[str, ...]


class Subject:
    """A profile, in the ways in which checks look at it. `chosen`: the runtimes were asked for by the user."""

    def __init__(self, profile: Profile, *, runtimes: Sequence[Runtime] = (), chosen: bool = False) -> None:
        self.profile = profile
        self.runtimes = tuple(runtimes)
        self.chosen = chosen
        self.by_name: dict[str, list[int]] = {}
        for number, rule in enumerate(profile.rules):
            for name in dict.fromkeys(rule.names):
                self.by_name.setdefault(name, []).append(number)
        self.machine = self._machine()
        self.here = Environment(machine=self.machine, kernel=KERNEL, capabilities=())
        """A container without capabilities: what it may do, any may do."""
        self.places = environments_for([profile], machine=self.machine, kernel=KERNEL)
        self._cases = tuple(
            dict.fromkeys(
                frozenset(number for number, rule in enumerate(self._filters()) if place.applies(rule))
                for place in self.places
            )
        )

    def _machine(self) -> str:
        listed = self.profile.architectures or tuple(entry.architecture for entry in self.profile.arch_map)
        for architecture in listed:
            if architecture in _MACHINES:
                return _MACHINES[architecture]
        return "x86_64"

    def _filters(self) -> Sequence[Rule]:
        known: dict[tuple[Filter, Filter], Rule] = {}
        for rule in self.profile.rules:
            known.setdefault(
                (rule.includes, rule.excludes),
                Rule(names=(), action="SCMP_ACT_ALLOW", includes=rule.includes, excludes=rule.excludes),
            )
        self._filter_numbers = {key: number for number, key in enumerate(known)}
        return tuple(known.values())

    def cases(self, name: str) -> tuple[tuple[int, ...], ...]:
        """The sets of rules on a call that are in force together somewhere, by their numbers."""
        rules = self.profile.rules
        return tuple(
            dict.fromkeys(
                tuple(
                    number
                    for number in self.by_name.get(name, ())
                    if self._filter_numbers[rules[number].includes, rules[number].excludes] in case
                )
                for case in self._cases
            )
        )

    def abis(self) -> tuple[str, ...]:
        """The ABIs that the filter has on the machine that is looked at, its own first."""
        own = self.here.architecture
        covered = dict.fromkeys((own, *self.here.architectures(self.profile)))
        by_architecture = {architecture: abi for abi, architecture in ARCHITECTURES.items()}
        return tuple(by_architecture[each] for each in covered if each in by_architecture)

    def live(self, name: str, *, capabilities: Sequence[str] = ()) -> tuple[Rule, ...]:
        """The rules on a call that are in force for a container with these capabilities and that say something."""
        here = Environment(machine=self.machine, kernel=KERNEL, capabilities=tuple(capabilities))
        rules = (self.profile.rules[number] for number in self.by_name.get(name, ()))
        return tuple(rule for rule in rules if here.applies(rule) and rule.outcome != self.profile.outcome)

    def outcomes(self, abi: str, name: str, *, capabilities: Sequence[str] = ()) -> frozenset[Outcome]:
        """All that may happen to the call, whatever its arguments."""
        width = width_of(abi)
        rules = self.live(name, capabilities=capabilities)
        if all(rule.unconditional(width=width) for rule in rules):
            return frozenset({rules[0].outcome if rules else self.profile.outcome})
        diagrams = Diagrams(width=width, limit=_MOST_NODES)
        try:
            node = diagrams.decided(meaning(rules, width), self.profile.outcome)
            return frozenset(outcome for outcome, _ in diagrams.pairs(node, node))
        except TooComplex:
            return frozenset({rule.outcome for rule in rules} | {self.profile.outcome})

    def state(self, abi: str, name: str, *, capabilities: Sequence[str] = ()) -> str:
        """ALLOWED, REFUSED (also where there is no such call) or, where that depends on the arguments, CONDITIONAL."""
        if number_of(abi, name) is None or abi not in self.abis():
            return REFUSED
        made = {outcome[0] in PERMITTING for outcome in self.outcomes(abi, name, capabilities=capabilities)}
        if len(made) > 1:
            return CONDITIONAL
        return ALLOWED if made == {True} else REFUSED

    def spot(self, name: str, *, permits: bool | None = None) -> Spot:
        """Where the rule is that says what happens to a call: the first in force that names it, else ()."""
        live = self.live(name)
        for number in self.by_name.get(name, ()):
            rule = self.profile.rules[number]
            if rule in live and permits in (None, rule.permits):
                return self.name_spot(number, name)
        return ()

    def name_spot(self, number: int, name: str) -> Spot:
        """The path of a name in a rule."""
        rule = self.profile.rules[number]
        if rule.legacy_name:
            return ("syscalls", number, "name")
        return ("syscalls", number, "names", rule.names.index(name))


def meaning(rules: Sequence[Rule], width: int) -> list[tuple[Conditions, Outcome]]:
    """The rules, which say something other than the default, in the order in which they count."""
    for rule in rules:
        if rule.unconditional(width=width):
            return [((), rule.outcome)]
    return [(conditions, rule.outcome) for conditions, rule in asked(rules, width)]


def widths(subject: Subject) -> tuple[int, ...]:
    """The widths in which conditions are compared, by the ABIs of the filter."""
    return tuple(dict.fromkeys(width_of(abi) for abi in subject.abis()))
