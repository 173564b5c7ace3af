"""What a profile does with one call in words: its rules in, "allowed if arg0 == AF_UNIX; otherwise refused" out."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from ..complements import telling
from ..decode import register_of, signature
from ..decode.kinds import shown
from ..decode.signatures import WIDE
from ..model.profile import EQUAL, LARGEST_VALUE, MASKED_EQUAL, NARROW, Argument, Rule

Conditions = tuple[Argument, ...]

LONGEST = 400
"""Characters of one description: a rule may have any number of conditions."""

MOST_VALUES = 12

_OPERATORS = {"NE": "!=", "LT": "<", "LE": "<=", "EQ": "==", "GE": ">=", "GT": ">"}
_ACTIONS = {
    "SCMP_ACT_ALLOW": "allowed",
    "SCMP_ACT_LOG": "allowed and logged",
    "SCMP_ACT_NOTIFY": "decided by a supervisor",
    "SCMP_ACT_TRACE": "decided by a tracer",
    "SCMP_ACT_TRAP": "refused with SIGSYS",
    "SCMP_ACT_KILL_THREAD": "refused, the thread killed",
    "SCMP_ACT_KILL_PROCESS": "refused, the process killed",
}


def outcome_in_words(outcome: tuple[str, int]) -> str:
    """(action, errno) as "refused with EPERM"."""
    action, data = outcome
    if action == "SCMP_ACT_ERRNO":
        if not data:
            return "refused without an error (errno 0)"
        return f"refused with {errno.errorcode.get(data, f'errno {data}')}"
    return _ACTIONS.get(action, action)


def described(
    abi: str, name: str, rules: Sequence[Rule], default: tuple[str, int], *, everywhere: bool
) -> str:
    """What happens to the call by these rules, which are in force; `everywhere`: in every environment that counts.

    Otherwise each is said with where it holds.
    """
    said: dict[tuple[str, str], list[Conditions]] = {}
    for rule in rules:
        if rule.outcome != default:
            if everywhere and rule.unconditional():
                return outcome_in_words(rule.outcome)
            where = "" if everywhere else _where(rule)
            said.setdefault((outcome_in_words(rule.outcome), where), []).extend(telling(rule, LARGEST_VALUE))
    if not said:
        return outcome_in_words(default)
    parts = []
    for (words, where), alternatives in said.items():
        conditions = "" if () in alternatives else _alternatives(abi, name, alternatives)
        parts.append(words + (f" {where}" if where else "") + (f" if {conditions}" if conditions else ""))
    text = "; ".join([*parts, f"otherwise {outcome_in_words(default)}"])
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _alternatives(abi: str, name: str, alternatives: Iterable[Conditions]) -> str:
    """Of which one must hold; the values that one argument alone is compared with for equality are put together."""
    values: dict[int, set[int]] = {}
    texts = set()
    for conditions in alternatives:
        if len(conditions) == 1 and conditions[0].op == EQUAL:
            values.setdefault(conditions[0].index, set()).add(conditions[0].value)
        else:
            ordered = sorted(set(conditions), key=lambda argument: (argument.index, repr(argument)))
            texts.add(" and ".join(_condition(abi, name, argument) for argument in ordered))
    return " or ".join(
        [*(_one_of(abi, name, index, found) for index, found in sorted(values.items())), *sorted(texts)]
    )


def _one_of(abi: str, name: str, index: int, values: set[int]) -> str:
    shown_values = [_value(abi, name, index, value) for value in sorted(values)[:MOST_VALUES]]
    if len(values) > MOST_VALUES:
        shown_values.append(f"one of {len(values) - MOST_VALUES} more")
    if len(shown_values) == 1:
        return f"arg{index} == {shown_values[0]}"
    return f"arg{index} is {', '.join(shown_values[:-1])} or {shown_values[-1]}"


def _condition(abi: str, name: str, argument: Argument) -> str:
    index, value = argument.index, argument.value
    if argument.op == MASKED_EQUAL:
        two = _value(abi, name, index, argument.value_two & value)
        return f"arg{index} & {_value(abi, name, index, value)} == {two}"
    operator = _OPERATORS[argument.op.removeprefix("SCMP_CMP_")]
    text = _value(abi, name, index, value) if argument.op in (EQUAL, "SCMP_CMP_NE") else f"{value:#x}"
    return f"arg{index} {operator} {text}"


def _value(abi: str, name: str, index: int, value: int) -> str:
    """The value by name where the call's argument has names; a number that is no flag in hexadecimal."""
    words = signature(abi, name) or ()
    register = register_of(abi)
    wide = index < len(words) and words[index] in WIDE
    # All bits set stands for -1, not for the flags.
    if index >= len(words) or value > (register if wide else NARROW) or value in (NARROW, LARGEST_VALUE):
        return f"{value:#x}"
    text = shown(abi, words[index], value, wide=wide, register=register)
    return text if any(letter.isalpha() and letter.isupper() for letter in text) else f"{value:#x}"


def _where(rule: Rule) -> str:
    # Includes ask for all of their capabilities; of the excludes one is enough.
    includes, excludes = rule.includes, rule.excludes
    parts = []
    if includes.caps:
        parts.append(f"with {' and '.join(sorted(set(includes.caps)))}")
    if excludes.caps:
        parts.append(f"without {' or '.join(sorted(set(excludes.caps)))}")
    if includes.arches:
        parts.append(f"on {', '.join(sorted(set(includes.arches)))}")
    if excludes.arches:
        parts.append(f"not on {', '.join(sorted(set(excludes.arches)))}")
    if includes.min_kernel:
        parts.append(f"from Linux {includes.min_kernel}")
    if excludes.min_kernel:
        parts.append(f"before Linux {excludes.min_kernel}")
    return " ".join(parts)
