"""A text in the making: a canvas of slots, and three ways to fill it under a language, or none.

    ExactRow   tokens are chosen among those that leave the canvas completable; a batch that does not go together is
               cut down to what does. Ends with a text of the language, always.
    FreeRow    what the model likes best: to compare with
    LaveRow    proposals verified by lookahead: ``lave``

Each step is given the model's logits of a block and fills some of its open slots.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.diffusion.guesses import Guesser, Guesses
from grammar_engine.diffusion.protocols import CanvasLike, NewCanvas
from grammar_engine.diffusion.records import (
    COMMITTED,
    CONFLICT,
    TAIL,
    WAITING,
    Counters,
    SlotRecord,
    StepRecord,
)
from grammar_engine.errors import GrammarEngineError
from grammar_engine.sampling.samplers import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.diffusion.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the rows of a batch share.

    mask_id: in open slots. pad_id: behind the end. stop_ids: end a text.
    """

    guesser: Guesser
    schedule: Schedule
    mask_id: int
    pad_id: int
    stop_ids: frozenset[int]


class Row(abc.ABC):
    """One canvas. ``rng`` is all its randomness; nothing of other rows is touched."""

    def __init__(self, index: int, ids: Sequence[int], setting: Setting, rng: np.random.Generator) -> None:
        self.index = index
        self.ids = list(ids)
        self.setting = setting
        self.rng = rng
        self.counters = Counters()
        self.history: list[StepRecord] = []
        self.logprob = 0.0
        self.grammar_seconds = 0.0
        self._confidence: dict[int, float] = {}
        self._reopened: dict[int, int] = {}
        self._logps: dict[int, float] = {}

    def open_slots(self, start: int = 0, stop: int | None = None) -> list[int]:
        """Slots without a token, of the canvas or of a part of it."""
        behind = len(self.ids) if stop is None else stop
        return [slot for slot in range(start, behind) if self.ids[slot] == self.setting.mask_id]

    def step(self, block: tuple[int, int], logits: Tensor, quota: int) -> StepRecord:
        """Fill some slots of a block that has open ones. logits: floating ``(slots of the block, V)``."""
        slots = self.open_slots(*block)
        logps = self.setting.guesser.model_logps(logits[[slot - block[0] for slot in slots]])
        records = self._fill(slots, logps, quota)
        records += self._close()
        self.counters.steps += 1
        token_ids = tuple(self.ids)
        record = StepRecord(
            row=self.index,
            number=self.counters.steps - 1,
            block=block,
            slots=tuple(records),
            token_ids=token_ids,
            reopened=tuple(self._open_again(block)),
        )
        self.history.append(record)
        return record

    @abc.abstractmethod
    def _fill(self, slots: list[int], logps: Tensor, quota: int) -> list[SlotRecord]:
        """Fill some of these open slots, and tell of all. logps: float32 ``(n, V)``, the model's own."""

    @abc.abstractmethod
    def _write(self, commits: list[tuple[int, int]]) -> bool:
        """Write tokens into open slots without a question to the model; False if they do not go together."""

    @abc.abstractmethod
    def _erase(self, slots: list[int]) -> None:
        """Open slots again."""

    def _take(self, guesses: Guesses, indices: Sequence[int]) -> None:
        """Note tokens that were committed."""
        choices = guesses.choices
        for i in indices:
            slot = int(choices.slots[i])
            self._confidence[slot] = float(choices.confidence[i])
            self._logps[slot] = float(guesses.logps[i])
            self.counters.commits += 1
        self.logprob = sum(self._logps.values())

    def _close(self) -> list[SlotRecord]:
        """Fill what stands behind a stop token: nothing there is left to decide."""
        ends = [slot for slot, token in enumerate(self.ids) if token in self.setting.stop_ids]
        tail = self.open_slots(ends[0]) if ends else []
        if not tail:
            return []
        pad = self.setting.pad_id
        if not self._write([(slot, pad) for slot in tail]):
            raise GrammarEngineError(f"the canvas refuses pad tokens behind the stop token in slot {ends[0]}")
        self.counters.tail_tokens += len(tail)
        return [
            SlotRecord(slot=s, proposal=pad, is_allowed=True, choice=pad, confidence=1.0, num_allowed=-1, state=TAIL)
            for s in tail
        ]

    def _open_again(self, block: tuple[int, int]) -> list[int]:
        if self.setting.schedule.remasking is None or self.open_slots(*block):
            return []
        texts = {s: c for s, c in self._confidence.items() if self.ids[s] not in self.setting.stop_ids}
        slots = self.setting.schedule.reopened(*block, texts, self._reopened)
        if slots:
            self._erase(slots)
            for slot in slots:
                self._reopened[slot] = self._reopened.get(slot, 0) + 1
                del self._confidence[slot], self._logps[slot]
            self.counters.reopened += len(slots)
        return slots


