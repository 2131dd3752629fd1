"""From a program to an ε-free ordered automaton: the silent part of the program is walked once per state.

    state = (where in the program, obligations on the rest of the text, what the text so far says)
    expand(state):
        walk the silent instructions depth first, preferred way first, each (place, operation, obligations) once
        READ  gives an edge, its label cut by the automata of the obligations and of the text so far
        STOP  gives a MATCH, if every obligation allows the text to end here

For a pattern without assertions the last two parts of a state are empty and the result has one state per READ
(the position automaton of Glushkov 1961).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from grammar_engine.compiler.assertions import DEAD, Runner, look_behinds, runner, step
from grammar_engine.compiler.automaton import CONDITION, ENTER, EXIT, KEEP, MATCH
from grammar_engine.compiler.char_program import COUNT, LOOK, READ, SPLIT, Program, ProgramBuilder
from grammar_engine.compiler.char_states import ACCEPT, MAX_STATES, Edge, States, check_limit, trim
from grammar_engine.compiler.charset import NOTHING, CharSet
from grammar_engine.compiler.regex_ast import Assertion, Chars, Concat, Node, has_assertion

Obligations = frozenset[tuple[int, int]]
Key = tuple[int, Obligations, tuple[int, ...]]
_NONE: Obligations = frozenset()
_IRRELEVANT = -2
_EDGES_PER_STATE = 4


def construct(
    node: Node, *, counters: bool = True, past: Mapping[Assertion, int] | None = None, limit: int = MAX_STATES
) -> States:
    """The trimmed automaton of the texts that a tree matches as a whole; ordered, leftmost-first.

    ``counters``: long loops may count instead of being unrolled. ``past``: for a tree that starts inside a text, the
    states of its look-behinds' automata there. LimitExceededError beyond ``limit`` states, or a few edges for each.
    """
    chain = _chain(node, limit)
    if chain is not None:
        return chain
    past = past or {}
    try:
        return _Construction(ProgramBuilder(counters=counters).build(node), past, limit).run()
    except _OperationsMeetError:
        return _Construction(ProgramBuilder(counters=counters, peel=True).build(node), past, limit).run()


def construct_open(
    node: Node, *, counters: bool = True, past: Mapping[Assertion, int] | None = None, limit: int = MAX_STATES
) -> tuple[States, list[Runner], list[Obligations]]:
    """The automaton of a pattern that matches inside a text, whose end is not the text's; ``past`` as above.

    Where look-aheads are not decided when the pattern has matched, an edge to ``CONDITION - c`` says so, and what is
    due there is number c of the obligations, in terms of the runners.
    """
    chain = _chain(node, limit)
    if chain is not None:
        return chain, [], []
    past = past or {}
    counters = counters and not has_assertion(node)
    try:
        found = _Construction(ProgramBuilder(counters=counters).build(node), past, limit, is_open=True)
        states = found.run()
    except _OperationsMeetError:
        found = _Construction(ProgramBuilder(counters=counters, peel=True).build(node), past, limit, is_open=True)
        states = found.run()
    return states, found.ahead, list(found.due)


def _chain(node: Node, limit: int) -> States | None:
    """The automaton of a sequence of characters, as most keywords are; None for any other tree."""
    nodes = node.nodes if isinstance(node, Concat) else (node,)
    labels = [part.charset for part in nodes if isinstance(part, Chars) and part.charset]
    if len(labels) < len(nodes) or len(nodes) >= limit:
        return None
    return (*((Edge(label, target),) for target, label in enumerate(labels, 1)), (ACCEPT,))


class _OperationsMeetError(Exception):
    """Two counter operations would have to share an edge."""


class _Way(NamedTuple):
    """A silent path's end: the READ or STOP reached, and what was met on the way."""

    place: int
    op: int
    bound: int
    obligations: Obligations


