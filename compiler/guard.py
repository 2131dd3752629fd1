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
from grammar_engine.compiler.json_items import following_bytes, read_items
from grammar_engine.compiler.json_text import (
    BEFORE_NAME,
    IN_NAME,
    IN_STRING,
    NAME_ESCAPE,
    OUTSIDE,
    START,
    STRING_ESCAPE,
    Frame,
    Names,
    RepetitionError,
    State,
    read,
    split,
    with_prefix,
)
from grammar_engine.compiler.json_values import shortened
from grammar_engine.compiler.live_parses import LiveParses
from grammar_engine.kernels.trie import any_set, clear_bits

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

MAX_SEARCHED = 20_000
"""Bytes that are tried to find a free name of a thin class."""

_QUOTE = 0x22
BLANKS = b" \t\r\n"
QUOTE = frozenset((_QUOTE,))
_BYTES = tuple(bytes((byte,)) for byte in range(256))
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
        self.parses = LiveParses(engine, asked.distinct)
        self.in_name: dict[int, bool] = {}
        """Positions of the engine at which a name has begun and not ended, as far as known."""
        self.twice_at: dict[int, bool] = {}
        """Does the engine's mask of a position hold a token that has one string twice?"""

    def read_items(self, state: State, data: bytes, before: int, after: int) -> tuple[State, int]:
        """See ``json_items.read_items``."""
        return read_items(state, data, before, after, self.parses, self.tokens.whole)

    def start(self) -> GuardedText:
        """The empty text."""
        return GuardedText(self)

    def may_be_dead(self, state: State) -> bool:
        """Could all names be used up that begin as what has been read of one? If not, ``has_way`` need not be asked."""
        frame, mode, partial, _ = state
        names = frame.names
        if not names or mode not in (BEFORE_NAME, IN_NAME, NAME_ESCAPE):
            return False
        return is_beginning(partial, names) if partial else len(names) >= self.asked.fewest

    def has_way(self, position: int, state: State) -> bool:
        """Is there a free name behind what has been read of one?"""
        frame, mode, partial, _ = state
        return self._has_way(position, None if mode == BEFORE_NAME else partial, frame.names or (), set())

    def has_item_way(self, position: int, state: State) -> bool:
        """Can the items at hand become ones that have not stood? Depth first, as long as they may become such."""
        engine = self._engine
        todo = [(position, state)]
        seen: set[object] = set()
        while todo:
            position, state = todo.pop()
            like = following_bytes(state)
            if not like:
                return True
            frame, mode, partial, item = state
            # (The quote that ends a name may be refused although no item ends.)
            if self.parses.has_other(position, like | QUOTE if mode == IN_NAME else like):
                return True
            key = (position, frame, mode, partial, shortened(item))
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_SEARCHED:
                raise LimitExceededError(
                    "an item that has not stood is searched for too long",
                    limit=f"{MAX_SEARCHED} beginnings",
                    given="more",
                )
            # Behind a blank nothing may stand that may not stand in its place: tried where a layout demands it.
            blank = BLANKS if mode in (OUTSIDE, BEFORE_NAME) else b""
            steps = 0
            for byte in sorted(engine.candidate_bytes(position), key=lambda b: 2 * (b in blank) + (b in like)):
                if byte in blank and steps:
                    break
                following = self.parses.step(position, byte)
                if not following:
                    continue
                steps += 1
                behind = self.step_item(state, byte, position, following)
                if behind is not None:
                    if byte not in like:
                        return True
                    todo.append(behind)
        return False

    def is_open(self, position: int, state: State) -> bool:
        """Is there a way on: a free name, an item that has not stood?"""
        if self.asked.thin and self.may_be_dead(state) and not self.has_way(position, state):
            return False
        return not (self.asked.narrow and state[0].within) or self.has_item_way(position, state)

    def step_item(self, state: State, byte: int, before: int, after: int) -> tuple[int, State] | None:
        """The position and the state behind a byte within an array of distinct items; None if it is refused."""
        try:
            state, position = self.read_items(state, _BYTES[byte], before, after)
        except RepetitionError:
            return None
        return position, state

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

    def take(self, step: Entry, before: int, position: int) -> int:
        """Append a step that leads from ``before`` to ``position``: the position behind it. 0, and nothing changes, if
        it is refused.

        No name ends in a step that is not read at once: it takes a quote within a name, or two quotes. Nor does an
        array of distinct items begin in one.
        """
        guard = self._guard
        asked = guard.asked
        if asked.distinct and (self._known[-1][1][0].within or self._opens_array(step)):
            return self._take_item(step, before, position)
        if asked.names:
            quotes = guard.tokens.has_quote[step] if isinstance(step, int) else 2
            ends_name = quotes > 1 or (quotes == 1 and (asked.thin or self.is_in_name(before)))
            if ends_name or asked.thin:
                count, state = self._known[-1]
                steps = [*self._steps[count:], step]
                try:
                    state = read(state, b"".join(map(self._bytes, steps)), guard.tokens.whole)
                except RepetitionError:
                    return 0
                if asked.thin and guard.may_be_dead(state) and not guard.has_way(position, state):
                    return 0
                self._steps.append(step)
                self._known.append((len(self._steps), state))
                guard.in_name[position] = state[1] in (IN_NAME, NAME_ESCAPE)
                return position
            if not quotes:  # a name neither begins nor ends without a quote
                inside = guard.in_name.get(before)
                if inside is not None:
                    guard.in_name[position] = inside
        self._steps.append(step)
        return position

    def _take_item(self, step: Entry, before: int, position: int) -> int:
        guard = self._guard
        try:
            state, position = guard.read_items(self.state(), self._bytes(step), before, position)
        except RepetitionError:
            return 0
        if not guard.is_open(position, state):
            return 0
        self._steps.append(step)
        self._known.append((len(self._steps), state))
        return position

    def _opens_array(self, step: Entry) -> bool:
        return bool(self._guard.tokens.has_bracket[step]) if isinstance(step, int) else b"[" in step

    def is_in_name(self, position: int) -> bool:
        """Has a name begun and not ended? ``position`` is the engine's, which tells."""
        known = self._guard.in_name.get(position)
        if known is None:
            mode = self.state()[1]
            known = self._guard.in_name[position] = mode in (IN_NAME, NAME_ESCAPE)
        return known

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

    # -- masks --------------------------------------------------------------------------------------------------------

    def filter(self, rows: Rows, index: int, position: int) -> None:
        """Clear the tokens that ``take`` would refuse. ``rows[index]`` is the mask of ``position``."""
        guard = self._guard
        if guard.asked.distinct:
            self._filter_items(rows[index], position)
        if not guard.asked.names:
            return
        if guard.asked.thin:
            self._filter_thin(rows[index], position)
            return
        tokens = guard.tokens
        in_name = guard.in_name.get(position)
        if not (self.is_in_name(position) if in_name is None else in_name):
            # What ends no name can close frames, but a frame has all the tokens of those around it.
            row = rows[index]
            held = self._known[-1][1][0].tokens
            twice = guard.twice_at.get(position)
            if twice is None:
                twice = guard.twice_at[position] = bool(any_set(row, tokens.twice_ids))
            if twice or (held and any_set(row, tokens.array_of(held))):
                state = self.state()
                self._try(row, chain(state[0].tokens, tokens.twice), state, None)
            return
        state = self.state()
        frame, _, raw, _ = state
        value, tail = split(raw)
        names = with_prefix(frame.names or (), value)
        if names:
            self._clear_closing(rows[index], names, value, tail)
        if tail:
            for other, ids in tokens.ending:
                if other.startswith(value):
                    self._try(rows[index], ids, state, None)
        elif (ending := tokens.ending_behind.get(value)) is not None and any_set(rows[index], ending):
            self._try(rows[index], ending.tolist(), state, None)
        if frame.tokens and any_set(rows[index], tokens.array_of(frame.tokens)):
            self._try(rows[index], frame.tokens, state, None)

    def _filter_items(self, row: Row, position: int) -> None:
        """Clear the tokens in which an item ends that has stood, and those behind which none is left."""
        guard = self._guard
        tokens = guard.tokens
        state = self.state()
        frame, mode, _, item = state
        narrow = guard.asked.narrow
        if not frame.within:
            self._try_items(row, set_of(row, tokens.listing if narrow else tokens.several_bits), state, position)
            return
        if not narrow:  # strings, and behind any beginning some are left
            items = frame.items
            tried = tokens.several_bits
            if mode in (IN_STRING, STRING_ESCAPE) and items is not None:
                if items.sure:
                    value, tail = split(item[items.begin :].lstrip(BLANKS)[1:])
                    self._clear_closing(row, with_prefix(items.strings, value), value, tail)
                else:
                    tried = tokens.quoting
            self._try_items(row, set_of(row, tried), state, position)
            return
        self._walk(row, position, state)
        for bits in (tokens.opening, tokens.several_bits) if mode >= IN_NAME else (tokens.listing, tokens.dividing):
            self._try_items(row, set_of(row, bits), state, position)

    def _walk(self, row: Row, position: int, state: State) -> None:
        """Down the trie of tokens, as far as items at hand may become ones that have stood.

        Where a way on is open behind a node it is before it too, so what is farthest down is looked at first.
        """
        guard = self._guard
        nodes = [(0, position, state, -1)]  # node of the trie, position, state, which of the nodes it is below
        for above, (node, here, read_so_far, _) in enumerate(nodes):  # grows meanwhile
            in_word = read_so_far[3][-1:].isalnum()  # a blank ends it
            for byte in following_bytes(read_so_far):
                child = guard.tokens.child(node, byte)
                if child < 0 or (byte in BLANKS and not in_word and guard.tokens.is_blank(child)):
                    continue
                following = guard.parses.step(here, byte)
                if not following:
                    continue
                behind = guard.step_item(read_so_far, byte, here, following)
                if behind is None:
                    self._clear_below(row, child)
                else:
                    nodes.append((child, *behind, above))
        is_open = bytearray(len(nodes))
        for index in range(len(nodes) - 1, 0, -1):
            node, here, read_so_far, above = nodes[index]
            if is_open[index] or guard.is_open(here, read_so_far):
                is_open[above] = 1
            else:
                self._clear_below(row, node)

    def _clear_below(self, row: Row, node: int) -> None:
        """Clear the tokens at and below a node."""
        trie = self._guard.tokens.trie
        for token in trie.token_ids[int(trie.first[node]) : self._guard.tokens.last(node)].tolist():
            row[token >> 5] &= ~np.uint32(1 << (token & 31))

    def _try_items(self, row: Row, tokens: Iterable[int], state: State, position: int) -> None:
        """Clear those of the tokens, all in the mask, that are refused."""
        guard = self._guard
        for token in tokens:
            data = guard.tokens.tokens[token] or b""
            try:
                behind, reached = guard.read_items(state, data, position, guard.parses.advance(position, data))
            except RepetitionError:
                reached = 0
            if not reached or not guard.is_open(reached, behind):
                row[token >> 5] &= ~np.uint32(1 << (token & 31))

    def _clear_closing(self, row: Row, names: Names, value: bytes, tail: bytes) -> None:
        """Clear the tokens that end one of the names, which all begin with ``value``."""
        tokens = self._guard.tokens
        for name in names:
            if tail and len(name) == len(value):
                continue
            ids = tokens.closing(name[len(value) :], tail)
            if ids is not None:
                clear_bits(row, ids)

    def _filter_thin(self, row: Row, position: int) -> None:
        tokens = self._guard.tokens
        state = self.state()
        frame, mode, raw, _ = state
        tried = [*frame.tokens, *set_of(row, tokens.several_bits)]
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
            except RepetitionError:
                row[word] &= ~bit
                continue
            if (
                position is not None
                and guard.may_be_dead(behind)
                and not guard.has_way(guard.parses.advance(position, data), behind)
            ):
                row[word] &= ~bit
