"""Two profiles in, how they differ in what they mean out: call by call, wherever the rules lead to another outcome.

What a rule means is what model.decision says, which follows engines and libseccomp; here for all arguments at once.
Text that means the same (rules split, merged, in another order, written with `name`; an errno by name or number; a
rule that repeats the default) makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..complements import telling
from ..dangers import TIERS, category_of, danger_of
from ..model.change import Change, Difference, Maker
from ..model.decision import asked
from ..model.environment import NATIVE_ABIS, Environment
from ..model.frozen import frozen
from ..model.profile import ERRNO, LARGEST_VALUE, NARROW, PERMITTING, Filter, Profile, Rule
from ..model.recording import FirstSeen, Recording
from ..syscalls import all_names
from .diagrams import Conditions, Diagrams, Outcome, TooComplex
from .wording import described, outcome_in_words

MOST_MAKERS = 3
MOST_CAPABILITIES = 64
MOST_FILTERS = 200
MOST_KERNELS = 8
"""Beyond these not each is looked at by itself; moby's own profile has 14 capabilities in 25 filters."""

MOST_NODES = 50_000
MOST_SPENT = 1_000_000
"""Nodes of diagrams for one call, and for all: some seconds. Beyond that rules are taken for different."""

NO_PROFILE = "no profile"

_UNCERTAIN = ("SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")
_KIND_ORDER = ("added", "changed", "removed")
_MACHINES = ("x86_64", "i686", "aarch64", "armv7l", "loongarch64", "ppc64le", "riscv64", "s390x")
_NARROW = frozenset(
    f"SCMP_ARCH_{name}"
    for name in "X86 X32 ARM M68K MIPS MIPS64N32 MIPSEL MIPSEL64N32 PARISC PPC S390 SH SHEB".split()
)
"""Architectures whose arguments have 32 bits, so that libseccomp drops the upper half of conditions."""


def difference(
    old: Profile | None,
    new: Profile,
    *,
    environments: Sequence[Environment],
    recordings: Sequence[Recording] = (),
) -> Difference:
    """How `new` differs from `old` in any of the environments; `old` None allows nothing.

    The most dangerous first. `recordings` tell who makes the calls. Raises ValueError for no environment at all, in
    which nothing could differ.
    """
    if not environments:
        raise ValueError("a difference is between what happens somewhere: no environment is given")
    comparison = _Comparison(old, new, environments)
    makers = _Makers(recordings)
    changes = [
        change for name in comparison.names() if (change := comparison.change(name, makers)) is not None
    ]
    changes.sort(
        key=lambda change: (TIERS.index(change.danger.tier), _KIND_ORDER.index(change.kind), change.call)
    )
    others = () if old is None else _others(old, new, environments)
    return Difference(changes=tuple(changes), others=others)


def environments_for(
    profiles: Sequence[Profile], *, machine: str, kernel: str, capabilities: Sequence[str] = ()
) -> tuple[Environment, ...]:
    """Where these profiles may do different things: with and without each capability that they mention, on each
    processor and on each side of each kernel that they mention, beside what is given.
    """
    filters = {
        each for profile in profiles for rule in profile.rules for each in (rule.includes, rule.excludes)
    }
    caps = sorted({cap for each in filters for cap in each.caps})
    sets = {tuple(sorted(set(capabilities))), (), tuple(caps)}
    if len(caps) <= MOST_CAPABILITIES and len(filters) <= MOST_FILTERS:
        sets |= {(cap,) for cap in caps} | {tuple(cap for cap in caps if cap != left) for left in caps}
        sets |= {tuple(sorted(set(each.caps))) for each in filters}
    kernels = sorted({each.min_kernel for each in filters if each.min_kernel})[:MOST_KERNELS]
    machines = [machine]
    for name in _MACHINES:
        here = Environment(machine=name, kernel="", capabilities=())
        mapped = any(entry.architecture == here.architecture for each in profiles for entry in each.arch_map)
        if name != machine and (mapped or any(here.arch in each.arches for each in filters)):
            machines.append(name)
    return tuple(
        Environment(machine=name, kernel=version, capabilities=chosen)
        for name in machines
        for version in dict.fromkeys([kernel, *(["0.1"] if kernels else []), *kernels])
        for chosen in sorted(sets)
    )


@frozen
class _Meaning:
    """What a profile does with one call: the rules that count, in the order in which they are asked; the default."""

    rules: tuple[tuple[Conditions, Outcome], ...]
    default: Outcome

    @property
    def outcomes(self) -> frozenset[Outcome]:
        return frozenset(outcome for _, outcome in self.rules) | {self.default}