class _Construction:
    def __init__(self, program: Program, past: Mapping[Assertion, int], limit: int, *, is_open: bool = False) -> None:
        self._is_open = is_open
        self.due: dict[Obligations, int] = {}
        self._limit = limit
        self._code = program.code
        self._start = program.start
        self._looks = program.looks
        # Obligations name look-aheads by their number here; a look-ahead with look-behinds inside has several.
        self.ahead: list[Runner] = []
        self._ahead_number: dict[tuple[int, tuple[int, ...]], int] = {}
        inside = [[look] if not look.ahead else look_behinds(look.node) for look in program.looks]
        behind = list(dict.fromkeys(look for looks in inside for look in looks))
        self._behind = [runner(look) for look in behind]
        #: Per assertion the look-behinds that it asks, as indices of ``self._behind``.
        self._asks = [tuple(map(behind.index, looks)) for looks in inside]
        self._past = tuple(past.get(look, 0) for look in behind)
        self._relevant = self._reachable_look_behinds() if behind else []
        self._number: dict[Key, int] = {}
        self._order: list[Key] = []

    def run(self) -> States:
        self._state(self._start, _NONE, self._past)
        result: list[tuple[Edge, ...]] = []
        size = 0
        for place, obligations, past in self._order:
            edges: list[Edge] = []
            for way in self._ways(place, obligations, past):
                self._leave(way, past, edges)
            size += len(edges)
            check_limit(size // _EDGES_PER_STATE, self._limit)
            result.append(tuple(edges))
        return trim(tuple(result))

    def _state(self, place: int, obligations: Obligations, past: tuple[int, ...]) -> int:
        if past:
            relevant = self._relevant[place]
            past = tuple(state if relevant >> index & 1 else _IRRELEVANT for index, state in enumerate(past))
        key = (place, obligations, past)
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self._order)
            check_limit(number, self._limit)
            self._order.append(key)
        return number

    def _ways(self, place: int, obligations: Obligations, past: tuple[int, ...]) -> list[_Way]:
        """All silent ways from a place, preferred first."""
        found: list[_Way] = []
        seen: set[_Way] = set()
        todo = [_Way(place, KEEP, 0, obligations)]
        while todo:
            way = todo.pop()
            instruction = self._code[way.place]
            if way in seen:
                if instruction.leave >= 0:  # a round of a loop came back without reading
                    way = way._replace(place=instruction.leave)
                    if way not in seen:
                        todo.append(way)
                continue
            seen.add(way)
            if instruction.kind == SPLIT:
                todo.extend(way._replace(place=target) for target in reversed(instruction.next))
            elif instruction.kind == LOOK:
                after = self._assert(way, instruction.look, past)
                if after is not None:
                    todo.append(after._replace(place=instruction.next[0]))
            elif instruction.kind == COUNT:
                todo.append(_counted(way, instruction.next[0], instruction.op, instruction.bound))
            else:
                found.append(way)
        return found

    def _assert(self, way: _Way, look: int, past: tuple[int, ...]) -> _Way | None:
        assertion = self._looks[look]
        asked = tuple(past[index] for index in self._asks[look])
        if not assertion.ahead:
            run = self._behind[self._asks[look][0]]
            holds = asked[0] != DEAD and run.accepting[asked[0]]
            return way if holds != assertion.negative else None
        number = self._ahead_number.get((look, asked))
        if number is None:
            number = self._ahead_number[look, asked] = len(self.ahead)
            self.ahead.append(runner(assertion, asked))
        run = self.ahead[number]
        if run.dead_at_start:
            return None
        return way if run.settled[0] else way._replace(obligations=way.obligations | {(number, 0)})

    def _leave(self, way: _Way, past: tuple[int, ...], edges: list[Edge]) -> None:
        instruction = self._code[way.place]
        if instruction.kind != READ:
            if self._is_open and way.obligations:
                number = self.due.setdefault(way.obligations, len(self.due))
                edges.append(Edge(NOTHING, CONDITION - number, way.op, way.bound))
            elif all(self.ahead[number].accepting[state] for number, state in way.obligations):
                edges.append(Edge(NOTHING, MATCH, way.op, way.bound))
            return
        target = instruction.next[0]
        if not way.obligations and not past:
            edges.append(Edge(instruction.charset, self._state(target, _NONE, ()), way.op, way.bound))
            return
        pieces: list[tuple[CharSet, frozenset[tuple[int, int]], tuple[int, ...]]] = [(instruction.charset, _NONE, ())]
        for number, state in way.obligations:
            run = self.ahead[number]
            pieces = [
                (cut, due if run.settled[behind] else due | {(number, behind)}, ())
                for label, due, _ in pieces
                for cut, behind in step(run, state, label, keep_dead=False)
            ]
        for run, state in zip(self._behind, past, strict=True):
            pieces = [
                (cut, due, (*now, behind))
                for label, due, now in pieces
                for cut, behind in (
                    [(label, _IRRELEVANT)] if state == _IRRELEVANT else step(run, state, label, keep_dead=True)
                )
            ]
        joined: dict[int, list[CharSet]] = {}
        for label, due, now in pieces:
            if label:
                joined.setdefault(self._state(target, due, now), []).append(label)
        for behind, labels in joined.items():
            edges.append(Edge(labels[0].union(*labels[1:]), behind, way.op, way.bound))

    def _reachable_look_behinds(self) -> list[int]:
        """Per instruction, a bit set of the look-behinds that can still be asked from there."""
        bits = [sum(1 << index for index in self._asks[item.look]) if item.kind == LOOK else 0 for item in self._code]
        users: list[list[int]] = [[] for _ in self._code]
        for index, item in enumerate(self._code):
            for target in item.next:
                users[target].append(index)
        todo = [index for index, value in enumerate(bits) if value]
        while todo:
            index = todo.pop()
            for user in users[index]:
                if bits[index] & ~bits[user]:
                    bits[user] |= bits[index]
                    todo.append(user)
        return bits


def _counted(way: _Way, target: int, op: int, bound: int) -> _Way:
    if way.op == KEEP:
        return _Way(target, op, bound, way.obligations)
    if way.op == EXIT and op == ENTER and way.bound <= 1:
        return _Way(target, op, bound, way.obligations)
    raise _OperationsMeetError
