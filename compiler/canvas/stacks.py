"""Sets of parser stacks as interned deterministic automata.

Where slots are open, one boundary between slots is reached with many stacks, as many as there are ways to nest. They
differ below and agree on top, so the set is kept as an automaton that reads stacks from the top down:

    node = (LR state, nodes below: at most one for each LR state)         interned
    L(node) = { state · w : w in L(below) for some node below, or w empty if there is none }

Deterministic and interned, so equal sets are equal integers (hash-consing; an acyclic automaton built bottom up is
minimal: Revuz 1992; Daciuk et al. 2000), and all that is ever computed of one is remembered: union and intersection
recur into pairs of nodes below, of which nearly all were met one slot before. In a graph-structured stack whose nodes
are slots (Tomita 1987) an open run of L slots has O(L²) edges and reductions walk O(L³) paths; here a slot adds a few
nodes, because what lies below is what it was.
"""

from __future__ import annotations

from grammar_engine.compiler.errors import LimitExceededError

MOST_NODES = 4_000_000
"""Nodes that one automaton may have, some 200 bytes each."""

NONE = 0  # the empty set
BOTTOM = 1  # the set of the empty stack: what lies below the first state


class Stacks:
    """All nodes of one canvas automaton."""

    def __init__(self) -> None:
        self.states = [-1, -1]
        """Of each node its LR state."""
        self.below: list[tuple[int, ...]] = [(), ()]
        """Of each node those below, by ascending state."""
        self._numbers: dict[tuple[int, tuple[int, ...]], int] = {}
        self._unions: dict[tuple[int, int], int] = {}
        self._intersections: dict[tuple[int, int], int] = {}

    def node(self, state: int, below: tuple[int, ...]) -> int:
        """The stacks with ``state`` above those below; NONE if there are none below."""
        if not below:
            return NONE
        key = (state, below)
        found = self._numbers.get(key)
        if found is None:
            if len(self.states) >= MOST_NODES:
                raise LimitExceededError(
                    "the canvases of this grammar have too many different stacks",
                    limit=f"{MOST_NODES} nodes",
                    given="more",
                )
            found = self._numbers[key] = len(self.states)
            self.states.append(state)
            self.below.append(below)
        return found

    def union(self, a: int, b: int) -> int:
        """The stacks of either of two nodes of one state."""
        if b in {a, NONE}:
            return a
        if a == NONE:
            return b
        if a > b:
            a, b = b, a
        found = self._unions.get((a, b))
        if found is None:
            found = self._unions[a, b] = self.node(self.states[a], self._merge(self.below[a], self.below[b]))
        return found

    def _merge(self, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        if a == b:
            return a
        states = self.states
        merged = {states[node]: node for node in a}
        for node in b:
            state = states[node]
            merged[state] = self.union(merged.get(state, NONE), node)
        return tuple(merged[state] for state in sorted(merged))

    def intersection(self, a: int, b: int) -> int:
        """The stacks of both of two nodes."""
        if a == b:
            return a
        if NONE in {a, b} or self.states[a] != self.states[b]:
            return NONE
        if a > b:
            a, b = b, a
        found = self._intersections.get((a, b))
        if found is None:
            states = self.states
            others = {states[node]: node for node in self.below[b]}
            both = [self.intersection(node, others.get(states[node], NONE)) for node in self.below[a]]
            found = self._intersections[a, b] = self.node(self.states[a], tuple(node for node in both if node != NONE))
        return found

    def group(self, nodes: set[int]) -> dict[int, int]:
        """One node for each state, of all the stacks of the given ones."""
        grouped: dict[int, int] = {}
        for node in sorted(nodes):  # (so that sets with the same beginnings share the unions of those)
            state = self.states[node]
            grouped[state] = self.union(grouped.get(state, NONE), node)
        return grouped
