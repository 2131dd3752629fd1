"""Grammars inside Hugging Face's own ``generate``.

    processor = GrammarLogitsProcessor(compiled)
    model.generate(**inputs, logits_processor=[processor])

``generate`` tells a processor nothing about rows: it hands over all ids so far, prompt and left padding included. What
a row has generated is therefore worked out from the ids:

    the first call of a generation is as wide as the prompt (0 wide with ``inputs_embeds``); what follows is generated
    beams trade places             → a row is matched with whichever row of the last call it continues
    drafts are checked and dropped → lengths go back: longest common prefix with a known row, roll back, accept
    a processor is used again      → a row that continues nothing known starts a new generation

Scores are never changed in place, because callers reuse the tensor, and no row is ever all −inf, because greedy
decoding would then answer token 0 without a word. A row that is finished, or that stands behind a draft token which
the grammar refuses, may only stop. Where another processor has forbidden all that the grammar allows, the grammar wins.

One case cannot be told apart: a second generation whose prompt is the first one's prompt plus text that was generated
for it, or plus a single token. Call ``reset()`` between such generations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.bitmask import apply_token_bitmask_inplace
from grammar_engine.dead_end import dead_end
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.compiled import CompiledGrammar


@dataclass(frozen=True, kw_only=True)
class _Track:
    """A row as it was last seen: what it generated, and a matcher that accepted the first ``accepted`` of it."""

    tokens: tuple[int, ...]
    matcher: Matcher
    accepted: int = 0

    @property
    def ended(self) -> bool:
        """Nothing but a stop token may follow: the text is finished, or a token in it was refused."""
        return self.accepted < len(self.tokens) or self.matcher.is_terminated()

    def moved_to(self, generated: list[int]) -> _Track:
        """The track of a row that shares a prefix with this one. This one stays as it is."""
        keep = min(_common_prefix(self.tokens, generated), self.accepted)
        matcher = self.matcher.fork()
        matcher.rollback(self.accepted - keep)
        while keep < len(generated) and matcher.accept_token(generated[keep]):
            keep += 1
        return _Track(tokens=tuple(generated), matcher=matcher, accepted=keep)


class GrammarLogitsProcessor:
    """Lets ``generate`` choose only tokens that the grammar allows; for any batch, beams and assisted decoding.

    One processor serves one ``generate`` call at a time.
    """

    def __init__(self, compiled: CompiledGrammar | Sequence[CompiledGrammar | None]) -> None:
        """Constrain every row alike, or the i-th prompt by the i-th grammar (None: not constrained).

        With several grammars, each prompt may have any number of rows (beams, ``num_return_sequences``).

        Raises:
            InvalidArgumentError: no grammar is given.
        """
        self._compiled = list(compiled) if isinstance(compiled, Sequence) else [compiled]
        grammars = [grammar for grammar in self._compiled if grammar is not None]
        if not grammars:
            raise InvalidArgumentError("at least one grammar is needed", argument="compiled")
        if any(grammar.vocabulary.size != grammars[0].vocabulary.size for grammar in grammars):
            raise InvalidArgumentError("the grammars are compiled for different vocabularies", argument="compiled")
        if not all(grammar.vocabulary.stop_token_ids for grammar in grammars):
            raise InvalidArgumentError("the vocabulary has no stop token to end a text with", argument="compiled")
        self._prompts: Tensor | None = None
        self._tracks: list[_Track | None] = []

    def reset(self) -> None:
        """Forget the generation under way: the next call starts a new one."""
        self._prompts = None
        self._tracks = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask scores.

        Args:
            input_ids: int64 ``(B, L)``: padding, prompt and what was generated.
            scores: floating point ``(B, V)``.

        Returns:
            A new tensor: −inf where a token is not allowed.

        Raises:
            InvalidArgumentError: the rows cannot be shared out evenly among the grammars.
            UnsatisfiableGrammarError: the vocabulary cannot spell what a grammar demands next.
        """
        if input_ids.shape[0] % len(self._compiled):
            raise InvalidArgumentError(
                f"{input_ids.shape[0]} rows for {len(self._compiled)} grammars", argument="compiled"
            )
        tracks = self._followed(input_ids)
        if tracks is None:
            tracks = self._started(input_ids)
        self._tracks = tracks
        return self._masked(scores)

    def _grammar_of(self, row: int, num_rows: int) -> CompiledGrammar | None:
        return self._compiled[row * len(self._compiled) // num_rows]

    def _started(self, input_ids: Tensor) -> list[_Track | None]:
        """All of ``input_ids`` is prompt."""
        self._prompts = input_ids.clone()
        grammars = [self._grammar_of(row, len(input_ids)) for row in range(len(input_ids))]
        return [None if grammar is None else _Track(tokens=(), matcher=Matcher(grammar)) for grammar in grammars]

    def _followed(self, input_ids: Tensor) -> list[_Track | None] | None:
        """The rows as continuations of known ones; None if they are not, so that a new generation begins."""
        prompts = self._prompts
        if prompts is None or len(prompts) != len(input_ids) or input_ids.shape[1] < prompts.shape[1]:
            return None
        width = prompts.shape[1]
        if not bool((input_ids[:, :width] == prompts).all()):
            return None
        tracks: list[_Track | None] = []
        for row, generated in enumerate(input_ids[:, width:].tolist()):
            grammar = self._grammar_of(row, len(prompts))
            if grammar is None:
                tracks.append(None)
                continue
            track = self._nearest(row, grammar, generated)
            if track is None:
                return None
            tracks.append(track.moved_to(generated))
        return tracks

    def _nearest(self, row: int, grammar: CompiledGrammar, generated: list[int]) -> _Track | None:
        """A known row that holds all but the last of ``generated``; the row's own place first, then the other beams."""
        own = self._tracks[row]
        for track in (own, *self._tracks):
            if (
                track is not None
                and track.matcher.compiled is grammar
                and _common_prefix(track.tokens, generated) >= len(generated) - 1
            ):
                return track
        return None

    def _masked(self, scores: Tensor) -> Tensor:
        vocabulary = next(grammar for grammar in self._compiled if grammar is not None).vocabulary
        bitmask = np.full((len(self._tracks), (vocabulary.size + 31) // 32), -1, np.int32)
        constrained = []
        for row, track in enumerate(self._tracks):
            if track is None:
                continue
            constrained.append(row)
            if track.ended:
                bitmask[row] = 0
                for token_id in track.matcher.compiled.vocabulary.stop_token_ids:
                    bitmask.view(np.uint32)[row, token_id >> 5] |= np.uint32(1 << (token_id & 31))
            else:
                track.matcher.fill_next_token_bitmask(bitmask, row)
                if not bitmask[row].any():
                    raise dead_end(track.matcher.compiled.vocabulary, track.tokens)
        masked = scores.clone()
        apply_token_bitmask_inplace(masked, bitmask, constrained)
        silent = [row for row in constrained if not bool(masked[row].isfinite().any())]
        if silent:
            masked[silent] = 0.0
            apply_token_bitmask_inplace(masked, bitmask, silent)
        return masked


def _common_prefix(known: Sequence[int], given: Sequence[int]) -> int:
    length = min(len(known), len(given))
    if tuple(known[:length]) == tuple(given[:length]):
        return length
    return next(i for i in range(length) if known[i] != given[i])
