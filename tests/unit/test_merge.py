"""`merge`: what several profiles mean together, against the model's decisions and the laws of sets."""

import itertools

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from seclude.analyse.diff import difference, environments_for
from seclude.analyse.merge import INTERSECTION, OPERATIONS, SUBTRACT, UNION, merge
from seclude.analyse.merge_outcomes import chosen, permits, rank, refusal, refuses
from seclude.complements import faithful, telling
from seclude.errors import ProfileError
from seclude.formats import oci
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.profile import LARGEST_VALUE, OPERATORS, Argument, Filter, Profile, Rule, SubArchitectures

ALLOW, ERRNO, LOG, KILL = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"
X86_64, X86, X32, ARM = (f"SCMP_ARCH_{name}" for name in ("X86_64", "X86", "X32", "ARM"))


def profile(*rules, default=ERRNO, **fields):
    return Profile(default_action=default, rules=rules, **fields)


def rule(*names, action=ALLOW, **fields):
    return Rule(names=names, action=action, **fields)


def condition(index, op, value, two=0):
    return Argument(index=index, op=f"SCMP_CMP_{op}", value=value, value_two=two)


def where(*conditions, name="socket", **fields):
    return rule(name, args=conditions, **fields)


def same(one, two):
    places = environments_for([one, two], machine="x86_64", kernel="6.18.44")
    return difference(one, two, environments=places).empty


@pytest.mark.parametrize(
    ("operation", "names"),
    [(UNION, ("execve", "read", "write")), (INTERSECTION, ("read",)), (SUBTRACT, ("write",))],
)
def test_lists_of_names(operation, names):
    found = merge([profile(rule("read", "write")), profile(rule("execve", "read"))], operation)
    assert found == profile(rule(*names))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # a union never turns conditions into unconditional permission, and says them once
        ([where(condition(0, "EQ", 1)), where(condition(0, "EQ", 2))], [("EQ", 1), ("EQ", 2)]),
        ([where(condition(0, "LT", 5)), where(condition(0, "LT", 7))], [("LT", 7)]),
        ([where(condition(0, "LE", 5)), where(condition(0, "GE", 3))], None),
        ([where(condition(0, "NE", 5)), where(condition(0, "EQ", 5))], None),
        ([where(condition(0, "NE", 5)), where()], None),
        ([where(condition(0, "NE", 5)), where(condition(0, "EQ", 3))], [("NE", 5)]),
    ],
)
def test_unions_of_conditions(rules, expected):
    found = merge([profile(each) for each in rules])
    said = [argument for each in found.rules for argument in each.args]
    if expected is None:
        assert found == profile(rule("socket"))
    else:
        assert [(each.op.removeprefix("SCMP_CMP_"), each.value) for each in said] == expected


@pytest.mark.parametrize(
    ("operation", "one", "two", "expected"),
    [
        (INTERSECTION, [condition(0, "LT", 6)], [condition(0, "GT", 4)], [(condition(0, "EQ", 5),)]),
        (INTERSECTION, [condition(0, "LT", 6)], [], [(condition(0, "LT", 6),)]),
        (
            INTERSECTION,
            [condition(0, "EQ", 1)],
            [condition(1, "EQ", 2)],
            [(condition(0, "EQ", 1), condition(1, "EQ", 2))],
        ),
        (
            INTERSECTION,
            [condition(0, "MASKED_EQ", 1, 1)],
            [condition(0, "MASKED_EQ", 2, 0)],
            [(condition(0, "MASKED_EQ", 3, 1),)],
        ),
        (SUBTRACT, [], [condition(0, "EQ", 38)], [(condition(0, "NE", 38),)]),
        (SUBTRACT, [condition(0, "NE", 38)], [condition(0, "LT", 38)], [(condition(0, "GT", 38),)]),
        (
            SUBTRACT,
            [],
            [condition(0, "MASKED_EQ", 3, 0)],
            [(condition(0, "MASKED_EQ", 1, 1),), (condition(0, "MASKED_EQ", 2, 2),)],
        ),
        (
            # moby's own: clone without flags that make namespaces
            SUBTRACT,
            [condition(0, "MASKED_EQ", 0x7E02_0000, 0)],
            [condition(0, "MASKED_EQ", 0x7E02_0000, 0)],
            [],
        ),
    ],
)
def test_intersections_and_differences_of_conditions(operation, one, two, expected):
    found = merge([profile(where(*one)), profile(where(*two))], operation)
    assert [each.args for each in found.rules] == expected


