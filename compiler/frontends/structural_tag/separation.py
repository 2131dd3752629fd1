"""Whether a structural tag tells from the text alone where its JSON values begin.

That no object has two properties of one name is checked in the text beside the engine (``compiler.guard``), which must
know which brackets are those of JSON. It does if no other reading of the same text is alive where a JSON value begins:
then the grammar's parses agree on it, and what the guard refuses is refused by all of them.

Subset construction (Rabin and Scott, 1959) over the tag as a nondeterministic automaton with an edge per JSON value:

    a set with such an edge must read no byte with which JSON may begin; behind the edge, only what follows it is alive
"""

from __future__ import annotations

from grammar_engine.compiler.automaton import MATCH, ByteAutomaton
from grammar_engine.compiler.errors import LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.structural_tag.formats import (
    Choice,
    Dispatch,
    Format,
    Free,
    Part,
    Repeat,
    Sequence,
    Text,
)
from grammar_engine.compiler.frontends.structural_tag.free_text import FreeText, free_text_of
from grammar_engine.compiler.frontends.structural_tag.special_names import spelled_token
from grammar_engine.compiler.ir import EagerGrammar

_MAX_SETS = 200_000
Moves = list[tuple[int, int, int]]
"""Lowest byte, highest byte, state behind."""


def check_separation(tag: Format) -> bool:
    """Is there JSON that must be guarded? UnsupportedGrammarError if it may begin where the text may be read otherwise.

    (Without such JSON there is no guard, so it does not matter.)
    """
    if not _has_guarded(tag):
        return False
    net = _Net()
    net.add(tag, 0)
    start = net.closure({0})
    seen = {start}
    todo = [start]
    while todo:
        states = todo.pop()
        moves = [move for state in states for move in net.moves[state]]
        values = [edge for state in states for edge in net.values[state]]
        if values and any(low <= byte <= high for low, high, _ in moves for _, part in values for byte in part.first):
            part = next((part for _, part in values if not part.is_closed), values[0][1])
            raise UnsupportedGrammarError(
                "a JSON value that begins where the text may be read as something else too",
                place=part.pointer,
                advice="Set it apart by a begin of its own, or by another literal text before it; or close the schema "
                '("additionalProperties": false in every object, no "uniqueItems").',
            )
        followers = [{target for target, _ in values}] if values else []
        followers += _after_bytes(moves)
        for targets in followers:
            following = net.closure(targets)
            if following not in seen:
                seen.add(following)
                todo.append(following)
        if len(seen) > _MAX_SETS:
            raise LimitExceededError("the structural tag is too ambiguous", limit=f"{_MAX_SETS} sets", given="more")
    return True


def _after_bytes(moves: Moves) -> list[set[int]]:
    """The states behind each range of bytes that moves tell apart."""
    if len(moves) == 1:
        return [{moves[0][2]}]
    cuts = sorted({low for low, _, _ in moves} | {high + 1 for _, high, _ in moves})
    out: dict[frozenset[int], None] = {}
    for cut in cuts:
        targets = frozenset(target for low, high, target in moves if low <= cut <= high)
        if targets:
            out[targets] = None
    return [set(targets) for targets in out]


def _has_guarded(tag: Format) -> bool:
    if isinstance(tag, Part):
        return tag.is_json and not tag.is_closed
    if isinstance(tag, (Sequence, Choice)):
        return any(map(_has_guarded, tag.elements))
    if isinstance(tag, Repeat):
        return _has_guarded(tag.content)
    if isinstance(tag, Dispatch):
        return any(_has_guarded(way) for rule in tag.rules for way in rule.ways)
    return False


class _Net:
    """The tag as a nondeterministic automaton. State 0 is its start."""

    def __init__(self) -> None:
        self.moves: list[Moves] = [[]]
        self.values: list[list[tuple[int, Part]]] = [[]]
        self._jumps: list[list[int]] = [[]]

    def closure(self, states: set[int]) -> frozenset[int]:
        """The states with those that are reached without reading."""
        found = set(states)
        todo = list(states)
        while todo:
            for target in self._jumps[todo.pop()]:
                if target not in found:
                    found.add(target)
                    todo.append(target)
        return frozenset(found)

    def add(self, tag: Format, start: int) -> int:
        """Write a format that begins in a state; the state behind it."""
        if isinstance(tag, Sequence):
            for element in tag.elements:
                start = self.add(element, start)
            return start
        end = self._state()
        if isinstance(tag, Text):
            for text in tag.texts:
                self._chain(text, start, end)
        elif isinstance(tag, Free):
            self._jumps[start].append(end)
            self._automaton(FreeText(excludes=frozenset(tag.excludes)).texts(max_chars=tag.max_chars), start, end)
        elif isinstance(tag, Part):
            self._part(tag, start, end)
        elif isinstance(tag, Choice):
            for element in tag.elements:
                self._jumps[self.add(element, start)].append(end)
        elif isinstance(tag, Repeat):
            inside = self._state()
            self._jumps[start].append(inside)
            if tag.least == 0:
                self._jumps[start].append(end)
            behind = self.add(tag.content, inside)
            self._jumps[behind].append(end)
            if tag.most != 1:
                self._jumps[behind].append(inside)
        else:
            self._dispatch(tag, start, end)
        return end

    def _state(self) -> int:
        self.moves.append([])
        self.values.append([])
        self._jumps.append([])
        return len(self.moves) - 1

    def _part(self, tag: Part, start: int, end: int) -> None:
        grammar = tag.grammar
        if tag.is_json:
            self.values[start].append((end, tag))
        elif type(grammar) is EagerGrammar:  # a regular expression
            if grammar.accepts_empty:
                self._jumps[start].append(end)
            for terminal in grammar.terminals:
                automaton = terminal.automaton
                self._automaton(automaton if isinstance(automaton, ByteAutomaton) else None, start, end)
        else:  # any text, for all that is known
            inside = self._state()
            self.moves[inside].append((0, 255, inside))
            self._jumps[start].append(inside)
            self._jumps[inside].append(end)

    def _dispatch(self, tag: Dispatch, start: int, end: int) -> None:
        free = free_text_of(tag)
        begin = self._state()
        self._jumps[start] += [begin, end]
        self._automaton(free.texts(), begin, end)
        for rule in tag.rules:
            trigger, ready = rule.trigger, self._state()
            if trigger.token is None:
                self._automaton(free.up_to(trigger.text), begin, ready)
            else:
                before = self._state()
                self._automaton(free.ending(trigger.text) if trigger.text else free.texts(), begin, before)
                if not trigger.text:
                    self._jumps[begin].append(before)
                self._chain(spelled_token(trigger.token), before, ready)
            for way in rule.ways:
                behind = self.add(way, ready)
                self._jumps[behind] += [begin, end] if tag.loop else [end]

    def _chain(self, text: bytes, start: int, end: int) -> None:
        for byte in text:
            behind = self._state()
            self.moves[start].append((byte, byte, behind))
            start = behind
        self._jumps[start].append(end)

    def _automaton(self, automaton: ByteAutomaton | None, start: int, end: int) -> None:
        if automaton is None:
            return
        states = [self._state() for _ in range(automaton.num_states)]
        self._jumps[start].append(states[0])
        positions = automaton.positions.tolist()
        offsets, entries = automaton.offsets.tolist(), automaton.entries[:, 0].tolist()
        for state, number in enumerate(states):
            for index in entries[offsets[state] : offsets[state + 1]]:
                if index == MATCH:
                    self._jumps[number].append(end)
                elif index >= 0:
                    low, high, target = positions[index]
                    self.moves[number].append((low, high, states[target]))
