"""Calls and a judge in, which of the calls are needed and which refusal the others tolerate out; and the profile so.

The judge is any function that says whether all is well while some calls are refused, each with an errno. It is asked
rarely (every question is a run of the user's command) and nothing is inferred that a question has not shown: the set
of withdrawn calls only grows, and only to a set that the judge has just let pass as a whole. So calls that are
tolerated one by one but not together, and fallbacks from one call to another, cost minimality at most, never soundness.
"""

from __future__ import annotations

from ..errors import SecludeError
from ..model.frozen import frozen, replace
from ..model.profile import ERRNO, Profile, Rule, errno_value
from ..syscalls import number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Withdrawn = Mapping[str, str]
    Judge = Callable[[Withdrawn], bool]

EPERM, ENOSYS = "EPERM", "ENOSYS"
REQUIRED = "required"
KEPT = "kept"
UNDECIDED = "undecided"
UNRELIABLE = "unreliable"
TOLERATES = "tolerates "
"""Followed by the errno."""

ALWAYS_KEPT = ("exit", "exit_group", "restart_syscall", "rt_sigreturn")
"""One run seldom exercises them: it takes a signal, or a process that is stopped in the middle of a call."""

_CONFIRMATIONS = 3
_SURELY_SOUND_FROM = 6

# What hardly any program does without. It only decides what is tried together: first what is probably tolerated.
_USUAL = frozenset(
    "accept4 arch_prctl bind capget capset chdir clone clone3 close dup2 dup3 epoll_create1 epoll_ctl epoll_pwait "
    "epoll_wait execve faccessat2 fcntl fstat fstatfs futex getcwd getdents64 getppid listen mmap mprotect newfstatat "
    "openat pipe2 prctl pread64 pselect6 read recvfrom recvmsg rt_sigaction rt_sigprocmask sendmsg sendto setgid "
    "setgroups setresgid setresuid setuid socket stat vfork wait4 write writev".split()
)


@frozen
class Minimized:
    """What was found out: `verdicts` for each call, `withdrawn` (call -> errno) as the judge let it pass as a whole.

    `runs` counts the judge's, `bound` is what they were promised not to exceed. `given_back` are calls that had been
    withdrawn until the judge refused a set that it had let pass before; `complete` is False after an interrupt.
    """

    verdicts: dict[str, str]
    withdrawn: dict[str, str]
    runs: int
    bound: int
    given_back: tuple[str, ...]
    complete: bool

    def with_verdict(self, verdict: str) -> tuple[str, ...]:
        return tuple(sorted(name for name, found in self.verdicts.items() if found == verdict))


class JudgeError(SecludeError):
    """The judge refuses even the full set, always or now and then."""

    def __init__(self) -> None:
        super().__init__(
            "the command does not pass each time it runs under the full profile",
            hint="make the command repeatable: the same exit status each time, whatever earlier runs left behind",
        )


def bound(calls: int, needed: int) -> int:
    """The most questions for `needed` of `calls`: 2 k log2 n + 2, and one more for one, two, three or five calls.

    Exact: the floor of 2 k log2 n is the length in bits of n to the power of 2 k, less one.
    """
    small = calls < _SURELY_SOUND_FROM and calls != 4 and needed > 0
    return 2 + int(calls ** (2 * needed)).bit_length() - 1 + small if calls else 2