def test_two_conditions_on_one_argument_are_never_written_as_one_rule():
    """Engines would let each of them suffice."""
    found = merge(
        [profile(where()), profile(where(condition(0, "EQ", 38), condition(0, "EQ", 40)))], SUBTRACT
    )
    assert all(len({each.index for each in one.args}) == len(one.args) for one in found.rules)
    assert [
        decide(found, HERE, "x86_64", "socket", (first, 0, 0, 0, 0, 0)).action
        for first in (37, 38, 39, 40, 41)
    ] == [ALLOW, ERRNO, ALLOW, ERRNO, ALLOW]


def test_capabilities_stay_with_their_rules():
    one = profile(rule("mount", includes=Filter(caps=("CAP_SYS_ADMIN",))), rule("read"))
    two = profile(rule("mount", excludes=Filter(caps=("CAP_KILL",))), rule("read"))
    assert merge([one, two]).rules == (
        rule("read"),
        rule("mount", includes=Filter(caps=("CAP_SYS_ADMIN",))),
        rule("mount", excludes=Filter(caps=("CAP_KILL",))),
    )
    assert merge([one, two], INTERSECTION).rules == (
        rule("read"),
        rule("mount", includes=Filter(caps=("CAP_SYS_ADMIN",)), excludes=Filter(caps=("CAP_KILL",))),
    )
    assert merge([one, two], SUBTRACT).rules == (
        rule("mount", includes=Filter(caps=("CAP_KILL", "CAP_SYS_ADMIN"))),
    )


def test_guards_that_cover_everything_are_dropped():
    one = profile(rule("bpf", includes=Filter(caps=("CAP_BPF",))))
    two = profile(rule("bpf", excludes=Filter(caps=("CAP_BPF",))))
    assert merge([one, two]) == profile(rule("bpf"))
    old = profile(rule("bpf", excludes=Filter(min_kernel="5.8")))
    new = profile(rule("bpf", includes=Filter(min_kernel="4.8")))
    assert merge([old, new]) == profile(rule("bpf"))
    assert merge([old, new], INTERSECTION).rules == (
        rule("bpf", includes=Filter(min_kernel="4.8"), excludes=Filter(min_kernel="5.8")),
    )
    here = profile(rule("bpf", includes=Filter(arches=("amd64", "arm64"))))
    there = profile(rule("bpf", excludes=Filter(arches=("arm64", "s390x"))))
    assert merge([here, there], INTERSECTION).rules == (rule("bpf", includes=Filter(arches=("amd64",))),)
    assert merge([here, there]).rules == (rule("bpf", excludes=Filter(arches=("s390x",))),)


def test_which_refusal_wins():
    """The more permissive in a union, the stricter in an intersection; of two errnos ENOSYS is the most permissive."""
    refused = rule("clone3", action=ERRNO, errno="ENOSYS")
    one, two = profile(refused), profile(default=KILL)
    assert merge([one, two]) == profile(rule("clone3", action=ERRNO, errno_ret=38))
    assert merge([one, two], INTERSECTION) == profile(default=KILL)
    assert merge([one, profile()], INTERSECTION) == profile()
    logged = profile(rule("read", action=LOG))
    assert merge([logged, profile(rule("read"))]) == profile(rule("read"))
    assert merge([logged, profile(rule("read"))], INTERSECTION) == logged
    assert merge([profile(default=ALLOW), profile(rule("read"))], SUBTRACT) == profile(
        rule("read", action=ERRNO), default=ALLOW
    )
    assert merge([profile(default_errno_ret=38), profile()]) == profile(default_errno_ret=38)
    assert merge([profile(), profile(rule("a", action="SCMP_ACT_TRACE", errno_ret=0))]).rules == (
        rule("a", action="SCMP_ACT_TRACE", errno_ret=0),
    )


def test_a_difference_refuses_like_the_first_profile():
    one = profile(rule("read", "write"), default=KILL)
    found = merge([one, profile(rule("read"))], SUBTRACT)
    assert found == profile(rule("write"), default=KILL)
    watched = profile(rule("read", action="SCMP_ACT_NOTIFY"), listener_path="/run/agent")
    assert merge([one, watched], SUBTRACT) == one
    assert merge([watched, profile(rule("read"))], SUBTRACT) == profile(listener_path="/run/agent")