class _Side:
    """One profile, with its rules by name, and which of them are in force where. A rule is its number here."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.by_name: dict[str, list[int]] = {}
        self.outcomes = [rule.outcome for rule in profile.rules]
        filters: dict[tuple[Filter, Filter], int] = {}
        self._filter_of = []
        for number, rule in enumerate(profile.rules):
            self._filter_of.append(filters.setdefault((rule.includes, rule.excludes), len(filters)))
            for name in dict.fromkeys(rule.names):
                self.by_name.setdefault(name, []).append(number)
        self._probes = [Rule(names=(), action=ERRNO, includes=one, excludes=two) for one, two in filters]

    def in_force(self, environment: Environment) -> frozenset[int]:
        """The numbers of the filters that hold there."""
        return frozenset(number for number, probe in enumerate(self._probes) if environment.applies(probe))

    def rules(self, name: str, case: frozenset[int]) -> tuple[int, ...]:
        """The rules that name the call and whose filter is in force."""
        return tuple(number for number in self.by_name.get(name, ()) if self._filter_of[number] in case)

    def meaning(self, numbers: Sequence[int], width: int) -> _Meaning:
        """As model.decision.decide: rules with the default's outcome do not count, those without conditions win."""
        default = self.profile.outcome
        rules = [(self.profile.rules[number], self.outcomes[number]) for number in numbers]
        rules = [(rule, outcome) for rule, outcome in rules if outcome != default]
        for rule, outcome in rules:
            if rule.unconditional(width=width):
                return _Meaning(rules=(((), outcome),), default=default)
        if len({outcome for _, outcome in rules}) > 1:
            ordered = asked([rule for rule, _ in rules], width)
            found = [(conditions, rule.outcome) for conditions, rule in ordered]
        else:
            found = [(conditions, outcome) for rule, outcome in rules for conditions in telling(rule, width)]
        return _Meaning(rules=tuple(found), default=default)


class _Comparison:
    """Both profiles in all cases."""

    def __init__(self, old: Profile | None, new: Profile, environments: Sequence[Environment]) -> None:
        self.absent = old is None
        self.old = _Side(old if old is not None else Profile(default_action=ERRNO))
        self.new = _Side(new)
        self.abi = NATIVE_ABIS.get(environments[0].machine, "x86_64")
        self._left = MOST_SPENT
        self._pairs: dict[tuple[_Meaning, _Meaning, int], frozenset[tuple[Outcome, Outcome]]] = {}
        # Environments that both profiles treat alike are one case: the filters in force, and the bits of arguments.
        cases = dict.fromkeys(
            (self.old.in_force(each), self.new.in_force(each), width)
            for each in environments
            for width in _widths(self.old.profile, self.new.profile, each)
        )
        self._cases = tuple(cases)

    def names(self) -> Iterable[str]:
        """Every call that may be treated otherwise: those that are named, and all if the default is another."""
        named = set(self.old.by_name) | set(self.new.by_name)
        if _freedom(self.old.profile.outcome) != _freedom(self.new.profile.outcome):
            named |= all_names()
        return sorted(named)

    def change(self, name: str, makers: _Makers) -> Change | None:
        """How the call is treated otherwise; None where it is not."""
        found: set[tuple[Outcome, Outcome]] = set()
        differing: set[tuple[Outcome, Outcome]] = set()
        cases = dict.fromkeys(
            (self.old.rules(name, old), self.new.rules(name, new), width) for old, new, width in self._cases
        )
        for before, after, width in cases:
            pairs = self.pairs(self.old.meaning(before, width), self.new.meaning(after, width), width)
            found |= pairs
            differing |= {pair for pair in pairs if self._differ(*pair)}
        if not differing:
            return None
        made_before = any(_freedom(one) for one, _ in found) and not self.absent
        made_after = any(_freedom(two) for _, two in found)
        return Change(
            call=name,
            kind="changed" if made_before == made_after else "added" if made_after else "removed",
            before=NO_PROFILE
            if self.absent
            else self._described(name, self.old, [before for before, _, _ in cases]),
            after=self._described(name, self.new, [after for _, after, _ in cases]),
            category=category_of(name),
            danger=danger_of(name),
            makers=makers.of(name),
            loosened=any(_freedom(two) > _freedom(one) for one, two in differing),
        )

    def _differ(self, one: Outcome, two: Outcome) -> bool:
        if one == two:
            return False
        if not _freedom(one) and not _freedom(two) and self.absent:
            return False
        # Where the default is another, that is said once and not again for each call that it decides.
        defaults = (self.old.profile.outcome, self.new.profile.outcome)
        return (one, two) != defaults or _freedom(one) != _freedom(two)

    def pairs(self, old: _Meaning, new: _Meaning, width: int) -> frozenset[tuple[Outcome, Outcome]]:
        """The outcomes that some arguments have under both; more than that where this cannot be told in time."""
        if old.rules == new.rules and old.default == new.default:
            return frozenset((outcome, outcome) for outcome in old.outcomes)
        key = (old, new, width)
        if key not in self._pairs:
            diagrams = Diagrams(width=width, limit=min(MOST_NODES, max(self._left, 0)))
            try:
                first, second = (diagrams.decided(each.rules, each.default) for each in (old, new))
                self._pairs[key] = diagrams.pairs(first, second)
            except TooComplex:
                self._pairs[key] = frozenset((one, two) for one in old.outcomes for two in new.outcomes)
            self._left -= diagrams.spent
        return self._pairs[key]

    def _described(self, name: str, side: _Side, cases: Sequence[tuple[int, ...]]) -> str:
        used = sorted({number for case in cases for number in case})
        rules = [side.profile.rules[number] for number in used]
        everywhere = all(case == cases[0] for case in cases)
        return described(self.abi, name, rules, side.profile.outcome, everywhere=everywhere)


