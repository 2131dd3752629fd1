"""Threads over the automata of a grammar's terminals: what ``reference`` steps byte by byte.

Threads follow ``automaton.py``: a thread stands on a position (about to read) with a counter; a position below 0 stands
for a match of some kind.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.compiler.automaton import (
    AGAIN,
    CONDITION,
    ENTER,
    EXIT,
    KEEP,
    MATCH,
    ByteAutomaton,
    deciding_states,
    literal,
    preferring,
)
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.given_strings import given_json_strings
from grammar_engine.compiler.ir import Grammar, JsonStrings, Terminal

Thread = tuple[int, int, int]
"""terminal, position, counter"""


def _count(counter: int, op: int, bound: int) -> int | None:
    """The counter after an entry's operation, or None if the entry is barred (see ``automaton.py``)."""
    if op == KEEP:
        return counter
    if op == ENTER:
        return 1
    if op == AGAIN:
        if bound < 0:
            return min(counter + 1, -bound)
        return counter + 1 if counter < bound else None
    if op == EXIT:
        return 0 if counter >= bound else None
    raise ValueError(f"unknown counter operation {op}")


class Threads:
    """The terminals of a grammar, and threads on them."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self._terminals: dict[int, Terminal] = {}
        self._automata: dict[int, ByteAutomaton] = {}
        self._deciding_positions: dict[int, set[int]] = {}

    def _terminal(self, terminal: int) -> Terminal:
        if terminal not in self._terminals:
            self._terminals[terminal] = self.grammar.terminal(terminal)
        return self._terminals[terminal]

    def _automaton(self, terminal: int) -> ByteAutomaton:
        if terminal not in self._automata:
            automaton, longer = self._terminal(terminal).automaton, self._terminal(terminal).longer
            if isinstance(automaton, JsonStrings):
                automaton = given_json_strings(list(automaton.texts))
            automaton = literal(automaton) if isinstance(automaton, bytes) else automaton
            self._automata[terminal] = preferring(longer, automaton) if longer else automaton
        return self._automata[terminal]

    def _expand(self, terminal: int, state: int, counter: int) -> list[Thread]:
        """The entries of an automaton state, in order, as threads; positions below 0 are matches of some kind."""
        automaton = self._automaton(terminal)
        threads: list[Thread] = []
        for position, op, bound in automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1]].tolist():
            count = _count(counter, op, bound)
            if count is not None:
                threads.append((terminal, position, count))
        return threads

    def _read(self, thread: Thread, byte: int) -> list[Thread]:
        terminal, position, counter = thread
        low, high, state = self._automaton(terminal).positions[position].tolist()
        return self._expand(terminal, state, counter) if low <= byte <= high else []

    def _matches(self, terminal: int, text: bytes) -> bool:
        """Does the terminal, by itself, match exactly ``text``?"""
        threads = set(self._expand(terminal, 0, 0))
        for byte in text:
            threads = {after for before in threads if before[1] >= 0 for after in self._read(before, byte)}
        return any(position == MATCH for _, position, _ in threads)

    def _is_reserved(self, terminal: int, text: bytes) -> bool:
        barred = (self._terminal(terminal).reserved, self._terminal(terminal).longer)
        return any(texts is not None and accepts(texts, text) for texts in barred)

    def _is_at(self, bounds: tuple[int, int], thread: Thread) -> bool:
        low, high, _ = self._automaton(thread[0]).positions[thread[1]].tolist()
        return (low, high) == bounds

    def _decides(self, thread: Thread) -> bool:
        """Is it a thread that decides a condition, of a match that has been met?"""
        automaton = self._automaton(thread[0])
        if thread[0] not in self._deciding_positions:
            sources = np.repeat(deciding_states(automaton), np.diff(automaton.offsets))
            self._deciding_positions[thread[0]] = set(automaton.entries[sources, 0].tolist())
        return thread[1] in self._deciding_positions[thread[0]]

    def _begin(self, terminal: int, behind: int) -> list[Thread]:
        """The threads with which a terminal begins."""
        starts = self._automaton(terminal).starts
        start = starts[behind] if starts else 0
        return self._expand(terminal, start, 0) if start >= 0 else []

    def _begins(self, terminal: int, text: bytes) -> bool:
        threads = set(self._expand(terminal, 0, 0))
        for byte in text:
            threads = {after for before in threads if before[1] >= 0 for after in self._read(before, byte)}
        return any(position >= 0 for _, position, _ in threads)

    def _deciding(self, match: Thread, *, holds: bool) -> list[Thread]:
        """The threads that match when the condition of a match holds, or when it fails."""
        terminal, position, _ = match
        when_it_holds, when_it_fails = self._automaton(terminal).conditions[CONDITION - position]
        return self._expand(terminal, when_it_holds if holds else when_it_fails, 0)