def test_comments_stay_where_all_say_the_same():
    one, two = profile(rule("read", comment="needed")), profile(rule("write"))
    assert merge([one, two]).rules == (rule("read", "write", comment="needed"),)
    assert merge([one, profile(rule("read", comment="why"))]).rules == (rule("read"),)


def test_names_and_rules_that_are_the_same_become_one():
    rules = (
        rule("read", legacy_name=True),
        rule("write", legacy_name=True),
        rule("read"),
        rule("exit", action=ERRNO),
    )
    assert merge([profile(*rules)]) == profile(rule("read", "write"))


# Architectures


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_architectures_stay(operation):
    for fields in (
        {"architectures": (X86, X86_64)},
        {"arch_map": (SubArchitectures(architecture=X86_64, sub_architectures=(X32, X86)),)},
    ):
        found = merge([profile(rule("read"), **fields), profile(rule("write"), **fields)], operation)
        assert (found.architectures, found.arch_map) == (
            fields.get("architectures", ()),
            fields.get("arch_map", ()),
        )


def test_an_architecture_that_one_does_not_have_is_not_opened():
    """Its rules would hold there too, where it kills."""
    one = profile(rule("read", "ptrace"), architectures=(X86_64,))
    two = profile(rule("read"), architectures=(X86_64, X86))
    with pytest.raises(
        ProfileError, match=r"SCMP_ARCH_X86 is .* the merged rule on ptrace would differ there"
    ):
        merge([one, two])
    with pytest.raises(ProfileError, match="SCMP_ARCH_X86"):
        merge(
            [profile(rule("ptrace"), architectures=(X86_64, X86)), replace(one, architectures=())], SUBTRACT
        )
    assert merge([one, two], INTERSECTION) == profile(rule("read"), architectures=(X86_64,))
    assert merge([one, two], SUBTRACT) == profile(rule("ptrace"), architectures=(X86_64,))


def test_architectures_are_joined_where_that_opens_nothing():
    two = profile(rule("read", "write"), architectures=(X86_64, X86))
    one = profile(rule("read"))
    assert (
        merge([one, two]) == merge([two, one]) == profile(rule("read", "write"), architectures=(X86, X86_64))
    )
    mapped = replace(
        two, architectures=(), arch_map=(SubArchitectures(architecture=X86_64, sub_architectures=(X86, X32)),)
    )
    assert merge([one, mapped]) == mapped
    assert merge([one, mapped], INTERSECTION) == one
    listed = replace(one, architectures=(X86, ARM))
    assert merge([listed, mapped], INTERSECTION).arch_map == (
        SubArchitectures(architecture=X86_64, sub_architectures=(X86,)),
    )
    # on 64-bit ARM two has nothing to say of ARM, and one says less
    with pytest.raises(ProfileError, match="SCMP_ARCH_ARM"):
        merge([listed, mapped])


def test_a_default_of_another_architecture_is_not_opened_either():
    with pytest.raises(ProfileError, match="calls that no rule names"):
        merge([profile(default=ALLOW), profile(architectures=(X86,))])


def test_conditions_that_mean_something_else_to_32_bits():
    high = where(condition(0, "EQ", 1 << 32 | 5))
    low = where(condition(0, "EQ", 5))
    assert same(merge([profile(high), profile(low)]), profile(high, low))
    with pytest.raises(ProfileError, match=r"socket: .* 64-bit and for 32-bit"):
        merge([profile(low), profile(high)], INTERSECTION)


# Beside the calls


def test_flags():
    none, both = profile(), profile(flags=("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"))
    assert merge([none, none]).flags is None
    assert (
        merge([both, both]).flags == ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG")[:2]
        or both.flags
    )
    assert set(merge([none, both]).flags) == {*both.flags, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}
    assert merge([none, both], INTERSECTION).flags == ()
    assert merge([none, both], SUBTRACT).flags is None


def test_listeners():
    one, two = profile(listener_path="/a", listener_metadata="x"), profile(listener_path="/b")
    assert merge([one, profile()]) == one
    with pytest.raises(ProfileError, match="two listeners are named: /a and /b"):
        merge([one, two])
    assert merge([one, two], SUBTRACT) == one


# What cannot be said


