"""``ge.generate`` with a diffusion model: the same arguments, values and errors as with other models.

Tokens are told of when they join what is finished: the slots before the first open one. So the pieces of a stream are
in order, and come in bursts.
"""

from __future__ import annotations

import codecs
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine.diffusion.fill import Fill, as_sampler
from grammar_engine.diffusion.generation import prepare_run
from grammar_engine.generation import Stats, TokenEvent
from grammar_engine.requests import Outcome

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.diffusion.interface import DiffusionModel
    from grammar_engine.diffusion.loop import DiffusionRun
    from grammar_engine.diffusion.records import DiffusionResult
    from grammar_engine.prompts import Prompt


class FillingRun:
    """One batch from prompts to outcomes, as ``runtime.DecodingRun`` is for other models."""

    def __init__(
        self,
        model: DiffusionModel,
        prompts: Sequence[Prompt],
        compiled: CompiledGrammar,
        sampler: object,
        *,
        max_tokens: int,
        seed: int | None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Prepare a run: what is wrong with the arguments is said here."""
        fill = sampler if isinstance(sampler, Fill) else Fill(sampler=as_sampler(sampler, None))
        self._compiled = compiled
        self._run: DiffusionRun = prepare_run(
            model,
            prompts,
            compiled,
            method=fill.method,
            schedule=fill.schedule,
            most_slots=max_tokens,
            steps=fill.steps,
            sampler=as_sampler(fill.sampler, None),
            seed=seed,
            lave=fill.lave,
            tools=tools,
        )
        self.outcomes: list[Outcome] = []

    @property
    def slots(self) -> int:
        """Length of the canvas."""
        return len(self._run.rows[0].ids)

    def __iter__(self) -> Iterator[TokenEvent]:
        """Fill; to be called once."""
        began = time.perf_counter()
        first = 0.0
        shown = [_Shown(self._compiled) for _ in self._run.rows]
        for record in self._run.steps():
            first = first or time.perf_counter() - began
            yield from shown[record.row].events(record.row, record.token_ids, self._run.mask_id)
        results = self._run.results(str)
        self.outcomes = [self._outcome(result, first) for result in results]

    def _outcome(self, result: DiffusionResult[str], first: float) -> Outcome:
        return Outcome(
            text=result.text,
            token_ids=result.token_ids,
            logprob=result.logprob,
            log_weight=math.nan,
            finish_reason=result.finish_reason,
            complete=result.complete,
            stats=Stats(
                prompt_tokens=result.prompt_tokens,
                tokens=min(len(result.token_ids) + 1, len(result.canvas)),
                seconds=result.seconds,
                prefill_seconds=first,
                mask_seconds=result.grammar_seconds,
                mask_wait_seconds=result.grammar_seconds,
                passes=result.counters.forwards,
            ),
        )


class _Shown:
    """How much of a text has been told of."""

    def __init__(self, compiled: CompiledGrammar) -> None:
        self._tokens = compiled.shown.tokens
        self._stops = frozenset(compiled.shown.stop_token_ids)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._count = 0
        self._ended = False

    def events(self, row: int, canvas: Sequence[int], mask_id: int) -> Iterator[TokenEvent]:
        while self._count < len(canvas) and canvas[self._count] != mask_id and not self._ended:
            token = canvas[self._count]
            self._count += 1
            self._ended = token in self._stops
            yield TokenEvent(row=row, token_id=token, text=self._decoder.decode(self._tokens[token] or b""))
