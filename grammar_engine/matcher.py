"""A matcher: one text in the making, as a list of positions in a compiled grammar.

A position is an integer that never changes its meaning, so history is a list, rollback cuts it and fork copies it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.bitmask import Bitmask, as_uint32_rows
from grammar_engine.compiler.vocabulary import FIRST_PRIVATE_BYTE

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.compiler.engine import Engine

MAX_JUMP_BYTES = 1 << 16


class Matcher:
    """Follows one text through a grammar, token by token or byte by byte.

    Not thread-safe itself (a text has one author); any number of matchers may share a compiled grammar between threads.
    """

    __slots__ = (
        "_bitmask",
        "_closing_ids",
        "_compiled",
        "_engine",
        "_generation",
        "_guard",
        "_history",
        "_rows",
        "_stop_ids",
        "_terminated",
        "_text",
        "_trie",
        "_words",
    )

    def __init__(self, compiled: CompiledGrammar) -> None:
        self._compiled = compiled
        self._engine, self._guard, self._generation = compiled.begin()
        self._trie = self._engine.context.trie
        self._words = self._engine.context.words
        self._stop_ids = compiled.stop_ids
        self._closing_ids = compiled.closing_ids
        self._history = [self._engine.start_position]
        self._terminated = False
        self._text = None if self._guard is None else self._guard.start()
        self._bitmask: Bitmask = None  # the one that was filled last, and its checked view
        self._rows: npt.NDArray[np.uint32] = np.zeros((0, self._words), np.uint32)

    @property
    def compiled(self) -> CompiledGrammar:
        """The grammar that is being matched."""
        return self._compiled

    @property
    def position(self) -> Hashable:
        """The current position; equal positions of one grammar have equal futures."""
        beside = None if self._text is None else self._text.key()
        if self._generation:  # engines that follow each other number their positions anew
            return self._history[-1], beside, self._generation
        return self._history[-1] if beside is None else (self._history[-1], beside)

    @property
    def engine(self) -> Engine:
        """The automata that its positions belong to; not those of all matchers, see ``CompiledGrammar``."""
        return self._engine

    @property
    def engine_position(self) -> int:
        """The engine's part of the position: the live parses (see ``compiler.rule_stack``)."""
        return self._history[-1]

    @property
    def num_tokens(self) -> int:
        """How many accepted steps ``rollback`` can take back: tokens (stop tokens too) and ``accept_bytes`` calls."""
        return len(self._history) - 1

    def fill_next_token_bitmask(self, bitmask: Bitmask, index: int = 0) -> None:
        """Row ``index`` of an int32 ``(batch, ceil(V/32))`` numpy array or CPU tensor := the tokens that may come next.

        Stop ids are allowed iff the text so far is complete; after a stop token only stop ids are.
        """
        if bitmask is not self._bitmask:
            self._rows = as_uint32_rows(bitmask, self._words)
            self._bitmask = bitmask
        rows = self._rows
        if not 0 <= index < len(rows):
            if not -len(rows) <= index < 0:
                raise IndexError(f"row {index} of a bitmask with {len(rows)} rows")
            index += len(rows)
        if self._terminated:
            rows[index] = 0
            for token in self._stop_ids.tolist():
                rows[index, token >> 5] |= np.uint32(1 << (token & 31))
            return
        position = self._history[-1]
        self._engine.fill(position, rows, index, self._stop_ids)
        if self._text is not None:
            self._text.filter(rows, index, position)

    def accept_token(self, token_id: int) -> bool:
        """Append a token. False, and nothing changes, if it is not allowed here.

        Raises IndexError if the id is not one of the vocabulary's.
        """
        position = self._after(self._history[-1], token_id)
        if position == 0:
            return False
        if position < 0:
            self._terminated = True
            position = self._history[-1]
            if self._text is not None:
                self._text.end()
        elif self._text is not None:
            position = self._text.take(token_id, self._history[-1], position)
            if not position:
                return False
        self._history.append(position)
        if token_id in self._closing_ids and self._engine.is_accepting(position):
            self._terminated = True
        return True

    def accept_bytes(self, data: bytes) -> bool:
        """Append bytes, whatever tokens they came from. False, and nothing changes, if no text continues so."""
        if self._terminated:
            return not data
        position = self._advance(self._history[-1], data)
        if position and self._text is not None:
            position = self._text.take(data, self._history[-1], position)
        if not position:
            return False
        self._history.append(position)
        return True

    def validate_tokens(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens, from the first on, could be accepted one after the other; nothing changes."""
        if self._text is not None:
            return self._validate_guarded(token_ids)
        position, terminated = self._history[-1], self._terminated
        for count, token_id in enumerate(token_ids):
            after = self._after(position, token_id, terminated=terminated)
            if after == 0:
                return count
            if after < 0:
                terminated = True
            else:
                position = after
                terminated = token_id in self._closing_ids and self._engine.is_accepting(position)
        return len(token_ids)

    def _validate_guarded(self, token_ids: Sequence[int]) -> int:
        count = 0
        try:
            for token_id in token_ids:
                if not self.accept_token(token_id):
                    break
                count += 1
        finally:
            self.rollback(count)
        return count

    def rollback(self, num_tokens: int) -> None:
        """Take back the last ``num_tokens`` steps. ValueError if there are not so many."""
        if not 0 <= num_tokens < len(self._history):
            raise ValueError(f"cannot take back {num_tokens} steps of {len(self._history) - 1}")
        if num_tokens:
            del self._history[-num_tokens:]
            self._terminated = False
            if self._text is not None:
                self._text.cut(len(self._history) - 1)

    def fork(self) -> Matcher:
        """An independent matcher at the same place, with the same history."""
        other = Matcher(self._compiled)
        other._engine, other._guard, other._generation = self._engine, self._guard, self._generation
        other._history = self._history.copy()
        other._terminated = self._terminated
        other._text = None if self._text is None else self._text.copy()
        return other

    def reset(self) -> None:
        """Back to the empty text (and, if the grammar's engine has been renewed, into the new one)."""
        self._engine, self._guard, self._generation = self._compiled.begin()
        self._history = [self._engine.start_position]
        self._terminated = False
        self._text = None if self._guard is None else self._guard.start()

    def is_accepting(self) -> bool:
        """Whether the text so far is in the language."""
        return self._engine.is_accepting(self._history[-1])

    def is_terminated(self) -> bool:
        """Whether a stop token has been accepted."""
        return self._terminated

    def jump_forward_bytes(self) -> bytes:
        """The longest continuation that every text from here shares, at most 64 KiB; empty if the text may end here.

        It ends before a special token that the grammar has there: that is no text.
        """
        if self._terminated:
            return b""
        engine = self._engine
        position = self._history[-1]
        text = None if self._text is None else self._text.copy()
        forced = bytearray()
        while len(forced) < MAX_JUMP_BYTES and not engine.is_accepting(position):
            only = 0
            following = 0
            for byte in engine.candidate_bytes(position):
                after = engine.step_byte(position, byte)
                if after and text is not None:
                    after = text.admits(byte, position, after)
                if after:
                    if following:
                        return bytes(forced)
                    only, following = byte, after
            if not following or only >= FIRST_PRIVATE_BYTE:
                break
            forced.append(only)
            if text is not None:
                text.take(bytes((only,)), position, following)
            position = following
        return bytes(forced)

    def allowed_token_ids(self) -> npt.NDArray[np.int32]:
        """The ids that may come next, ascending: for debugging and tests."""
        bitmask = np.zeros((1, self._words), np.int32)
        self.fill_next_token_bitmask(bitmask)
        bits = np.unpackbits(bitmask.view(np.uint8), bitorder="little")
        return np.flatnonzero(bits).astype(np.int32)

    def _advance(self, position: int, data: bytes) -> int:
        values = np.frombuffer(data, np.uint8).astype(np.int32)
        return self._engine.advance(position, values, 0, len(values))

    def _after(self, position: int, token_id: int, *, terminated: bool | None = None) -> int:
        """The position after a token; 0 if not allowed, -1 for a stop token that is."""
        starts = self._trie.starts
        if not 0 <= token_id < len(starts) - 1:
            raise IndexError(f"token {token_id} of a vocabulary of {len(starts) - 1}")
        if self._terminated if terminated is None else terminated:
            return 0
        start, end = int(starts[token_id]), int(starts[token_id + 1])
        if start == end:
            if token_id in self._compiled.vocabulary.stop_token_ids and self._engine.is_accepting(position):
                return -1
            return 0
        after = self._engine.advance(position, self._trie.data, start, end)
        if after == 0 and token_id in self._closing_ids and self._engine.is_accepting(position):
            return -1
        return after
