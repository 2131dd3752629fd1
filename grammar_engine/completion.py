"""Short completions: from any position of a grammar, a short text that completes it, and its fewest tokens.

Found byte by byte in two tiers, because the first, a few dozen steps, is nearly always good enough and positions can
be many:

    quick       depth first, bytes that tend to close things first, remembered per position
    thorough    cheapest first (Dijkstra) over positions, within a number of expansions; what it finds is remembered too

and split into tokens by dynamic programming. What is found is short, not always the shortest: the first tier takes
what it meets first, the second may run out of expansions, and fewest bytes are not always fewest tokens.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from grammar_engine.protocols import MatcherLike, token_bits

_CLOSERS = b"}])>\"';.0"
_DIGITS = b"0123456789"
_ESCAPE = ord("\\")
_LATE = b",\\({[<"
_BLANKS = b"\n \t\r"
_NEWLINE = 10
_QUOTES = b"\"'"
_TEXT = b"}q"
"""Where all of these may stand, a bracket is text and closes nothing: quotes are tried before brackets."""
_BLANK_COST = 4
"""A grammar often allows blanks anywhere, in long runs; counted like other bytes, they would be most of the search."""


class Tokens(Protocol):
    """The part of a vocabulary that the search reads."""

    @property
    def tokens(self) -> tuple[bytes | None, ...]:
        """Bytes of each id."""


def _byte_rank(byte: int) -> int:
    """Order in which bytes are tried: closers, then letters and digits, then the rest, then openers, then blanks."""
    for base, group in ((0, _CLOSERS), (512, _LATE), (768, _BLANKS)):
        if byte in group:
            return base + group.index(byte)
    alphanumeric = chr(byte).isalnum() and byte < 0x80
    return (128 if alphanumeric else 256) + byte


class SpellingTable:
    """A vocabulary seen from its bytes: which id spells a given byte string, for the search and the splitting."""

    def __init__(self, vocabulary: Tokens) -> None:
        ids: dict[bytes, int] = {}
        for token_id, token in enumerate(vocabulary.tokens):
            if token is not None:
                ids.setdefault(token, token_id)
        self._ids = ids
        self._tokens = vocabulary.tokens
        self._longest = max(map(len, ids), default=0)
        single = sorted(
            (_byte_rank(token[0]), token_id, token[0]) for token, token_id in ids.items() if len(token) == 1
        )
        self.byte_values = bytes(value for _, _, value in single)
        """Bytes that are a token of their own, in the order in which the search tries them."""
        self.byte_tokens: npt.NDArray[np.int64] = np.array([token_id for _, token_id, _ in single], np.int64)
        """The ids of those tokens."""
        self._byte_token = {value: token_id for _, token_id, value in single}
        self.num_closers = sum(value in _CLOSERS for value in self.byte_values)
        self.num_words = (len(vocabulary.tokens) + 31) // 32

    def byte_token(self, byte: int) -> int:
        """The token that is this one byte; -1 if there is none."""
        return self._byte_token.get(byte, -1)

    def bytes_of(self, token_id: int) -> bytes:
        """What a token appends."""
        return self._tokens[token_id] or b""

    def split(self, text: bytes) -> list[int] | None:
        """The fewest tokens that spell ``text``, or None if the vocabulary cannot spell it."""
        count = len(text)
        best = [0] + [count + 1] * count
        token_ids = [-1] * (count + 1)
        lengths = [0] * (count + 1)
        for start in range(count):
            if best[start] > count:
                continue
            for stop in range(start + 1, min(count, start + self._longest) + 1):
                token_id = self._ids.get(text[start:stop])
                if token_id is not None and best[start] + 1 < best[stop]:
                    best[stop], token_ids[stop], lengths[stop] = best[start] + 1, token_id, stop - start
        if best[count] > count:
            return None
        result = []
        while count:
            result.append(token_ids[count])
            count -= lengths[count]
        return result[::-1]


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a known completion.

    byte: what to take. behind: the position that it leads to.
    length: bytes from here to the end, this one included; at least one more than at ``behind``, so that steps end.
    """

    byte: int
    behind: Hashable
    length: int


