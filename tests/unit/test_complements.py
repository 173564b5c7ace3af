"""Complements: alternatives that hold exactly where the rules do not, and shapes that can be trusted."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from seclude.complements import complement, exactly, faithful, opposite
from seclude.model.profile import OPERATORS, Argument, Rule

VALUES = tuple(range(5))
CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.integers(0, 4),
    value_two=st.integers(0, 4),
    op=st.sampled_from(OPERATORS),
)
RULES = st.lists(CONDITIONS, min_size=1, max_size=2).map(
    lambda args: Rule(names=("a",), action="SCMP_ACT_ERRNO", args=tuple(args))
)


def condition(index, op, value, two=0):
    return Argument(index=index, op=f"SCMP_CMP_{op}", value=value, value_two=two)


@given(CONDITIONS)
def test_an_opposite_holds_exactly_where_the_condition_does_not(argument):
    other = opposite(argument)
    if other is None:
        assert argument.op == "SCMP_CMP_MASKED_EQ"
    else:
        assert all(other.matches(value) != argument.matches(value) for value in VALUES)


@given(st.lists(RULES, min_size=1, max_size=3))
def test_a_complement_holds_exactly_where_no_rule_does(rules):
    found = complement(rules)
    if found is None:
        return
    for first, second in product(VALUES, repeat=2):
        arguments = {0: first, 1: second}
        denied = any(rule.matches(arguments) for rule in rules)
        allowed = any(all(item.matches(arguments[item.index]) for item in each) for each in found)
        assert allowed != denied
    assert all(len({item.index for item in each}) == len(each) for each in found)


def test_what_grows_too_large_has_no_complement():
    def denying(first):
        arguments = tuple(condition(index, "EQ", first) for index in range(6))
        return Rule(names=("a",), action="SCMP_ACT_ERRNO", args=arguments)

    assert complement([denying(1)]) is not None
    assert complement([denying(value) for value in range(9)]) is None
    assert exactly([{0: value} for value in range(64)], [0]) is not None
    assert exactly([{0: value} for value in range(65)], [0]) is None


def test_shapes_that_libseccomp_compiles_faithfully():
    assert faithful([(condition(0, "LT", 3),), (condition(1, "NE", 4),), (condition(0, "GE", 9),)])
    assert faithful([(condition(0, "EQ", 16), condition(2, "EQ", 9)), (condition(0, "NE", 16),)])
    assert faithful(
        [(condition(0, "EQ", 1), condition(1, "EQ", 2)), (condition(0, "EQ", 2), condition(1, "EQ", 2))]
    )
    assert faithful([(condition(0, "LT", 1), condition(1, "GT", 2))])


def test_shapes_that_it_does_not():
    wide = (condition(0, "EQ", 16), condition(2, "EQ", 9))
    assert not faithful([(condition(0, "LT", 3),), (condition(0, "GE", 1 << 33),)])
    assert not faithful([(condition(0, "NE", 16),), wide])
    assert not faithful([wide, (condition(0, "NE", 7),)])
    assert not faithful([wide, (condition(0, "EQ", 1), condition(1, "EQ", 2))])
    assert not faithful([wide, (condition(0, "NE", 1), condition(2, "EQ", 2))])
    assert not faithful([(condition(0, "LT", 3), condition(1, "EQ", 1)), (condition(1, "NE", 1),)])