def _freedom(outcome: Outcome) -> int:
    """2 where the call is made, 1 where somebody else may let it be made, 0 where it is refused."""
    return 2 if outcome[0] in PERMITTING else int(outcome[0] in _UNCERTAIN)


def _widths(old: Profile, new: Profile, environment: Environment) -> tuple[int, ...]:
    if NATIVE_ABIS.get(environment.machine) in ("x86", "arm"):
        return (NARROW,)
    shared = set(environment.architectures(old)) & set(environment.architectures(new))
    return (LARGEST_VALUE, NARROW) if shared & _NARROW else (LARGEST_VALUE,)


class _Makers:
    """Who made which call, from recordings; the application before the runtime, the first before the others."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        found: dict[str, dict[Maker, tuple[bool, int, float]]] = {}
        for number, recording in enumerate(recordings):
            for call in recording.calls:
                if call.phase == "denied" or not isinstance(call.first, FirstSeen):
                    continue
                first = call.first
                maker = Maker(comm=first.comm, executable=first.executable, context=call.context)
                order = (call.phase != "app", number, first.time)
                known = found.setdefault(call.name, {})
                known[maker] = min(order, known.get(maker, order))
        self._found = found

    def of(self, name: str) -> tuple[Maker, ...]:
        known = self._found.get(name, {})
        return tuple(sorted(known, key=lambda maker: (known[maker], repr(maker)))[:MOST_MAKERS])


def _others(old: Profile, new: Profile, environments: Sequence[Environment]) -> tuple[str, ...]:
    """What differs beside the calls, in sentences."""
    found = []
    if old.outcome != new.outcome:
        found.append(f"default: {outcome_in_words(old.outcome)} before, {outcome_in_words(new.outcome)} now")
    for number, machine in enumerate(dict.fromkeys(each.machine for each in environments)):
        here = next(each for each in environments if each.machine == machine)
        # A plain list is written for one machine, the first; only a map says something of each.
        if number and not (old.arch_map and new.arch_map):
            break
        before, after = (_architectures(each, here) for each in (old, new))
        found += [f"architectures on {machine}: {name} added" for name in sorted(after - before)]
        found += [f"architectures on {machine}: {name} removed" for name in sorted(before - after)]
    if _flags(old) != _flags(new):
        found.append(f"flags: {_flags(old)} before, {_flags(new)} now")
    for label, one, two in (
        ("listener", old.listener_path, new.listener_path),
        ("listener metadata", old.listener_metadata, new.listener_metadata),
    ):
        if one != two:
            found.append(f"{label}: {one or 'none'} before, {two or 'none'} now")
    return tuple(found)


def _architectures(profile: Profile, environment: Environment) -> frozenset[str]:
    names = {environment.architecture, *environment.architectures(profile)}
    return frozenset(names - {"SCMP_ARCH_NATIVE", ""})


def _flags(profile: Profile) -> str:
    if profile.flags is None:
        return "the engine's choice"
    names = sorted({name.removeprefix("SECCOMP_FILTER_FLAG_") for name in profile.flags})
    return ", ".join(names) or "none"
