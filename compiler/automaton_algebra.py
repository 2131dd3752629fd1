"""Determinization, boolean operations and minimization of automata over characters.

All boolean operations are one construction, the product of ``automaton_product.py``: which mix of verdicts counts as
a match is the operation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping

from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.automaton_product import Formula, Key, Product, expand
from grammar_engine.compiler.char_states import (
    ACCEPT,
    EMPTY_LANGUAGE,
    MAX_STATES,
    Edge,
    States,
    check_limit,
    trim,
)
from grammar_engine.compiler.charset import CharSet, partition


def combine(operands: Mapping[Hashable, States], formula: Formula, *, limit: int = MAX_STATES) -> States:
    """The deterministic automaton of the texts that satisfy a formula over the operands.

    LimitExceededError beyond ``limit`` states.
    """
    walk = Product(operands, formula)
    start = walk.start()
    if start is None:
        return EMPTY_LANGUAGE
    number = {start: 0}
    order = [start]
    result: list[tuple[Edge, ...]] = []
    for key in order:
        accepting, joined = walk.step(key)
        edges = [ACCEPT] if accepting else []
        for target, atoms in joined.items():
            if target not in number:
                check_limit(len(order), limit)
                number[target] = len(order)
                order.append(target)
            edges.append(Edge(atoms[0].union(*atoms[1:]) if len(atoms) > 1 else atoms[0], number[target]))
        result.append(tuple(edges))
    return trim(tuple(result))


def is_possible(
    operands: Mapping[Hashable, States], formula: Formula, *, longest: int | None = None, limit: int = MAX_STATES
) -> bool:
    """Whether any text (of at most ``longest`` characters) satisfies a formula over the operands.

    The automaton is not built: the search ends at the first such text. Depth first, or breadth first if the length
    is bounded. LimitExceededError beyond ``limit`` states without an answer.
    """
    walk = Product(operands, formula)
    start = walk.start()
    layer = [] if start is None else [start]
    seen = set(layer)
    length = 0
    while layer and (longest is None or length <= longest):
        following: list[Key] = []
        while layer:
            accepting, joined = walk.step(layer.pop())
            if accepting:
                return True
            for target in joined:
                if target not in seen:
                    check_limit(len(seen), limit)
                    seen.add(target)
                    (layer if longest is None else following).append(target)
        layer = following
        length += 1
    return False


def shortest(states: States) -> str | None:
    """A shortest text of the language, the smallest characters preferred; None if there is none."""
    start = (0, 0)
    came: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {start: None}
    todo = deque([start])
    while todo:
        here = todo.popleft()
        accepting, moves = expand(states, frozenset([here]))
        if accepting:
            text: list[str] = []
            step = came[here]
            while step is not None:
                text.append(chr(step[1]))
                step = came[step[0]]
            return "".join(reversed(text))
        for label, thread in moves:
            if thread not in came and label:
                check_limit(len(came))
                came[thread] = (here, label.first())
                todo.append(thread)
    return None


def minimize(states: States) -> States:
    """The smallest deterministic automaton of a deterministic, trimmed one.

    Valmari's algorithm for partial transition functions (Fast brief practical DFA minimization, IPL 2012), with the
    atoms of the whole automaton's alphabet as its letters: O(m log n) for m transitions.
    """
    if states == EMPTY_LANGUAGE:
        return states
    labels = tuple({edge.label: None for edges in states for edge in edges if edge.target != MATCH})
    letters: dict[CharSet, list[int]] = {label: [] for label in labels}
    atoms = partition(labels) if labels else ()
    for letter, (_, members) in enumerate(atoms):
        for member in members:
            letters[labels[member]].append(letter)
    tails: list[int] = []
    heads: list[int] = []
    marks: list[int] = []
    accepting: list[int] = []
    for state, edges in enumerate(states):
        for edge in edges:
            if edge.target == MATCH:
                accepting.append(state)
            else:
                for letter in letters[edge.label]:
                    tails.append(state)
                    heads.append(edge.target)
                    marks.append(letter)
    blocks = _Partition(len(states))
    for state in accepting:
        blocks.mark(state)
    blocks.split()
    cords = _Partition(len(tails))
    if tails:
        cords.sort_by(marks)
    incoming: list[list[int]] = [[] for _ in states]
    for transition, head in enumerate(heads):
        incoming[head].append(transition)
    block, cord = 1, 0
    while cord < cords.count:
        for transition in cords.members(cord):
            blocks.mark(tails[transition])
        blocks.split()
        cord += 1
        while block < blocks.count:
            for state in blocks.members(block):
                for transition in incoming[state]:
                    cords.mark(transition)
            cords.split()
            block += 1
    return _quotient(states, [blocks.block_of[state] for state in range(len(states))])


def _quotient(states: States, block_of: list[int]) -> States:
    number = {block_of[0]: 0}
    for block in block_of:
        number.setdefault(block, len(number))
    result: list[tuple[Edge, ...] | None] = [None] * len(number)
    for state, edges in enumerate(states):
        block = number[block_of[state]]
        if result[block] is not None:
            continue
        joined: dict[int, list[CharSet]] = {}
        kept: list[Edge] = []
        for edge in edges:
            if edge.target == MATCH:
                kept.append(ACCEPT)
            else:
                joined.setdefault(number[block_of[edge.target]], []).append(edge.label)
        kept.extend(Edge(labels[0].union(*labels[1:]), target) for target, labels in joined.items())
        result[block] = tuple(kept)
    return trim(tuple(edges or () for edges in result))


class _Partition:
    """A refinable partition of 0..size-1; marking members and splitting is linear in the members marked."""

    def __init__(self, size: int) -> None:
        self.count = 1 if size else 0
        self._elements = list(range(size))
        self._place = list(range(size))
        self.block_of = [0] * size
        self._first = [0]
        self._past = [size]
        self._marked = [0]
        self._touched: list[int] = []

    def members(self, block: int) -> list[int]:
        return self._elements[self._first[block] : self._past[block]]

    def sort_by(self, keys: list[int]) -> None:
        """Start from one block per key."""
        self._elements.sort(key=keys.__getitem__)
        self._first, self._past, self._marked = [], [], []
        previous = -1
        for place, element in enumerate(self._elements):
            if keys[element] != previous:
                if self._first:
                    self._past.append(place)
                self._first.append(place)
                self._marked.append(0)
                previous = keys[element]
            self._place[element] = place
            self.block_of[element] = len(self._first) - 1
        self._past.append(len(self._elements))
        self.count = len(self._first)

    def mark(self, element: int) -> None:
        block = self.block_of[element]
        here = self._place[element]
        there = self._first[block] + self._marked[block]
        if here < there:
            return
        other = self._elements[there]
        self._elements[here], self._elements[there] = other, element
        self._place[other], self._place[element] = here, there
        if not self._marked[block]:
            self._touched.append(block)
        self._marked[block] += 1

    def split(self) -> None:
        """Cut every touched block in its marked and unmarked part; the smaller part gets a new number."""
        for block in self._touched:
            middle = self._first[block] + self._marked[block]
            if middle < self._past[block]:
                if self._marked[block] <= self._past[block] - middle:
                    first, past = self._first[block], middle
                    self._first[block] = middle
                else:
                    first, past = middle, self._past[block]
                    self._past[block] = middle
                self._first.append(first)
                self._past.append(past)
                self._marked.append(0)
                for place in range(first, past):
                    self.block_of[self._elements[place]] = self.count
                self.count += 1
            self._marked[block] = 0
        self._touched.clear()