def minimize(
    names: Iterable[str],
    judge: Judge,
    *,
    answers: tuple[str, str] = (EPERM, ENOSYS),
    keep: Iterable[str] = ALWAYS_KEPT,
    repeat: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> Minimized:
    """Withdraw as many of `names` as the judge lets pass; raises JudgeError if it refuses the full set.

    A call is withdrawn with the first of `answers`, or else with the second, or else it is required. With k the calls
    that do not tolerate the first answer (the required ones and those that tolerate only the second) of the n that are
    not kept, the judge is asked at most 2 k log2(n) + 2 times for n = 4 and n >= 6, once more below; `repeat` times as
    often where each question must be passed so many times. If it contradicts itself at the end, more.

    Proof. Let L = log2(n). The full set and all at once take 2 questions; for k = 0 that is all. A group that fails
    holds one needed call, which halving finds in ceil(log2 g) questions for g calls: of the two halves of a failing
    group the first is asked; passes it, it is withdrawn, and what then remains is the very set that failed. One more
    question is for the second answer. So each needed call costs at most ceil(L) + 2 with the question that failed, the
    first without that one as it is counted already: 2 + k (ceil(L) + 2) - 1, and the question that lets the last rest
    pass makes it 2 + k (ceil(L) + 2). That is at most 2 + 2 k L, as ceil(L) + 2 <= 2 L for n = 4 and n >= 6.

    What that leaves below 2 k L + 2 is spent on smaller groups, which fit the density of needed calls better and cost
    some questions more if they pass: one is asked only if after it the question about all the rest, and the last one
    about the result as a whole, would still be within the bound (`_Search.affords`). Each needed call that is found
    raises the bound by 2 L and costs no more than that, so both stay within it; from 12 calls on the last question
    always is, below it is left out if need be: every set that was withdrawn has passed as a whole before. None of this
    assumes that the judge is consistent or monotone: the bound holds for every judge, with k as reported.
    """
    every, kept = set(names), set(keep)
    ordered = sorted(every - kept, key=lambda name: (name in _USUAL, name))
    search = _Search(judge, len(ordered), repeat, progress)
    complete = True
    try:
        search.begin()
        search.separate(ordered, *answers)
        search.confirm()
    except KeyboardInterrupt:
        complete = False
    withdrawn = search.withdrawn
    verdicts = dict.fromkeys(sorted(every & kept), KEPT)
    for name in sorted(every - kept):
        if name in withdrawn:
            verdicts[name] = TOLERATES + withdrawn[name]
        elif name in search.given_back:
            verdicts[name] = UNRELIABLE
        else:
            verdicts[name] = REQUIRED if name in search.required else UNDECIDED
    return Minimized(
        verdicts=verdicts,
        withdrawn=dict(sorted(withdrawn.items())),
        runs=search.runs,
        bound=bound(len(ordered), search.needed) * repeat,
        given_back=tuple(sorted(search.given_back)),
        complete=complete,
    )


class _Search:
    """What has been found so far: `withdrawn` is always a set that passed; the bound is one of `questions`."""

    def __init__(self, judge: Judge, calls: int, repeat: int, progress: Callable[[str], None]) -> None:
        self._judge = judge
        self._calls = calls
        self._repeat = repeat
        self._progress = progress
        self._steps: list[dict[str, str]] = [{}]
        self._just_passed = False
        self.questions = 0
        self.runs = 0
        self.needed = 0
        self.required: set[str] = set()
        self.given_back: set[str] = set()

    @property
    def withdrawn(self) -> dict[str, str]:
        return self._steps[-1]

    def begin(self) -> None:
        """The first question, about the full set."""
        if not self._ask({}):
            raise JudgeError

    def affords(self, questions: int) -> bool:
        """Whether so many questions, and those about all the rest and the whole, are within the bound as it is now."""
        return self.questions + questions + 2 <= bound(self._calls, self.needed)

    def separate(self, group: Sequence[str], first: str, second: str) -> None:
        """Withdraw of `group` what passes; what does not is required. The likely ones should be together."""
        density, group = _Density(), list(group)
        while group:
            size = len(group)
            if self.needed and self.affords(1):
                size = min(size, density.group())
            tried, rest = group[:size], group[size:]
            if self._withdraw(tried, first):
                density.saw(len(tried), needed=False)
                group = rest
                continue
            tolerated, needed, untried = self._one_of(tried, first)
            density.saw(tolerated, needed=False)
            density.saw(1, needed=True)
            self.needed += 1
            if not self._withdraw([needed], second):
                self.required.add(needed)
            group = untried + rest
            self._progress(
                f"{self.runs} runs, {len(self.withdrawn)} calls withdrawn, {len(self.required)} required, "
                f"{len(group)} undecided so far"
            )

    def _one_of(self, group: list[str], answer: str) -> tuple[int, str, list[str]]:
        """(calls withdrawn on the way, one that cannot be, those not looked at) of a group that fails as a whole."""
        tolerated, untried = 0, list[str]()
        while len(group) > 1:
            middle = (len(group) + 1) // 2
            left, right = group[:middle], group[middle:]
            if self._withdraw(left, answer):
                tolerated += len(left)
                group = right
            else:
                untried = right + untried
                group = left
        return tolerated, group[0], untried

    def _withdraw(self, group: Sequence[str], answer: str) -> bool:
        """Withdraw the group as well, if that passes."""
        tried = self.withdrawn | dict.fromkeys(group, answer)
        passed = self._ask(tried)
        if passed:
            self._steps.append(tried)
        return passed

    def _ask(self, withdrawn: dict[str, str]) -> bool:
        self.questions += 1
        self._just_passed = self._passes(withdrawn, self._repeat)
        return self._just_passed

    def _passes(self, withdrawn: dict[str, str], times: int) -> bool:
        for _ in range(times):
            self.runs += 1
            if not self._judge(withdrawn):
                return False
        return True

    def confirm(self) -> None:
        """The last question, about the result, unless it was just answered or is not within the bound.

        It has passed before: if it fails now, the judge is not reliable, and steps are taken back, first one, then
        twice as many each time, to a set that passes several times in a row.
        """
        if self._just_passed or not self.withdrawn or self.questions >= bound(self._calls, self.needed):
            return
        if self._ask(self.withdrawn):
            return
        final, back = self.withdrawn, 1
        while len(self._steps) > 1:
            del self._steps[max(1, len(self._steps) - back) :]
            self.given_back = {name for name in final if final[name] != self.withdrawn.get(name)}
            self._progress(
                f"{self.runs} runs; the judge contradicts itself, {len(self.given_back)} calls given back"
            )
            if self._passes(self.withdrawn, max(self._repeat, _CONFIRMATIONS)):
                return
            back *= 2
        raise JudgeError


class _Density:
    """How likely a call is needed, by those seen lately: the groups that pass as often as they fail tell the most."""

    _MEMORY = 0.9

    def __init__(self) -> None:
        self._needed, self._seen = 0.5, 1.0

    def saw(self, calls: int, *, needed: bool) -> None:
        for _ in range(calls):
            self._seen = self._seen * self._MEMORY + 1
            self._needed = self._needed * self._MEMORY + needed

    def group(self) -> int:
        """The size at which a group of this density passes about every second time."""
        tolerated = 1 - min(max(self._needed / self._seen, 0.01), 0.99)
        size, passing = 1, tolerated
        while passing * tolerated > 0.5:
            size, passing = size + 1, passing * tolerated
        return size


# Profiles


def permitted(profile: Profile) -> tuple[str, ...]:
    """The calls that some rule of the profile permits, with or without conditions, sorted."""
    return tuple(sorted({name for rule in profile.rules if rule.permits for name in rule.names}))


def preferred_answers(profile: Profile) -> tuple[str, str]:
    """The two errnos, that of the profile's default action first: what tolerates it needs no rule."""
    return (ENOSYS, EPERM) if profile.outcome == (ERRNO, errno_value(ENOSYS)) else (EPERM, ENOSYS)


def without(profile: Profile, withdrawn: Withdrawn, *, abi: str) -> Profile:
    """The profile in which the given calls (name -> errno) are refused so; all else stays as it is.

    They leave every rule that permits them, whatever its conditions. Those whose errno is not the default action's get
    a rule. So do those that are newer than every call which stays (by the numbers of `abi`, if it is given): runc
    answers calls newer than all that the profile names with ENOSYS (libcontainer/seccomp/patchbpf, since 1.0.0), so
    that without a rule they would get another answer from runc than from other runtimes.
    """
    rules = []
    for rule in profile.rules:
        names = tuple(name for name in rule.names if not (rule.permits and name in withdrawn))
        if names or not rule.names:
            rules.append(rule if names == rule.names else replace(rule, names=names))
    newer = _newer(withdrawn, (name for rule in rules for name in rule.names), abi) if abi else set[str]()
    for errno in sorted(set(withdrawn.values())):
        rule = Rule(
            names=tuple(sorted(name for name, answer in withdrawn.items() if answer == errno)),
            action=ERRNO,
            errno_ret=errno_value(errno),
            comment=f"seclude minimize: tolerates {errno}",
        )
        if rule.outcome == profile.outcome:
            rule = replace(
                rule,
                names=tuple(name for name in rule.names if name in newer and errno != ENOSYS),
                comment="seclude minimize: named, or runc would answer ENOSYS",
            )
        if rule.names:
            rules.append(rule)
    return replace(profile, rules=tuple(rules))


def _newer(names: Iterable[str], others: Iterable[str], abi: str) -> set[str]:
    """Those of `names` whose number is above that of every other."""
    newest = max((number_of(abi, name) or 0 for name in others), default=0)
    return {name for name in names if (number_of(abi, name) or 0) > newest}
