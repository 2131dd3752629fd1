"""A canvas that stays completable: masks before the choice, a check of the batch behind it.

    masks of the open slots → a token for each → the schedule's batch → what of it goes together

A batch that the canvas refuses is cut down, the best first. Ends with a text of the language, always, or with an error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.diffusion.leftwards import Leftwards
from grammar_engine.diffusion.protocols import CanvasLike, NewCanvas
from grammar_engine.diffusion.records import COMMITTED, CONFLICT, WAITING, SlotRecord
from grammar_engine.diffusion.rows import Row, Setting, slot_record
from grammar_engine.errors import GrammarEngineError
from grammar_engine.sampling.samplers import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.diffusion.guesses import Guesses

_MOST_REDRAWS = 32
"""Tokens that are refused to a slot, left to right, before the known text is followed instead."""


class ExactRow(Row):
    """One canvas, filled under the exact check."""

    def __init__(
        self,
        index: int,
        ids: Sequence[int],
        setting: Setting,
        rng: np.random.Generator,
        compiled: CompiledGrammar,
        new_canvas: NewCanvas,
    ) -> None:
        super().__init__(index, ids, setting, rng)
        self._compiled = compiled
        self._new_canvas = new_canvas
        self._canvas: CanvasLike = new_canvas(self.ids)
        self._given = frozenset(slot for slot, token in enumerate(ids) if token != setting.mask_id)
        self._is_stuck = False
        self._leftwards: Leftwards | None = None
        self._refusals = 0

    def _fill(self, slots: list[int], logps: Tensor, quota: int) -> list[SlotRecord]:
        if self._leftwards is not None:
            slots, quota = slots[:1], 1
            logps = logps[:1]
        began = time.perf_counter()
        masks = np.stack([self._canvas.allowed(slot) for slot in slots])
        self.counters.masks += len(slots)
        self.grammar_seconds += time.perf_counter() - began
        words = masks.copy().view(np.uint32)
        guesses, tried, taken = self._choose(slots, logps, masks, quota)
        self._take(guesses, taken)
        records = []
        for i in range(len(slots)):
            state = COMMITTED if i in taken else CONFLICT if i in tried else WAITING
            proposal = int(guesses.proposals[i])
            allowed = bool(words[i, proposal >> 5] >> np.uint32(proposal & 31) & np.uint32(1))
            records.append(slot_record(guesses, i, state, allowed=allowed))
        return records

    def _choose(
        self, slots: list[int], logps: Tensor, masks: npt.NDArray[np.int32], quota: int
    ) -> tuple[Guesses, set[int], list[int]]:
        """Guesses, which of them were tried, and which were committed. ``masks`` may be changed."""
        schedule, guesser = self.setting.schedule, self.setting.guesser
        joint = schedule.joint and self._leftwards is None
        guesses = guesser.guess(slots, logps, masks, self.rng, self._complete(slots, logps) if joint else None)
        tried: set[int] = set()
        while True:
            chosen = schedule.choose(guesses.choices, quota, self.rng)
            tried.update(chosen)
            began = time.perf_counter()
            taken = self._commit(guesses, chosen)
            self.grammar_seconds += time.perf_counter() - began
            if taken:
                return guesses, tried, taken
            others = self._without(guesses, chosen, logps, masks)
            if others is None:
                self._is_stuck = True
                return guesses, tried, []
            guesses = others

    def _complete(self, slots: Sequence[int], logps: Tensor) -> list[int]:
        """Tokens for these slots, all that are open, from one text: the most probable one, or a drawn one."""
        began = time.perf_counter()
        sampler = self.setting.guesser.sampler
        drawn = isinstance(sampler, Sample)
        scaled = (logps / sampler.temperature).log_softmax(-1) if isinstance(sampler, Sample) else logps
        weights = np.zeros((len(self.ids), logps.shape[-1]))
        weights[list(slots)] = scaled.double().cpu().numpy()
        filled, _ = self._canvas.sample(weights, self.rng) if drawn else self._canvas.best_completion(weights)
        self.grammar_seconds += time.perf_counter() - began
        return [filled[slot] for slot in slots]

    def _commit(self, guesses: Guesses, chosen: Sequence[int]) -> list[int]:
        """Commit what goes together, the best first: what trying one after the other would, in fewer checks.

        Halves of a batch that is refused are tried in order; one token alone that is refused now stays open.
        """
        if not chosen:
            return []
        choices = guesses.choices
        commits = [(int(choices.slots[i]), int(choices.tokens[i])) for i in chosen]
        if self._leftwards is not None and not self._leftwards.admits(commits[0][1]):
            self.counters.checks += 1
            self.counters.rejected_batches += 1
            return []
        if self._write(commits):
            if self._leftwards is not None:
                self._leftwards.take(commits[0][1])
                self._refusals = 0
            return list(chosen)
        if len(chosen) == 1:
            return []
        half = len(chosen) // 2
        return self._commit(guesses, chosen[:half]) + self._commit(guesses, chosen[half:])

    def _without(
        self, guesses: Guesses, refused: Sequence[int], logps: Tensor, masks: npt.NDArray[np.int32]
    ) -> Guesses | None:
        """Other choices for slots whose tokens were refused alone (by a guard: ``leftwards``); ``masks`` is changed.

        None where there are none left.
        """
        words = masks.view(np.uint32)
        for i in refused:
            slot, token = int(guesses.choices.slots[i]), int(guesses.choices.tokens[i])
            words[i, token >> 5] &= ~np.uint32(1 << (token & 31))
            if not words[i].any():
                return None
            rest = masks[i : i + 1]
            if self._leftwards is not None:
                self._refusals += 1
                if self._refusals > _MOST_REDRAWS and self._leftwards.can_end:
                    rest = np.zeros_like(rest)
                    planned = self._leftwards.planned()
                    rest.view(np.uint32)[0, planned >> 5] = np.uint32(1 << (planned & 31))
            guesses = guesses.replaced(i, self.setting.guesser.guess([slot], logps[i : i + 1], rest, self.rng))
        return guesses

    def _write(self, commits: list[tuple[int, int]]) -> bool:
        self.counters.checks += 1
        if not self._canvas.commit(commits):
            self.counters.rejected_batches += 1
            return False
        for slot, token in commits:
            self.ids[slot] = token
        return True

    def _open_again(self, block: tuple[int, int]) -> list[int]:
        """Remasking; and where a slot has no token left, everything behind it (``leftwards``)."""
        if not self._is_stuck:
            return [] if self._leftwards is not None else super()._open_again(block)
        self._is_stuck = False
        begins = [self.open_slots()[0], next((i for i in range(len(self.ids)) if i not in self._given), 0)]
        if self._leftwards is None and not any(slot > begins[1] for slot in self._given):
            tries = [(begin, Leftwards(self._compiled, self.ids[:begin], len(self.ids) - begin)) for begin in begins]
            begin, self._leftwards = next((one for one in tries if one[1].can_end), tries[0])
            return self._open_from(begin)
        raise GrammarEngineError(
            f"slot {begins[0]} has no token left: what the schema demands beside its grammar (names or items told "
            f"apart or counted) cannot be met in {len(self.ids)} slots as they are filled. Use more slots, or "
            'schedule="left-to-right"'
        )

    def _open_from(self, begin: int) -> list[int]:
        slots = [slot for slot in range(begin, len(self.ids)) if self.ids[slot] != self.setting.mask_id]
        self._erase(slots)
        for slot in slots:
            self._confidence.pop(slot, None)
            self._logps.pop(slot, None)
        self.counters.reopened += len(slots)
        self.counters.restarts += 1
        return slots

    def _erase(self, slots: list[int]) -> None:
        for slot in slots:
            self.ids[slot] = self.setting.mask_id
        self._canvas = self._new_canvas(self.ids)
