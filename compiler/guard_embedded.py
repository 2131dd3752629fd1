"""Guards of texts that are JSON in some places only: which those are is asked of the engine.

Outside of JSON only a bracket can change anything: the JSON value that it opens is told by the tops of the engine's
stacks, which then stand behind such a bracket (``LiveParses.opens``). From there on the text is read as JSON until the
bracket is closed. All live parses agree on where that is: a front end sees to it
(``frontends/structural_tag/separation.py``). A value without brackets needs no guard.
"""

from __future__ import annotations

import re

from grammar_engine.compiler.guard import Guard, GuardedText, Rows
from grammar_engine.compiler.guard_steps import Entry
from grammar_engine.compiler.json_text import START, RepetitionError, State, read

_OPENERS, _CLOSERS = re.compile(rb"[{\[]"), re.compile(rb"[}\]]")


class EmbeddedText(GuardedText):
    """One text in the making, with the engine's positions before its steps: to see later what a step was in."""

    __slots__ = ("_before",)

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard)
        self._before: list[int] = []

    def copy(self) -> EmbeddedText:
        """See ``GuardedText``."""
        other = EmbeddedText(self._guard)
        other._steps = self._steps.copy()
        other._states = self._states.copy()
        other._before = self._before.copy()
        return other

    def cut(self, num_steps: int) -> None:
        """See ``GuardedText``."""
        super().cut(num_steps)
        del self._before[num_steps:]

    def take(self, step: Entry, before: int, position: int) -> int:
        """See ``GuardedText``."""
        asked = self._guard.asked
        if asked.names or asked.distinct:
            state = self.state()
            try:
                state, position = self._read(state, step, before, position)
            except RepetitionError:
                return 0
            self._states.append(state)
        self._steps.append(step)
        self._before.append(before)
        return position

    def end(self) -> None:
        """See ``GuardedText``."""
        super().end()
        self._before.append(0)

    def state(self) -> State:
        """See ``GuardedText``."""
        states, steps = self._states, self._steps
        for index in range(len(states) - 1, len(steps)):
            states.append(self._read(states[-1], steps[index], self._before[index], None)[0])
        return states[-1]

    def filter(self, rows: Rows, index: int, position: int) -> None:
        """See ``GuardedText``."""
        guard = self._guard
        asked = guard.asked
        if not (asked.names or asked.distinct):
            return
        state, row = self.state(), rows[index]
        tried = guard.tokens.opening_any_two  # tokens in which a value opens, and has two members
        if state[0].parent is not None:
            if asked.distinct:
                guard.items.filter(row, state, position)
            if asked.names and (position not in guard.names.quiet or asked.thin):
                guard.names.filter(row, state, position)
            tried = guard.tokens.reopening_two
        for token in tried.within(row):
            try:
                _, behind = self._read(state, token, position, None)
            except RepetitionError:
                behind = 0
            if not behind:
                row[token >> 5] &= ~(row.dtype.type(1) << row.dtype.type(token & 31))

    def _read(self, state: State, step: Entry, before: int, after: int | None) -> tuple[State, int]:
        """The state behind a step, and the position there; RepetitionError if it is refused.

        after: the position behind it as long as no parse dies; None: not known.
        """
        data = self._guard.steps.data(step)
        if not (_OPENERS if state[0].parent is None else _CLOSERS).search(data):
            after = self._advance(before, data) if after is None else after
            return (state, after) if state[0].parent is None else self._inside(state, step, before, after)
        at, here = 0, before
        while at < len(data):
            stop = (_OPENERS if state[0].parent is None else _CLOSERS).search(data, at)
            end = len(data) if stop is None else stop.end()
            behind = self._advance(here, data[at:end])
            if not behind:  # only a parse that has died could go on so
                raise RepetitionError
            if state[0].parent is not None:
                state, behind = self._inside(state, data[at:end], here, behind)
            elif stop is not None and self._guard.parses.opens(behind):
                opener = data[end - 1 : end]
                if self._guard.asked.distinct and opener == b"[":
                    state, behind = self._guard.items.read(START, opener, here, behind)
                else:
                    state = read(START, opener, self._guard.tokens.whole)
            at, here = end, behind
        return state, here

    def _inside(self, state: State, step: Entry, before: int, after: int) -> tuple[State, int]:
        """The same of a step in which no bracket is closed, but perhaps at its end: all of it is JSON."""
        guard = self._guard
        asked = guard.asked
        if asked.distinct and (state[0].within or self._opens_array(step)):
            state, after = guard.items.read(state, guard.steps.data(step), before, after)
            if not guard.items.is_open(after, state):
                raise RepetitionError
            return state, after
        state = guard.steps.behind(state, step)
        if asked.thin and guard.names.may_be_dead(state) and not guard.names.has_way(after, state):
            raise RepetitionError
        return state, after

    def _advance(self, position: int, data: bytes) -> int:
        return self._guard.parses.advance(position, data) if data else position
