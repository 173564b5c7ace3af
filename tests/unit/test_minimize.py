"""The group bisection against invented judges: verdicts, soundness and the bound; the profile that comes of it."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.analyse.minimize import (
    ALWAYS_KEPT,
    ENOSYS,
    EPERM,
    KEPT,
    REQUIRED,
    UNDECIDED,
    UNRELIABLE,
    JudgeError,
    bound,
    minimize,
    permitted,
    preferred_answers,
    without,
)
from seclude.formats import oci
from seclude.model.profile import Argument, Filter, Profile, Rule

ANYTHING, NOTHING = frozenset({EPERM, ENOSYS}), frozenset()
KINDS = (ANYTHING, frozenset({EPERM}), frozenset({ENOSYS}), NOTHING)


def names_of(count):
    return [f"call{number:03}" for number in range(count)]


class Fake:
    """Passes where every withdrawn call tolerates its errno; keeps count and remembers what it let pass."""

    def __init__(self, tolerated):
        self.tolerated = tolerated
        self.asked = []
        self.passed = []

    def passes(self, withdrawn):
        return all(errno in self.tolerated[name] for name, errno in withdrawn.items())

    def __call__(self, withdrawn):
        self.asked.append(dict(withdrawn))
        passed = self.passes(withdrawn)
        if passed:
            self.passed.append(dict(withdrawn))
        return passed


def verdict_of(tolerated):
    if EPERM in tolerated:
        return "tolerates EPERM"
    return "tolerates ENOSYS" if ENOSYS in tolerated else REQUIRED


def spoken_bound(calls, needed):
    """2 k log2 n + 2, and the one more that is admitted to for very few calls."""
    return 2 * needed * math.log2(calls) + 2 + (needed > 0 and calls in (1, 2, 3, 5))


def check(tolerated):
    judge = Fake(tolerated)
    found = minimize(tolerated, judge, keep=())
    assert found.verdicts == {name: verdict_of(kinds) for name, kinds in tolerated.items()}
    needed = sum(EPERM not in kinds for kinds in tolerated.values())
    assert found.runs == len(judge.asked) <= found.bound == bound(len(tolerated), needed)
    assert found.bound <= spoken_bound(len(tolerated), needed) + 1e-9
    assert found.withdrawn in judge.passed
    assert (found.complete, found.given_back) == (True, ())
    return judge


@pytest.mark.parametrize("count", range(1, 7))
def test_every_judge_of_few_calls(count):
    for kinds in itertools.product((ANYTHING, frozenset({ENOSYS}), NOTHING), repeat=count):
        check(dict(zip(names_of(count), kinds, strict=True)))


@st.composite
def tolerances(draw):
    """Many or few needed calls, together or scattered."""
    count = draw(st.integers(1, 420))
    density = draw(st.sampled_from([0.0, 0.005, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0]))
    random = draw(st.randoms(use_true_random=False))
    kinds = [
        random.choice(KINDS[2:]) if random.random() < density else random.choice(KINDS[:2])
        for _ in range(count)
    ]
    if draw(st.booleans()):
        kinds.sort(key=lambda each: EPERM in each)
    return dict(zip(names_of(count), kinds, strict=True))


@settings(max_examples=300, deadline=None)
@given(tolerances())
def test_verdicts_and_bound(tolerated):
    check(tolerated)


@pytest.mark.parametrize("count", [6, 7, 8, 9, 11, 12, 13, 16, 17, 31, 32, 33, 64, 65, 128, 129, 300])
@pytest.mark.parametrize("place", ["first", "last", "middle", "every", "every other"])
def test_the_bound_where_it_is_tight(count, place):
    names = names_of(count)
    needed = {
        "first": names[:1],
        "last": names[-1:],
        "middle": [names[count // 2]],
        "every": names,
        "every other": names[::2],
    }[place]
    check({name: NOTHING if name in needed else ANYTHING for name in names})


@pytest.mark.parametrize("count", [12, 13, 16, 17, 40, 300])
@pytest.mark.parametrize("needed", [0, 1, 2, 5])
def test_the_result_is_asked_about_last(count, needed):
    names = names_of(count)
    judge = Fake({name: NOTHING if name in names[3 : 3 + needed] else ANYTHING for name in names})
    found = minimize(names, judge, keep=())
    assert judge.asked[-1] == found.withdrawn == judge.passed[-1]


class TestFewRuns:
    def runs(self, needed, count=40):
        names = names_of(count)
        judge = Fake({name: NOTHING if name in needed else ANYTHING for name in names})
        return minimize(names, judge, keep=()).runs

    def test_nothing_is_needed(self):
        assert self.runs(()) == 2

    def test_one_is_needed(self):
        assert self.runs(names_of(40)[17:18]) <= bound(40, 1) == 12

    def test_most_are_needed(self):
        # One by one: the full set, each with EPERM, each needed one with ENOSYS.
        assert self.runs(names_of(40)[10:]) <= 1 + 40 + 30 + 6

    def test_few_of_very_many(self):
        assert self.runs(names_of(400)[100:110], 400) <= 90


class TestJudgesThatAreNotMonotone:
    """What is withdrawn has passed as a whole, whatever the judge does."""

    @settings(max_examples=200, deadline=None)
    @given(st.integers(1, 40), st.integers(), st.floats(0, 1), st.integers(1, 3))
    def test_any_consistent_judge(self, count, seed, leniency, repeat):
        import random

        def passes(withdrawn):
            return not withdrawn or random.Random(repr((seed, sorted(withdrawn.items())))).random() < leniency

        judge = Fake({})
        judge.passes = passes
        found = minimize(names_of(count), judge, keep=(), repeat=repeat)
        assert found.withdrawn in judge.passed
        assert found.runs == len(judge.asked) <= found.bound
        assert found.complete
        assert set(found.verdicts) == set(names_of(count))

    @settings(max_examples=200, deadline=None)
    @given(st.integers(1, 40), st.randoms(use_true_random=False), st.floats(0.3, 1))
    def test_any_judge_that_contradicts_itself(self, count, random, leniency):
        judge = Fake({})
        judge.passes = lambda withdrawn: not withdrawn or random.random() < leniency
        found = minimize(names_of(count), judge, keep=())
        assert found.withdrawn == {} or found.withdrawn in judge.passed
        assert set(found.given_back) == {
            name for name, verdict in found.verdicts.items() if verdict == UNRELIABLE
        }
        if not found.given_back:
            assert found.runs <= found.bound

    def test_a_fallback_chain(self):
        # One of three will do, as with statx, newfstatat and stat.
        chain = names_of(20)[5:8]
        judge = Fake({})
        judge.passes = lambda withdrawn: not set(chain) <= set(withdrawn)
        found = minimize(names_of(20), judge, keep=())
        assert found.with_verdict(REQUIRED) == tuple(chain[2:])
        assert judge.passes(found.withdrawn)

    def test_not_together(self):
        first, second = names_of(20)[3], names_of(20)[15]
        judge = Fake({})
        judge.passes = lambda withdrawn: not {first, second} <= set(withdrawn)
        found = minimize(names_of(20), judge, keep=())
        assert found.with_verdict(REQUIRED) == (second,)


class Unreliable(Fake):
    """Lets one call pass a few times that it needs."""

    def __init__(self, tolerated, needed, times):
        super().__init__(tolerated)
        self._needed, self._times = needed, times

    def passes(self, withdrawn):
        if self._needed in withdrawn:
            self._times -= 1
            return self._times >= 0 and super().passes(withdrawn)
        return super().passes(withdrawn)


class TestUnreliableJudges:
    names = names_of(30)

    def judge(self, times):
        kinds = {name: NOTHING if name in self.names[-3:] else ANYTHING for name in self.names}
        return Unreliable(kinds, self.names[4], times)

    def test_what_passed_by_chance_is_given_back(self):
        for times in range(1, 12):
            judge = self.judge(times)
            found = minimize(self.names, judge, keep=())
            assert self.names[4] not in found.withdrawn or found.given_back == ()
            if self.names[4] in found.given_back:
                assert found.verdicts[self.names[4]] == UNRELIABLE
                assert judge.asked[-3:] == [found.withdrawn] * 3
                break
        else:
            pytest.fail("the judge never contradicted itself at the end")

    def test_repeating_finds_it(self):
        found = minimize(self.names, self.judge(2), keep=(), repeat=3)
        assert found.verdicts[self.names[4]] == REQUIRED
        assert found.given_back == ()
        assert found.runs <= found.bound == 3 * bound(30, 4)

    def test_the_full_set_fails(self):
        with pytest.raises(JudgeError, match="under the full profile"):
            minimize(self.names, lambda withdrawn: False)

    def test_the_full_set_fails_the_second_time(self):
        answers = iter([True, False])
        with pytest.raises(JudgeError):
            minimize(self.names, lambda withdrawn: next(answers), repeat=2)

    def test_the_full_set_fails_in_the_end(self):
        asked = itertools.count()
        with pytest.raises(JudgeError):
            minimize(self.names, lambda withdrawn: next(asked) in (0, 2), keep=())


class TestKept:
    def test_they_are_never_withdrawn(self):
        judge = Fake({"read": ANYTHING, "exit_group": ANYTHING})
        found = minimize(["exit_group", "read"], judge)
        assert found.verdicts == {"exit_group": KEPT, "read": "tolerates EPERM"}
        assert not any("exit_group" in withdrawn for withdrawn in judge.asked)

    def test_nothing_else_is_there(self):
        found = minimize(ALWAYS_KEPT, Fake({}))
        assert (found.runs, found.withdrawn) == (1, {})


def test_the_other_answer_first():
    judge = Fake(dict.fromkeys("abc", frozenset({EPERM})) | dict.fromkeys("xyz", frozenset({ENOSYS})))
    found = minimize("abcxyz", judge, answers=(ENOSYS, EPERM))
    assert found.withdrawn == dict.fromkeys("abc", EPERM) | dict.fromkeys("xyz", ENOSYS)


@pytest.mark.parametrize("after", [0, 1, 5, 20])
def test_interrupted(after):
    kinds = {name: NOTHING if index % 3 else ANYTHING for index, name in enumerate(names_of(30))}
    judge = Fake(kinds)

    def interrupted(withdrawn):
        if len(judge.asked) == after:
            raise KeyboardInterrupt
        return judge(withdrawn)

    found = minimize(kinds, interrupted)
    assert not found.complete
    assert found.withdrawn in [{}, *judge.passed]
    assert found.with_verdict(UNDECIDED)


def test_progress_is_said():
    said = []
    minimize(names_of(9), Fake(dict.fromkeys(names_of(9), NOTHING)), progress=said.append)
    assert said[-1].endswith("0 calls withdrawn, 9 required, 0 undecided so far")


class TestProfile:
    ARGS = (Argument(index=0, value=1, op="SCMP_CMP_EQ"),)
    PROFILE = Profile(
        default_action="SCMP_ACT_ERRNO",
        architectures=("SCMP_ARCH_X86_64",),
        flags=("SECCOMP_FILTER_FLAG_LOG",),
        rules=(
            Rule(names=("read", "write", "statx"), action="SCMP_ACT_ALLOW", comment="the usual"),
            Rule(names=("socket", "write"), action="SCMP_ACT_ALLOW", args=ARGS),
            Rule(names=("socket",), action="SCMP_ACT_LOG", includes=Filter(caps=("CAP_NET_RAW",))),
            Rule(
                names=("socket", "ptrace"),
                action="SCMP_ACT_ERRNO",
                errno_ret=1,
                excludes=Filter(caps=("CAP_X",)),
            ),
            Rule(names=("clone3",), action="SCMP_ACT_ALLOW", legacy_name=True),
        ),
    )

    def withdrawn(self, *, profile=PROFILE, **errnos):
        return without(profile, errnos, abi="x86_64")

    def test_permitted(self):
        assert permitted(self.PROFILE) == ("clone3", "read", "socket", "statx", "write")

    def test_nothing_withdrawn_changes_nothing(self):
        assert self.withdrawn() == self.PROFILE

    def test_a_call_leaves_every_rule_that_permits_it(self):
        rules = self.withdrawn(socket=EPERM).rules
        assert [rule.names for rule in rules] == [
            ("read", "write", "statx"),
            ("write",),
            ("socket", "ptrace"),
            ("clone3",),
        ]
        assert rules[0] == self.PROFILE.rules[0]
        assert (rules[1].args, rules[2]) == (self.ARGS, self.PROFILE.rules[3])

    def test_enosys_becomes_a_rule(self):
        rules = self.withdrawn(statx=ENOSYS, read=EPERM, write=ENOSYS).rules
        rule = rules[-1]
        assert (rule.names, rule.outcome, rule.args) == (("statx", "write"), ("SCMP_ACT_ERRNO", 38), ())

    def test_another_default_makes_eperm_a_rule(self):
        for default, number in (("SCMP_ACT_KILL_PROCESS", None), ("SCMP_ACT_ERRNO", 38)):
            profile = Profile(default_action=default, default_errno_ret=number, rules=self.PROFILE.rules[:1])
            rules = self.withdrawn(profile=profile, read=EPERM).rules
            assert [(rule.names, rule.outcome[1]) for rule in rules] == [
                (("write", "statx"), 0),
                (("read",), 1),
            ]

    def test_the_defaults_own_errno_needs_no_rule(self):
        profile = Profile(
            default_action="SCMP_ACT_ERRNO", default_errno="ENOSYS", rules=self.PROFILE.rules[:1]
        )
        assert [rule.names for rule in self.withdrawn(profile=profile, read=ENOSYS).rules] == [
            ("write", "statx")
        ]

    def test_calls_newer_than_what_stays_are_named(self):
        # clone3 is 435, statx 332; runc answers ENOSYS to what is newer than all that is named.
        rules = self.withdrawn(clone3=EPERM, read=EPERM, statx=EPERM).rules
        assert rules[-1].names == ("clone3", "statx")
        assert rules[-1].outcome == ("SCMP_ACT_ERRNO", 1)

    def test_nothing_is_left(self):
        profile = Profile(default_action="SCMP_ACT_ERRNO", rules=self.PROFILE.rules[:1])
        assert [
            rule.action
            for rule in self.withdrawn(profile=profile, read=EPERM, write=EPERM, statx=EPERM).rules
        ] == ["SCMP_ACT_ERRNO"]

    def test_it_can_be_written_and_read(self):
        profile = self.withdrawn(statx=ENOSYS, clone3=EPERM)
        assert oci.loads(oci.dumps(profile), "it") == profile

    @pytest.mark.parametrize(
        ("default", "number", "first"),
        [("SCMP_ACT_ERRNO", None, EPERM), ("SCMP_ACT_ERRNO", 38, ENOSYS), ("SCMP_ACT_KILL", None, EPERM)],
    )
    def test_the_defaults_errno_comes_first(self, default, number, first):
        assert preferred_answers(Profile(default_action=default, default_errno_ret=number))[0] == first
