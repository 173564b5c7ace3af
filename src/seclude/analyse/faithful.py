"""Whether a filter does what its profile means: both in, the calls that they answer differently out.

Every number of every ABI is asked for, and where rules compare arguments, the values around which their answers change.
"""

from __future__ import annotations

from ..model.decision import BY_ARCHITECTURE, asked, decide, width_of
from ..model.frozen import frozen, replace
from ..model.profile import EQUAL, NARROW, Argument, Profile, Rule
from ..syscalls import name_of, number_of
from ..syscalls import names as names_of
from .boundaries import vectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..model.environment import Environment

    Outcome = tuple[str, int]
    """(action, errno or tracer's number, or 0)"""

    Run = Callable[[str, int, Sequence[int]], Outcome]
    """What a filter answers: ABI, number (without the bit of x32; -1 for the call that is skipped), arguments."""

_ABIS = {
    "x86_64": ("x86_64", "x86", "x32"),
    "i686": ("x86",),
    "aarch64": ("aarch64", "arm"),
    "armv7l": ("arm",),
}

_PRIVATE = 0x0F0000  # __ARM_NR_BASE, arch/arm/include/uapi/asm/unistd.h

AMBIGUOUS = "ambiguous"
MULTIPLEXED = "multiplexed"
UNNAMED = "unnamed"
"""Why a filter differs: rules with different actions hold at once; libseccomp puts rules for `socket` and the like on
`socketcall` and `ipc` as well; libseccomp has no name for the call on this ABI."""

LOOSER, STRICTER, OTHER = "looser", "stricter", "other"

# The kernel's own order (kernel/seccomp.c, seccomp_run_filters: the lowest signed value wins), strictest first.
_ORDER = (
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
)

# First arguments of the 32-bit x86 calls that make others (include/uapi/linux/net.h, ipc.h).
_SOCKETCALL = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
    "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
).split()
_IPC = {
    "semop": 1,
    "semget": 2,
    "semctl": 3,
    "semtimedop": 4,
    "msgsnd": 11,
    "msgrcv": 12,
    "msgget": 13,
    "msgctl": 14,
    "shmat": 21,
    "shmdt": 22,
    "shmget": 23,
    "shmctl": 24,
}
_MULTIPLEXED = {
    "socketcall": {name: number for number, name in enumerate(_SOCKETCALL, start=1)},
    "ipc": _IPC,
}


@frozen
class Difference:
    """One call that is answered otherwise than meant: the first `arguments` that show it, of `count` that were tried.

    `reason`: AMBIGUOUS, MULTIPLEXED, UNNAMED or empty. `expected`: it comes from how libseccomp works and lets nothing
    through that the profile keeps out.
    """

    abi: str
    name: str
    number: int
    arguments: tuple[int, ...]
    meant: Outcome
    done: Outcome
    reason: str = ""
    expected: bool = False
    count: int = 1

    @property
    def direction(self) -> str:
        """LOOSER or STRICTER than meant, or OTHER: another errno."""
        meant, done = _ORDER.index(self.meant[0]), _ORDER.index(self.done[0])
        return OTHER if meant == done else LOOSER if done > meant else STRICTER


@frozen
class Comparison:
    """`calls`: how many were tried; `thinned`: names whose combinations of arguments were too many to try all."""

    calls: int
    differences: tuple[Difference, ...]
    thinned: tuple[str, ...] = ()

    @property
    def mismatches(self) -> tuple[Difference, ...]:
        """What is not as meant, looser first."""
        found = [each for each in self.differences if not each.expected]
        return tuple(sorted(found, key=lambda each: (LOOSER, OTHER, STRICTER).index(each.direction)))

    @property
    def deviations(self) -> tuple[Difference, ...]:
        """What is to be expected of libseccomp."""
        return tuple(each for each in self.differences if each.expected)


def abis_of(machine: str) -> tuple[str, ...]:
    """The ABIs that programs on this machine can call by; none where there are no tables for it."""
    return _ABIS.get(machine, ())


def faithful(
    profile: Profile, environment: Environment, run: Run, *, unnamed: Mapping[str, frozenset[str]]
) -> Comparison:
    """Compare a filter with its profile. `unnamed`: ABI -> names for which libseccomp can make no rule there."""
    comparer = _Comparer(profile, environment, run, unnamed)
    for abi in abis_of(environment.machine):
        for number in _numbers(abi):
            comparer.compare(abi, number)
    return comparer.result()


def _numbers(abi: str) -> Iterator[int]:
    """All numbers of the table and between them, some beyond, and -1, by which a tracer skips a call."""
    named = {number_of(abi, name) or 0 for name in names_of(abi)}
    private = sorted(number for number in named if number >= _PRIVATE)
    yield from range(max(named.difference(private)) + 4)
    # Between those of all processors and Arm's own there are a million that nothing is behind.
    yield from range(_PRIVATE - 1, private[-1] + 4) if private else ()
    yield from (1023, 4095, 0x3FFF_FFFF)
    if abi != "x32":
        yield -1