def test_what_libseccomp_would_compile_to_something_looser_is_refused():
    wide = where(condition(0, "LT", 3), condition(1, "GT", 2))
    other = where(condition(0, "GT", 5), condition(2, "EQ", 1))
    with pytest.raises(ProfileError, match=r"^socket: the profiles cannot be merged exactly: libseccomp"):
        merge([profile(wide), profile(other)])


def test_a_profile_keeps_rules_of_its_own_in_their_order_whatever_they_are():
    odd = profile(
        where(condition(0, "LT", 3), condition(1, "GT", 2), action=LOG),
        where(condition(0, "GT", 5), condition(2, "EQ", 1)),
        where(condition(1, "NE", 0), action=KILL),
    )
    for found in (merge([odd]), merge([odd, odd]), merge([odd, odd], INTERSECTION)):
        assert [each.args for each in found.rules] == [each.args for each in odd.rules]
        assert same(found, odd)


def test_too_much_to_look_at():
    def many(name):
        return profile(
            *(
                rule(name, includes=Filter(caps=(f"CAP_{number}",)), action=action)
                for number, action in enumerate([ALLOW, LOG] * 8)
            )
        )

    with pytest.raises(ProfileError, match=r"bpf: .* too many capabilities"):
        merge([many("bpf"), profile(rule("bpf", action=KILL))])
    tidy = [profile(rule("bpf", includes=Filter(caps=(f"CAP_{number}",)))) for number in range(40)]
    assert len(merge(tidy).rules) == 40


def test_what_is_not_an_operation():
    with pytest.raises(ValueError, match="'xor' is none of union"):
        merge([profile()], "xor")
    with pytest.raises(ProfileError, match="no profile"):
        merge([])


# Properties

HERE = Environment(machine="x86_64", kernel="6.1", capabilities=())
CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.integers(0, 4),
    value_two=st.integers(0, 4),
    op=st.sampled_from(OPERATORS),
)
FILTERS = st.sampled_from(
    [
        *[Filter()] * 3,
        Filter(caps=("CAP_A",)),
        Filter(caps=("CAP_B",)),
        Filter(min_kernel="5.0"),
        Filter(arches=("amd64",)),
    ]
)
RULES = st.builds(
    Rule,
    names=st.lists(st.sampled_from(["read", "write"]), min_size=1, max_size=2).map(tuple),
    action=st.sampled_from([ALLOW, ALLOW, ALLOW, LOG, ERRNO, KILL]),
    args=st.lists(CONDITIONS, max_size=2).map(tuple),
    errno_ret=st.sampled_from([None, None, 38]),
    includes=FILTERS,
    excludes=FILTERS,
)
PROFILES = st.builds(
    Profile,
    default_action=st.sampled_from([ERRNO, ERRNO, ALLOW, KILL]),
    rules=st.lists(RULES, max_size=3).map(tuple),
)
PLACES = tuple(
    Environment(machine=machine, kernel=kernel, capabilities=caps)
    for caps in ((), ("CAP_A",), ("CAP_B",), ("CAP_A", "CAP_B"))
    for kernel, machine in (("6.1", "x86_64"), ("4.1", "aarch64"), ("4.1", "x86_64"))
)
GRID = tuple(itertools.product((0, 1, 2, 4, 5, 1 << 40), repeat=2))
SOME = st.sampled_from(OPERATIONS)


def merged(profiles, operation):
    """The merge; what cannot be said ends the example."""
    try:
        found = merge(profiles, operation)
    except ProfileError as error:
        assert "cannot be merged exactly" in error.message
        event("refused")
        assume(False)
    event("merged")
    return found


def everywhere(one):
    """(place, call, arguments) -> outcome, by the model."""
    return {
        (place, name, arguments): (found.action, found.data)
        for place in PLACES
        for name in ("read", "write", "exit")
        for arguments in GRID
        if (found := decide(one, place, ABIS[place.machine], name, (*arguments, 0, 0, 0, 0)))
    }


ABIS = {"x86_64": "x86_64", "aarch64": "aarch64"}


