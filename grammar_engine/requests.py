"""Rows of a batch: what is asked for, what is known while it is served, what became of it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grammar_engine.drafts import Style
from grammar_engine.generation import Stats

if TYPE_CHECKING:
    from grammar_engine.budget import BudgetGuard
    from grammar_engine.errors import GrammarEngineError
    from grammar_engine.protocols import MatcherLike
    from grammar_engine.sampling.population import Population
    from grammar_engine.sampling.repetition import Visits


@dataclass(frozen=True, kw_only=True)
class Request:
    """One row: a prompt and where its text must end up."""

    prompt_ids: Sequence[int]
    matcher: MatcherLike
    max_tokens: int
    seed: int | None = None
    steer: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a request. ``complete``: the text is in the language. ``population``: of a weighted run.

    ``error``: why the row could not go on, or be answered with one of its texts.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    log_weight: float
    finish_reason: str
    complete: bool
    stats: Stats
    population: Population | None = None
    error: GrammarEngineError | None = None


@dataclass(kw_only=True)
class Row:
    """A request while it is served."""

    index: int
    request: Request
    guard: BudgetGuard | None = None
    visits: Visits | None = None
    token_ids: list[int] = field(default_factory=list)
    num_tokens: int = 0
    logprob: float = 0.0
    log_weight: float = 0.0
    finish_reason: str = ""
    error: GrammarEngineError | None = None
    shown: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    style: Style = field(default_factory=Style)
    draft: list[int] = field(default_factory=list)
    num_drafted: int = 0
    num_confirmed: int = 0

    @property
    def tokens_left(self) -> int:
        """How many tokens the budget still has."""
        return self.request.max_tokens - self.num_tokens