def slot_record(
    guesses: Guesses, i: int, state: str, *, allowed: bool | None, proposal: int | None = None
) -> SlotRecord:
    """The record of the i-th slot. proposal: if it is not that of the guesses."""
    choices = guesses.choices
    return SlotRecord(
        slot=int(choices.slots[i]),
        proposal=int(guesses.proposals[i]) if proposal is None else proposal,
        is_allowed=allowed,
        choice=int(choices.tokens[i]),
        confidence=float(choices.confidence[i]),
        num_allowed=int(guesses.counts[i]),
        state=state,
    )


class FreeRow(Row):
    """No language: the model's choices as they are."""

    def _fill(self, slots: list[int], logps: Tensor, quota: int) -> list[SlotRecord]:
        guesses = self.setting.guesser.guess(slots, logps, None, self.rng)
        chosen = self.setting.schedule.choose(guesses.choices, quota, self.rng)
        for i in chosen:
            self.ids[slots[i]] = int(guesses.choices.tokens[i])
        self._take(guesses, chosen)
        return [slot_record(guesses, i, COMMITTED if i in chosen else WAITING, allowed=None) for i in range(len(slots))]

    def _write(self, commits: list[tuple[int, int]]) -> bool:
        for slot, token in commits:
            self.ids[slot] = token
        return True

    def _erase(self, slots: list[int]) -> None:
        for slot in slots:
            self.ids[slot] = self.setting.mask_id


class ExactRow(Row):
    """A canvas that stays completable: masks before the choice, a check of the batch behind it."""

    def __init__(
        self, index: int, ids: Sequence[int], setting: Setting, rng: np.random.Generator, new_canvas: NewCanvas
    ) -> None:
        super().__init__(index, ids, setting, rng)
        self._new_canvas = new_canvas
        self._canvas: CanvasLike = new_canvas(self.ids)

    def _fill(self, slots: list[int], logps: Tensor, quota: int) -> list[SlotRecord]:
        began = time.perf_counter()
        masks = np.stack([self._canvas.allowed(slot) for slot in slots])
        self.counters.masks += len(slots)
        self.grammar_seconds += time.perf_counter() - began
        tokens = self._complete(slots, logps) if self.setting.schedule.joint else None
        guesses = self.setting.guesser.guess(slots, logps, masks, self.rng, tokens)
        taken: list[int] = []
        while not taken:
            chosen = self.setting.schedule.choose(guesses.choices, quota, self.rng)
            began = time.perf_counter()
            taken = self._commit(guesses, chosen)
            self.grammar_seconds += time.perf_counter() - began
            if not taken:
                guesses = self._without(guesses, chosen, logps, masks)
        self._take(guesses, taken)
        words = masks.view(np.uint32)
        records = []
        for i in range(len(slots)):
            state = COMMITTED if i in taken else CONFLICT if i in chosen else WAITING
            proposal = int(guesses.proposals[i])
            allowed = bool(words[i, proposal >> 5] >> np.uint32(proposal & 31) & np.uint32(1))
            records.append(slot_record(guesses, i, state, allowed=allowed))
        return records

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

    def _without(
        self, guesses: Guesses, refused: Sequence[int], logps: Tensor, masks: npt.NDArray[np.int32]
    ) -> Guesses:
        """Other choices for slots whose tokens were refused alone; ``masks`` is changed.

        A mask is exact but for guards (``compiler.guard``): what a grammar cannot say is asked of a text, not of slots.
        """
        words = masks.view(np.uint32)
        for i in refused:
            slot, token = int(guesses.choices.slots[i]), int(guesses.choices.tokens[i])
            words[i, token >> 5] &= ~np.uint32(1 << (token & 31))
            if not words[i].any():
                raise GrammarEngineError(
                    f"every token that the grammar allows in slot {slot} is refused by what the schema demands beside "
                    'it. Fill such canvases from left to right: schedule="left-to-right"'
                )
            guesses = guesses.replaced(
                i, self.setting.guesser.guess([slot], logps[i : i + 1], masks[i : i + 1], self.rng)
            )
        return guesses

    def _commit(self, guesses: Guesses, chosen: Sequence[int]) -> list[int]:
        """Commit what goes together, the best first: what trying one after the other would, in fewer checks.

        Halves of a batch that is refused are tried in order; one token alone that is refused now stays open.
        """
        if not chosen:
            return []
        choices = guesses.choices
        commits = [(int(choices.slots[i]), int(choices.tokens[i])) for i in chosen]
        if self._write(commits):
            return list(chosen)
        if len(chosen) == 1:
            return []
        half = len(chosen) // 2
        return self._commit(guesses, chosen[:half]) + self._commit(guesses, chosen[half:])

    def _write(self, commits: list[tuple[int, int]]) -> bool:
        self.counters.checks += 1
        if not self._canvas.commit(commits):
            self.counters.rejected_batches += 1
            return False
        for slot, token in commits:
            self.ids[slot] = token
        return True

    def _erase(self, slots: list[int]) -> None:
        for slot in slots:
            self.ids[slot] = self.setting.mask_id
        self._canvas = self._new_canvas(self.ids)