@given(st.lists(PROFILES, min_size=1, max_size=3), SOME)
@settings(max_examples=50, deadline=None)
def test_the_model_decides_as_the_operation_says(profiles, operation):
    found = everywhere(merged(profiles, operation))
    parts = [everywhere(each) for each in profiles]
    for case, outcome in found.items():
        outcomes = [each[case] for each in parts]
        if operation != SUBTRACT:
            assert outcome == chosen(operation, outcomes)
        elif not refuses(outcomes[0]) and any(map(permits, outcomes[1:])):
            assert outcome == refusal(profiles[0].outcome)
        else:
            assert outcome == outcomes[0]


@given(st.lists(PROFILES, min_size=1, max_size=3), SOME)
@settings(max_examples=60, deadline=None)
def test_libseccomp_compiles_what_is_written_or_a_profile_had_it(profiles, operation):
    found = merged(profiles, operation)
    own = {(frozenset(each.args), each.outcome) for one in profiles for each in one.rules}
    for place in PLACES:
        for name in ("read", "write"):
            live = [each for each in found.rules if name in each.names and place.applies(each)]
            if any(each.unconditional() for each in live):
                continue
            conditions = [said for each in live for said in telling(each, LARGEST_VALUE)]
            if not faithful(conditions):
                assert all(len(each.args) < 2 or (frozenset(each.args), each.outcome) in own for each in live)


@given(PROFILES, PROFILES, st.sampled_from([UNION, INTERSECTION]))
@settings(max_examples=60, deadline=None)
def test_commutative(one, two, operation):
    there, back = merged([one, two], operation), merged([two, one], operation)
    assert there == back
    assert difference(there, back, environments=PLACES).empty


@given(PROFILES, PROFILES, PROFILES, st.sampled_from([UNION, INTERSECTION]))
@settings(max_examples=30, deadline=None)
def test_associative(one, two, three, operation):
    left = merged([merged([one, two], operation), three], operation)
    right = merged([one, merged([two, three], operation)], operation)
    at_once = merged([one, two, three], operation)
    assert difference(left, right, environments=PLACES).empty
    assert difference(left, at_once, environments=PLACES).empty


@given(PROFILES)
@settings(max_examples=40, deadline=None)
def test_idempotent(one):
    """And never refused: a profile is not to be made exact that already is what it is."""
    for operation in (UNION, INTERSECTION):
        found = merge([one, one], operation)
        assert difference(one, found, environments=PLACES).empty
        again = merge([found, one, found], operation)
        assert difference(found, again, environments=PLACES).empty


@given(PROFILES, PROFILES)
@settings(max_examples=30, deadline=None)
def test_absorption(one, two):
    assert difference(one, merge([one, merged([one, two], UNION)], INTERSECTION), environments=PLACES).empty
    assert difference(one, merge([one, merged([one, two], INTERSECTION)], UNION), environments=PLACES).empty


@given(PROFILES, PROFILES)
@settings(max_examples=60, deadline=None)
def test_what_was_taken_away_is_gone(one, two):
    found = merged([one, two], SUBTRACT)
    assert difference(merged([found, two], SUBTRACT), found, environments=PLACES).empty
    nothing = merged([one, one], SUBTRACT)
    assert not any(permits(outcome) for outcome in everywhere(nothing).values())


@given(PROFILES, PROFILES)
@settings(max_examples=60, deadline=None)
def test_what_is_written_can_be_read(one, two):
    found = merged([one, two], UNION)
    assert oci.loads(oci.dumps(found), "merged") == found


def test_the_order_of_outcomes():
    ordered = [
        ("SCMP_ACT_KILL_PROCESS", 0),
        ("SCMP_ACT_KILL_THREAD", 0),
        ("SCMP_ACT_TRAP", 0),
        (ERRNO, 1),
        (ERRNO, 0),
        (ERRNO, 22),
        (ERRNO, 38),
        ("SCMP_ACT_NOTIFY", 0),
        ("SCMP_ACT_TRACE", 7),
        (LOG, 0),
        (ALLOW, 0),
    ]
    assert [rank(each) for each in ordered] == sorted(map(rank, ordered))
    assert [refuses(each) for each in ordered] == [True] * 7 + [False] * 4


def test_many_calls_with_many_conditions_do_not_use_up_one_another_s_limit():
    def numbered(start):
        return profile(
            *(
                where(condition(call % 6, "EQ", value * 7919), name=f"call_{call}")
                for call in range(30)
                for value in range(start + call, start + call + 8)
            )
        )

    found = merge([numbered(0), numbered(4)], INTERSECTION)
    assert sum(len(each.names) for each in found.rules) == 120
