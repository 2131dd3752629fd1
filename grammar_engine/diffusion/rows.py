"""A text in the making: a canvas of slots, and three ways to fill it under a language, or none.

    ExactRow   tokens are chosen among those that leave the canvas completable: ``exact``
    FreeRow    what the model likes best: to compare with
    LaveRow    proposals verified by lookahead: ``lave``

Each step is given the model's logits of a block and fills some of its open slots.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.diffusion.guesses import Guesser, Guesses
from grammar_engine.diffusion.records import (
    COMMITTED,
    TAIL,
    WAITING,
    Counters,
    SlotRecord,
    StepRecord,
)
from grammar_engine.errors import GrammarEngineError

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

    def has_turn(self, block: tuple[int, int]) -> bool:
        """Whether the first open slot is one of the block."""
        first = next((slot for slot, token in enumerate(self.ids) if token == self.setting.mask_id), -1)
        return block[0] <= first < block[1]

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
