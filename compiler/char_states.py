"""The common representation of automata over characters, below the algebra and the constructions.

A state is the ordered tuple of its edges, as in ``compiler/automaton.py`` but labelled with character sets: reading a
character of ``label`` leads to ``target``; an edge to MATCH (its label is empty) says that the text may end here,
one to ``CONDITION - c`` that it may under a condition (``compiler.conditions`` alone makes those).
``op`` and ``bound`` are the counter operations of ``compiler.automaton``, done when the edge's state is expanded.
"""

from __future__ import annotations

from typing import NamedTuple

from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH
from grammar_engine.compiler.charset import NOTHING, CharSet
from grammar_engine.compiler.errors import LimitExceededError

#: Most states that a construction may make before it gives up with LimitExceededError.
MAX_STATES = 200_000


class Edge(NamedTuple):
    """One entry of a state; see the module's docstring."""

    label: CharSet
    target: int
    op: int = KEEP
    bound: int = 0


States = tuple[tuple[Edge, ...], ...]

ACCEPT = Edge(NOTHING, MATCH)
EMPTY_LANGUAGE: States = ((),)


def apply_counter(op: int, bound: int, counter: int) -> int:
    """The counter after an operation, or -1 where its test fails."""
    if op == KEEP:
        return counter
    if op == ENTER:
        return 1
    if op == AGAIN:
        if bound < 0:
            return min(counter + 1, -bound)
        return counter + 1 if counter < bound else -1
    if op == EXIT:
        return 0 if counter >= bound else -1
    raise ValueError(f"unknown counter operation {op}")


def check_limit(count: int, limit: int = MAX_STATES) -> None:
    """Raise LimitExceededError if a construction has grown beyond its limit."""
    if count > limit:
        raise LimitExceededError("the automaton of a pattern grows too large", limit=f"{limit} states", given=count)


def trim(states: States) -> States:
    """Without the states that are unreachable or cannot reach MATCH, and renumbered breadth first from the start.

    Counters are taken as always passing; the constructions use them only where that is true.
    """
    parents: list[list[int]] = [[] for _ in states]
    live = [False] * len(states)
    todo: list[int] = []
    for state, edges in enumerate(states):
        for edge in edges:
            if edge.target < 0:
                if not live[state]:
                    live[state] = True
                    todo.append(state)
            elif edge.label:
                parents[edge.target].append(state)
    while todo:
        for parent in parents[todo.pop()]:
            if not live[parent]:
                live[parent] = True
                todo.append(parent)
    if not live[0]:
        return EMPTY_LANGUAGE
    order, number = [0], {0: 0}
    result: list[tuple[Edge, ...]] = []
    for state in order:
        kept: list[Edge] = []
        for edge in states[state]:
            target = edge.target
            if target < 0:
                kept.append(edge)
            elif edge.label and live[target]:
                if target not in number:
                    number[target] = len(order)
                    order.append(target)
                kept.append(Edge(edge.label, number[target], edge.op, edge.bound))
        result.append(tuple(kept))
    return tuple(result)
