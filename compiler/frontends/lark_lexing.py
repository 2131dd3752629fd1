"""Where two ways of lexing give the same language, decided on the terminals' automata.

The engine has three ways of lexing (``ir.Lexing``), Lark has four lexers. Where terminals do not get in each other's
way a simpler way than Lark's gives the same language; this module decides when that is so. All tests here err on the
safe side: counters and conditions are taken as always passing, which makes a terminal's language larger, never smaller.

    basic             every terminal is tried everywhere, whatever the parser expects. The same as the contextual
                      lexer if no two terminals *compete*: match at the start of one text
    dynamic           every expected terminal is tried by itself and has one match, the first in backtracking order.
                      The same as an ordered alternation if no two terminals compete; the same as all tokenizations
                      if no terminal has a choice (no word is a prefix of another)
    dynamic_complete  every expected terminal, and of each match every shorter one. The same as all tokenizations if
                      the first match in backtracking order is the longest
    In both dynamic modes an ignored terminal has its one match only. Repeated ignoring makes the same of it if it is
    a run, such as ``/[ \\t]+/``, of characters with which nothing else begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton, literal
from grammar_engine.compiler.ir import Terminal

_MAX_STATES = 2000
"""Sets of states that are looked at before a question about one terminal is answered with "not sure"."""

_Move = tuple[int, int, int]


class TerminalView:
    """What the tests ask of one terminal, worked out when asked."""

    def __init__(self, terminal: Terminal) -> None:
        self.name = terminal.name
        self._text = terminal.automaton if isinstance(terminal.automaton, bytes) else None
        automaton = literal(self._text) if self._text is not None else terminal.automaton
        assert isinstance(automaton, ByteAutomaton)
        self._positions: list[_Move] = [(low, high, state) for low, high, state in automaton.positions.tolist()]
        offsets = automaton.offsets.tolist()
        entries = automaton.entries.tolist()
        self._entries: list[list[int]] = [
            [max(entry[0], MATCH) for entry in entries[offsets[state] : offsets[state + 1]]]
            for state in range(len(offsets) - 1)
        ]
        self.is_conditional = bool(automaton.conditions)
        self.counts = any(entry[1] != KEEP for entry in entries)
        self._accepting = [MATCH in listed for listed in self._entries]
        self.first_bytes = self._readable(0)

    def moves(self, state: int) -> list[_Move]:
        """The positions that a state can read: lowest byte, highest byte, state behind."""
        return [self._positions[index] for index in self._entries[state] if index != MATCH]

    def accepts(self, state: int) -> bool:
        """Is a word complete there?"""
        return self._accepting[state]

    def _readable(self, state: int) -> int:
        """The bytes that a state can read, as a set of bits."""
        bits = 0
        for low, high, _ in self.moves(state):
            bits |= (1 << high + 1) - (1 << low)
        return bits

    def competes_with(self, other: TerminalView) -> bool:
        """Is there a text at whose start both match?"""
        if not self.first_bytes & other.first_bytes:
            return False
        if self._text is not None and other._text is not None:
            return self._text.startswith(other._text) or other._text.startswith(self._text)
        return _meet(self, other, lambda mine, yours: self._accepting[mine] or other._accepting[yours])

    def extends(self, other: TerminalView) -> bool:
        """Is some word of ``other`` a proper prefix of one of this terminal?"""
        return _meet(self, other, lambda mine, yours: other._accepting[yours] and bool(self.moves(mine)))

    def has_choice(self) -> bool:
        """Is some word a proper prefix of another?"""
        if self._text is not None:
            return False
        return _meet(self, self, lambda short, long: self._accepting[short] and bool(self.moves(long)))

    def prefers_longest(self) -> bool:
        """Is the first match in backtracking order the longest one, on every text? (False also if not sure)

        Follows the ordered threads without ever cutting: it is, if no live thread ever stands behind a match.
        """
        if self._text is not None:
            return True
        start = tuple(self._entries[0])
        seen, todo = {start}, [start]
        while todo:
            threads = todo.pop()
            if MATCH in threads and threads[-1] != MATCH:
                return False
            for byte in self._samples(threads):
                after = self._after(threads, byte)
                if after and after not in seen:
                    if len(seen) >= _MAX_STATES:
                        return False
                    seen.add(after)
                    todo.append(after)
        return True

    def is_run_apart_from(self, others: Sequence[TerminalView]) -> bool:
        """Is it closed under concatenation, longest first, and does none of ``others`` begin with what extends it?"""
        if self.counts or not self.prefers_longest():
            return False
        extending = self.first_bytes
        for state, accepting in enumerate(self._accepting):
            if accepting:
                extending |= self._readable(state)
        if any(extending & other.first_bytes for other in others):
            return False
        return self._is_closed()

    def _is_closed(self) -> bool:
        """Is every concatenation of two words a word? Two words in a row against one, as sets of states."""
        begin = frozenset({0})
        start = (begin, frozenset[int](), begin)  # inside the first word; inside the second; as one word
        seen, todo = {start}, [start]
        while todo:
            first, second, whole = todo.pop()
            for byte in self._samples(tuple(index for state in first | second for index in self._entries[state])):
                next_first = self._reached(first, byte)
                next_second = self._reached(second, byte)
                next_whole = self._reached(whole, byte)
                if any(self._accepting[state] for state in next_second) and not any(
                    self._accepting[state] for state in next_whole
                ):
                    return False
                if any(self._accepting[state] for state in next_first):
                    next_second |= begin
                after = (next_first, next_second, next_whole)
                if (next_first or next_second) and after not in seen:
                    if len(seen) >= _MAX_STATES:
                        return False
                    seen.add(after)
                    todo.append(after)
        return True

    def _reached(self, states: frozenset[int], byte: int) -> frozenset[int]:
        return frozenset(target for state in states for low, high, target in self.moves(state) if low <= byte <= high)

    def _after(self, threads: tuple[int, ...], byte: int) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for index in threads:
            if index != MATCH:
                low, high, state = self._positions[index]
                if low <= byte <= high:
                    found.update(dict.fromkeys(self._entries[state]))
        return tuple(found)

    def _samples(self, threads: tuple[int, ...]) -> list[int]:
        """One byte for each stretch of bytes that the threads do not tell apart."""
        cuts: set[int] = set()
        for index in threads:
            if index != MATCH:
                low, high, _ = self._positions[index]
                cuts.update((low, high + 1))
        return sorted(cut for cut in cuts if cut < 256)


def _meet(first: TerminalView, second: TerminalView, found: Callable[[int, int], bool]) -> bool:
    """Do the two automata, reading the same non-empty text, reach a pair of states for which ``found`` holds?"""
    seen, todo = {(0, 0)}, [(0, 0)]
    while todo:
        mine, yours = todo.pop()
        rivals = second.moves(yours)
        for low, high, target in first.moves(mine):
            for other_low, other_high, other_target in rivals:
                pair = (target, other_target)
                if low <= other_high and other_low <= high and pair not in seen:
                    if found(*pair):
                        return True
                    seen.add(pair)
                    todo.append(pair)
    return False


def compete(views: Sequence[TerminalView]) -> bool:
    """Are there two terminals that compete?"""
    return any(view.competes_with(other) for index, view in enumerate(views) for other in views[:index])


def all_tokenizations(views: Sequence[TerminalView], ignored: Sequence[int], *, complete: bool) -> bool:
    """Do Lark's dynamic lexers find each terminal wherever it matches?

    complete: the lexer is dynamic_complete, which tries shorter matches too (not of ignored terminals).
    """
    for index, view in enumerate(views):
        if view.is_conditional:
            return False
        if not view.has_choice():
            continue
        if index in ignored:
            if not view.is_run_apart_from([*views[:index], *views[index + 1 :]]):
                return False
        elif not complete or not view.prefers_longest():
            return False
    return True
