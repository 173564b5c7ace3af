"""What a profile says of one call: profile, environment and call in, the action and why out."""

from __future__ import annotations

from ..syscalls import ARCHITECTURES
from .environment import NATIVE_ABIS, Environment
from .frozen import frozen
from .profile import LARGEST_VALUE, MASKED_EQUAL, NARROW, Argument, Profile, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")
    Conditions = tuple[Argument, ...]
    Node = tuple[int, int, str, int, int]

BY_RULE = "rule"
BY_DEFAULT = "no rule"
BY_ARGUMENTS = "arguments"
BY_ARCHITECTURE = "architecture"
"""Why a call is decided as it is: by a rule; by the default, as no rule names it; by the default, as the rules that
name it ask for other arguments; or because its ABI is not among the profile's architectures."""

_NARROW_ABIS = ("x86", "x32", "arm")
_BAD_ARCHITECTURE = ("SCMP_ACT_KILL_THREAD", 0)
"""libseccomp's answer to an architecture that is not in the filter (seccomp_attr_set(3), SCMP_FLTATR_ACT_BADARCH)."""

_PRIORITIES = {"LE": 2, "LT": 2, "GE": 1, "GT": 1}
_COMPILED = {"LE": "GT", "LT": "GE", "GE": "GE", "GT": "GT"}


@frozen
class Decision:
    """`action` and `data` (an errno, or 0) for a call; `rules`: those that decided, or asked for other arguments.

    `rivals`: rules with another outcome whose conditions hold too, and which are asked later.
    """

    action: str
    data: int
    cause: str
    rules: tuple[Rule, ...] = ()
    rivals: tuple[Rule, ...] = ()


def decide(
    profile: Profile, environment: Environment, abi: str, name: str, arguments: Sequence[int]
) -> Decision:
    """What happens to a call with these six arguments, as libseccomp compiles the engines' rules.

    Engines leave out rules that do not hold in the environment and those with the default's outcome. Of the others
    one without conditions outranks all that have some, wherever it stands, and the first of several such rules counts
    (src/db.c, db_rule_add). Rules with conditions are asked in the order of `asked`, which is not the file's.

    Where libseccomp's tree of comparisons loses a condition (rules with several conditions, see
    complements.faithful; https://github.com/seccomp/libseccomp/issues/118) the compiled filter may say something
    else. A profile in which two rules have the same conditions and different outcomes cannot be loaded at all
    (EEXIST). runc answers calls that are newer than all that the profile names with ENOSYS (pull 2750); here they
    get the default.
    """
    covered = (environment.architecture, *environment.architectures(profile))
    if abi != NATIVE_ABIS.get(environment.machine) and ARCHITECTURES[abi] not in covered:
        action, data = _BAD_ARCHITECTURE
        return Decision(action=action, data=data, cause=BY_ARCHITECTURE)
    width = width_of(abi)
    values = dict(enumerate(arguments))
    naming = [rule for rule in profile.rules if name in rule.names and environment.applies(rule)]
    telling = [rule for rule in naming if rule.outcome != profile.outcome]
    plain = [rule for rule in telling if rule.unconditional(width=width)]
    if plain:
        action, data = plain[0].outcome
        return Decision(action=action, data=data, cause=BY_RULE, rules=(plain[0],))
    met = [
        rule
        for conditions, rule in asked(telling, width)
        if all(argument.matches(values[argument.index], width=width) for argument in conditions)
    ]
    if met:
        action, data = met[0].outcome
        rivals = tuple(rule for rule in dict.fromkeys(met) if rule.outcome != met[0].outcome)
        return Decision(action=action, data=data, cause=BY_RULE, rules=(met[0],), rivals=rivals)
    action, data = profile.outcome
    if telling:
        return Decision(action=action, data=data, cause=BY_ARGUMENTS, rules=tuple(telling))
    cause = BY_RULE if naming else BY_DEFAULT
    return Decision(action=action, data=data, cause=cause, rules=tuple(naming))


