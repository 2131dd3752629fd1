"""Guards: what an automaton cannot carry is checked in the text itself, before a token is offered or taken.

"No object has two properties of one name" needs a memory of all names so far, which no finite set of parser states
holds. But it is a property of the JSON text alone, whatever rule each object came from, so it needs nothing of the
parser either:

    take(token)   refused if a name ends in it that its object has had
    filter(mask)  clears the tokens that ``take`` would refuse (``guard_names.py``; items: ``guard_items.py``)

A text is read as soon as anything in it is guarded, token by token; most tokens change nothing (``guard_steps.py``).

Never a dead end (invariant I3): where every beginning of a name or an item has infinitely many ends, some end is always
free. Where they can run out, a token is refused too behind which none is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.guard_items import ItemGuard
from grammar_engine.compiler.guard_names import NameGuard
from grammar_engine.compiler.guard_steps import Entry, Steps
from grammar_engine.compiler.guard_tokens import GuardTokens
from grammar_engine.compiler.ir import Guarding
from grammar_engine.compiler.json_text import IN_NAME, NAME_ESCAPE, START, RepetitionError, State
from grammar_engine.compiler.live_parses import LiveParses

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

Rows = npt.NDArray[np.uint32]


class Guard:
    """What guards the texts of one compiled grammar. Shared by its matchers, each with a ``GuardedText``."""

    __slots__ = ("asked", "items", "names", "parses", "steps", "tokens")

    def __init__(self, asked: Guarding, tokens: GuardTokens, engine: Engine) -> None:
        self.asked = asked
        self.tokens = tokens
        self.steps = Steps(tokens)
        self.parses = parses = LiveParses(engine, asked)
        self.names = NameGuard(asked, tokens, engine, parses)
        self.items = ItemGuard(asked, tokens, engine, parses, self.names)

    def start(self) -> GuardedText:
        """The empty text."""
        if self.asked.opens is not None:
            from grammar_engine.compiler.guard_embedded import EmbeddedText

            return EmbeddedText(self)
        return GuardedText(self)


class GuardedText:
    """One text in the making: its steps, and the states behind them as far as they have been read.

    Nothing is read before the grammar asks for a guard, so that one which never does pays nothing.
    """

    __slots__ = ("_guard", "_states", "_steps")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._steps: list[Entry] = []
        self._states: list[State] = [START]  # behind the first 0, 1, … steps; at most one more than these

    def copy(self) -> GuardedText:
        """The same text, to go its own way."""
        other = GuardedText(self._guard)
        other._steps = self._steps.copy()
        other._states = self._states.copy()
        return other

    def cut(self, num_steps: int) -> None:
        """Back to the first ``num_steps`` steps."""
        del self._steps[num_steps:]
        del self._states[num_steps + 1 :]

    def take(self, step: Entry, before: int, position: int) -> int:
        """Append a step that leads from ``before`` to ``position``: the position behind it. 0, and nothing changes, if
        it is refused.
        """
        guard = self._guard
        asked = guard.asked
        steps = self._steps
        if asked.names or asked.distinct:
            states = self._states
            state = states[-1] if len(states) > len(steps) else self.state()
            try:
                if asked.distinct and (state[0].within or self._opens_array(step)):
                    state, position = guard.items.read(state, guard.steps.data(step), before, position)
                    if not guard.items.is_open(position, state):
                        return 0
                else:
                    state = guard.steps.behind(state, step)
                    if asked.thin and guard.names.may_be_dead(state) and not guard.names.has_way(position, state):
                        return 0
            except RepetitionError:
                return 0
            states.append(state)
        steps.append(step)
        return position

    def _opens_array(self, step: Entry) -> bool:
        return bool(self._guard.tokens.has_bracket[step]) if isinstance(step, int) else b"[" in step

    def admits(self, byte: int, before: int, position: int) -> int:
        """What ``take`` would answer for a byte that leads from ``before`` to ``position``."""
        behind = self.take(bytes((byte,)), before, position)
        if behind:
            self.cut(len(self._steps) - 1)
        return behind

    def end(self) -> None:
        """Append a stop token."""
        self._steps.append(-1)

    def state(self) -> State:
        """The state behind all steps."""
        states, steps = self._states, self._steps
        for step in steps[len(states) - 1 :]:
            states.append(self._guard.steps.behind(states[-1], step))
        return states[-1]

    def key(self) -> object:
        """What the future depends on beside the engine's position; None: on nothing."""
        asked = self._guard.asked
        if not (asked.names or asked.distinct):
            return None
        frame, mode, partial, _ = state = self.state()
        if frame.within:
            return state
        if mode in (IN_NAME, NAME_ESCAPE):
            return (frame.names, partial) if frame.names else None
        if not asked.counted:
            return None
        return state

    def filter(self, rows: Rows, index: int, position: int) -> None:
        """Clear the tokens that ``take`` would refuse. ``rows[index]`` is the mask of ``position``."""
        guard = self._guard
        asked = guard.asked
        if asked.distinct:
            guard.items.filter(rows[index], self.state(), position)
        if asked.names and (position not in guard.names.quiet or asked.thin):
            states = self._states
            state = states[-1] if len(states) > len(self._steps) else self.state()
            guard.names.filter(rows[index], state, position)
