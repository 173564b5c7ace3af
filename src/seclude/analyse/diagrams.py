"""Rules on one call in, a decision diagram out, so that two sets of rules can be compared for every argument there is.

A diagram is a binary decision diagram over the bits of the six arguments, with outcomes as its leaves: reduced and
shared, so that the pairs of leaves that two diagrams reach together are exactly the pairs of outcomes that some
arguments lead to (Bryant 1986, "Graph-based algorithms for Boolean function manipulation").
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model.profile import EQUAL, MASKED_EQUAL, Argument

Conditions = tuple[Argument, ...]
Outcome = tuple[str, int]

_BITS = 64
_FALSE, _TRUE = -1, -2
_LEAVES = -3


class TooComplex(Exception):
    """The diagram would have more nodes than allowed: conditions can be made whose diagrams are exponential."""


class Diagrams:
    """Diagrams of one `width` (the mask of the bits that count) that share their nodes; at most `limit` of them.

    A node is a number: from 0 on an index into `_nodes` (variable, node where the bit is 0, where it is 1), below
    that a leaf. Variables count from the highest bit of the first argument.
    """

    def __init__(self, *, width: int, limit: int) -> None:
        self._width = width
        self._limit = limit
        self._nodes: list[tuple[int, int, int]] = []
        self._known: dict[tuple[int, int, int], int] = {}
        self._chosen: dict[tuple[int, int, int], int] = {}
        self._outcomes: list[Outcome] = []
        self._leaves: dict[Outcome, int] = {}

    @property
    def spent(self) -> int:
        """Nodes that were made or worked upon."""
        return len(self._nodes) + len(self._chosen)

    def decided(self, rules: Sequence[tuple[Conditions, Outcome]], otherwise: Outcome) -> int:
        """The diagram of rules of which the first whose conditions all hold decides; raises TooComplex."""
        node = self._leaf(otherwise)
        for conditions, outcome in reversed(rules):
            holds = _TRUE
            for argument in conditions:
                holds = self._choose(self._holds(argument), holds, _FALSE)
            node = self._choose(holds, self._leaf(outcome), node)
        return node

    def pairs(self, first: int, second: int) -> frozenset[tuple[Outcome, Outcome]]:
        """What both diagrams come to, for every argument there is; raises TooComplex."""
        found: set[tuple[Outcome, Outcome]] = set()
        seen = {(first, second)}
        waiting = [(first, second)]
        while waiting:
            one, two = waiting.pop()
            if one < 0 and two < 0:
                found.add((self._outcomes[_LEAVES - one], self._outcomes[_LEAVES - two]))
                continue
            variable = min(self._variable(one), self._variable(two))
            for bit in (0, 1):
                following = (self._child(one, variable, bit), self._child(two, variable, bit))
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
            if len(seen) > self._limit:
                raise TooComplex
        return frozenset(found)

    def cleared(self, node: int, variables: frozenset[int]) -> int:
        """The diagram of what is left where these bits are 0; raises TooComplex."""
        done: dict[int, int] = {}

        def walk(node: int) -> int:
            if node < 0:
                return node
            if node not in done:
                variable, low, high = self._nodes[node]
                low = walk(low)
                done[node] = low if variable in variables else self._node(variable, low, walk(high))
            return done[node]

        return walk(node)

    def _leaf(self, outcome: Outcome) -> int:
        if outcome not in self._leaves:
            self._leaves[outcome] = _LEAVES - len(self._outcomes)
            self._outcomes.append(outcome)
        return self._leaves[outcome]

    def _variable(self, node: int) -> int:
        return self._nodes[node][0] if node >= 0 else _BITS * 6

    def _child(self, node: int, variable: int, bit: int) -> int:
        if node < 0 or self._nodes[node][0] != variable:
            return node
        return self._nodes[node][1 + bit]

    def _node(self, variable: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (variable, low, high)
        if key not in self._known:
            if len(self._nodes) >= self._limit:
                raise TooComplex
            self._known[key] = len(self._nodes)
            self._nodes.append(key)
        return self._known[key]

    def _choose(self, condition: int, then: int, otherwise: int) -> int:
        """The diagram that is `then` where `condition` is true and `otherwise` where it is not."""
        if condition == _TRUE or then == otherwise:
            return then
        if condition == _FALSE:
            return otherwise
        key = (condition, then, otherwise)
        if key not in self._chosen:
            variable = min(map(self._variable, key))
            # Plain calls: as deep as there are bits, a generator between them would go past Python's limit.
            zeros = [self._child(node, variable, 0) for node in key]
            ones = [self._child(node, variable, 1) for node in key]
            low = self._choose(zeros[0], zeros[1], zeros[2])
            high = self._choose(ones[0], ones[1], ones[2])
            if len(self._chosen) >= 4 * self._limit:
                raise TooComplex
            self._chosen[key] = self._node(variable, low, high)
        return self._chosen[key]

    def _holds(self, argument: Argument) -> int:
        """The diagram of one condition, built from the lowest bit up."""
        index, value = argument.index, argument.value & self._width
        if argument.op == MASKED_EQUAL:
            return self._equal(index, argument.value_two & value, value)
        if argument.op in (EQUAL, "SCMP_CMP_NE"):
            node = self._equal(index, value, self._width)
            return node if argument.op == EQUAL else self._choose(node, _FALSE, _TRUE)
        # x < value, or for GE its opposite; x <= value, or for GT its opposite.
        node = _TRUE if argument.op in ("SCMP_CMP_LE", "SCMP_CMP_GT") else _FALSE
        for bit in range(self._width.bit_length()):
            variable = _BITS * index + _BITS - 1 - bit
            if value >> bit & 1:
                node = self._node(variable, _TRUE, node)
            else:
                node = self._node(variable, node, _FALSE)
        return node if argument.op in ("SCMP_CMP_LT", "SCMP_CMP_LE") else self._choose(node, _FALSE, _TRUE)

    def _equal(self, index: int, value: int, mask: int) -> int:
        node = _TRUE
        for bit in range(mask.bit_length()):
            if mask >> bit & 1:
                variable = _BITS * index + _BITS - 1 - bit
                low, high = (_FALSE, node) if value >> bit & 1 else (node, _FALSE)
                node = self._node(variable, low, high)
        return node
