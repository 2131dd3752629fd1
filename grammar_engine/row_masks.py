"""What the grammar does for the rows of a batch: masks, in a worker thread beside the model; budget; drafts.

The engine releases the interpreter lock while it works, and so does the model while it multiplies. Times are counted:
all that the grammar took, and what of it the loop had to wait for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np

from grammar_engine.budget import BudgetGuard
from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.dead_end import dead_end
from grammar_engine.drafts import Drafter
from grammar_engine.errors import GrammarEngineError
from grammar_engine.generation import LENGTH, STOP
from grammar_engine.matcher import Matcher
from grammar_engine.requests import Row

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.protocols import MatcherLike


class SentMasks(Protocol):
    """Where the masks of a pass go: see ``grammar_engine.host_draws`` and ``grammar_engine.device.draws``."""

    def fill(self, rows: Sequence[Row]) -> None:
        """Write the masks of these rows, where each stands and behind each of its drafted tokens; the matchers stand
        behind it where they stood. Called by a worker thread.
        """


class RowMasks:
    """Everything that the grammar does for a run, and the time that it takes.

    seconds: in the grammar, whichever thread. wait_seconds: those of them during which the loop had nothing else to do.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        spelling: SpellingTable | None,
        worker: ThreadPoolExecutor,
        *,
        sent: SentMasks,
        most_drafted: int,
    ) -> None:
        """``sent``: where masks are put for those who choose tokens."""
        words = (vocabulary.size + 31) // 32
        self._vocabulary = vocabulary
        self._sent = sent
        self._single = np.zeros((1, words), np.int32)
        self._text_bits = np.full(words, 0xFFFFFFFF, np.uint32)
        for token_id in vocabulary.stop_token_ids:
            self._text_bits[token_id >> 5] &= np.uint32(0xFFFFFFFF ^ (1 << (token_id & 31)))
        self._spelling = spelling
        self._worker = worker
        self._most_drafted = most_drafted
        self._drafter: Drafter | None = None
        self._pending: Future[None] | None = None
        self.seconds = 0.0
        self.wait_seconds = 0.0

    def begin(self, rows: Sequence[Row]) -> None:
        """Start to fill the masks of these rows in the worker thread: where each stands, and behind each drafted token.

        Until ``wait`` nobody else may use their matchers.
        """
        self._pending = self._worker.submit(self._fill, list(rows))

    def wait(self) -> None:
        """Until the masks are there."""
        if self._pending is not None:
            began = time.perf_counter()
            self._pending.result()
            self._pending = None
            self.wait_seconds += time.perf_counter() - began

    def draft(self, rows: Sequence[Row]) -> None:
        """Guess what follows in each row."""
        if not self._most_drafted:
            return
        with self.timed():
            for row in rows:
                matcher = row.request.matcher
                if not isinstance(matcher, Matcher):
                    continue
                if self._drafter is None:
                    self._drafter = Drafter(self._table(), most_tokens=self._most_drafted)
                row.draft = self._drafter.draft(matcher, row.style)[: row.tokens_left - 1]
                row.num_drafted += len(row.draft)

    def why_nothing(self, row: Row) -> GrammarEngineError:
        """Why no allowed token has any probability."""
        row.request.matcher.fill_next_token_bitmask(self._single, 0)
        if self._single.any():
            return GrammarEngineError("the model gives no probability to any token that the grammar allows")
        return dead_end(self._vocabulary, row.token_ids)

    def admits(self, row: Row, token_id: int) -> bool:
        """Whether the row can still be completed within its budget behind this token."""
        if row.guard is None:
            return True
        with self.timed():
            return row.guard.admits(row.request.matcher, token_id)

    def planned(self, row: Row) -> int | None:
        """A token that the budget admits for certain; None if the text is complete and must end here."""
        if row.guard is None:
            return None
        with self.timed():
            token_id = row.guard.planned(row.request.matcher)
            return token_id if token_id is not None and row.guard.admits(row.request.matcher, token_id) else None

    def accept(self, row: Row, token_id: int) -> None:
        """Move the row's matcher, and note whether its text ends here."""
        with self.timed():
            matcher = row.request.matcher
            if not matcher.accept_token(token_id):
                raise GrammarEngineError(f"token {token_id} was chosen but is not allowed by the grammar")
            if row.guard is not None:
                row.guard.take(token_id)
            row.num_tokens += 1
            if matcher.is_terminated():
                row.finish_reason = STOP
                return
            row.token_ids.append(token_id)
            if self._most_drafted:
                row.style.read(self._vocabulary.tokens[token_id] or b"")
            if self.must_end(matcher):
                row.finish_reason = STOP
            elif not row.tokens_left:
                row.finish_reason = LENGTH

    def must_end(self, matcher: MatcherLike) -> bool:
        """Whether the text is complete and nothing can follow: then the model need not be asked."""
        if not matcher.is_accepting():
            return False
        matcher.fill_next_token_bitmask(self._single, 0)
        return not bool((self._single[0].view(np.uint32) & self._text_bits).any())

    def _table(self) -> SpellingTable:
        if self._spelling is None:
            self._spelling = SpellingTable(self._vocabulary)
        return self._spelling

    def _fill(self, rows: list[Row]) -> None:
        began = time.perf_counter()
        for row in rows:
            if row.request.steer and row.guard is None:
                search = CompletionSearch(self._table())
                row.guard = BudgetGuard(search, row.request.matcher, row.request.max_tokens)
        self._sent.fill(rows)
        self.seconds += time.perf_counter() - began

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Work in the loop's own thread: the model waits meanwhile."""
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds += spent
        self.wait_seconds += spent
