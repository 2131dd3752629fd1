"""LAVE (Lookahead-then-Verify): a proposal is kept if some sampled filling of the gaps before it begins a text.

The method as published, to compare with and for models whose vocabularies or grammars the exact check is not wanted
for. Its answers err on both sides: a good proposal is rejected if no lookahead happens to fit (a false reject), and one
is accepted that cannot be completed in the slots that are left, since slots are not counted. So a text may be
incomplete when the canvas is full, and the caller is told.

    repeat, for as many proposals as the step is to fill:
        the best open slot of the block by the schedule, its best token that has not been rejected
        lookahead: fill the gaps up to the last filled slot by sampled tokens; follow each through the grammar
        one gets through: commit, and keep it as the witness
        none: reject; behind ``rejects`` in a row take the witness: its tokens fill all gaps. Where there are none,
        the next slot takes the best token that the grammar allows there (nothing is sampled then, so that is exact)

What is known of other rows or former calls plays no part; a row's ``rng`` is all its randomness.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.dead_end import dead_end
from grammar_engine.diffusion.lookahead import Gap, LaveSettings, Prefix, find_witness
from grammar_engine.diffusion.protocols import CanvasLike, NewCanvas
from grammar_engine.diffusion.records import COMMITTED, RECOVERED, REJECTED, WAITING, SlotRecord
from grammar_engine.diffusion.rows import Row, Setting, slot_record
from grammar_engine.matcher import Matcher

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.diffusion.guesses import Guesses


class LaveRow(Row):
    """One canvas, filled by lookahead and verification."""

    def __init__(
        self,
        index: int,
        ids: Sequence[int],
        setting: Setting,
        rng: np.random.Generator,
        compiled: CompiledGrammar,
        settings: LaveSettings,
        exact: NewCanvas | None = None,
    ) -> None:
        """exact: a check to count false answers against; its verdicts change nothing."""
        super().__init__(index, ids, setting, rng)
        self._settings = settings
        self._vocabulary = compiled.vocabulary
        self._start = Prefix(Matcher(compiled), setting.stop_ids | {setting.pad_id})
        self._followed = 0, self._start  # so many slots, the prefix behind them
        self._witness: list[int] = []  # the slots up to the last filled one, filled so that they begin a text
        self._new_exact = exact
        self._exact: CanvasLike | None = None if exact is None else exact(self.ids)

    def _fill(self, slots: list[int], logps: Tensor, quota: int) -> list[SlotRecord]:
        schedule, guesser = self.setting.schedule, self.setting.guesser
        guesses = guesser.guess(slots, logps, None, self.rng)
        first_guesses = guesses
        wanted = len(schedule.choose(guesses.choices, quota, self.rng))
        gaps = _gaps(slots, logps, self._settings.top)
        left = logps.clone()
        waiting = list(range(len(slots)))
        states = [WAITING] * len(slots)
        rejects = 0
        while wanted > 0 and waiting:
            best = waiting[schedule.choose(guesses.choices.of(waiting), 1, self.rng)[0]]
            slot, token = slots[best], int(guesses.choices.tokens[best])
            if self._propose(slot, token, gaps):
                self._take(guesses, [best])
                states[best] = COMMITTED
                waiting.remove(best)
                wanted, rejects = wanted - 1, 0
                continue
            states[best] = REJECTED
            rejects += 1
            if rejects < self._settings.rejects:
                left[best, token] = float("-inf")
                guesses = guesses.replaced(best, guesser.guess([slot], left[best : best + 1], None, self.rng))
                continue
            guesses = self._recover(slots, logps, guesses)
            rejects = 0
            for i in [i for i in waiting if self.ids[slots[i]] != self.setting.mask_id]:
                states[i] = RECOVERED
                waiting.remove(i)
                wanted -= 1
        return [
            slot_record(guesses, i, state, allowed=None, proposal=int(first_guesses.proposals[i]))
            for i, state in enumerate(states)
        ]

    def _propose(self, slot: int, token: int, gaps: dict[int, Gap]) -> bool:
        """Verify a proposal; commit it if a lookahead gets through."""
        began = time.perf_counter()
        self.counters.verifications += 1
        ids = list(self.ids)
        ids[slot] = token
        start, prefix = self._prefix()
        # Of open slots behind the block nothing is known: what a caller put behind those is not looked at.
        stop = next((i for i in range(start, len(ids)) if ids[i] == self.setting.mask_id and i not in gaps), len(ids))
        last = max(i for i in range(start, stop) if ids[i] != self.setting.mask_id)
        rest = ids[start : last + 1]
        open_gaps = [gaps[i] for i in range(start, last) if ids[i] == self.setting.mask_id]
        found = find_witness(prefix, rest, open_gaps, self.setting.mask_id, self._settings.beams, self.rng)
        self.grammar_seconds += time.perf_counter() - began
        self._judge(slot, token, accepted=found is not None)
        if found is None:
            self.counters.rejects += 1
            return False
        self._witness = ids[:start] + found
        self.ids[slot] = token
        return True

    def _recover(self, slots: list[int], logps: Tensor, guesses: Guesses) -> Guesses:
        """Fill gaps from the witness; where it fills none, the first open slot by what the grammar allows there."""
        self.counters.recoveries += 1
        filled = {slot: token for slot, token in enumerate(self._witness) if self.ids[slot] == self.setting.mask_id}
        if not filled:
            start, prefix = self._prefix()
            mask = prefix.allowed((self._vocabulary.size + 31) // 32)
            if not mask.any():
                raise dead_end(self._vocabulary, self.ids[:start])
            i = slots.index(start)
            guesses = guesses.replaced(i, self.setting.guesser.guess([start], logps[i : i + 1], mask, self.rng))
            filled = {start: int(guesses.choices.tokens[i])}
        for slot, token in filled.items():
            i = slots.index(slot)
            guesses = guesses.chosen(i, token, float(logps[i, token]))
            self._take(guesses, [i])
        self._write(list(filled.items()))
        return guesses

    def _prefix(self) -> tuple[int, Prefix]:
        """The first open slot, and the prefix before it. Only the part that is new is followed."""
        count, prefix = self._followed
        start = next(i for i in range(count, len(self.ids)) if self.ids[i] == self.setting.mask_id)
        if start > count:
            prefix = prefix.copy()
            prefix.takes(self.ids[count:start])
            self._followed = start, prefix
        return start, prefix

    def _judge(self, slot: int, token: int, *, accepted: bool) -> None:
        """Compare with the exact check, if there is one."""
        if self._exact is None or self._new_exact is None:
            return
        bits = self._exact.allowed(slot).view(np.uint32)
        possible = bool(bits[token >> 5] >> np.uint32(token & 31) & np.uint32(1))
        self.counters.false_rejects += possible and not accepted
        self.counters.false_accepts += accepted and not possible
        if accepted:
            self._follow([(slot, token)])

    def _follow(self, commits: list[tuple[int, int]]) -> None:
        """The exact canvas goes along, even where it cannot be completed any more."""
        if self._exact is None or self._new_exact is None or self._exact.commit(commits):
            return
        ids = list(self.ids)
        for slot, token in commits:
            ids[slot] = token
        self._exact = self._new_exact(ids)

    def _write(self, commits: list[tuple[int, int]]) -> bool:
        self._follow(commits)
        for slot, token in commits:
            self.ids[slot] = token
        return True

    def _erase(self, slots: list[int]) -> None:
        # What was filled when all this was full is a text, or begins one: the witness stays one.
        for slot in slots:
            self.ids[slot] = self.setting.mask_id
        self._followed = 0, self._start
        if self._new_exact is not None:
            self._exact = self._new_exact(self.ids)


def _gaps(slots: Sequence[int], logps: Tensor, top: int) -> dict[int, Gap]:
    """The best tokens of each slot."""
    values, token_ids = logps.topk(min(top, logps.shape[-1]), -1)
    return {
        slot: Gap(token_ids=token_ids[i].cpu().numpy(), logps=values[i].double().cpu().numpy())
        for i, slot in enumerate(slots)
    }
