"""``generate`` with weighted samplers: requests to populations, and of each the particle that is answered with."""

from __future__ import annotations

import codecs
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grammar_engine.errors import ConditionError
from grammar_engine.forward import CausalForward
from grammar_engine.generation import LENGTH, STOP, Stats, TokenEvent
from grammar_engine.matcher import Matcher
from grammar_engine.requests import Outcome, Request
from grammar_engine.sampling.population import FINISHED, Population
from grammar_engine.sampling.weighted import PopulationRun, PopulationSampler, Work

if TYPE_CHECKING:
    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.progress import Progress


class WeightedRun:
    """One batch from prompts to outcomes. Iterate once; ``outcomes`` is there afterwards.

    Events are yielded where there is one text and it stays (``AWRS``): of several, nobody knows which.
    """

    def __init__(
        self,
        network: Any,
        vocabulary: Vocabulary,
        requests: Sequence[Request],
        sampler: PopulationSampler,
        *,
        pad_token_id: int = 0,
    ) -> None:
        """Prepare a run; arguments as for ``runtime.DecodingRun``. Each row's seed is all its randomness."""
        self._network = network
        self._vocabulary = vocabulary
        self._requests = list(requests)
        self.sampler = sampler
        self._pad_token_id = pad_token_id
        self.outcomes: list[Outcome] = []
        self.on_progress: Callable[[Progress], None] | None = None

    def __iter__(self) -> Iterator[TokenEvent]:
        """Sample; to be called once."""
        began = time.perf_counter()
        # (A chosen particle is drawn by the row's own generator too, so a batch and single calls draw alike.)
        rngs = [np.random.default_rng(request.seed) for request in self._requests]
        run = self.sampler.begin(
            Work(
                forward=self._forward,
                vocabulary=self._vocabulary,
                matchers=[request.matcher for request in self._requests],
                rngs=rngs,
                max_tokens=[request.max_tokens for request in self._requests],
                keys=[self._key(request) for request in self._requests],
            )
        )
        shown = [codecs.getincrementaldecoder("utf-8")("replace") for _ in self._requests]
        first_step = 0.0
        for number in self._steps(run):
            first_step = time.perf_counter() - began if number == 1 else first_step
            if self.on_progress is not None:
                self.on_progress(run.progress())
            if not self.sampler.shows_tokens:
                continue
            for row, token_id in enumerate(run.last_tokens()):
                if token_id >= 0:
                    piece = shown[row].decode(self._vocabulary.tokens[token_id] or b"")
                    yield TokenEvent(row=row, token_id=token_id, text=piece)
        seconds = time.perf_counter() - began
        for request, population, rng in zip(self._requests, run.populations(), rngs, strict=True):
            self.outcomes.append(self._outcome(request, population, rng, seconds, first_step))

    def _steps(self, run: PopulationRun) -> Iterator[int]:
        """Errors of conditions take along what has been written."""
        try:
            yield from run.steps()
        except ConditionError as error:
            error.populations = tuple(run.populations())
            raise

    def _forward(self, rows: Sequence[int]) -> CausalForward:
        prompts = [self._requests[row].prompt_ids for row in rows]
        return CausalForward(self._network, prompts, pad_token_id=self._pad_token_id)

    def _key(self, request: Request) -> Hashable:
        grammar = request.matcher.compiled if isinstance(request.matcher, Matcher) else request.matcher
        return self._network, grammar, tuple(request.prompt_ids)

    def _outcome(
        self, request: Request, population: Population, rng: np.random.Generator, seconds: float, first_step: float
    ) -> Outcome:
        particle = max(population.particles, key=lambda particle: len(particle.token_ids))
        error: ConditionError | None = None
        if any(particle.log_weight > -math.inf for particle in population.particles):
            try:
                particle = self.sampler.chosen(population, rng)
            except ConditionError as raised:  # by a score: the row's error, not that of the whole batch
                raised.populations = (population,)
                error = raised
        finished = particle.state == FINISHED
        return Outcome(
            text=particle.text,
            token_ids=particle.token_ids,
            logprob=particle.logprob,
            log_weight=particle.log_weight,
            finish_reason=STOP if finished else LENGTH,
            complete=finished,
            stats=Stats(
                prompt_tokens=len(request.prompt_ids),
                tokens=len(particle.token_ids) + finished,
                seconds=seconds,
                prefill_seconds=first_step,
                mask_seconds=0.0,
                mask_wait_seconds=0.0,
                passes=population.passes,
            ),
            population=population,
            error=error,
        )
