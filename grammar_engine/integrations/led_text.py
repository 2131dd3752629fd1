"""A text whose tokens are shown again and again, as logits processors see them, rather than told one by one.

Each time, the text is led from where it stood to where it is said to stand: common prefix, roll back, accept. So
drafts that were dropped, tokens that were taken back and rows that were preempted need no word of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.bitmask import Bitmask

if TYPE_CHECKING:
    from grammar_engine.integrations.served_matcher import ServedMatcher

_LOG = logging.getLogger("grammar_engine.integrations")


class LedText:
    """A request's text in a logits processor.

    vocab_size: V. contested: whether other settings of the request forbid tokens too.
    """

    def __init__(
        self, text: ServedMatcher | None, *, stops: Iterable[int], vocab_size: int, contested: bool = False
    ) -> None:
        """text: at its start; None for a request that may only stop."""
        self._text = text
        self._stops = [i for i in stops if 0 <= i < vocab_size]
        self._tokens: list[int] = []
        self._reported = False
        self.vocab_size = vocab_size
        self.contested = contested

    def fill(self, tokens: Sequence[int], bitmask: Bitmask, index: int) -> None:
        """Row ``index`` of a numpy bitmask := what may follow ``tokens``.

        Behind a token that the grammar does not allow, only stop tokens may: a row must allow something.
        """
        if self._text is not None and self._lead(tokens):
            self._text.fill(bitmask, index)
            return
        bitmask[index] = 0
        row = bitmask[index].view(np.uint32)
        for token_id in self._stops:
            row[token_id >> 5] |= np.uint32(1 << (token_id & 31))

    def _lead(self, tokens: Sequence[int]) -> bool:
        """Go to where the text stands. False if the grammar does not lead there; then as far as it does."""
        text = self._text
        assert text is not None
        known = self._tokens
        keep = _common_prefix(known, tokens)
        text.rollback(len(known) - keep)
        del known[keep:]
        for token_id in tokens[keep:]:
            if not text.accept(token_id):
                if not self._reported:
                    self._reported = True
                    why = text.failure or f"token {token_id} is not allowed there"
                    _LOG.warning("a constrained text was led where its grammar does not go: %s", why)
                return False
            known.append(token_id)
        return True


def _common_prefix(known: Sequence[int], given: Sequence[int]) -> int:
    length = min(len(known), len(given))
    if known[:length] == list(given[:length]):
        return length
    return next(i for i in range(length) if known[i] != given[i])