def meaning_of(
    profile: Profile, environment: Environment, abi: str, name: str
) -> Callable[[Sequence[int]], Outcome]:
    """What `decide` says of a call, by its arguments, with the rules put in order once and not for each of thousands.

    The profile's rules must be those on this call that hold in the environment and differ from the default.
    """
    decision = decide(profile, environment, abi, name, (0,) * 6)
    width, rules = width_of(abi), profile.rules
    if decision.cause == BY_ARCHITECTURE or any(rule.unconditional(width=width) for rule in rules):
        settled = decision.action, decision.data
        return lambda arguments: settled
    order = [(conditions, rule.outcome) for conditions, rule in asked(rules, width)]
    default = profile.outcome

    def meaning(arguments: Sequence[int]) -> Outcome:
        for conditions, outcome in order:
            if all(each.matches(arguments[each.index], width=width) for each in conditions):
                return outcome
        return default

    return meaning


class _Comparer:
    def __init__(
        self, profile: Profile, environment: Environment, run: Run, unnamed: Mapping[str, frozenset[str]]
    ) -> None:
        self._profile = profile
        self._environment = environment
        self._run = run
        self._unnamed = unnamed
        self._naming: dict[str, list[Rule]] = {}
        for rule in profile.rules:
            if environment.applies(rule) and rule.outcome != profile.outcome:
                for name in dict.fromkeys(rule.names):
                    self._naming.setdefault(name, []).append(rule)
        self._parts: dict[str, tuple[Profile, list[tuple[int, ...]]]] = {}
        self._found: dict[tuple[str, str, Outcome, Outcome, str, bool], Difference] = {}
        self._thinned: dict[str, None] = {}
        self._calls = 0

    def result(self) -> Comparison:
        return Comparison(
            calls=self._calls, differences=tuple(self._found.values()), thinned=tuple(self._thinned)
        )

    def compare(self, abi: str, number: int) -> None:
        name = name_of(abi, number) if number >= 0 else "#-1"
        part, tried = self._part(name)
        conditional = any(rule.args for rule in part.rules)
        wider = self._multiplexed(part, name) if abi == "x86" and name in _MULTIPLEXED else part
        if wider is not part:
            tried, conditional = vectors(wider.rules)[0], True
        meaning = meaning_of(part, self._environment, abi, name)
        meant = meaning(tried[0])
        for arguments in tried:
            if conditional:
                meant = meaning(arguments)
            done = self._run(abi, number, arguments)
            self._calls += 1
            if done != meant:
                self._differs(abi, name, number, arguments, meant, done, part, wider)

    def _part(self, name: str) -> tuple[Profile, list[tuple[int, ...]]]:
        """(the profile with the rules for one call only, arguments to try)."""
        found = self._parts.get(name)
        if found is None:
            rules = self._naming.get(name, ())
            tried, thinned = vectors(rules)
            if thinned:
                self._thinned[name] = None
            found = self._parts[name] = replace(self._profile, rules=tuple(rules)), tried
        return found

    def _meant(self, part: Profile, abi: str, name: str, arguments: Sequence[int]) -> Outcome:
        return meaning_of(part, self._environment, abi, name)(arguments)

    def _multiplexed(self, part: Profile, name: str) -> Profile:
        """`part` with the rules that libseccomp adds to `socketcall` or `ipc` for the calls that they make."""
        added = []
        for called, first in _MULTIPLEXED[name].items():
            for rule in self._naming.get(called, ()):
                groups = [(argument,) for argument in rule.args] if rule.alternatives else [rule.args]
                for group in groups:
                    # src/syscalls.c, abi_rule_add: the first comparison is replaced, the others stay.
                    kept = tuple(argument for argument in group if argument.index)
                    chosen = Argument(index=0, value=first, op=EQUAL)
                    added.append(replace(rule, names=(name,), legacy_name=False, args=(chosen, *kept)))
        return replace(part, rules=(*part.rules, *added)) if added else part

    def _differs(
        self,
        abi: str,
        name: str,
        number: int,
        arguments: tuple[int, ...],
        meant: Outcome,
        done: Outcome,
        part: Profile,
        wider: Profile,
    ) -> None:
        reason, expected = "", False
        stricter = _ORDER.index(done[0]) < _ORDER.index(meant[0])
        if name in self._unnamed.get(abi, ()) and done == self._profile.outcome:
            reason, expected = UNNAMED, stricter
        elif wider is not part and done == self._meant(wider, abi, name, arguments):
            reason, expected = MULTIPLEXED, stricter or self._plainly(name, arguments[0], done)
        elif _ambiguous(part, abi, arguments, done):
            reason = AMBIGUOUS
        key = (abi, name, meant, done, reason, expected)
        before = self._found.get(key)
        if before is not None:
            self._found[key] = replace(before, count=before.count + 1)
            return
        self._found[key] = Difference(
            abi=abi,
            name=name,
            number=number,
            arguments=arguments,
            meant=meant,
            done=done,
            reason=reason,
            expected=expected,
        )

    def _plainly(self, name: str, first: int, done: Outcome) -> bool:
        """Whether the call that `socketcall` or `ipc` would make has that outcome whatever its arguments are."""
        for called, number in _MULTIPLEXED[name].items():
            if number == first & NARROW:
                return any(rule.outcome == done and not rule.args for rule in self._naming.get(called, ()))
        return False


def _ambiguous(part: Profile, abi: str, arguments: Sequence[int], done: Outcome) -> bool:
    """Whether another rule that holds for these arguments has the outcome that the filter has."""
    values = dict(enumerate(arguments))
    return any(rule.outcome == done and rule.matches(values, width=width_of(abi)) for rule in part.rules)
