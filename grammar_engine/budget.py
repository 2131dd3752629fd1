"""Budget steering: a text that is begun is also finished before the tokens run out.

Before a token is taken, a completion behind it is looked for; a token whose shortest known completion does not fit
into the tokens that are left is refused, and the sampler draws again. Nothing is forced while there is room, so the
model's choice is untouched until the last moment at which it can still be honoured.

    plan(p): a text that completes position p, split into n(p) tokens
    take t at p with r tokens left (t included)  ⇔  n(p·t) ≤ r − 1
    the first token of plan(p) leaves n(p) − 1: there is always one token that may be taken

Texts are found byte by byte in two tiers, because the first, a few dozen steps, is nearly always good enough and
positions can be many:

    quick       depth first, bytes that tend to close things first, remembered per position
    thorough    breadth first over positions, within a number of expansions; asked only if quick's text is too long

and split into the fewest tokens by dynamic programming, but only where its bytes outnumber the tokens that are left
(a text walked byte by byte never needs more tokens than it has bytes). What is found is short, not always the
shortest: the first tier takes what it meets first, the second may run out of expansions, and fewest bytes are not
always fewest tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from grammar_engine.protocols import MatcherLike, token_bits

_CLOSERS = b"\"}])>;'\n.0"
_LATE = b" \t\r\\,({[<"


class Tokens(Protocol):
    """The part of a vocabulary that the search reads."""

    @property
    def tokens(self) -> tuple[bytes | None, ...]:
        """Bytes of each id."""


def _byte_rank(byte: int) -> int:
    """Order in which bytes are tried: closers, then letters and digits, then the rest, then openers and blanks."""
    if byte in _CLOSERS:
        return _CLOSERS.index(byte)
    if byte in _LATE:
        return 512 + _LATE.index(byte)
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
        self.num_closers = sum(value in _CLOSERS for value in self.byte_values)
        self.num_words = (len(vocabulary.tokens) + 31) // 32

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
    """One step of a known completion: the byte to take, the position behind it, bytes to the end (0 = complete)."""

    byte: int
    behind: Hashable
    length: int


class CompletionSearch:
    """Looks for short completions from any position of one grammar; remembers the first tier's, for one generation."""

    def __init__(self, spelling: SpellingTable, *, max_bytes: int = 8192, max_expansions: int = 400) -> None:
        self.spelling = spelling
        self._max_bytes = max_bytes
        self._max_expansions = max_expansions
        self._steps: dict[Hashable, _Step] = {}
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
        for _ in range(length):
            step = self._steps[position]
            text.append(step.byte)
            position = step.behind
        return bytes(text)

    def thorough(self, matcher: MatcherLike) -> bytes | None:
        """The completion of fewest bytes; None if the search gave up."""
        if matcher.is_accepting():
            return b""
        todo = deque([(matcher.fork(), b"")])
        seen = {matcher.position}
        for _ in range(self._max_expansions):
            if not todo:
                return None
            walker, text = todo.popleft()
            for byte, token_id in self._choices(walker):
                if not walker.accept_token(token_id):
                    continue
                if walker.is_accepting():
                    return text + bytes([byte])
                if walker.position not in seen:
                    seen.add(walker.position)
                    todo.append((walker.fork(), text + bytes([byte])))
                walker.rollback(1)
        return None

    def _choices(self, matcher: MatcherLike) -> Iterator[tuple[int, int]]:
        """Next bytes to try, best first, as (byte, token id).

        Closers are proposed unseen, since trying one costs less than a mask; the mask is filled once they all failed.
        ``matcher`` must stand at the same position whenever the iterator is asked.
        """
        spelling = self.spelling
        ids, values = spelling.byte_tokens, spelling.byte_values
        closers = spelling.num_closers
        for index in range(closers):
            yield values[index], int(ids[index])
        matcher.fill_next_token_bitmask(self._row, 0)
        for index in np.flatnonzero(token_bits(self._row[0], ids[closers:])).tolist():
            yield values[closers + index], int(ids[closers + index])

    def _descend(self, start: MatcherLike) -> None:
        """Depth-first search that enters every position once and stops where a completion is known already."""
        walker = start.fork()
        entered = {walker.position}
        path: list[tuple[Hashable, int]] = []
        todo = [self._choices(walker)]
        while todo:
            choice = None if len(path) >= self._max_bytes else next(todo[-1], None)
            if choice is None:
                todo.pop()
                if path:
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
            if complete or walker.position in self._steps:
                self._remember(path, walker.position, complete=complete)
                return
            todo.append(self._choices(walker))

    def _remember(self, path: list[tuple[Hashable, int]], end: Hashable, *, complete: bool) -> None:
        length = 0 if complete else self._steps[end].length
        behind = end
        for position, byte in reversed(path):
            length += 1
            self._steps[position] = _Step(byte, behind, length)
            behind = position


class BudgetGuard:
    """Decides token by token whether a text can still be completed within the budget.

    The guard is idle (admits everything) if no completion that fits is known at the start: then the budget is too
    small as far as anybody knows, and the caller reports the text as incomplete.
    """

    def __init__(self, search: CompletionSearch, matcher: MatcherLike, max_tokens: int) -> None:
        self._search = search
        self._left = max_tokens
        self._ahead: tuple[int, bytes | None] | None = None
        self.active, self._plan = self._fits(matcher, max_tokens, None)

    def admits(self, matcher: MatcherLike, token_id: int) -> bool:
        """Whether taking ``token_id`` leaves room for a completion. ``matcher`` stands before it and is left alone."""
        if not self.active:
            return True
        ahead = matcher.fork()
        if not ahead.accept_token(token_id):
            return False
        if ahead.is_terminated():
            return True
        inherited = None
        token = self._search.spelling.bytes_of(token_id)
        if self._plan is not None and self._plan.startswith(token):
            inherited = self._plan[len(token) :]
        fits, plan = self._fits(ahead, self._left - 1, inherited)
        if fits:
            self._ahead = (token_id, plan)
        return fits

    def planned(self, matcher: MatcherLike) -> int | None:
        """A token that is always admitted: the first of the known completion. None if there is none to take."""
        if not self.active:
            return None
        text = self._search.quick(matcher) if self._plan is None else self._plan
        token_ids = self._search.spelling.split(text or b"")
        return token_ids[0] if token_ids else None

    def take(self, token_id: int) -> None:
        """Note that an admitted token was taken."""
        self._left -= 1
        if self._ahead is not None and self._ahead[0] == token_id:
            self._plan = self._ahead[1]
        self._ahead = None

    def _fits(self, matcher: MatcherLike, limit: int, inherited: bytes | None) -> tuple[bool, bytes | None]:
        """Whether a completion within ``limit`` tokens is known, and its text if room is so short that it matters."""
        length = self._search.quick_length(matcher)
        if length is not None and length <= limit:
            return True, None
        if inherited is not None and self._count(inherited) <= limit:
            return True, inherited
        for tier in (self._search.quick, self._search.thorough):
            text = tier(matcher)
            if text is not None and self._count(text) <= limit:
                return True, text
        return False, None

    def _count(self, text: bytes) -> int:
        token_ids = self._search.spelling.split(text)
        return len(text) if token_ids is None else len(token_ids)
