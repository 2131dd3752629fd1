"""Automata whose matches tell of which class the last character is that was read (see ``ir.Grammar.behind``)."""

from __future__ import annotations

from grammar_engine.compiler.automaton import KEEP
from grammar_engine.compiler.char_states import Edge, States
from grammar_engine.compiler.charset import CharSet

Classes = tuple[CharSet, ...]
"""All characters, divided."""


def tell_classes(states: States, classes: Classes) -> States:
    """The automaton made so that the bound of a match is minus the class, from 1 on; it counts nothing.

    States that match come once for each class that leads there.
    """
    matching = [any(edge.target < 0 for edge in edges) for edges in states]
    order = [(0, 0)]
    numbers = {(0, 0): 0}

    def copy_of(state: int, number: int) -> int:
        if (state, number) not in numbers:
            numbers[state, number] = len(order)
            order.append((state, number))
        return numbers[state, number]

    result: list[tuple[Edge, ...]] = []
    for state, last in order:  # grows while we walk it
        edges: list[Edge] = []
        for edge in states[state]:
            if edge.op != KEEP:
                raise ValueError("what counts cannot tell classes")
            if edge.target < 0:
                edges.append(edge._replace(bound=-last))
            elif not matching[edge.target]:
                edges.append(edge._replace(target=copy_of(edge.target, 0)))
            else:
                parts = [(edge.label.intersect(members), number) for number, members in enumerate(classes, 1)]
                edges += [Edge(label, copy_of(edge.target, number)) for label, number in parts if label]
        result.append(tuple(edges))
    return tuple(result)
