"""Arrays of distinct items: the tokens in which an item ends that has stood, or behind which none is left.

An item that may still become one that has stood does so along few bytes (``Items.following``): the trie of tokens is
walked along them, and what ends such an item, or leaves no way on, is cleared with all that is below. Every other token
lets the items at hand be; it can be wrong only about an item that begins in it, behind a comma, and such tokens are
few. Outside of all such arrays it must open one besides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.guard_names import NameGuard
from grammar_engine.compiler.guard_tokens import BLANKS, GuardTokens, Row
from grammar_engine.compiler.ir import Guarding
from grammar_engine.compiler.json_items import following_bytes, read_items
from grammar_engine.compiler.json_text import (
    BEFORE_NAME,
    IN_NAME,
    IN_STRING,
    OUTSIDE,
    STRING_ESCAPE,
    RepetitionError,
    State,
    split,
    with_prefix,
)
from grammar_engine.compiler.json_values import shortened
from grammar_engine.compiler.live_parses import LiveParses
from grammar_engine.kernels.trie import clear_bits

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

MAX_SEARCHED = 20_000
"""Beginnings of items that are tried to find one that has not stood."""

_QUOTE = frozenset(b'"')
_BYTES = tuple(bytes((byte,)) for byte in range(256))


class ItemGuard:
    """The distinct items of one compiled grammar's texts."""

    def __init__(
        self, asked: Guarding, tokens: GuardTokens, engine: Engine, parses: LiveParses, names: NameGuard
    ) -> None:
        self._asked = asked
        self._tokens = tokens
        self._engine = engine
        self._parses = parses
        self._names = names

    def read(self, state: State, data: bytes, before: int, after: int) -> tuple[State, int]:
        """See ``json_items.read_items``."""
        return read_items(state, data, before, after, self._parses, self._tokens.whole)

    def is_open(self, position: int, state: State) -> bool:
        """Is there a way on: a free name, an item that has not stood?"""
        asked = self._asked
        if asked.thin and self._names.may_be_dead(state) and not self._names.has_way(position, state):
            return False
        return not (asked.narrow and state[0].within) or self._has_way(position, state)

    def _has_way(self, position: int, state: State) -> bool:
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
            if self._parses.has_other(position, like | _QUOTE if mode == IN_NAME else like):
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
                following = self._parses.step(position, byte)
                if not following:
                    continue
                steps += 1
                behind = self._step(state, byte, position, following)
                if behind is not None:
                    if byte not in like:
                        return True
                    todo.append(behind)
        return False

    def _step(self, state: State, byte: int, before: int, after: int) -> tuple[int, State] | None:
        """The position and the state behind a byte within an array of distinct items; None if it is refused."""
        try:
            state, position = self.read(state, _BYTES[byte], before, after)
        except RepetitionError:
            return None
        return position, state

    # -- masks --------------------------------------------------------------------------------------------------------

    def filter(self, row: Row, state: State, position: int) -> None:
        """Clear the tokens of a mask behind which an item has stood twice, or none is left."""
        tokens, asked = self._tokens, self._asked
        frame, mode, _, item = state
        in_string = mode >= IN_NAME
        if not frame.within:
            found = tokens.opening_two_behind_string if in_string else tokens.opening_two
            self._try(row, found.within(row), state, position)
            return
        if asked.narrow:
            self._walk(row, position, state)
            if asked.scarce:
                found = tokens.dividing_behind_string if in_string else tokens.dividing
            else:
                found = tokens.next_items_behind_string if in_string else tokens.next_items
            self._try(row, found.within(row), state, position)
            return
        # Strings, and behind any beginning some are left. (Only a parse that has died has other items.)
        items = frame.items
        tried: list[int] = []
        if in_string:
            tried += tokens.next_strings.within(row)
            if mode in (IN_STRING, STRING_ESCAPE) and items is not None:
                value, tail = split(item[items.begin :].lstrip(BLANKS)[1:])
                stood = with_prefix(items.strings, value)
                for ids in tokens.closing(stood, value, tail):
                    if items.sure:
                        clear_bits(row, ids)
                    else:
                        tried += ids.tolist()
        else:
            tried += tokens.two_strings.within(row)
            for string in () if items is None else items.strings:
                if string in tokens.items:
                    tried += tokens.items[string].within(row)
        self._try(row, dict.fromkeys(tried), state, position)

    def _walk(self, row: Row, position: int, state: State) -> None:
        """Down the trie of tokens, as far as items at hand may become ones that have stood.

        Where a way on is open behind a node it is before it too, so what is farthest down is looked at first.
        """
        tokens, parses = self._tokens, self._parses
        nodes = [(0, position, state, -1)]  # node of the trie, position, state, which of the nodes it is below
        for above, (node, here, read_so_far, _) in enumerate(nodes):  # grows meanwhile
            in_word = read_so_far[3][-1:].isalnum()  # a blank ends it
            for byte in following_bytes(read_so_far):
                child = tokens.child(node, byte)
                if child < 0 or (byte in BLANKS and not in_word and tokens.is_blank(child)):
                    continue
                following = parses.step(here, byte)
                if not following:
                    continue
                behind = self._step(read_so_far, byte, here, following)
                if behind is None:
                    clear_bits(row, tokens.below(child))
                else:
                    nodes.append((child, *behind, above))
        is_open = bytearray(len(nodes))
        for index in range(len(nodes) - 1, 0, -1):
            node, here, read_so_far, above = nodes[index]
            if is_open[index] or self.is_open(here, read_so_far):
                is_open[above] = 1
            else:
                clear_bits(row, tokens.below(node))

    def _try(self, row: Row, tokens: Iterable[int], state: State, position: int) -> None:
        """Clear those of the tokens that are refused."""
        for token in tokens:
            if not int(row[token >> 5]) >> (token & 31) & 1:
                continue
            data = self._tokens.tokens[token] or b""
            try:
                behind, reached = self.read(state, data, position, self._parses.advance(position, data))
            except RepetitionError:
                reached = 0
            if not reached or not self.is_open(reached, behind):
                row[token >> 5] &= ~np.uint32(1 << (token & 31))