class CompletionSearch:
    """Looks for short completions from any position of one grammar, and remembers them, for one generation."""

    def __init__(self, spelling: SpellingTable, *, max_steps: int = 20_000, max_expansions: int = 600) -> None:
        self.spelling = spelling
        self._max_steps = max_steps
        self._max_expansions = max_expansions
        self._steps: dict[Hashable, _Step] = {}
        self._searched: set[Hashable] = set()
        self._row = np.zeros((1, spelling.num_words), np.int32)

    def quick_length(self, matcher: MatcherLike) -> int | None:
        """Bytes of the completion that ``quick`` finds."""
        if matcher.is_accepting():
            return 0
        step = self._steps.get(matcher.position)
        if step is None:
            self._descend(matcher)
            step = self._steps.get(matcher.position)
        return None if step is None else step.length

    def quick(self, matcher: MatcherLike) -> bytes | None:
        """A completion by depth-first search; None if the search gave up."""
        length = self.quick_length(matcher)
        if length is None:
            return None
        text, position = bytearray(), matcher.position
        while length:
            step = self._steps[position]
            text.append(step.byte)
            position, length = step.behind, step.length - 1
        return bytes(text)

    def thorough(self, matcher: MatcherLike) -> bytes | None:
        """The completion of fewest bytes, blanks counted several times; None if the search gave up.

        Searches once per position; afterwards ``quick`` finds the same text.
        """
        if matcher.is_accepting():
            return b""
        if matcher.position in self._searched:
            return self.quick(matcher)
        self._searched.add(matcher.position)
        order = itertools.count()
        start = matcher.position
        todo: list[tuple[int, int, MatcherLike, Hashable, bytes]] = [(0, next(order), matcher.fork(), start, b"")]
        cheapest: dict[Hashable, int] = {start: 0}
        for _ in range(self._max_expansions):
            if not todo:
                return None
            cost, _, walker, position, text = heapq.heappop(todo)
            if walker.is_accepting():
                self._remember_text(matcher, text)
                return text
            if cost > cheapest[position]:
                continue
            for byte, token_id in self._choices(walker):
                if not walker.accept_token(token_id):
                    continue
                reached = cost + (_BLANK_COST if byte in _BLANKS else 1)
                behind = walker.position
                if reached < cheapest.get(behind, reached + 1):
                    cheapest[behind] = reached
                    heapq.heappush(todo, (reached, next(order), walker.fork(), behind, text + bytes([byte])))
                walker.rollback(1)
        return None

    def _choices(self, matcher: MatcherLike, last: int = 0) -> Iterator[tuple[int, int]]:
        """Next bytes to try, best first, as (byte, token id). last: the byte before, 0 where it does not matter.

        Closers are proposed unseen, since trying one costs less than a mask; the mask is filled once they all failed.
        Behind a digit the others come last: where digits are counted, a number would be written to its limit.
        ``matcher`` must stand at the same position whenever the iterator is asked.
        """
        spelling = self.spelling
        ids, values = spelling.byte_tokens, spelling.byte_values
        closers = spelling.num_closers
        in_text = all(self._takes(matcher, byte) for byte in _TEXT)
        for index in sorted(range(closers), key=lambda i: values[i] not in _QUOTES) if in_text else range(closers):
            if values[index] not in _DIGITS or last not in _DIGITS:
                yield values[index], int(ids[index])
        matcher.fill_next_token_bitmask(self._row, 0)
        allowed = np.flatnonzero(token_bits(self._row[0], ids)).tolist()
        rest = [index for index in allowed if index >= closers]
        if last in _DIGITS:
            ends = [i for i in rest if values[i] not in _DIGITS and values[i] != _ESCAPE]
            rest = ends + [i for i in allowed if values[i] in _DIGITS] + [i for i in rest if values[i] == _ESCAPE]
        for index in rest:
            yield values[index], int(ids[index])

    def _takes(self, matcher: MatcherLike, byte: int) -> bool:
        token_id = self.spelling.byte_token(byte)
        if token_id < 0 or not matcher.accept_token(token_id):
            return False
        matcher.rollback(1)
        return True

    def _descend(self, start: MatcherLike) -> None:
        """Depth-first search that enters every position once and stops where a completion is known already."""
        walker = start.fork()
        entered = {walker.position}
        path: list[tuple[Hashable, int]] = []
        todo = [self._choices(walker)]
        for _ in range(self._max_steps):
            choice = next(todo[-1], None)
            if choice is None:
                todo.pop()
                if not path:
                    return
                path.pop()
                walker.rollback(1)
                continue
            byte, token_id = choice
            before = walker.position
            if not walker.accept_token(token_id):
                continue
            complete = walker.is_accepting()
            if walker.position in entered and not complete:
                walker.rollback(1)
                continue
            path.append((before, byte))
            entered.add(walker.position)
            if not complete and walker.position not in self._steps and self._ends_with_newline(walker):
                # The end of a line often ends a text; as a blank that ends nothing, it is tried last.
                path.append((walker.position, _NEWLINE))
                walker.accept_token(self.spelling.byte_token(_NEWLINE))
                complete = True
            if complete or walker.position in self._steps:
                self._remember(path, walker.position, complete=complete)
                return
            todo.append(self._choices(walker, byte))

    def _ends_with_newline(self, walker: MatcherLike) -> bool:
        token_id = self.spelling.byte_token(_NEWLINE)
        if token_id < 0 or not walker.accept_token(token_id):
            return False
        ends = walker.is_accepting()
        walker.rollback(1)
        return ends

    def _remember_text(self, start: MatcherLike, text: bytes) -> None:
        """Let ``quick`` find what ``thorough`` found, from every position on the way."""
        walker, path = start.fork(), []
        for byte in text:
            path.append((walker.position, byte))
            walker.accept_token(self.spelling.byte_token(byte))
        self._searched.update(position for position, _ in path)  # the rest of a shortest way is a shortest way
        self._remember(path, walker.position, complete=True)

    def _remember(self, path: list[tuple[Hashable, int]], end: Hashable, *, complete: bool) -> None:
        length = 0 if complete else self._steps[end].length
        behind = end
        for position, byte in reversed(path):
            known = self._steps.get(position)
            length += 1
            if known is None or known.length > length:
                self._steps[position] = _Step(byte, behind, length)
            length = self._steps[position].length
            behind = position
