"""Matches under a condition: what a pattern asks of the text behind its lexeme.

A look-ahead that is not decided when the pattern has matched (``-(?!-)``, ``if\\b``, ``x$``) makes the match
conditional: it holds if the rest of the text satisfies what is due. What is due is a set of states of deterministic
automata (``compiler.assertions``), so the condition is decided by one deterministic automaton that reads the rest of
the text, YES or NO, at some byte or at the end of the text. It comes twice, as threads that others can race with:

    yes   matches (DECIDED) as soon as the condition holds: from then on the match has been one
    no    matches (DECIDED) as soon as it fails

The position END reads nothing; a thread stands on it where the end of the text decides in the thread's sense.
``kernels.lexer`` says what is made of them.

Decisions fall as early as bytes allow: in a text in UTF-8 a lead byte may leave one answer only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from grammar_engine.compiler.assertions import Runner, step
from grammar_engine.compiler.automaton import CONDITION, DECIDED, END, KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import MAX_STATES, Edge, check_limit, trim
from grammar_engine.compiler.charset import ANY, NOTHING, CharSet
from grammar_engine.compiler.construct import Obligations, construct_open
from grammar_engine.compiler.last_character import Classes, tell_classes
from grammar_engine.compiler.regex_ast import Assertion, Node
from grammar_engine.compiler.spelling import to_utf8
from grammar_engine.compiler.utf8 import TrieNode, utf8_trie

_YES, _NO = -1, -2


class _Moves(NamedTuple):
    """A state that decides: disjoint labels that cover all characters, where they lead, and the answer at the end."""

    edges: tuple[tuple[CharSet, int], ...]
    at_end: int


class _Decider:
    """The deterministic automaton of all conditions of one pattern."""

    def __init__(self, runners: Sequence[Runner], conditions: Sequence[Obligations]) -> None:
        self._runners = runners
        self._number: dict[Obligations, int] = {}
        self._order: list[Obligations] = []
        starts = [self._state(due) for due in conditions]
        self._moves = [self._moves_of(due) for due in self._order]  # grows while we walk it
        yes, no = self._reaching(_YES), self._reaching(_NO)
        self._answer = [(state if state in no else _YES) if state in yes else _NO for state in range(len(self._order))]
        self.starts = [self.answer(state) for state in starts]

    def answer(self, state: int) -> int:
        """The state itself, or the one answer that it can come to."""
        return state if state < 0 else self._answer[state]

    def moves(self) -> tuple[_Moves, ...]:
        """What each state reads, answers put in."""
        return tuple(
            _Moves(tuple((label, self.answer(target)) for label, target in edges), at_end)
            for edges, at_end in self._moves
        )

    def _state(self, due: Obligations) -> int:
        if not due:
            return _YES
        number = self._number.setdefault(due, len(self._order))
        if number == len(self._order):
            check_limit(number, MAX_STATES)
            self._order.append(due)
        return number

    def _moves_of(self, due: Obligations) -> _Moves:
        pieces: list[tuple[CharSet, Obligations]] = [(ANY, frozenset())]
        for number, state in due:
            run = self._runners[number]
            pieces = [
                (cut, after if run.settled[behind] else after | {(number, behind)})
                for label, after in pieces
                for cut, behind in step(run, state, label, keep_dead=False)
            ]
        joined: dict[int, CharSet] = {}
        rest = ANY
        for label, after in pieces:
            target = self._state(after)
            joined[target] = joined.get(target, NOTHING).union(label)
            rest = rest.difference(label)
        if rest:
            joined[_NO] = rest
        accepting = all(self._runners[number].accepting[state] for number, state in due)
        return _Moves(tuple((label, target) for target, label in joined.items()), _YES if accepting else _NO)

    def _reaching(self, answer: int) -> set[int]:
        """The states that can come to an answer."""
        found = {state for state, moves in enumerate(self._moves) if moves.at_end == answer}
        while True:
            more = {
                state
                for state, moves in enumerate(self._moves)
                if state not in found and any(target == answer or target in found for _, target in moves.edges)
            }
            if not more:
                return found
            found |= more


_Alternatives = frozenset[tuple[TrieNode, int]]


class _Spelling:
    """The decider over bytes. A state is one of the decider's, or, in the middle of a character, trie nodes and where
    they lead. ``rows``: per state, (lowest byte, highest byte, state or answer); ``ends``: the answer at the end, or 0.
    """

    def __init__(self, moves: Sequence[_Moves], starts: Sequence[int]) -> None:
        self._number: dict[int | _Alternatives, int] = {}
        self._order: list[int | _Alternatives] = []
        self.starts = [state if state < 0 else self._state(state) for state in starts]
        self.rows: list[list[tuple[int, int, int]]] = []
        self.ends: list[int] = []
        for key in self._order:  # grows while we walk it
            branches: list[tuple[int, int, TrieNode | None, int]] = []
            at_end = 0
            if isinstance(key, int):
                at_end = moves[key].at_end
                for label, target in moves[key].edges:
                    branches += ((low, high, below, target) for low, high, below in utf8_trie(label))
            else:
                for here, target in key:
                    branches += ((low, high, below, target) for low, high, below in here.branches)
            self.rows.append(self._row(branches))
            self.ends.append(at_end)

    def _state(self, key: int | _Alternatives) -> int:
        number = self._number.setdefault(key, len(self._order))
        if number == len(self._order):
            check_limit(number, MAX_STATES)
            self._order.append(key)
        return number

    def _row(self, branches: list[tuple[int, int, TrieNode | None, int]]) -> list[tuple[int, int, int]]:
        cuts = sorted({cut for low, high, _, _ in branches for cut in (low, high + 1)})
        place = {cut: number for number, cut in enumerate(cuts)}
        covering: list[list[tuple[TrieNode | None, int]]] = [[] for _ in cuts]
        for low, high, below, target in branches:
            for number in range(place[low], place[high + 1]):
                covering[number].append((below, target))
        row: list[tuple[int, int, int]] = []
        for here, (first, behind) in zip(covering, pairwise(cuts), strict=False):  # (behind the last there is nothing)
            if not here:
                continue
            targets = {target for _, target in here}
            if len(targets) == 1 and min(targets) < 0:
                after = min(targets)
            elif here[0][0] is None:
                after = self._state(here[0][1])
            else:
                after = self._state(frozenset((below, target) for below, target in here if below is not None))
            if row and row[-1][1:] == (first - 1, after):
                row[-1] = (row[-1][0], behind - 1, after)
            else:
                row.append((first, behind - 1, after))
        return row


@lru_cache(maxsize=16)
def _spelled(moves: tuple[_Moves, ...], starts: tuple[int, ...]) -> _Spelling:
    """(All keywords of a grammar end at the same kind of boundary.)"""
    return _Spelling(moves, starts)


def open_automaton(
    node: Node, *, key: str = "", classes: Classes = (), past: Mapping[Assertion, int] | None = None
) -> ByteAutomaton | None:
    """The UTF-8 automaton of a pattern inside a text: its match may depend on what follows. None if nothing matches.

    ``key`` is used only where no match is conditional. ``classes``: what a match tells of its last character (see
    ``last_character``). ``past``: the states that the automata of look-behinds have reached where it begins.
    """
    states, runners, conditions = construct_open(node, counters=not classes, past=past)
    if classes:
        states = tell_classes(states, classes)
        key = ""
    decider = _Decider(runners, conditions)
    numbers: dict[int, int] = {}  # of undecided states, as conditions
    result: list[tuple[Edge, ...]] = []
    for edges in states:
        kept: list[Edge] = []
        for edge in edges:
            if edge.target > CONDITION:
                kept.append(edge)
                continue
            start = decider.starts[CONDITION - edge.target]
            if start == _YES:
                kept.append(edge._replace(target=MATCH))
            elif start >= 0:
                kept.append(edge._replace(target=CONDITION - numbers.setdefault(start, len(numbers))))
        result.append(tuple(dict.fromkeys(kept)))
    trimmed = CharAutomaton(trim(tuple(result)))
    if trimmed.is_empty():
        return None
    automaton = to_utf8(trimmed, key="" if numbers else key)
    return _with_conditions(automaton, decider, list(numbers)) if numbers else automaton


def _with_conditions(automaton: ByteAutomaton, decider: _Decider, wanted: list[int]) -> ByteAutomaton:
    """The automaton with the states that decide conditions added."""
    spelled = _spelled(decider.moves(), tuple(wanted))
    first = automaton.num_states
    count = len(spelled.rows)
    decided = first + 2 * count  # the state in which a condition has been decided as was asked
    positions = automaton.positions.tolist()
    lists: list[list[int]] = []
    for answer, base in ((_YES, first), (_NO, first + count)):
        for row, at_end in zip(spelled.rows, spelled.ends, strict=True):
            entries: list[int] = []
            for low, high, target in row:
                if target >= 0 or target == answer:
                    entries.append(len(positions))
                    positions.append((low, high, base + target if target >= 0 else decided))
            if at_end == answer:
                entries.append(len(positions))
                positions.append((*END, decided))
            lists.append(entries)
    lists.append([DECIDED])
    offsets = automaton.offsets.tolist()
    for entries in lists:
        offsets.append(offsets[-1] + len(entries))
    added = [(index, KEEP, 0) for entries in lists for index in entries]
    return replace(
        automaton,
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.array(offsets, np.int32),
        entries=np.concatenate([automaton.entries, np.array(added, np.int32).reshape(-1, 3)]),
        conditions=tuple((first + start, first + count + start) for start in spelled.starts),
    )
