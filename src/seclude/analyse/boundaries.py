"""Arguments that tell a filter's answers apart: rules on one call in, six values for each call to try out."""

from __future__ import annotations

from itertools import islice, product

from ..model.profile import LARGEST_VALUE, MASKED_EQUAL, NARROW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..model.profile import Argument, Rule

MOST_VECTORS = 4096
"""Combinations of arguments that are tried for one call of one ABI."""

_PLAIN = ((0, 0, 0, 0, 0, 0), (LARGEST_VALUE,) * 6)
_EDGES = (0, 1, NARROW, NARROW + 1, LARGEST_VALUE)


def vectors(rules: Sequence[Rule]) -> tuple[list[tuple[int, ...]], bool]:
    """(six arguments for each call to try, whether combinations were left out).

    All values of one argument are combined with all of the others, as far as MOST_VECTORS allows. Beyond that, each is
    tried with the others as each rule wants them, and of the combinations of the nearest values some.
    """
    conditions = [argument for rule in rules for argument in rule.args]
    indices = sorted({argument.index for argument in conditions})
    if not indices:
        return list(_PLAIN), False
    values = {
        index: list(
            dict.fromkeys((*_EDGES, *_flat(_around(each) for each in conditions if each.index == index)))
        )
        for index in indices
    }
    count = 1
    for found in values.values():
        count *= len(found)
    if count <= MOST_VECTORS:
        return [_vector(indices, chosen) for chosen in product(*values.values())], False
    tried: dict[tuple[int, ...], None] = {}
    for rule in rules:
        wanted = {argument.index: _fulfilling(argument) for argument in rule.args}
        base = [wanted.get(index, 0) for index in indices]
        for place, index in enumerate(indices):
            for value in values[index]:
                tried[_vector(indices, [*base[:place], value, *base[place + 1 :]])] = None
    near = [
        list(dict.fromkeys(_flat(_near(each) for each in conditions if each.index == index)))
        for index in indices
    ]
    count = 1
    for found in near:
        count *= len(found)
    # A stride that shares no factor with most counts of values, so that it meets each of them.
    stride = 1 if count <= MOST_VECTORS else count // MOST_VECTORS | 1
    for chosen in islice(product(*near), 0, min(count, MOST_VECTORS * stride), stride):
        tried[_vector(indices, chosen)] = None
    return list(tried), True


def _flat(groups: Iterable[Iterable[int]]) -> list[int]:
    return [value for group in groups for value in group]


def _vector(indices: Sequence[int], chosen: Sequence[int]) -> tuple[int, ...]:
    full = [0] * 6
    for index, value in zip(indices, chosen, strict=True):
        full[index] = value
    return tuple(full)


def _fulfilling(argument: Argument) -> int:
    """A value with which the condition holds, where there is one."""
    if argument.op == MASKED_EQUAL:
        return argument.value_two & argument.value
    step = {"SCMP_CMP_NE": 1, "SCMP_CMP_GT": 1, "SCMP_CMP_LT": -1}.get(argument.op, 0)
    return argument.value + step & LARGEST_VALUE


def _near(argument: Argument) -> Iterable[int]:
    """The values on both sides of the condition, and the one of them with another upper half."""
    value = argument.value_two & argument.value if argument.op == MASKED_EQUAL else argument.value
    yield from (value, value + 1 & LARGEST_VALUE, value - 1 & LARGEST_VALUE, value ^ NARROW + 1)


def _around(argument: Argument) -> Iterable[int]:
    """Values that the condition tells apart, or that only a wrong comparison of halves would."""
    yield from _near(argument)
    value = argument.value_two & argument.value if argument.op == MASKED_EQUAL else argument.value
    yield from (value & NARROW, value | LARGEST_VALUE ^ NARROW, value & ~NARROW, value | NARROW)
    if argument.op == MASKED_EQUAL:
        mask = argument.value
        yield from (value | LARGEST_VALUE ^ mask, mask)
        yield from (value ^ 1 << bit for bit in range(64) if mask >> bit & 1)
