"""`decide` against the filter that libseccomp compiles: every answer the same, for rules of any outcomes."""

import itertools
import os
import tempfile

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seclude.complements import faithful, telling
from seclude.errors import EngineError
from seclude.formats import bpf, libseccomp
from seclude.model.decision import BY_ARCHITECTURE, BY_ARGUMENTS, BY_DEFAULT, BY_RULE, asked, decide
from seclude.model.environment import Environment
from seclude.model.profile import LARGEST_VALUE, OPERATORS, Argument, Profile, Rule, SubArchitectures
from seclude.syscalls import number_of

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
HERE = Environment(machine="x86_64", kernel="6.18.0", capabilities=())
X86 = SubArchitectures(architecture="SCMP_ARCH_X86_64", sub_architectures=("SCMP_ARCH_X86", "SCMP_ARCH_X32"))
GRID = tuple(itertools.product((0, 1, 2, 3, 5, 0xFFFF_FFFF, 1 << 33, LARGEST_VALUE), repeat=2))


def condition(index, op, value, two=0):
    return Argument(index=index, op=f"SCMP_CMP_{op}", value=value, value_two=two)


def refuse(number, *args, **fields):
    return Rule(names=("getppid",), action=ERRNO, errno_ret=number, args=args, **fields)


def profile(*rules, **fields):
    return Profile(default_action=ALLOW, rules=rules, **fields)


def decided(one, *arguments, abi="x86_64", where=HERE):
    return decide(one, where, abi, "getppid", (*arguments, *[0] * (6 - len(arguments))))


def test_why():
    one = profile(refuse(5, condition(0, "EQ", 1)), refuse(7, condition(0, "EQ", 2)))
    assert (decided(one, 1).cause, decided(one, 1).data) == (BY_RULE, 5)
    assert decided(one, 3).cause == BY_ARGUMENTS
    assert decided(profile()).cause == BY_DEFAULT
    assert decided(profile(), abi="x32").cause == BY_ARCHITECTURE
    assert decided(profile(), abi="x32").action == "SCMP_ACT_KILL_THREAD"
    assert decided(profile(arch_map=(X86,)), abi="x32").action == ALLOW


def test_rules_without_conditions_come_first_and_of_these_the_first():
    one = profile(refuse(5, condition(0, "EQ", 1)), refuse(7), refuse(9))
    assert decided(one, 1).data == 7


def test_32_bit_calls_are_compared_by_their_lower_half():
    one = profile(refuse(5, condition(0, "EQ", 1 << 32)), arch_map=(X86,))
    assert decided(one, 0, abi="x86").data == 5
    assert decided(one, 0, abi="x32").data == 5
    assert decided(one, 0).action == ALLOW


@pytest.mark.parametrize(
    ("rules", "arguments", "number"),
    [
        # The higher argument first, whatever the order in the file.
        ([refuse(5, condition(0, "EQ", 2)), refuse(7, condition(1, "EQ", 2))], (2, 2), 7),
        ([refuse(7, condition(1, "EQ", 2)), refuse(5, condition(0, "EQ", 2))], (2, 2), 7),
        # Equality before order, less before greater, the narrower before the wider.
        ([refuse(5, condition(0, "LT", 9)), refuse(7, condition(0, "EQ", 2))], (2,), 7),
        ([refuse(5, condition(0, "GE", 1)), refuse(7, condition(0, "LT", 9))], (2,), 7),
        ([refuse(5, condition(0, "LT", 9)), refuse(7, condition(0, "LT", 5))], (2,), 7),
        ([refuse(5, condition(0, "GT", 1)), refuse(7, condition(0, "GT", 4))], (6,), 7),
    ],
)
def test_the_order_in_which_conditions_are_asked(rules, arguments, number):
    decision = decided(profile(*rules), *arguments)
    assert decision.data == number
    assert [rule.errno_ret for rule in decision.rivals] == [5]


def test_conditions_that_ask_nothing_are_left_out():
    rule = refuse(5, condition(0, "MASKED_EQ", 0), condition(1, "EQ", 1))
    assert asked([rule], LARGEST_VALUE) == (((condition(1, "EQ", 1),), rule),)


# Against libseccomp

CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.sampled_from([0, 1, 2, 3, 5, 0xFFFF_FFFF, 1 << 33]),
    value_two=st.integers(0, 3),
    op=st.sampled_from(OPERATORS),
)
RULES = st.builds(
    Rule,
    names=st.just(("getppid",)),
    action=st.just(ERRNO),
    errno_ret=st.sampled_from([10, 20, 30]),
    args=st.one_of(st.tuples(CONDITIONS), st.lists(CONDITIONS, max_size=2).map(tuple)),
)


def compiled(one):
    """The machine that runs the filter; None where libseccomp refuses one condition under two actions (EEXIST)."""
    try:
        with (
            libseccomp.build(one, capabilities=(), machine="x86_64", kernel=HERE.kernel) as filter_,
            tempfile.TemporaryFile() as file,
        ):
            filter_.export_bpf(file.fileno())
            file.seek(0)
            return bpf.Machine(bpf.loads(file.read()))
    except EngineError as error:
        assert "File exists" in str(error)
        return None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="libseccomp builds filters for its own machine")
@given(st.lists(RULES, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_compiled_filter_answers_the_same(rules):
    one = profile(*rules, arch_map=(X86,))
    machine = compiled(one)
    assume(machine is not None)
    assume(faithful([conditions for rule in rules for conditions in telling(rule, LARGEST_VALUE)]))
    halves = {argument.value >> 32 for rule in rules for argument in rule.args}
    for abi in ("x86_64", "x86", "x32"):
        for arguments in GRID:
            if abi == "x86" and max(arguments) > 0xFFFF_FFFF:
                continue
            decision = decided(one, *arguments, abi=abi)
            # Where outcomes contest another upper half, libseccomp's tree answers for several conditions at once.
            if decision.rivals and (halves | {value >> 32 for value in arguments}) != {0}:
                continue
            data = bpf.call_data(abi, number_of(abi, "getppid"), (*arguments, 0, 0, 0, 0))
            assert machine(data) == (decision.action, decision.data)
