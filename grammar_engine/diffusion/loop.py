"""Decoding with a masked diffusion model: prompts in, filled canvases out.

    for each block of slots, from the left:
        while a row has an open slot in it:
            logits := one pass over all rows
            each such row fills some of its open slots (``rows``, ``lave``), as its schedule says
            behind a stop token everything is filled at once

Rows of a batch go from block to block together, so that an adapter may cache what stands before the block; a row that
is full leaves the batch at the end of a block. Row i draws from a generator of its own, seeded ``seed + i``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grammar_engine.diffusion.exact import ExactRow
from grammar_engine.diffusion.guesses import Guesser
from grammar_engine.diffusion.lave import LaveRow
from grammar_engine.diffusion.lookahead import LaveSettings, Prefix
from grammar_engine.diffusion.protocols import NewCanvas
from grammar_engine.diffusion.records import DiffusionResult, StepRecord
from grammar_engine.diffusion.rows import FreeRow, Row, Setting
from grammar_engine.diffusion.schedules import Schedule, quota, quotas
from grammar_engine.errors import GrammarEngineError
from grammar_engine.generation import LENGTH, STOP
from grammar_engine.matcher import Matcher
from grammar_engine.sampling.samplers import Sampler

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.diffusion.interface import DiffusionModel

OnStep = Callable[[StepRecord], None]

EXACT = "exact"
LAVE = "lave"
NONE = "none"
METHODS = (EXACT, LAVE, NONE)


class DiffusionRun:
    """One batch. ``fill`` once; ``results`` afterwards."""

    def __init__(
        self,
        model: DiffusionModel,
        compiled: CompiledGrammar,
        prompts: Sequence[Sequence[int]],
        canvas: Sequence[int],
        *,
        method: str,
        schedule: Schedule,
        steps: int | None,
        sampler: Sampler,
        seed: int | None,
        lave: LaveSettings,
        new_canvas: NewCanvas,
        audit: bool = False,
    ) -> None:
        """Prepare a batch; arguments are checked by ``generate``.

        prompts: token ids of each row. canvas: what all of them start with. audit: count LAVE's false answers.
        """
        self._model = model
        self._compiled = compiled
        self._prompts = [list(prompt) for prompt in prompts]
        self._canvas = list(canvas)
        self._blocks = schedule.blocks(len(canvas))
        self._quotas = quotas(steps, self._blocks)
        ends = {*model.stop_token_ids, model.pad_token_id}
        setting = Setting(
            guesser=Guesser(sampler, never=[model.mask_token_id], ends=sorted(ends), measure=schedule.measure),
            schedule=schedule,
            mask_id=model.mask_token_id,
            pad_id=model.pad_token_id,
            stop_ids=frozenset(model.stop_token_ids),
        )
        self._setting = setting
        self._seconds = 0.0
        self._forwards = 0

        def row(index: int) -> Row:
            rng = np.random.default_rng(None if seed is None else seed + index)
            if method == EXACT:
                return ExactRow(index, canvas, setting, rng, compiled, new_canvas)
            if method == LAVE:
                return LaveRow(index, canvas, setting, rng, compiled, lave, new_canvas if audit else None)
            return FreeRow(index, canvas, setting, rng)

        self.rows = [row(index) for index in range(len(prompts))]

    @property
    def mask_id(self) -> int:
        """What stands in open slots."""
        return self._setting.mask_id

    def fill(self, on_step: OnStep | None = None) -> None:
        """Fill all canvases."""
        for record in self.steps():
            if on_step is not None:
                on_step(record)

    def steps(self) -> Iterator[StepRecord]:
        """Fill all canvases, step by step: a record for each row that a step was of; to be called once."""
        began = time.perf_counter()
        while any(row.open_slots() for row in self.rows):  # (again, where a row had to begin anew)
            for block in self._blocks:
                rows = [row for row in self.rows if row.has_turn(block)]
                if rows:
                    yield from self._fill_block(block, rows)
        self._seconds = time.perf_counter() - began

    def _fill_block(self, block: tuple[int, int], rows: list[Row]) -> Iterator[StepRecord]:
        width = max(len(self._prompts[row.index]) for row in rows)
        start, stop = width + block[0], width + block[1]
        ids, seen = self._tensors(rows, width)
        self._model.begin_block(ids, start, stop, seen)
        step = 0
        while any(row.has_turn(block) for row in rows):
            logits = self._model.forward_block(ids, start, stop, seen)
            self._forwards += 1
            for i, row in enumerate(rows):
                if row.has_turn(block):
                    num_open = len(row.open_slots(*block))
                    yield row.step(block, logits[i], quota(num_open, step, self._quotas))
            step += 1
            ids, seen = self._tensors(rows, width)

    def _tensors(self, rows: Sequence[Row], width: int) -> tuple[Tensor, Tensor | None]:
        """Prompts and canvases, int64 ``(rows, width + slots)``, and what of it is no padding (None: all of it)."""
        import torch

        pad = self._model.pad_token_id
        prompts = [self._prompts[row.index] for row in rows]
        ids = [[pad] * (width - len(prompt)) + prompt + row.ids for prompt, row in zip(prompts, rows, strict=True)]
        tensor = torch.tensor(ids, dtype=torch.int64, device=self._model.device)
        if all(len(prompt) == width for prompt in prompts):
            return tensor, None
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._model.device)
        seen = torch.arange(tensor.shape[1], device=self._model.device) >= (width - lengths)[:, None]
        return tensor, seen

    def results(self, read: Callable[[str], Any]) -> list[DiffusionResult[Any]]:
        """A result for each row, in order."""
        return [self._result(row, read) for row in self.rows]

    def _result(self, row: Row, read: Callable[[str], Any]) -> DiffusionResult[Any]:
        stops = self._setting.stop_ids
        end = next((slot for slot, token in enumerate(row.ids) if token in stops), len(row.ids))
        token_ids = tuple(row.ids[:end])
        whole = Prefix(Matcher(self._compiled), stops | {self._setting.pad_id})
        complete = whole.takes(row.ids) and whole.is_text
        if isinstance(row, ExactRow) and not complete:
            raise GrammarEngineError(f"the canvas was filled with {row.ids}, which is no text of the grammar")
        text = self._compiled.text_of(token_ids)
        row.counters.forwards = self._forwards
        return DiffusionResult(
            value=read(text) if complete else None,
            text=text,
            token_ids=token_ids,
            canvas=tuple(row.ids),
            complete=complete,
            finish_reason=STOP if end < len(row.ids) else LENGTH,
            logprob=row.logprob,
            counters=row.counters,
            prompt_tokens=len(self._prompts[row.index]),
            seconds=self._seconds,
            grammar_seconds=row.grammar_seconds,
            mask_token_id=self._setting.mask_id,
            shown=self._compiled.shown,
            history=tuple(row.history),
        )
