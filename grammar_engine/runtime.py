"""The decoding loop: one batch of prompts to finished texts, every token allowed by its row's matcher.

    logits := prefill(prompts)               beside it: first masks
    repeat:
        apply masks, choose a token per row (again, for a row whose token leaves too little budget)
        every matcher accepts its token; while it is the one that was drafted, the row goes on with the next logits
        draft what the grammar lets us guess
        logits := chunk(tokens and drafts)   beside it: masks of the new positions, in a worker thread

A chosen token costs one pass of the model; a drafted one that is confirmed costs none (``grammar_engine.drafts``). On
most steps the masks are ready before the logits are (``grammar_engine.row_masks``). Finished rows leave the batch.

Reproducible: row i draws from a generator of its own, seeded ``seed + i``, one number per draw, or on the device from
noise of (seed, number of the token); row i of a batch and a call of its own with that seed draw alike, with or without
drafts (up to the rounding of the model's arithmetic, which depends on the shape of what it multiplies).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from grammar_engine.completion import SpellingTable
from grammar_engine.draws import Draws
from grammar_engine.forward import CausalForward
from grammar_engine.generation import LENGTH, STOP, Stats, TokenEvent
from grammar_engine.host_draws import HostDraws, HostMasks
from grammar_engine.requests import Outcome, Request, Row
from grammar_engine.row_masks import RowMasks
from grammar_engine.sampling.repetition import Visits
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
        draws_on_device: bool | None = None,
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
            draws_on_device: whether tokens are drawn where the logits are (``grammar_engine.device.draws``), which is
                for ``Greedy`` and ``Sample`` without a penalty; other samplers draw as ever. None: if that is a GPU.
                The two ways draw other tokens from one seed, of the same distribution.
        """
        self._network = network
        self._vocabulary = vocabulary
        self._requests = list(requests)
        self._sampler = sampler
        self._repetition = sampler.repetition if isinstance(sampler, (Greedy, Sample)) else None
        self._pad_token_id = pad_token_id
        self._spelling = spelling
        self._drafts = drafts
        self._draws_on_device = draws_on_device
        self.outcomes: list[Outcome] = []

    def __iter__(self) -> Iterator[TokenEvent]:
        """Decode; to be called once."""
        with ThreadPoolExecutor(1, thread_name_prefix="grammar-engine") as worker:
            yield from self._decode(worker)

    def _decode(self, worker: ThreadPoolExecutor) -> Iterator[TokenEvent]:
        began = time.perf_counter()
        rows = [Row(index=i, request=request) for i, request in enumerate(self._requests)]
        masks, draws = self._choosing(rows, worker)
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
            # What is written to must be a copy; what the device draws from stays as it is.
            on_host = isinstance(draws, HostDraws)
            forward = CausalForward(self._network, prompts, pad_token_id=self._pad_token_id, copies_logits=on_host)
            logits = forward.prefill()[:, None]
            prefill_seconds = time.perf_counter() - began
        while active:
            kept = yield from self._take_tokens(active, logits, masks, draws)
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

    def _choosing(self, rows: list[Row], worker: ThreadPoolExecutor) -> tuple[RowMasks, Draws]:
        """Where masks go, and what chooses tokens from them."""
        device, sampler = self._network.device, self._sampler
        wanted = device.type == "cuda" if self._draws_on_device is None else self._draws_on_device
        if wanted and isinstance(sampler, (Greedy, Sample)) and sampler.repetition is None:
            from grammar_engine.device.draws import DeviceDraws, DeviceMasks

            there = DeviceMasks(self._vocabulary, device)
            masks = RowMasks(self._vocabulary, self._spelling, worker, sent=there, most_drafted=self._drafts)
            return masks, DeviceDraws(sampler, rows, there)
        here = HostMasks(self._vocabulary, device)
        masks = RowMasks(self._vocabulary, self._spelling, worker, sent=here, most_drafted=self._drafts)
        return masks, HostDraws(sampler, masks, here)

    def _take_tokens(
        self, active: list[Row], logits: Tensor, masks: RowMasks, draws: Draws
    ) -> Generator[TokenEvent, None, list[int]]:
        """Choose and accept a token per row, and more where drafts are confirmed. Returns how many drafts of each are.

        ``logits``: ``(B, 1 + longest draft, V)``, ``[i, j]`` behind j drafted tokens of row i; may be written to.
        """
        masks.wait()
        draws.take(active, logits)
        kept = [0] * len(active)
        alive = list(range(len(active)))
        for depth in range(logits.shape[1]):
            yield from self._take_one(active, alive, depth, masks, draws)
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
        self, active: list[Row], alive: list[int], depth: int, masks: RowMasks, draws: Draws
    ) -> Iterator[TokenEvent]:
        """Choose and accept one token for each row that is alive."""
        for place, (i, choice) in enumerate(zip(alive, draws.choose(alive, depth), strict=True)):
            row = active[i]
            if choice is None:
                row.error, row.finish_reason = masks.why_nothing(row), LENGTH
                continue
            if not masks.admits(row, choice.token_id):
                other = _another(row, place, choice.token_id, masks, draws)
                if other is None:
                    row.finish_reason = LENGTH
                    continue
                choice = draws.scored(place, other)
            row.logprob += choice.logprob
            row.log_weight += choice.log_weight
            masks.accept(row, choice.token_id)
            if row.visits is not None and not row.finish_reason:
                row.visits.note()
            piece = row.shown.decode(self._vocabulary.tokens[choice.token_id] or b"")
            yield TokenEvent(row=row.index, token_id=choice.token_id, text=piece)

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


def _another(row: Row, place: int, refused: int, masks: RowMasks, draws: Draws) -> int | None:
    """Draw again without what the budget refuses; None if the text must end here."""
    others = [refused]
    for _ in range(_MAX_REDRAWS):
        token_id = draws.again(place, others)
        if token_id is None:
            break
        if masks.admits(row, token_id):
            return token_id
        others.append(token_id)
    return masks.planned(row)
