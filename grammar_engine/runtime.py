"""The decoding loop: one batch of prompts to finished texts, every token allowed by its row's matcher.

    logits := prefill(prompts)               beside it: first masks
    repeat:
        apply masks, choose a token per row (again, for a row whose token leaves too little budget)
        every matcher accepts its token; while it is the one that was drafted, the row goes on with the next logits
        draft what the grammar lets us guess
        logits := chunk(tokens and drafts)   beside it: masks of the new positions, in a worker thread

A chosen token costs one pass of the model; a drafted one that is confirmed costs none (``grammar_engine.drafts``). On
most steps the masks are ready before the logits are (``grammar_engine.row_masks``). Finished rows leave the batch.

Reproducible: row i draws from a generator of its own, seeded ``seed + i``, one number per draw; row i of a batch and a
call of its own with that seed draw alike, with or without drafts (up to the rounding of the model's arithmetic, which
depends on the shape of what it multiplies).
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from grammar_engine.completion import SpellingTable
from grammar_engine.forward import CausalForward
from grammar_engine.generation import LENGTH, STOP, Stats, TokenEvent
from grammar_engine.requests import Outcome, Request, Row
from grammar_engine.row_masks import RowMasks
from grammar_engine.sampling.repetition import Visits, choose_penalized
from grammar_engine.sampling.samplers import Greedy, Sample, Sampler

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.vocabulary import Vocabulary

__all__ = ["DecodingRun", "Outcome", "Request"]

_MAX_REDRAWS = 32
"""Draws refused by the budget before the known completion is followed instead; each one removes a token from play."""


class DecodingRun:
    """One batch from prompts to outcomes. Iterate for tokens as they come; ``outcomes`` is there afterwards."""

    def __init__(
        self,
        network: Any,
        vocabulary: Vocabulary,
        requests: Sequence[Request],
        sampler: Sampler,
        *,
        pad_token_id: int = 0,
        spelling: SpellingTable | None = None,
        drafts: int = 0,
    ) -> None:
        """Prepare a run.

        Args:
            network: a Hugging Face causal language model whose logits are ``vocabulary.size`` wide.
            vocabulary: the ids that its logits stand for.
            requests: the rows; each with a matcher of its own.
            sampler: how tokens are picked from masked logits.
            pad_token_id: fills the left of shorter prompts.
            spelling: the vocabulary's table for budget steering, if the caller keeps one; else made when needed.
            drafts: most tokens per row to guess from the grammar and verify in one pass; 0: none. Where the network
                cannot take tokens back (sliding windows, recurrent layers), none are guessed.
        """
        self._network = network
        self._vocabulary = vocabulary
        self._requests = list(requests)
        self._sampler = sampler
        self._repetition = sampler.repetition if isinstance(sampler, (Greedy, Sample)) else None
        self._pad_token_id = pad_token_id
        self._spelling = spelling
        self._drafts = drafts
        self.outcomes: list[Outcome] = []

    def __iter__(self) -> Iterator[TokenEvent]:
        """Decode; to be called once."""
        with ThreadPoolExecutor(1, thread_name_prefix="grammar-engine") as worker:
            yield from self._decode(worker)

    def _decode(self, worker: ThreadPoolExecutor) -> Iterator[TokenEvent]:
        began = time.perf_counter()
        rows = [Row(index=i, request=r, generator=_generator(r.seed)) for i, r in enumerate(self._requests)]
        masks = RowMasks(
            self._vocabulary, self._spelling, worker, device=self._network.device, most_drafted=self._drafts
        )
        for row in rows:
            if masks.must_end(row.request.matcher):
                row.finish_reason = STOP
            if self._repetition is not None:
                row.visits = Visits(self._repetition, row.request.matcher)
        active = [row for row in rows if not row.finish_reason]
        prefill_seconds, passes = 0.0, 0
        if active:
            masks.begin(active)
            prompts = [row.request.prompt_ids for row in active]
            forward = CausalForward(self._network, prompts, pad_token_id=self._pad_token_id)
            logits = forward.prefill()[:, None]
            prefill_seconds = time.perf_counter() - began
        while active:
            kept = yield from self._take_tokens(active, logits, masks)
            if logits.shape[1] > 1:
                forward.settle([1 + count for count in kept])
            staying = [i for i, row in enumerate(active) if not row.finish_reason]
            if len(staying) < len(active):
                active = [active[i] for i in staying]
                forward.keep(staying)
            if active:
                if forward.takes_chunks:
                    masks.draft(active)
                masks.begin(active)
                logits = forward.chunk([[row.token_ids[-1], *row.draft] for row in active])
            passes = forward.passes
        seconds = time.perf_counter() - began
        for row in rows:
            stats = Stats(
                prompt_tokens=len(row.request.prompt_ids),
                tokens=row.num_tokens,
                seconds=seconds,
                prefill_seconds=prefill_seconds,
                mask_seconds=masks.seconds,
                mask_wait_seconds=masks.wait_seconds,
                passes=passes,
                drafted_tokens=row.num_drafted,
                confirmed_tokens=row.num_confirmed,
            )
            self.outcomes.append(self._outcome(row, stats))

    def _take_tokens(
        self, active: list[Row], logits: Tensor, masks: RowMasks
    ) -> Generator[TokenEvent, None, list[int]]:
        """Choose and accept a token per row, and more where drafts are confirmed. Returns how many drafts of each are.

        ``logits``: ``(B, 1 + longest draft, V)``, ``[i, j]`` behind j drafted tokens of row i; masked in place.
        """
        masks.wait()
        kept = [0] * len(active)
        alive = list(range(len(active)))
        for depth in range(logits.shape[1]):
            behind = logits[:, depth] if len(alive) == len(active) else logits[alive, depth]
            yield from self._take_one(active, alive, depth, behind, masks)
            # A text that ends with a drafted token needs nothing behind it.
            alive = [
                i
                for i in alive
                if not active[i].finish_reason and active[i].token_ids[-1:] == active[i].draft[depth : depth + 1]
            ]
            for i in alive:
                kept[i] += 1
                active[i].num_confirmed += 1
            if not alive:
                break
        return kept

    def _take_one(
        self, active: list[Row], alive: list[int], depth: int, logits: Tensor, masks: RowMasks
    ) -> Iterator[TokenEvent]:
        """Choose and accept one token for each row that is alive. ``logits``: ``(len(alive), V)``, masked in place."""
        rows = [active[i] for i in alive]
        masses = logits.logsumexp(-1).tolist()
        masks.apply(logits, alive, depth)
        allowed = logits.logsumexp(-1).tolist()
        for i, row in enumerate(rows):
            if allowed[i] == -math.inf:
                row.error, row.finish_reason = masks.why_nothing(row), LENGTH
                logits[i] = 0.0  # what is chosen for it is not looked at
        chosen: list[int] = self._sampler.choose(logits, _uniforms(rows, logits)).tolist()
        corrections = self._penalize(rows, chosen, logits)
        scores = logits.gather(-1, _column(chosen, logits))[:, 0].tolist()
        for i, row in enumerate(rows):
            if row.error is not None:
                continue
            token_id = chosen[i]
            if not masks.admits(row, token_id):
                other = self._redraw(row, token_id, logits[i : i + 1], masks)
                if other is None:
                    row.finish_reason = LENGTH
                    continue
                token_id, corrections[i] = other, 0.0
                scores[i] = float(logits[i, token_id])
            row.logprob += scores[i] - masses[i]
            row.log_weight += allowed[i] - masses[i] + corrections[i]
            masks.accept(row, token_id)
            if row.visits is not None and not row.finish_reason:
                row.visits.note()
            piece = row.shown.decode(self._vocabulary.tokens[token_id] or b"")
            yield TokenEvent(row=row.index, token_id=token_id, text=piece)

    def _penalize(self, rows: list[Row], chosen: list[int], logits: Tensor) -> list[float]:
        """Choose anew where a penalty on repetition may apply; changes ``chosen``. Returns logs of weights."""
        corrections = [0.0] * len(rows)
        sampler = self._sampler
        if isinstance(sampler, (Greedy, Sample)):
            for i, row in enumerate(rows):
                if row.visits is not None and row.visits.any_penalty:
                    chosen[i], corrections[i] = choose_penalized(sampler, row.visits, logits[i : i + 1], row.generator)
        return corrections

    def _redraw(self, row: Row, refused: int, logits: Tensor, masks: RowMasks) -> int | None:
        """Draw again without what the budget refuses. ``logits``: ``(1, V)``; a copy is worked on."""
        rest = logits.clone()
        for _ in range(_MAX_REDRAWS):
            rest[0, refused] = -math.inf
            if not bool(rest.isfinite().any()):
                break
            refused = int(self._sampler.choose(rest, _uniforms([row], rest)))
            if masks.admits(row, refused):
                return refused
        return masks.planned(row)

    def _outcome(self, row: Row, stats: Stats) -> Outcome:
        matcher = row.request.matcher
        return Outcome(
            text=self._vocabulary.decode(row.token_ids).decode("utf-8", "replace"),
            token_ids=tuple(row.token_ids),
            logprob=row.logprob,
            log_weight=row.log_weight,
            finish_reason=row.finish_reason,
            complete=matcher.is_terminated() or matcher.is_accepting(),
            stats=stats,
            error=row.error,
        )


def _generator(seed: int | None) -> Any:
    import torch

    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def _uniforms(rows: Sequence[Row], logits: Tensor) -> Tensor:
    import torch

    draws = [torch.rand(1, generator=row.generator, dtype=torch.float64) for row in rows]
    return torch.cat(draws).to(logits.device)


def _column(token_ids: Sequence[int], logits: Tensor) -> Tensor:
    import torch

    return torch.tensor(token_ids, device=logits.device)[:, None]
