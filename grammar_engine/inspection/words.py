"""Words of a terminal: a shortest one, and random ones that people can read."""

from __future__ import annotations

import random
from collections import deque

from grammar_engine.compiler.automaton import CONDITION, MATCH, ByteAutomaton
from grammar_engine.compiler.char_states import apply_counter
from grammar_engine.compiler.given_strings import given_json_strings
from grammar_engine.compiler.ir import JsonStrings, Terminal

Thread = tuple[int, int]
"""state and counter of an automaton"""

_MAX_SEARCHED = 20_000
_READABLE = frozenset(range(0x20, 0x7F))
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Words:
    """The words of one terminal, spelled on demand."""

    def __init__(self, terminal: Terminal) -> None:
        automaton = terminal.automaton
        if isinstance(automaton, JsonStrings):
            automaton = given_json_strings(list(automaton.texts))
        self._literal = automaton if isinstance(automaton, bytes) else None
        self._excluded = frozenset(terminal.excluded)
        self.shortest = b""
        self._moves: list[list[tuple[int, int, int, int, int]]] = []
        self._ends: list[list[tuple[int, int]]] = []
        self._far: list[int] = []
        if isinstance(automaton, ByteAutomaton):
            self._read(automaton)
            self.shortest = self._find_shortest()
        elif self._literal is not None:
            self.shortest = self._literal

    def random(self, rng: random.Random, length: int) -> bytes:
        """A word of about ``length`` bytes or less, where there is one; else a longer one."""
        if self._literal is not None:
            return self._literal
        text, thread = bytearray(), (0, 0)
        for step in range(length + len(self.shortest) + 8):
            ending = step >= length
            if text and self._may_end(thread) and rng.random() < (0.7 if ending else 0.3):
                break
            choices = self._choices(thread, ending=ending)
            if not choices:
                break
            low, high, target = rng.choice(choices)
            text.append(_pick(low, high, rng))
            thread = target
        word = bytes(text)
        return word if self._may_end(thread) and word not in self._excluded and _is_text(word) else self.shortest

    def _read(self, automaton: ByteAutomaton) -> None:
        positions = automaton.positions.tolist()
        offsets, entries = automaton.offsets.tolist(), automaton.entries.tolist()
        before: list[list[int]] = [[] for _ in range(automaton.num_states)]
        for state in range(automaton.num_states):
            moves, ends = [], []
            for index, op, bound in entries[offsets[state] : offsets[state + 1]]:
                if index == MATCH or index <= CONDITION:  # whether a condition holds is for the matcher to say
                    ends.append((op, bound))
                elif index >= 0:
                    low, high, target = positions[index]
                    moves.append((low, high, target, op, bound))
                    before[target].append(state)
            self._moves.append(moves)
            self._ends.append(ends)
        self._far = [1 << 30] * automaton.num_states
        todo = deque(state for state, ends in enumerate(self._ends) if ends)
        for state in todo:
            self._far[state] = 0
        while todo:
            state = todo.popleft()
            for earlier in before[state]:
                if self._far[earlier] == 1 << 30:
                    self._far[earlier] = self._far[state] + 1
                    todo.append(earlier)

    def _may_end(self, thread: Thread) -> bool:
        state, counter = thread
        return any(apply_counter(op, bound, counter) >= 0 for op, bound in self._ends[state])

    def _choices(self, thread: Thread, *, ending: bool) -> list[tuple[int, int, Thread]]:
        """The byte ranges that may come next: readable ones where there are any, on the way to an end if ``ending``."""
        state, counter = thread
        found: list[tuple[int, int, Thread]] = []
        for low, high, target, op, bound in self._moves[state]:
            count = apply_counter(op, bound, counter)
            if count >= 0:
                found.append((low, high, (target, count)))
        if ending and found:
            least = min(self._far[target] for _, _, (target, _) in found)
            found = [choice for choice in found if self._far[choice[2][0]] == least]
        readable = [choice for choice in found if choice[0] <= 0x7E and choice[1] >= 0x20]
        return readable or found

    def _find_shortest(self) -> bytes:
        """Breadth first over threads; among words of one length, one that reads well."""
        came: dict[Thread, tuple[Thread, int]] = {}
        todo: deque[Thread] = deque([(0, 0)])
        seen = {(0, 0)}
        while todo and len(seen) < _MAX_SEARCHED:
            thread = todo.popleft()
            if thread != (0, 0) and self._may_end(thread):
                text: list[int] = []
                while thread in came:
                    thread, value = came[thread]
                    text.append(value)
                word = bytes(reversed(text))
                if word not in self._excluded:
                    return word
                continue
            state, counter = thread
            ranked = sorted(self._moves[state], key=lambda move: -_rank(move[0], move[1]))
            for low, high, target, op, bound in ranked:
                count = apply_counter(op, bound, counter)
                if count >= 0 and (target, count) not in seen:
                    seen.add((target, count))
                    came[target, count] = (thread, _best(low, high))
                    todo.append((target, count))
        return b""


def _rank(low: int, high: int) -> int:
    """How well the best byte of a range reads."""
    best = _best(low, high)
    return 2 if best in _LETTERS else 1 if best in _READABLE else 0


def _best(low: int, high: int) -> int:
    for value in (0x61, 0x41, 0x30, 0x78, 0x31, 0x20, 0x2E):
        if low <= value <= high:
            return value
    return max(low, 0x20) if high >= 0x20 else 0x0A if low <= 0x0A <= high else low


def _pick(low: int, high: int, rng: random.Random) -> int:
    """A byte of a range, mostly a readable one, mostly a letter or digit."""
    if high >= 0x20 and low <= 0x7E:
        low, high = max(low, 0x20), min(high, 0x7E)
        for _ in range(3):
            value = rng.randint(low, high)
            if value in _LETTERS:
                return value
    return rng.randint(low, high)


def _is_text(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
