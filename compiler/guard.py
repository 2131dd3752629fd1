"""Guards: what an automaton cannot carry is checked in the text itself, before a token is offered or taken.

"No object has two properties of one name" needs a memory of all names so far, which no finite set of parser states
holds. But it is a property of the JSON text alone, whatever rule each object came from, so it needs nothing of the
parser either:

    take(token)   refused if a name ends in it that its object has had
    filter(mask)  clears the tokens that ``take`` would refuse: those that begin with the rest of a name that has stood
                  and a quote (``GuardTokens.closing``), and the few that hold such a name between two quotes

Both look only where something can be wrong: a token without a quote ends no name, so it is only noted down, and the
text is read when the next quote comes.

Never a dead end (invariant I3): where every beginning of a name has infinitely many ends, some end is always free.
Names of a *thin* class (``^[a-z]{2}$``) can run out, all of them or those behind a beginning; then a token is also
refused if no free name can be reached behind it, which is found out on the engine's positions, byte by byte, as long
as what is read may still become a name that has stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.guard_tokens import GuardTokens, set_of, spellings
from grammar_engine.compiler.ir import Guarding
from grammar_engine.compiler.json_text import (
    BEFORE_NAME,
    IN_NAME,
    NAME_ESCAPE,
    OUTSIDE,
    START,
    Frame,
    Names,
    RepeatedNameError,
    State,
    read,
    split,
    with_prefix,
)

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

MAX_SEARCHED = 20_000
"""Bytes that are tried to find a free name of a thin class."""

_QUOTE = 0x22
MANY_NAMES = 24
"""Names from which on it is quicker to look at what tokens hold before a quote."""
Row = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.uint32]
Entry = int | bytes
"""One step of a text: a token id, −1 for a stop token, or bytes."""


class Guard:
    """What guards the texts of one compiled grammar. Shared by its matchers, each with a ``GuardedText``."""

    def __init__(self, asked: Guarding, tokens: GuardTokens, engine: Engine) -> None:
        self.asked = asked
        self.tokens = tokens
        self._engine = engine
        self.in_name: dict[int, bool] = {}
        """Positions of the engine at which a name has begun and not ended, as far as known."""

    def start(self) -> GuardedText:
        """The empty text."""
        return GuardedText(self)

    def advance(self, position: int, data: bytes) -> int:
        """The engine's position after bytes, or 0."""
        values = np.frombuffer(data, np.uint8).astype(np.int32)
        return self._engine.advance(position, values, 0, len(values))

    def may_be_dead(self, state: State) -> bool:
        """Could all names be used up that begin as what has been read of one? If not, ``has_way`` need not be asked."""
        frame, mode, partial = state
        names = frame.names
        if not names or mode not in (BEFORE_NAME, IN_NAME, NAME_ESCAPE):
            return False
        return is_beginning(partial, names) if partial else len(names) >= self.asked.fewest

    def has_way(self, position: int, state: State) -> bool:
        """Is there a free name behind what has been read of one?"""
        frame, mode, partial = state
        return self._has_way(position, None if mode == BEFORE_NAME else partial, frame.names or (), set())

    def _has_way(self, position: int, raw: bytes | None, names: Names, seen: set[object]) -> bool:
        """raw: the beginning of the name's spelling; None: before its quote."""
        engine = self._engine
        value, tail = (b"", b"") if raw is None else split(raw)
        key = (position, raw is None, value, tail)
        if key in seen:
            return False
        seen.add(key)
        if len(seen) > MAX_SEARCHED:
            raise LimitExceededError(
                "a free property name is searched for too long", limit=f"{MAX_SEARCHED} beginnings", given="more"
            )
        may_be = with_prefix(names, value)
        later: list[tuple[int, bytes | None]] = []
        for byte in engine.candidate_bytes(position):
            ends = raw is not None and not tail and byte == _QUOTE
            if ends and may_be and may_be[0] == value:
                continue
            following = engine.step_byte(position, byte)
            if not following:
                continue
            if ends:
                return True
            longer = (b"" if byte == _QUOTE else None) if raw is None else raw + bytes((byte,))
            if longer is not None and not is_beginning(longer, names):
                return True
            later.append((following, longer))
        return any(self._has_way(following, longer, names, seen) for following, longer in later)


def _outwards(frame: Frame | None) -> Iterator[Frame]:
    while frame is not None:
        yield frame
        frame = frame.parent


def is_beginning(raw: bytes, names: Names) -> bool:
    """May a string's spelling that begins so be that of one of the names?"""
    value, tail = split(raw)
    found = with_prefix(names, value)
    if not tail:
        return bool(found)
    return any(
        any(way.startswith(tail) for way in spellings(name[len(value) :].decode()[0]))
        for name in found
        if len(name) > len(value)
    )


