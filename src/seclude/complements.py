"""Rules that deny a call under conditions in, the conditions of rules that allow the rest of it out.

Only in shapes that engines keep and that libseccomp compiles to what they say. Its tree of comparisons merges
others wrongly (checked with 2.5.4 by running compiled filters against the model, tests/kernel/test_libseccomp.py;
see also https://github.com/seccomp/libseccomp/issues/118): then a denied call could become allowed.
"""

from __future__ import annotations

from .model.profile import EQUAL, LARGEST_VALUE, MASKED_EQUAL, Argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model.profile import Rule

    Conditions = tuple[Argument, ...]

OPPOSITES = {
    EQUAL: "SCMP_CMP_NE",
    "SCMP_CMP_NE": EQUAL,
    "SCMP_CMP_LT": "SCMP_CMP_GE",
    "SCMP_CMP_GE": "SCMP_CMP_LT",
    "SCMP_CMP_GT": "SCMP_CMP_LE",
    "SCMP_CMP_LE": "SCMP_CMP_GT",
}
_ORDERED = ("SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GE", "SCMP_CMP_GT")

MOST_RULES = 64
"""Rules that one call may get before it is rather left denied: they multiply with the rules that deny it."""


def opposite(argument: Argument) -> Argument | None:
    """The condition that holds exactly where this one does not, None where there is none.

    Of a masked comparison that is so only for a mask of one bit: the bit has the other value.
    """
    index, value, two = argument.index, argument.value, argument.value_two
    if argument.op != MASKED_EQUAL:
        return Argument(index=index, value=value, op=OPPOSITES[argument.op])
    if value.bit_count() != 1:
        return None
    return Argument(index=index, value=value, value_two=value & ~two, op=MASKED_EQUAL)


def telling(rule: Rule, width: int) -> tuple[Conditions, ...]:
    """The rule's conditions as engines hand them to libseccomp, without vacuous ones: for each rule it becomes."""
    if rule.alternatives:
        return tuple(() if argument.vacuous(width=width) else (argument,) for argument in rule.args)
    return (tuple(argument for argument in rule.args if not argument.vacuous(width=width)),)


def complement(rules: Sequence[Rule], width: int = LARGEST_VALUE) -> tuple[Conditions, ...] | None:
    """Alternatives of which one holds exactly where none of the rules does; None where conditions cannot say it.

    Not(a and b) becomes not a, or not b. Of several rules every one must fail, so the alternatives multiply.
    """
    choices: set[Conditions] = {()}
    for rule in rules:
        for conditions in telling(rule, width):
            opposites = [opposite(argument) for argument in conditions]
            found = [each for each in opposites if each is not None]
            if len(found) < len(opposites):
                return None
            choices = {_normal((*chosen, each)) for chosen in choices for each in found}
            if len(choices) > MOST_RULES or any(_doubled(chosen) for chosen in choices):
                return None
    return tuple(sorted(choices, key=repr))


def _normal(conditions: Conditions) -> Conditions:
    return tuple(sorted(dict.fromkeys(conditions), key=lambda argument: (argument.index, repr(argument))))


def _doubled(conditions: Conditions) -> bool:
    """Whether two conditions are on one argument, which engines would OR and so allow too much."""
    return len({argument.index for argument in conditions}) < len(conditions)


def exactly(values: Iterable[dict[int, int]], indices: Sequence[int]) -> tuple[Conditions, ...] | None:
    """An alternative for each set of arguments (index -> value), compared at `indices`; None if they are too many."""
    found = {
        tuple(Argument(index=index, value=item[index], op=EQUAL) for index in indices) for item in values
    }
    return tuple(sorted(found, key=repr)) if len(found) <= MOST_RULES else None


def faithful(rules: Iterable[Conditions]) -> bool:
    """Whether libseccomp compiles these rules on one call, whatever their actions, to what they say.

    That is so for rules with one condition each, unless they order one argument around values whose upper halves
    differ; for one rule with several conditions, none of order, and opposites of them added after it; for equality
    on the same arguments. `rules` in the order in which they are added.
    """
    distinct = list(dict.fromkeys(rules))
    wide = [conditions for conditions in distinct if len(conditions) > 1]
    if len(distinct) <= 1:
        return True
    if not wide:
        return _one_upper_half([conditions[0] for conditions in distinct if conditions])
    if len(wide) == 1 and wide[0] == distinct[0]:
        opposites = [opposite(argument) for argument in wide[0]]
        single = [conditions[0] for conditions in distinct if len(conditions) == 1]
        return all(item in opposites for item in single) and not any(item.op in _ORDERED for item in wide[0])
    indices = {tuple(argument.index for argument in conditions) for conditions in distinct}
    return len(indices) == 1 and all(item.op == EQUAL for conditions in distinct for item in conditions)


def _one_upper_half(arguments: Iterable[Argument]) -> bool:
    halves: dict[int, set[int]] = {}
    for argument in arguments:
        if argument.op in _ORDERED:
            halves.setdefault(argument.index, set()).add(argument.value >> 32)
    return all(len(each) == 1 for each in halves.values())
