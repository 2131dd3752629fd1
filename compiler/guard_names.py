"""No object has two properties of one name: the tokens in which a name ends that has stood.

Those begin with the rest of such a name and a quote (``GuardTokens.closing``), or are among the few that hold a name
between two quotes. Where a mask holds none of the few, its position is *quiet*: outside of a name nothing can be wrong.

Names of a *thin* class (``^[a-z]{2}$``) can run out, all of them or those behind a beginning. Then a token is also
refused if no free name can be reached behind it. Such tokens lie on the paths that spell the names that have stood, or
begin a name behind a comma. A way to a free name is found on the engine's positions: any byte that leads away from the
names that have stood is one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.guard_tokens import GuardTokens, Row, spellings
from grammar_engine.compiler.ir import Guarding
from grammar_engine.compiler.json_text import (
    BEFORE_NAME,
    IN_NAME,
    NAME_ESCAPE,
    Frame,
    Names,
    RepetitionError,
    State,
    read,
    split,
    with_prefix,
)
from grammar_engine.compiler.json_values import following_string
from grammar_engine.compiler.live_parses import LiveParses
from grammar_engine.kernels.trie import any_set, clear_bits

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

MAX_SEARCHED = 20_000
"""Bytes that are tried to find a free name of a thin class."""

_QUOTE = 0x22


class NameGuard:
    """The names of one compiled grammar's texts."""

    def __init__(self, asked: Guarding, tokens: GuardTokens, engine: Engine, parses: LiveParses) -> None:
        self._asked = asked
        self._tokens = tokens
        self._engine = engine
        self._parses = parses
        self.quiet: set[int] = set()
        """Positions outside of names whose masks hold no token with a name in it."""

    def may_be_dead(self, state: State) -> bool:
        """Could all names be used up that begin as what has been read of one? If not, ``has_way`` need not be asked."""
        frame, mode, partial, _ = state
        names = frame.names
        if not names or mode not in (BEFORE_NAME, IN_NAME, NAME_ESCAPE):
            return False
        return _is_beginning(partial, names) if partial else len(names) >= self._asked.fewest

    def has_way(self, position: int, state: State) -> bool:
        """Is there a free name behind what has been read of one?"""
        frame, mode, partial, _ = state
        parses = self._parses
        todo: list[tuple[int, bytes | None]] = [(position, None if mode == BEFORE_NAME else partial)]
        seen: set[object] = set()
        while todo:
            position, raw = todo.pop()  # raw: the beginning of the name's spelling; None: before its quote
            value, tail = (b"", b"") if raw is None else split(raw)
            key = (position, raw is None, value, tail)
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_SEARCHED:
                raise LimitExceededError(
                    "a free property name is searched for too long", limit=f"{MAX_SEARCHED} beginnings", given="more"
                )
            if raw is None:
                for byte in self._engine.candidate_bytes(position):
                    following = parses.step(position, byte)
                    if following:
                        todo.append((following, b"" if byte == _QUOTE else None))
                continue
            like = following_string(raw, with_prefix(frame.names or (), value))
            if parses.has_other(position, like):
                return True
            for byte in like:
                following = 0 if byte == _QUOTE and not tail else parses.step(position, byte)
                if following:
                    todo.append((following, raw + bytes((byte,))))
        return False

    # -- masks --------------------------------------------------------------------------------------------------------

    def filter(self, row: Row, state: State, position: int) -> None:
        """Clear the tokens of a mask behind which a name has stood twice, or none is free."""
        if self._asked.thin:
            self._filter_thin(row, state, position)
            return
        tokens = self._tokens
        frame, mode, raw, _ = state
        if mode in (IN_NAME, NAME_ESCAPE):
            if tokens.ending or b"\\" in raw or _has_prefix(frame.names, raw):
                self._clear_ending(row, state)
        elif not any_set(row, (tokens.loud if mode < IN_NAME else tokens.loud_in_string).ids):
            self.quiet.add(position)
            return
        # What ends no name can close frames, but a frame has all the tokens of those around it.
        if frame.tokens and any_set(row, tokens.array_of(frame.tokens)):
            self._try(row, frame.tokens, state)
        if tokens.twice:
            self._try(row, tokens.twice, state)

    def _clear_ending(self, row: Row, state: State) -> Names:
        """Clear the tokens that end the name at hand as one that has stood; the names that it may still become."""
        tokens = self._tokens
        frame, _, raw, _ = state
        value, tail = split(raw)
        names = frame.names or ()
        if names:
            names = with_prefix(names, value) if value else names
            for ids in tokens.closing(names, value, tail):
                clear_bits(row, ids)
        if tail:
            for other, holding in tokens.ending:
                if other.startswith(value):
                    self._try(row, holding, state)
        else:
            self._try(row, tokens.ending_behind.get(value, ()), state)
        return names

    def _filter_thin(self, row: Row, state: State, position: int) -> None:
        tokens = self._tokens
        frame, mode, raw, _ = state
        tried = [*frame.tokens, *tokens.twice, *tokens.names_and_comma.within(row)]
        if mode in (IN_NAME, NAME_ESCAPE):
            names = self._clear_ending(row, state)
            value, tail = split(raw)
            for name in names:
                if not tail or len(name) > len(value):
                    tried += tokens.beginnings(name[len(value) :], tail)
        elif mode == BEFORE_NAME and frame.names:
            for opener in tokens.name_openers:
                for name in frame.names:
                    tried += tokens.beginnings(name, b"", opener)
        stood = max((len(inner.names or ()) for inner in _outwards(frame)), default=0)
        if stood or mode in (IN_NAME, NAME_ESCAPE):  # (the name at hand may be what stands before the next)
            tried += tokens.next_names.within(row)
        if stood + 1 >= self._asked.fewest:
            tried += tokens.dividing.within(row)
        self._try(row, dict.fromkeys(tried), state, position)

    def _try(self, row: Row, tokens: Iterable[int], state: State, position: int = 0) -> None:
        """Clear those of the tokens that are refused; position: where a free name must be reached too."""
        whole = self._tokens.whole
        for token in tokens:
            word = token >> 5
            if not int(row[word]) >> (token & 31) & 1:
                continue
            data = self._tokens.tokens[token] or b""
            try:
                behind = read(state, data, whole)
            except RepetitionError:
                row[word] &= ~np.uint32(1 << (token & 31))
                continue
            if position and self.may_be_dead(behind) and not self.has_way(self._parses.advance(position, data), behind):
                row[word] &= ~np.uint32(1 << (token & 31))


def _has_prefix(names: Names | None, prefix: bytes) -> bool:
    """Does one of the sorted names begin so?"""
    if not names:
        return False
    at = bisect_left(names, prefix)
    return at < len(names) and names[at].startswith(prefix)


def _outwards(frame: Frame | None) -> Iterator[Frame]:
    while frame is not None:
        yield frame
        frame = frame.parent


def _is_beginning(raw: bytes, names: Names) -> bool:
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