def width_of(abi: str) -> int:
    """The bits of an argument that a filter compares in this ABI, as a mask.

    libseccomp takes x32 for an architecture of 32 bits (src/arch-x32.c) and compares the lower halves alone.
    """
    return NARROW if abi in _NARROW_ABIS else LARGEST_VALUE


def asked(rules: Sequence[Rule], width: int) -> tuple[tuple[Conditions, Rule], ...]:
    """The conditions of rules on one call in the order in which libseccomp's filter asks them, each with its rule.

    Two on one argument are a rule each (see Rule.matches). Conditions that ask nothing are left out.
    """
    told: list[tuple[Conditions, Rule]] = []
    for rule in rules:
        groups = [(argument,) for argument in rule.args] if rule.alternatives else [rule.args]
        for group in groups:
            told.append((tuple(each for each in group if not each.vacuous(width=width)), rule))
    return in_order(told, width)


def in_order(alternatives: Sequence[tuple[Conditions, T]], width: int) -> tuple[tuple[Conditions, T], ...]:
    """Conditions on one call, given in the order in which they are added, in the order in which they are asked.

    They become branches of a tree: first come those on the higher argument, then EQ, NE and MASKED_EQ before LT and
    LE before GE and GT, then the higher value (the lower for LT and LE), and else the one that was added first
    (src/db.c, _db_tree_add, _db_chain_lt). Several together start with the lowest argument. Checked with 2.5.4 by
    running compiled filters: it holds where faithful does, but for arguments whose upper half is another than the
    conditions' (there the tree answers for several of them at once).
    """
    root = _Level()
    for conditions, said in alternatives:
        ordered = sorted(conditions, key=lambda argument: argument.index)
        root.add([node for argument in ordered for node in _nodes(argument, width)], (conditions, said))
    return tuple(root.flat())


class _Level:
    """Alternatives that are asked one after the other, each with what is asked once it holds."""

    def __init__(self) -> None:
        self._ended: list[tuple[Conditions, Any]] = []
        self._nodes: list[tuple[Node, _Level]] = []

    def add(self, nodes: Sequence[Node], leaf: tuple[Conditions, Any]) -> None:
        if not nodes:
            self._ended.append(leaf)
            return
        place = len(self._nodes)
        for number, (node, below) in enumerate(self._nodes):
            if (node[0], *node[2:]) == (nodes[0][0], *nodes[0][2:]):
                below.add(nodes[1:], leaf)
                return
            if _rank(node) < _rank(nodes[0]):
                place = number
                break
        below = _Level()
        below.add(nodes[1:], leaf)
        self._nodes.insert(place, (nodes[0], below))

    def flat(self) -> list[tuple[Conditions, Any]]:
        return [*self._ended, *(leaf for _, below in self._nodes for leaf in below.flat())]


def _nodes(argument: Argument, width: int) -> list[Node]:
    """(argument and half, priority of the operator, operator as compiled, value, mask) of each half compared."""
    op = argument.op.removeprefix("SCMP_CMP_")
    mask, value = LARGEST_VALUE, argument.value
    if argument.op == MASKED_EQUAL:
        mask, value = argument.value, argument.value_two & argument.value
    priority = _PRIORITIES.get(op, 3)
    # Less-than is compiled as not greater-or-equal, and so on; upper halves are all compared by greater-than.
    low = _COMPILED.get(op, "EQ")
    nodes = [(2 * argument.index, priority, low, value & NARROW, mask & NARROW)]
    if width > NARROW:
        high = "GT" if op in _PRIORITIES else "EQ"
        nodes.insert(0, (2 * argument.index + 1, priority, high, value >> 32, mask >> 32))
    return nodes


def _rank(node: Node) -> tuple[int, int, int]:
    """Greater for what is asked earlier."""
    half, priority, _, value, _ = node
    return half, priority, -value if priority == _PRIORITIES["LT"] else value
