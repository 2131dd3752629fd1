"""The decoding loop: one batch of prompts to finished texts, every token allowed by its row's matcher.

    logits := prefill(prompts)          beside it: first masks
    repeat:
        apply masks, choose a token per row (again, for a row whose token leaves too little budget)
        every matcher accepts its token
        logits := step(tokens)          beside it: masks of the new positions, in a worker thread

The engine releases the interpreter lock while it works, and so does the model while it multiplies, so on most steps
the masks are ready before the logits are. Finished rows leave the batch.

Reproducible: row i draws from a generator of its own, seeded ``seed + i``, one number per draw; row i of a batch and a
call of its own with that seed draw alike (up to the rounding of the model's arithmetic, which batches differently).
"""

from __future__ import annotations

import codecs
import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from grammar_engine.bitmask import apply_token_bitmask_inplace
from grammar_engine.budget import BudgetGuard
from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.dead_end import dead_end
from grammar_engine.errors import GrammarEngineError
from grammar_engine.forward import CausalForward
from grammar_engine.generation import LENGTH, STOP, Stats, TokenEvent
from grammar_engine.sampling.samplers import Sampler

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.protocols import MatcherLike

_MAX_REDRAWS = 32
"""Draws refused by the budget before the known completion is followed instead; each one removes a token from play."""


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
    """What became of a request. ``complete``: the text is in the language."""

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    log_weight: float
    finish_reason: str
    complete: bool
    stats: Stats


@dataclass(kw_only=True)
class _Row:
    """A request while it is served."""

    index: int
    request: Request
    generator: Any
    guard: BudgetGuard | None = None
    token_ids: list[int] = field(default_factory=list)
    num_tokens: int = 0
    logprob: float = 0.0
    log_weight: float = 0.0
    finish_reason: str = ""
    shown: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))


