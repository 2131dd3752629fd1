"""Budget steering: a text that is begun is also finished before the tokens run out.

Before a token is taken, a completion behind it is looked for; a token whose shortest known completion does not fit
into the tokens that are left is refused, and the sampler draws again. Nothing is forced while there is room, so the
model's choice is untouched until the last moment at which it can still be honoured.

    plan(p): a text that completes position p, split into n(p) tokens
    take t at p with r tokens left (t included)  ⇔  n(p·t) ≤ r − 1
    the first token of plan(p) leaves n(p) − 1: there is always one token that may be taken

A text walked byte by byte never needs more tokens than it has bytes, so it is split only where its bytes outnumber
the tokens that are left.
"""

from __future__ import annotations

from grammar_engine.completion import CompletionSearch
from grammar_engine.protocols import MatcherLike


class BudgetGuard:
    """Decides token by token whether a text can still be completed within the budget.

    The guard is idle (admits everything) if no completion that fits is known at the start: then the budget is too
    small as far as anybody knows, and the caller reports the text as incomplete.
    """

    def __init__(self, search: CompletionSearch, matcher: MatcherLike, max_tokens: int) -> None:
        self._search = search
        self._left = max_tokens
        self._ahead: tuple[int, bytes | None] | None = None
        self._searched = False
        self.active, self._plan = self._fits(matcher, max_tokens, None)
        self._searched = False  # that search was before the first step

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
        self._searched = False

    def _fits(self, matcher: MatcherLike, limit: int, inherited: bytes | None) -> tuple[bool, bytes | None]:
        """Whether a completion within ``limit`` tokens is known, and its text if room is so short that it matters."""
        length = self._search.quick_length(matcher)
        if length is not None and length <= limit:
            return True, None
        if inherited is not None and self._count(inherited) <= limit:
            return True, inherited
        text = self._search.quick(matcher)
        if text is not None and self._count(text) <= limit:
            return True, text
        # One search per step: a planned token is there in any case, and a draw that is refused wrongly costs little.
        if self._searched:
            return False, None
        self._searched = True
        text = self._search.thorough(matcher)
        return (True, text) if text is not None and self._count(text) <= limit else (False, None)

    def _count(self, text: bytes) -> int:
        token_ids = self._search.spelling.split(text)
        return len(text) if token_ids is None else len(token_ids)
