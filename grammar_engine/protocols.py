"""What the runtime needs from a matcher: the few verbs of ``Matcher`` that a decoding loop uses.

The loop, the budget search and the Hugging Face processor are written against this, so that their tests can run on a
matcher whose answers are obvious (a list of allowed texts), and so that they stay honest about what they touch.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Bitmask = npt.NDArray[np.int32]
"""int32 ``(batch, ceil(V / 32))``; bit i % 32 of word i // 32 is 1 where token i is allowed."""


class MatcherLike(Protocol):
    """A position in a language; see ``grammar_engine.matcher.Matcher``."""

    @property
    def position(self) -> Hashable:
        """Equal for two matchers of one grammar only if the same continuations are allowed to both."""

    def fill_next_token_bitmask(self, bitmask: Bitmask, index: int = 0) -> None:
        """Write the mask of the next token into row ``index``."""

    def accept_token(self, token_id: int) -> bool:
        """Move over a token; False and unchanged if it is not allowed."""

    def rollback(self, num_tokens: int) -> None:
        """Take back that many accepted tokens."""

    def fork(self) -> MatcherLike:
        """An independent matcher at the same position."""

    def is_accepting(self) -> bool:
        """Whether the text so far is in the language."""

    def is_terminated(self) -> bool:
        """Whether a stop token has been accepted."""


def token_bits(row: npt.NDArray[np.int32], token_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of ``token_ids`` are allowed by one row of a bitmask."""
    words = row.view(np.uint32)[token_ids >> 5]
    bits: npt.NDArray[np.bool_] = (words >> (token_ids & 31).astype(np.uint32)) & np.uint32(1) != 0
    return bits
