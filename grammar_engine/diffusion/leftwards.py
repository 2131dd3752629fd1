"""From the first open slot on, left to right: how a canvas is finished where a schema demands what no grammar says.

Guards (``compiler.guard``: names told apart, items and properties counted, unique items) see texts, not slots, so the
masks of a canvas are exact but for them. Slots may be filled against a guard, and that is seen when the gap before them
closes. Then what is behind the gap is opened again and filled as other models write: each token is followed by a
matcher, which knows its guard, and is taken only if a text is known to fit the slots that remain (``budget``). Where
none is known from the start, what the matcher and the canvas admit is taken, and the text may still come to a dead end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grammar_engine.budget import BudgetGuard
from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar


class Leftwards:
    """A text of which the first tokens stand, and so many slots behind them."""

    def __init__(self, compiled: CompiledGrammar, prefix: Sequence[int], num_slots: int) -> None:
        self._matcher = Matcher(compiled)
        self._stops = compiled.vocabulary.stop_token_ids
        self._follows = all(self._matcher.accept_token(token) for token in prefix)
        search = CompletionSearch(SpellingTable(compiled.vocabulary))
        self._budget = BudgetGuard(search, self._matcher, num_slots)

    @property
    def can_end(self) -> bool:
        """Whether a text is known that fits."""
        return self._follows and self._budget.active

    def admits(self, token: int) -> bool:
        """Whether a text is known that fits behind this token; if none is known at all, whether a matcher takes it."""
        ahead = self._matcher.fork()
        return ahead.accept_token(token) and self._budget.admits(self._matcher, token)

    def planned(self) -> int:
        """A token that is admitted; a stop token where the text has to end."""
        token = self._budget.planned(self._matcher)
        return self._stops[0] if token is None else token

    def take(self, token: int) -> None:
        """Note the next token, which was admitted."""
        self._matcher.accept_token(token)
        self._budget.take(token)
