"""A matcher as serving engines drive it, whichever engine it is.

    a request has stop tokens of its own    they end the text where it is complete, and are masked elsewhere
    a grammar may name one of them          (a structural tag) then it is a token of the text where the grammar says so
    drafts are tried and taken back         the stop tokens count as steps too
    an engine can't be told of a dead end   such a row allows only to stop, and the stop is then refused

The last line is for what is known only in the midst of a text: a vocabulary that cannot spell what must follow, a part
of a schema whose expansion exceeds a limit. Raising there would end the engine, not the request. A refused token ends
the request with an error in every host; what must not happen is that its text goes on unconstrained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.bitmask import Bitmask, as_uint32_rows
from grammar_engine.errors import GrammarEngineError, InvalidArgumentError
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    import numpy.typing as npt

    from grammar_engine.compiler.compiled import CompiledGrammar


class ServedMatcher:
    """Follows one request's text. Not thread-safe itself.

    State: the text's position, behind it ``ended`` stop tokens.
    """

    def __init__(self, compiled: CompiledGrammar, stop_token_ids: Iterable[int] | None = None) -> None:
        """Start at the empty text.

        Args:
            compiled: the grammar.
            stop_token_ids: the ids at which the host ends this text; default: the vocabulary's.

        Raises:
            InvalidArgumentError: no id of the vocabulary ends the text.
        """
        own = frozenset(compiled.stop_ids.tolist())
        size = compiled.vocabulary.size
        stops = own if stop_token_ids is None else frozenset(i for i in stop_token_ids if 0 <= i < size)
        if not stops:
            raise InvalidArgumentError(
                "a constrained text needs a token to end with, and the model has none", argument="stop_token_ids"
            )
        self._compiled = compiled
        self._matcher = Matcher(compiled)
        self._stops = stops
        self._named = compiled.closing_ids  # the matcher knows where these are text, and where they end it
        self._size = size
        self._cleared = own - stops - self._named
        self._differing = sorted(own ^ stops)  # what the matcher's own masks do not say
        self._ended = 0
        self._failure: GrammarEngineError | None = None
        self._bitmask: Bitmask = None
        self._rows: npt.NDArray[np.uint32] = np.zeros((0, (size + 31) // 32), np.uint32)

    @property
    def compiled(self) -> CompiledGrammar:
        """The grammar."""
        return self._compiled

    @property
    def num_tokens(self) -> int:
        """How many tokens ``rollback`` can take back."""
        return self._matcher.num_tokens + self._ended

    @property
    def failure(self) -> GrammarEngineError | None:
        """Why the text cannot go on from here, if the last mask or token found that out; None after any step."""
        return self._failure

    def fork(self) -> ServedMatcher:
        """The same grammar and stop tokens at the empty text."""
        return ServedMatcher(self._compiled, self._stops)

    def accept(self, token_id: int) -> bool:
        """Append a token. False, and nothing changes, if it is not allowed here or is no id at all."""
        self._failure = None
        if self.is_terminated():
            accepted = token_id in self._stops
            self._ended += accepted
            return accepted
        if not 0 <= token_id < self._size or token_id in self._cleared:
            return False
        if token_id in self._stops and token_id not in self._named:
            accepted = self._matcher.is_accepting()
            self._ended += accepted
            return accepted
        try:
            if token_id in self._named and token_id not in self._stops:
                return self._matcher.accept_bytes(self._spelling(token_id))  # as text, never as an end
            return self._matcher.accept_token(token_id)
        except GrammarEngineError as error:
            self._failure = error
            return False

    def accept_all(self, token_ids: Iterable[int]) -> bool:
        """Append tokens, all of them or none."""
        for count, token_id in enumerate(token_ids):
            if not self.accept(token_id):
                failure = self._failure
                self.rollback(count)
                self._failure = failure
                return False
        return True

    def validate(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens, from the first on, could be accepted up to the end of the text; nothing changes."""
        if self.is_terminated():
            return 0
        count = 0
        for token_id in token_ids:
            if self.is_terminated() or not self.accept(token_id):
                break
            count += 1
        self.rollback(count)
        return count

    def rollback(self, num_tokens: int) -> None:
        """Take back the last tokens. ValueError, and nothing changes, if there are not so many."""
        if not 0 <= num_tokens <= self.num_tokens:
            raise ValueError(f"cannot take back {num_tokens} tokens of {self.num_tokens}")
        stops = min(num_tokens, self._ended)
        self._ended -= stops
        self._matcher.rollback(num_tokens - stops)
        self._failure = None

    def reset(self) -> None:
        """Back to the empty text."""
        self._matcher.reset()
        self._ended = 0
        self._failure = None

    def is_terminated(self) -> bool:
        """Whether a stop token has been accepted."""
        return self._ended > 0 or self._matcher.is_terminated()

    def is_accepting(self) -> bool:
        """Whether the text may end here."""
        return self.is_terminated() or self._matcher.is_accepting()

    def fill(self, bitmask: Bitmask, index: int) -> None:
        """Row ``index`` of an int32 ``(batch, ceil(V/32))`` array or CPU tensor := what may come next.

        After the end of the text, and where it cannot go on, that is stop tokens only; see the module.
        """
        if bitmask is not self._bitmask:
            self._rows = as_uint32_rows(bitmask, (self._size + 31) // 32)
            self._bitmask = bitmask
        row = self._rows[index]
        self._failure = None
        if not self.is_terminated():
            try:
                self._matcher.fill_next_token_bitmask(bitmask, index)
                if self._differing:
                    self._adapt(row)
                if row.any():
                    return
                from grammar_engine.dead_end import dead_end

                self._failure = dead_end(self._compiled.vocabulary, ())
            except GrammarEngineError as error:
                self._failure = error
        row[:] = 0
        for token_id in self._stops:
            row[token_id >> 5] |= np.uint32(1 << (token_id & 31))

    def jump_forward_bytes(self) -> bytes:
        """The longest continuation that every text from here shares; see ``Matcher``."""
        return b"" if self.is_terminated() else self._matcher.jump_forward_bytes()

    def _adapt(self, row: npt.NDArray[np.uint32]) -> None:
        """From the vocabulary's stop tokens to the request's."""
        may_end = self._matcher.is_accepting()
        for token_id in self._differing:
            bit = np.uint32(1 << (token_id & 31))
            if token_id in self._stops and may_end:
                row[token_id >> 5] |= bit
            elif token_id not in self._named or (may_end and not self._is_text(token_id)):
                row[token_id >> 5] &= ~bit

    def _is_text(self, token_id: int) -> bool:
        """Whether the grammar has one of the tokens that it names here."""
        accepted = self._matcher.accept_bytes(self._spelling(token_id))
        self._matcher.rollback(accepted)
        return accepted

    def _spelling(self, token_id: int) -> bytes:
        return self._compiled.vocabulary[token_id] or b""
