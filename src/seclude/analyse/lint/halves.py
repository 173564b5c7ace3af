"""Conditions on arguments of which the kernel reads 32 bits: what bits in the upper half of the register let in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, product

from ...decode import signature
from ...decode.signatures import WIDE
from ...model.decision import decide, width_of
from ...model.frozen import replace
from ...model.profile import NARROW, PERMITTING
from ..diagrams import Diagrams, TooComplex
from .subject import Found, Subject, meaning

_MOST_NODES = 20_000
_MOST_TRIED = 2_000

_INTS = (("socket", 2), ("socketpair", 2))
"""Arguments that are `int` in include/linux/syscalls.h and that the decoder shows as plain numbers."""


def check(subject: Subject) -> Iterable[Found]:
    """Calls that are refused, and made when the same argument has other upper bits, which the kernel throws away.

    CVE-2019-10063 (flatpak) and CVE-2019-7303 (snapd): TIOCSTI + 0x100000000 is TIOCSTI to the kernel, and another
    number to a filter that compares 64 bits.
    """
    abi = subject.abis()[0]
    if width_of(abi) <= NARROW:
        return
    for name in subject.by_name:
        words = signature(abi, name)
        if not words:
            continue
        rules = subject.live(name)
        indices = {argument.index for rule in rules for argument in rule.args}
        for index in sorted(indices):
            narrow = index < len(words) and (words[index] not in WIDE or (name, index) in _INTS)
            if narrow and _opened(subject, abi, name, index):
                yield Found(
                    rule="lint/upper-half",
                    severity="error",
                    message=f"{name} is let past the conditions on argument {index} by bits in the upper half of the "
                    "register: the kernel reads 32 bits, the filter compares 64",
                    spot=_spot(subject, name, index),
                    call=name,
                    hint="compare under the mask 0xffffffff: op SCMP_CMP_MASKED_EQ, value 4294967295, valueTwo the "
                    "number; in place of NE, LT or GT list the values that are allowed",
                    details=_example(subject, abi, name, index),
                )


def _opened(subject: Subject, abi: str, name: str, index: int) -> bool:
    """Whether some call is refused with 0 in the upper half, and made with something else there."""
    width = width_of(abi)
    rules = subject.live(name)
    if not rules or any(rule.unconditional(width=width) for rule in rules):
        return False
    upper = frozenset(range(64 * index, 64 * index + 32))
    diagrams = Diagrams(width=width, limit=_MOST_NODES)
    try:
        node = diagrams.decided(meaning(rules, width), subject.profile.outcome)
        pairs = diagrams.pairs(diagrams.cleared(node, upper), node)
    except TooComplex:
        return False
    return any(low[0] not in PERMITTING and wide[0] in PERMITTING for low, wide in pairs)


def _example(subject: Subject, abi: str, name: str, index: int) -> tuple[str, ...]:
    """One call that is refused and the same call, to the kernel, that is made; none where it is not soon found."""
    values: dict[int, set[int]] = {}
    part = replace(subject.profile, rules=subject.live(name))
    for argument in (argument for rule in subject.live(name) for argument in rule.args):
        for value in (argument.value, argument.value_two):
            values.setdefault(argument.index, set()).update((value + step) & NARROW for step in (0, -1, 1))
    indices = sorted(values)
    for chosen in islice(product(*(sorted(values[each]) for each in indices)), _MOST_TRIED):
        low = dict(zip(indices, chosen, strict=True))
        high = low | {index: low[index] | NARROW + 1}
        answers = [decide(part, subject.here, abi, name, _six(each)) for each in (low, high)]
        if answers[0].action not in PERMITTING and answers[1].action in PERMITTING:
            shown = [
                " ".join(f"--arg {key}={value:#x}" for key, value in each.items()) for each in (low, high)
            ]
            return (f"refused: {shown[0]}", f"made: {shown[1]}")
    return ()


def _six(values: dict[int, int]) -> list[int]:
    return [values.get(index, 0) for index in range(6)]


def _spot(subject: Subject, name: str, index: int) -> tuple[str | int, ...]:
    """The condition on the argument in the first rule that has one and permits."""
    live = subject.live(name)
    found: tuple[str | int, ...] = subject.spot(name)
    for number in subject.by_name[name]:
        rule = subject.profile.rules[number]
        for position, argument in enumerate(rule.args):
            if rule in live and argument.index == index:
                place: tuple[str | int, ...] = ("syscalls", number, "args", position)
                if rule.permits and argument.op in ("SCMP_CMP_NE", "SCMP_CMP_GT", "SCMP_CMP_GE"):
                    return place
                found = place
    return found