class GuardedText:
    """One text in the making: its steps, and the states that are known behind some of them."""

    __slots__ = ("_guard", "_known", "_steps")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._steps: list[Entry] = []
        self._known: list[tuple[int, State]] = [(0, START)]  # (number of steps, state behind them)

    def copy(self) -> GuardedText:
        """The same text, to go its own way."""
        other = GuardedText(self._guard)
        other._steps = self._steps.copy()
        other._known = self._known.copy()
        return other

    def cut(self, num_steps: int) -> None:
        """Back to the first ``num_steps`` steps."""
        del self._steps[num_steps:]
        while self._known[-1][0] > num_steps:
            self._known.pop()

    def take(self, step: Entry, before: int, position: int) -> bool:
        """Append a step that led from ``before`` to ``position``. False, and nothing changes, if it is refused.

        No name ends in a step that is not read at once: it takes a quote within a name, or two quotes.
        """
        guard = self._guard
        asked = guard.asked
        if asked.names:
            quotes = guard.tokens.has_quote[step] if isinstance(step, int) else 2
            if quotes and quotes < 2 and not asked.thin:
                quotes = self.is_in_name(before)
            if quotes or asked.thin:
                count, state = self._known[-1]
                steps = [*self._steps[count:], step]
                try:
                    state = read(state, b"".join(map(self._bytes, steps)), guard.tokens.whole)
                except RepeatedNameError:
                    return False
                if asked.thin and guard.may_be_dead(state) and not guard.has_way(position, state):
                    return False
                self._steps.append(step)
                self._known.append((len(self._steps), state))
                return True
        self._steps.append(step)
        return True

    def is_in_name(self, position: int) -> bool:
        """Has a name begun and not ended? ``position`` is the engine's, which tells."""
        known = self._guard.in_name.get(position)
        if known is None:
            mode = self.state()[1]
            known = self._guard.in_name[position] = mode in (IN_NAME, NAME_ESCAPE)
        return known

    def admits(self, byte: int, before: int, position: int) -> bool:
        """Would ``take`` append a byte that led from ``before`` to ``position``?"""
        if not self.take(bytes((byte,)), before, position):
            return False
        self.cut(len(self._steps) - 1)
        return True

    def end(self) -> None:
        """Append a stop token."""
        self._steps.append(-1)

    def state(self) -> State:
        """The state behind all steps."""
        count, state = self._known[-1]
        steps = self._steps
        if count < len(steps):
            state = read(state, b"".join(map(self._bytes, steps[count:])), self._guard.tokens.whole)
            self._known.append((len(steps), state))
        return state

    def _bytes(self, step: Entry) -> bytes:
        if isinstance(step, bytes):
            return step
        return (self._guard.tokens.tokens[step] or b"") if step >= 0 else b""

    def key(self) -> object:
        """What the future depends on beside the engine's position; None: on nothing."""
        if not self._guard.asked.names:
            return None
        frame, mode, partial = state = self.state()
        if mode in (IN_NAME, NAME_ESCAPE):
            return (frame.names, partial) if frame.names else None
        if not self._guard.asked.counted:
            return None
        return state

    # -- masks --------------------------------------------------------------------------------------------------------

    def filter(self, rows: Rows, index: int, position: int) -> None:
        """Clear the tokens that ``take`` would refuse. ``rows[index]`` is the mask of ``position``."""
        guard = self._guard
        if not guard.asked.names:
            return
        if guard.asked.thin:
            self._filter_thin(rows[index], position)
            return
        tokens = guard.tokens
        in_name = guard.in_name.get(position)
        if not (self.is_in_name(position) if in_name is None else in_name):
            # What ends no name can close frames, but a frame has all the tokens of those around it.
            if self._known[-1][1][0].tokens or tokens.twice:
                state = self.state()
                self._try(rows[index], chain(state[0].tokens, tokens.twice), state, None)
            return
        state = self.state()
        frame, _, raw = state
        value, tail = split(raw)
        names = with_prefix(frame.names or (), value)
        if names:
            self._clear_closing(rows[index], names, value, tail)
        for other, ids in tokens.ending:
            if other.startswith(value):
                self._try(rows[index], ids, state, None)
        if frame.tokens:
            self._try(rows[index], frame.tokens, state, None)

    def _clear_closing(self, row: Row, names: Names, value: bytes, tail: bytes) -> None:
        """Clear the tokens that end one of the names, which all begin with ``value``."""
        tokens = self._guard.tokens
        if len(names) > MANY_NAMES and not tail:
            names = tuple(tokens.heads(names, value))
        for name in names:
            if tail and len(name) == len(value):
                continue
            clearing = tokens.closing(name[len(value) :], tail)
            if clearing is not None:
                words, left = clearing
                row[words] &= left

    def _filter_thin(self, row: Row, position: int) -> None:
        tokens = self._guard.tokens
        state = self.state()
        frame, mode, raw = state
        tried = [*frame.tokens, *tokens.several]
        if mode in (IN_NAME, NAME_ESCAPE):
            value, tail = split(raw)
            names = with_prefix(frame.names or (), value)
            self._clear_closing(row, names, value, tail)
            for name in names:
                if not tail or len(name) > len(value):
                    tried += tokens.beginnings(name[len(value) :], tail)
        elif mode in (OUTSIDE, BEFORE_NAME) and any(inner.names for inner in _outwards(frame)):
            tried += set_of(row, tokens.opening)
        if any(len(inner.names or ()) >= self._guard.asked.fewest for inner in _outwards(frame)):
            tried += set_of(row, tokens.quoting)
            tried += set_of(row, tokens.dividing)
        self._try(row, dict.fromkeys(tried), state, position)

    def _try(self, row: Row, tokens: Iterable[int], state: State, position: int | None) -> None:
        """Clear those of the tokens that are refused; position: where a free name must be reached too."""
        guard = self._guard
        whole = guard.tokens.whole
        for token in tokens:
            word = token >> 5
            if not int(row[word]) >> (token & 31) & 1:
                continue
            bit = np.uint32(1 << (token & 31))
            data = guard.tokens.tokens[token] or b""
            try:
                behind = read(state, data, whole)
            except RepeatedNameError:
                row[word] &= ~bit
                continue
            if (
                position is not None
                and guard.may_be_dead(behind)
                and not guard.has_way(guard.advance(position, data), behind)
            ):
                row[word] &= ~bit
