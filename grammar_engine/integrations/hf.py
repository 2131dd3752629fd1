"""Grammars inside Hugging Face's own ``generate``.

    processor = GrammarLogitsProcessor(compiled)
    model.generate(**inputs, logits_processor=[processor], stopping_criteria=[processor.ahead()])

The second hook is optional. It never stops anything: it is called between the choice of a token and the model's next
forward pass, and starts on the next masks there, in a thread beside the pass.

``generate`` tells a processor nothing about rows: it hands over all ids so far, prompt and left padding included. What
a row has generated is therefore worked out from the ids:

    the first call of a generation is as wide as the prompt (0 wide with ``inputs_embeds``); what follows is generated
    beams trade places             → a row is matched with whichever row of the last call it continues
    drafts are checked and dropped → lengths go back: longest common prefix with a known row, roll back, accept
    a processor is used again      → a row that continues nothing known starts a new generation

Scores are never changed in place, because callers reuse the tensor, and no row is ever all −inf, because greedy
decoding would then answer token 0 without a word. A row that is finished, or that stands behind a draft token which
the grammar refuses, may only stop. Where another processor has forbidden all that the grammar allows, the grammar wins.

Continuous batching packs rows into one and hands over last tokens alone: nothing follows a text there, so it is
refused. (Its ``generate_batch`` takes no processor in the first place: do not use it for constrained texts.)

One case cannot be told apart: a second generation whose prompt is the first one's prompt plus text that was generated
for it, or plus a single token. Call ``reset()`` between such generations.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grammar_engine.bitmask import apply_token_bitmask_inplace
from grammar_engine.dead_end import dead_end
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.mask_buffer import MaskBuffer
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.compiled import CompiledGrammar


Int64Array = npt.NDArray[np.int64]

_MOST_IN_VAIN = 3  # masks begun for ids that nobody asked for, before no more are


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


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """Rows and their masks; ``constrained``: the rows that have one."""

    tracks: list[_Track | None]
    constrained: list[int]
    bitmask: MaskBuffer


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
        self._vocabulary = grammars[0].vocabulary
        self._prompts: Int64Array | None = None
        self._tracks: list[_Track | None] = []
        self._buffer: MaskBuffer | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._pending: tuple[Tensor, Future[_Prepared | None]] | None = None
        self._in_vain = 0

    def reset(self) -> None:
        """Forget the generation under way: the next call starts a new one."""
        self._take_pending(None)
        self._prompts = None
        self._tracks = []
        self._in_vain = 0

    def ahead(self) -> MasksAhead:
        """A stopping criterion that stops nothing, but has the next masks made while the model works."""
        return MasksAhead(self)

    def begin(self, input_ids: Tensor) -> None:
        """Start on the masks for these ids in a thread of its own; a call with the same tensor takes them up.

        Of use between the choice of a token and the next forward pass. Nothing is begun before the first call of a
        generation, nor where calls turn out to come with other ids (beam search).
        """
        self._take_pending(None)
        if self._prompts is None or self._in_vain >= _MOST_IN_VAIN:
            return
        ids = input_ids.cpu().numpy()  # the choice is waited for here, and nothing else
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="grammar-engine")
        self._pending = input_ids, self._worker.submit(self._prepared, ids, input_ids.device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask scores.

        Args:
            input_ids: int64 ``(B, L)``: padding, prompt and what was generated.
            scores: floating point ``(B, V)``.

        Returns:
            A new tensor: −inf where a token is not allowed.

        Raises:
            InvalidArgumentError: the rows cannot be shared out evenly among the grammars, or are none (continuous
                batching).
            UnsatisfiableGrammarError: the vocabulary cannot spell what a grammar demands next.
        """
        num_rows = input_ids.shape[0]
        if num_rows % len(self._compiled):
            raise InvalidArgumentError(f"{num_rows} rows for {len(self._compiled)} grammars", argument="compiled")
        if input_ids.ndim != 2 or scores.ndim != 2 or scores.shape[0] != num_rows:
            raise InvalidArgumentError(
                f"ids {tuple(input_ids.shape)} and scores {tuple(scores.shape)} are not one row per text; continuous "
                "batching is not supported, use generate",
                argument="input_ids",
            )
        prepared = self._take_pending(input_ids)
        if prepared is None:
            ids = input_ids.cpu().numpy()
            prepared = self._prepared(ids, scores.device)
            if prepared is None:
                prepared = self._masks(self._started(ids), scores.device)
        self._tracks = prepared.tracks
        return self._masked(scores, prepared)

    def _take_pending(self, input_ids: Tensor | None) -> _Prepared | None:
        """What was begun for this very tensor; whatever else was begun is waited for and dropped."""
        if self._pending is None:
            return None
        (known, future), self._pending = self._pending, None
        if known is input_ids:
            self._in_vain = 0
            return future.result()
        wait([future])
        self._in_vain += 1
        return None

    def _grammar_of(self, row: int, num_rows: int) -> CompiledGrammar | None:
        return self._compiled[row * len(self._compiled) // num_rows]

    def _started(self, ids: Int64Array) -> list[_Track | None]:
        """All of ``ids`` is prompt."""
        self._prompts = ids.copy()
        self._in_vain = 0
        grammars = [self._grammar_of(row, len(ids)) for row in range(len(ids))]
        return [None if grammar is None else _Track(tokens=(), matcher=Matcher(grammar)) for grammar in grammars]

    def _prepared(self, ids: Int64Array, device: Any) -> _Prepared | None:
        """Tracks and masks for these ids; None if they continue nothing known."""
        tracks = self._followed(ids)
        return None if tracks is None else self._masks(tracks, device)

    def _followed(self, ids: Int64Array) -> list[_Track | None] | None:
        """The rows as continuations of known ones; None if they are not, so that a new generation begins."""
        prompts = self._prompts
        if prompts is None or len(prompts) != len(ids) or ids.shape[1] < prompts.shape[1]:
            return None
        width = prompts.shape[1]
        if not np.array_equal(ids[:, :width], prompts):
            return None
        tracks: list[_Track | None] = []
        for row, generated in enumerate(ids[:, width:].tolist()):
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

    def _masks(self, tracks: list[_Track | None], device: Any) -> _Prepared:
        """The masks of the rows, on their way to the device."""
        if self._buffer is None or self._buffer.device != device:
            self._buffer = MaskBuffer((self._vocabulary.size + 31) // 32, device)
        bitmask = self._buffer.begin(len(tracks))
        constrained = []
        for row, track in enumerate(tracks):
            if track is None:
                bitmask[row] = -1
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
        self._buffer.upload(len(tracks))
        return _Prepared(tracks=tracks, constrained=constrained, bitmask=self._buffer)

    def _masked(self, scores: Tensor, prepared: _Prepared) -> Tensor:
        rows = prepared.bitmask.rows(len(prepared.tracks))
        masked = scores.clone()
        apply_token_bitmask_inplace(masked, rows, prepared.constrained)
        heard = masked.isfinite().any(-1).tolist()
        silent = [row for row in prepared.constrained if not heard[row]]
        if silent:
            masked[silent] = 0.0
            apply_token_bitmask_inplace(masked, rows, silent)
        return masked


class MasksAhead:
    """Between two forward passes: starts on the next masks. A stopping criterion by form, see the module."""

    def __init__(self, processor: GrammarLogitsProcessor) -> None:
        """For the generation of one processor."""
        self._processor = processor

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002 (the form is given)
        """Start on the masks for ``input_ids``. Returns bool ``(B,)``: no row is to stop."""
        self._processor.begin(input_ids)
        return input_ids.new_zeros(len(input_ids), dtype=_bool())


def _bool() -> Any:
    import torch

    return torch.bool


def _common_prefix(known: Sequence[int], given: Sequence[int]) -> int:
    length = min(len(known), len(given))
    if tuple(known[:length]) == tuple(given[:length]):
        return length
    return next(i for i in range(length) if known[i] != given[i])