class _Grammar:
    """Everything that the grammar does for a run, and the time that it takes."""

    def __init__(
        self, vocabulary: Vocabulary, spelling: SpellingTable | None, num_rows: int, worker: ThreadPoolExecutor
    ) -> None:
        words = (vocabulary.size + 31) // 32
        self._vocabulary = vocabulary
        self._bitmask = np.zeros((num_rows, words), np.int32)
        self._single = np.zeros((1, words), np.int32)
        self._text_bits = np.full(words, 0xFFFFFFFF, np.uint32)
        for token_id in vocabulary.stop_token_ids:
            self._text_bits[token_id >> 5] &= np.uint32(0xFFFFFFFF ^ (1 << (token_id & 31)))
        self._spelling = spelling
        self._worker = worker
        self._pending: Future[None] | None = None
        self._count = 0
        self.seconds = 0.0
        self.wait_seconds = 0.0

    def begin_masks(self, rows: Sequence[_Row]) -> None:
        """Start to fill the masks of these rows, in the worker thread."""
        self._count = len(rows)
        self._pending = self._worker.submit(self._fill, list(rows))

    def apply_masks(self, logits: Tensor) -> None:
        """Wait for the masks and write −inf into ``logits`` where a token is not allowed."""
        began = time.perf_counter()
        if self._pending is not None:
            self._pending.result()
            self._pending = None
        waited = time.perf_counter()
        apply_token_bitmask_inplace(logits, self._bitmask[: self._count])
        applied = time.perf_counter()
        self.seconds += applied - waited
        self.wait_seconds += applied - began

    def why_nothing(self, row: _Row) -> GrammarEngineError:
        """Why no allowed token has any probability."""
        row.request.matcher.fill_next_token_bitmask(self._single, 0)
        if self._single.any():
            return GrammarEngineError("the model gives no probability to any token that the grammar allows")
        return dead_end(self._vocabulary, row.token_ids)

    def admits(self, row: _Row, token_id: int) -> bool:
        """Whether the row can still be completed within its budget behind this token."""
        if row.guard is None:
            return True
        with self._timed():
            return row.guard.admits(row.request.matcher, token_id)

    def planned(self, row: _Row) -> int | None:
        """A token that the budget admits for certain; None if the text is complete and must end here."""
        if row.guard is None:
            return None
        with self._timed():
            token_id = row.guard.planned(row.request.matcher)
            return token_id if token_id is not None and row.guard.admits(row.request.matcher, token_id) else None

    def accept(self, row: _Row, token_id: int) -> None:
        """Move the row's matcher, and note whether its text ends here."""
        with self._timed():
            matcher = row.request.matcher
            if not matcher.accept_token(token_id):
                raise GrammarEngineError(f"token {token_id} was chosen but is not allowed by the grammar")
            if row.guard is not None:
                row.guard.take(token_id)
            row.num_tokens += 1
            if matcher.is_terminated():
                row.finish_reason = STOP
                return
            row.token_ids.append(token_id)
            if self.must_end(matcher):
                row.finish_reason = STOP
            elif row.num_tokens >= row.request.max_tokens:
                row.finish_reason = LENGTH

    def must_end(self, matcher: MatcherLike) -> bool:
        """Whether the text is complete and nothing can follow: then the model need not be asked."""
        if not matcher.is_accepting():
            return False
        matcher.fill_next_token_bitmask(self._single, 0)
        return not bool((self._single[0].view(np.uint32) & self._text_bits).any())

    def _fill(self, rows: list[_Row]) -> None:
        began = time.perf_counter()
        for i, row in enumerate(rows):
            matcher = row.request.matcher
            if row.request.steer and row.guard is None:
                if self._spelling is None:
                    self._spelling = SpellingTable(self._vocabulary)
                row.guard = BudgetGuard(CompletionSearch(self._spelling), matcher, row.request.max_tokens)
            matcher.fill_next_token_bitmask(self._bitmask, i)
        self.seconds += time.perf_counter() - began

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Work in the loop's own thread: the model waits meanwhile."""
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds += spent
        self.wait_seconds += spent


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
    ) -> None:
        """Prepare a run.

        Args:
            network: a Hugging Face causal language model whose logits are ``vocabulary.size`` wide.
            vocabulary: the ids that its logits stand for.
            requests: the rows; each with a matcher of its own.
            sampler: how tokens are picked from masked logits.
            pad_token_id: fills the left of shorter prompts.
            spelling: the vocabulary's table for budget steering, if the caller keeps one; else made when needed.
        """
        self._network = network
        self._vocabulary = vocabulary
        self._requests = list(requests)
        self._sampler = sampler
        self._pad_token_id = pad_token_id
        self._spelling = spelling
        self.outcomes: list[Outcome] = []

    def __iter__(self) -> Iterator[TokenEvent]:
        """Decode; to be called once."""
        with ThreadPoolExecutor(1, thread_name_prefix="grammar-engine") as worker:
            yield from self._decode(worker)

    def _decode(self, worker: ThreadPoolExecutor) -> Iterator[TokenEvent]:
        began = time.perf_counter()
        rows = [_Row(index=i, request=r, generator=_generator(r.seed)) for i, r in enumerate(self._requests)]
        grammar = _Grammar(self._vocabulary, self._spelling, len(rows), worker)
        for row in rows:
            if grammar.must_end(row.request.matcher):
                row.finish_reason = STOP
        active = [row for row in rows if not row.finish_reason]
        prefill_seconds = 0.0
        if active:
            grammar.begin_masks(active)
            prompts = [row.request.prompt_ids for row in active]
            forward = CausalForward(self._network, prompts, pad_token_id=self._pad_token_id)
            logits = forward.prefill()
            prefill_seconds = time.perf_counter() - began
        while active:
            yield from self._take_tokens(active, logits, grammar)
            staying = [i for i, row in enumerate(active) if not row.finish_reason]
            if len(staying) < len(active):
                active = [active[i] for i in staying]
                forward.keep(staying)
            if active:
                grammar.begin_masks(active)
                logits = forward.step([row.token_ids[-1] for row in active])
        seconds = time.perf_counter() - began
        for row in rows:
            stats = Stats(
                prompt_tokens=len(row.request.prompt_ids),
                tokens=row.num_tokens,
                seconds=seconds,
                prefill_seconds=prefill_seconds,
                mask_seconds=grammar.seconds,
                mask_wait_seconds=grammar.wait_seconds,
            )
            self.outcomes.append(self._outcome(row, stats))

    def _take_tokens(self, active: list[_Row], logits: Tensor, grammar: _Grammar) -> Iterator[TokenEvent]:
        """Choose and accept one token per row. ``logits`` are masked in place."""
        masses = logits.logsumexp(-1).tolist()
        grammar.apply_masks(logits)
        allowed = logits.logsumexp(-1).tolist()
        for row, mass in zip(active, allowed, strict=True):
            if mass == -math.inf:
                raise grammar.why_nothing(row)
        chosen: list[int] = self._sampler.choose(logits, _uniforms(active, logits)).tolist()
        scores = logits.gather(-1, _column(chosen, logits))[:, 0].tolist()
        for i, row in enumerate(active):
            token_id = chosen[i]
            if not grammar.admits(row, token_id):
                other = self._redraw(row, token_id, logits[i : i + 1], grammar)
                if other is None:
                    row.finish_reason = LENGTH
                    continue
                token_id = other
                scores[i] = float(logits[i, token_id])
            row.logprob += scores[i] - masses[i]
            row.log_weight += allowed[i] - masses[i]
            grammar.accept(row, token_id)
            piece = row.shown.decode(self._vocabulary.tokens[token_id] or b"")
            yield TokenEvent(row=row.index, token_id=token_id, text=piece)

    def _redraw(self, row: _Row, refused: int, logits: Tensor, grammar: _Grammar) -> int | None:
        """Draw again without what the budget refuses. ``logits``: ``(1, V)``; a copy is worked on."""
        rest = logits.clone()
        for _ in range(_MAX_REDRAWS):
            rest[0, refused] = -math.inf
            if not bool(rest.isfinite().any()):
                break
            refused = int(self._sampler.choose(rest, _uniforms([row], rest)))
            if grammar.admits(row, refused):
                return refused
        return grammar.planned(row)

    def _outcome(self, row: _Row, stats: Stats) -> Outcome:
        matcher = row.request.matcher
        return Outcome(
            text=self._vocabulary.decode(row.token_ids).decode("utf-8", "replace"),
            token_ids=tuple(row.token_ids),
            logprob=row.logprob,
            log_weight=row.log_weight,
            finish_reason=row.finish_reason,
            complete=matcher.is_terminated() or matcher.is_accepting(),
            stats=stats,
        )


def _generator(seed: int | None) -> Any:
    import torch

    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def _uniforms(rows: Sequence[_Row], logits: Tensor) -> Tensor:
    import torch

    draws = [torch.rand(1, generator=row.generator, dtype=torch.float64) for row in rows]
    return torch.cat(draws).to(logits.device)


def _column(token_ids: Sequence[int], logits: Tensor) -> Tensor:
    import torch

    return torch.tensor(token_ids, device=logits.device)[:, None]
