"""Whether a filter does what its profile means: here with filters that are Python functions, right or wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.analyse.boundaries import MOST_VECTORS, vectors
from seclude.analyse.faithful import (
    AMBIGUOUS,
    LOOSER,
    OTHER,
    STRICTER,
    UNNAMED,
    abis_of,
    faithful,
    meaning_of,
)
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.profile import LARGEST_VALUE, OPERATORS, Argument, Profile, Rule
from seclude.syscalls import name_of

ALLOW, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
HERE = Environment(machine="x86_64", kernel="6.1", capabilities=())
ARCHES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")


def rule(name, action=ALLOW, *args, **fields):
    return Rule(names=(name,), action=action, args=args, **fields)


def condition(value, op="SCMP_CMP_EQ", index=0, two=0):
    return Argument(index=index, value=value, op=op, value_two=two)


def truth(profile, wrong=lambda abi, name, arguments: None):
    """A filter that is right, but for where `wrong` has another outcome."""

    def run(abi, number, arguments):
        name = name_of(abi, number) if number >= 0 else "#-1"
        decision = decide(profile, HERE, abi, name, arguments)
        return wrong(abi, name, arguments) or (decision.action, decision.data)

    return run


def compare(profile, wrong=lambda abi, name, arguments: None, unnamed=None):
    return faithful(profile, HERE, truth(profile, wrong), unnamed=unnamed or {})


PROFILE = Profile(
    default_action=DENY, architectures=ARCHES, rules=(rule("read"), rule("socket", ALLOW, condition(2)))
)


def test_nothing_differs():
    comparison = compare(PROFILE)
    assert (comparison.differences, comparison.thinned) == ((), ())
    assert comparison.calls > 3000


def test_every_number_is_asked_for():
    seen = set()

    def run(abi, number, arguments):
        seen.add((abi, number))
        return truth(PROFILE)(abi, number, arguments)

    faithful(PROFILE, HERE, run, unnamed={})
    assert {("x86_64", -1), ("x86", -1), ("x32", 0), ("x86", 102), ("x86_64", 400), ("x32", 547)} <= seen
    assert {number for abi, number in seen if abi == "x86_64"} >= set(range(470))


@pytest.mark.parametrize(
    ("outcome", "direction"),
    [
        ((ALLOW, 0), LOOSER),
        (("SCMP_ACT_KILL_THREAD", 0), STRICTER),
        ((DENY, 38), OTHER),
        (("SCMP_ACT_LOG", 0), LOOSER),
    ],
)
def test_a_wrong_answer_has_a_direction(outcome, direction):
    comparison = compare(
        PROFILE, lambda abi, name, arguments: outcome if (abi, name) == ("x86", "write") else None
    )
    (found,) = comparison.mismatches
    assert (found.abi, found.name, found.number, found.meant, found.done) == (
        "x86",
        "write",
        4,
        (DENY, 1),
        outcome,
    )
    assert (found.direction, found.count, found.reason) == (direction, 2, "")


def test_looser_comes_first():
    answers = {"write": ("SCMP_ACT_TRAP", 0), "getpid": (DENY, 2), "getuid": (ALLOW, 0)}
    comparison = compare(PROFILE, lambda abi, name, arguments: answers.get(name) if abi == "x86_64" else None)
    assert [found.name for found in comparison.mismatches] == ["getuid", "getpid", "write"]


@given(
    st.sampled_from(OPERATORS),
    st.sampled_from([0, 1, 5, 0xFFFF_FFFF, 1 << 32, (1 << 32) + 5, LARGEST_VALUE]),
    st.sampled_from([0, 4, 1 << 33]),
    st.integers(0, 63),
)
def test_a_condition_that_is_off_by_one_or_by_a_bit_is_found(op, value, two, bit):
    meant = condition(value, op, two=two)
    tried = [each[0] for each in vectors([rule("socket", ALLOW, meant)])[0]]
    for other in (value + 1, value - 1, value ^ 1 << 32, value ^ 1 << bit):
        compiled = condition(other & LARGEST_VALUE, op, two=two)
        around = [each + step for each in (0, value, other, two, 1 << bit) for step in (-1, 0, 1)]
        differing = [
            each & LARGEST_VALUE
            for each in around
            if meant.matches(each & LARGEST_VALUE) != compiled.matches(each & LARGEST_VALUE)
        ]
        found = any(meant.matches(each) != compiled.matches(each) for each in tried)
        assert found or not differing


RULES = st.builds(
    Rule,
    names=st.just(("socket", "getppid")),
    action=st.sampled_from([ALLOW, DENY, "SCMP_ACT_LOG"]),
    errno_ret=st.sampled_from([None, 22]),
    args=st.lists(
        st.builds(
            Argument,
            index=st.integers(0, 2),
            value=st.sampled_from([0, 1, 1 << 32, (1 << 33) + 5, LARGEST_VALUE]),
            value_two=st.sampled_from([0, 1, 5, 1 << 33]),
            op=st.sampled_from(OPERATORS),
        ),
        max_size=3,
    ).map(tuple),
)


@settings(deadline=None)
@given(st.lists(RULES, max_size=4), st.sampled_from([(), ARCHES]), st.sampled_from(["x86_64", "x86", "x32"]))
def test_what_is_meant_is_what_the_model_decides(rules, architectures, abi):
    live = tuple(each for each in rules if each.outcome != (DENY, 1))
    profile = Profile(default_action=DENY, architectures=architectures, rules=live)
    meaning = meaning_of(profile, HERE, abi, "socket")
    for arguments in vectors(live)[0][::7]:
        decision = decide(profile, HERE, abi, "socket", arguments)
        assert meaning(arguments) == (decision.action, decision.data)


def test_a_half_that_is_not_compared_is_found():
    def lower_half_only(abi, name, arguments):
        return (
            (ALLOW, 0) if abi == "x86_64" and name == "socket" and arguments[0] & 0xFFFF_FFFF == 2 else None
        )

    (found,) = compare(PROFILE, lower_half_only).mismatches
    assert found.arguments[0] != 2
    assert found.arguments[0] & 0xFFFF_FFFF == 2


def test_rules_that_contradict_are_said_to():
    profile = Profile(
        default_action=DENY,
        rules=(
            rule("socket", ALLOW, condition(2, index=1)),
            rule("socket", DENY, condition(1), errno_ret=22),
        ),
    )

    def other(abi, name, arguments):
        both = abi == "x86_64" and name == "socket" and arguments[:2] == (1, 2)
        return (DENY, 22) if both else None

    (found,) = compare(profile, other).mismatches
    assert (found.reason, found.direction) == (AMBIGUOUS, STRICTER)


def test_what_libseccomp_cannot_name():
    def default(abi, name, arguments):
        return (DENY, 1) if (abi, name) == ("x86", "read") else None

    comparison = compare(PROFILE, default, {"x86": frozenset(("read",))})
    assert comparison.mismatches == ()
    assert [(found.name, found.reason) for found in comparison.deviations] == [("read", UNNAMED)]
    assert compare(PROFILE, default).mismatches


def test_machines():
    assert abis_of("aarch64") == ("aarch64", "arm")
    assert abis_of("s390x") == ()


def test_combinations_are_all_tried_up_to_a_bound():
    few, thinned = vectors([rule("socket", ALLOW, condition(1), condition(7, index=2))])
    assert not thinned
    assert {(each[0], each[2]) for each in few} >= {(1, 7), (0, 7), (2, 8), (1, 8), (1 << 32 | 1, 7)}
    wide = [
        rule("socket", ALLOW, *(condition(value, index=index) for index in range(6))) for value in range(9)
    ]
    many, thinned = vectors(wide)
    assert thinned
    assert len(many) < 3 * MOST_VECTORS
    assert {(value,) * 6 for value in range(9)} <= set(many)
    assert len(set(many)) == len(many)


def test_masks_are_tried_bit_by_bit():
    tried, _ = vectors([rule("clone", ALLOW, condition(0x7E02_0000, "SCMP_CMP_MASKED_EQ"))])
    assert {1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)} <= {each[0] for each in tried}
    assert LARGEST_VALUE ^ 0x7E02_0000 in {each[0] for each in tried}
