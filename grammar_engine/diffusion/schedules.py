"""Which open slots are filled in a step, and which are opened again: plain rules over the model's confidence.

A model predicts all open slots at once, each for itself. The more of them are filled in one step, the fewer passes it
takes and the more often two choices that are good alone are bad together. A schedule decides that trade; what a slot
may hold, and whether a batch fits together, is the grammar's business (``rows``).

    blocks        left to right, each filled before the next is begun (semi-autoregressive: LLaDA, Nie et al. 2025,
                  arXiv:2502.09992)
    confidence    the most probable choice first (MaskGIT, Chang et al. 2022; LLaDA's low-confidence remasking, in which
                  what is not filled in a step stays open)
    entropy       the slot that the model is surest of first; margin: the largest gap between its two best tokens;
                  random: any (all three beside confidence in Dream, Ye et al. 2025, arXiv:2508.15487)
    threshold     beside the step's quota, every slot whose choice is at least so probable (Fast-dLLM, Wu et al. 2025,
                  arXiv:2505.22618)
    radius        around a slot that was chosen with that confidence, neighbours that reach a lower threshold come along
                  (local determinism propagation: LocalLeap, Kong et al. 2025)
    remasking     filled slots in which there was least confidence are opened again, a bounded number of times (ReMDM,
                  Wang et al. 2025, arXiv:2503.00307, whose confidence is also that of the time of filling)

    joint         tokens are not chosen slot by slot: they are those of the most probable text that fits the canvas
                  (what DINGO, Suresh et al. 2025, arXiv:2505.23061, does for regular languages), or of one drawn from
                  all that fit. Such tokens go together, so that no batch is refused

**Early ends.** Behind a short text everything is a stop or pad token, so models trained on padded texts are surest of
those and would fix the end before there is anything to end. With ``ends="last"`` a slot whose choice is a stop or pad
token has to wait until no slot to its left is open. (LLaDA's own code has settings that take away such tokens'
confidence, or the tokens altogether.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.weighted import check_count

ORDERS = ("confidence", "entropy", "margin", "random", "left")
ENDS = ("last", "any")
MEASURES = ("allowed", "model")


def _require_share(value: object, argument: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidArgumentError(f"must be between 0 and 1, not {value!r}", argument=argument)


@dataclass(frozen=True, kw_only=True)
class Remasking:
    """Slots to open again when their block is full.

    times: most times for each slot. below: only where the choice was less probable than this when it was made.
    share: most of a block's slots at a time, as a fraction of the block.
    """

    times: int = 1
    below: float = 0.5
    share: float = 0.25

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        check_count(self.times, "times", 0)
        _require_share(self.below, "below")
        _require_share(self.share, "share")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a canvas is filled; immutable, without state of its own.

    order:     "confidence", "entropy", "margin", "random" or "left" (to right): which slot comes first.
    block:     slots of a block, or None for one block.
    threshold: every slot whose choice has at least this probability is filled too; None: only the quota.
    radius:    slots to either side of a chosen one that reaches ``threshold`` in which ``relaxed`` is enough; 0: none.
    relaxed:   see ``radius``; at most ``threshold``.
    ends:      "last": stop and pad tokens wait for the slots to their left; "any": they are tokens like others.
    measure:   "allowed": probabilities, entropies and margins among the tokens that the grammar allows in a slot;
               "model": the model's own. A slot with one possible token is certain by the first.
    joint:     tokens come from the best completion of the whole canvas (greedy), or from a drawn one (``Sample``);
               for exact canvases of one block only.
    remasking: None: what is filled stays.
    """

    order: str = "confidence"
    block: int | None = 32
    threshold: float | None = None
    radius: int = 0
    relaxed: float = 0.75
    ends: str = "last"
    measure: str = "allowed"
    joint: bool = False
    remasking: Remasking | None = None

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        for name, value, known in (
            ("order", self.order, ORDERS),
            ("ends", self.ends, ENDS),
            ("measure", self.measure, MEASURES),
        ):
            if value not in known:
                raise InvalidArgumentError(f"expected one of {', '.join(known)}, not {value!r}", argument=name)
        if self.block is not None:
            check_count(self.block, "block")
        check_count(self.radius, "radius", 0)
        if self.threshold is not None:
            _require_share(self.threshold, "threshold")
        if self.radius:
            if self.threshold is None:
                raise InvalidArgumentError("neighbours come along with slots above a threshold", argument="threshold")
            _require_share(self.relaxed, "relaxed")
            if self.relaxed > self.threshold:
                raise InvalidArgumentError(f"{self.relaxed} is no relaxation of {self.threshold}", argument="relaxed")
        if self.joint and self.block is not None:
            raise InvalidArgumentError(
                "texts that fit a canvas are known for one block only: block=None", argument="joint"
            )
        if self.remasking is not None and not isinstance(self.remasking, Remasking):
            raise InvalidArgumentError(f"expected Remasking(...), not {self.remasking!r}", argument="remasking")

    def blocks(self, slots: int) -> list[tuple[int, int]]:
        """First slot and the slot behind the last of each block."""
        size = slots if self.block is None else self.block
        return [(start, min(start + size, slots)) for start in range(0, slots, size)]

    def choose(self, choices: Choices, quota: int, rng: np.random.Generator) -> list[int]:
        """Indices into ``choices`` of the slots to fill in this step, the best first; at least one.

        quota: how many at least, as far as there are so many that may be chosen. rng: for ``order="random"``.
        """
        may = self._eligible(choices)
        ranked = [int(i) for i in self._ranking(choices, rng) if may[i]]
        chosen = set(ranked[: max(quota, 1)])
        if self.threshold is not None:
            sure = may & (choices.confidence >= self.threshold)
            chosen.update(np.flatnonzero(sure).tolist())
            if self.radius:
                anchors = [i for i in chosen if choices.confidence[i] >= self.threshold]
                near = np.zeros(len(may), bool)
                for i in anchors:
                    near |= np.abs(choices.slots - choices.slots[i]) <= self.radius
                chosen.update(np.flatnonzero(may & near & (choices.confidence >= self.relaxed)).tolist())
        return [i for i in ranked if i in chosen]

    def reopened(self, start: int, stop: int, confidence: Mapping[int, float], times: Mapping[int, int]) -> list[int]:
        """Slots of a full block to open again.

        confidence: of the slots that a step has filled, the probability of the choice then. times: how often each has
        been opened again.
        """
        rule = self.remasking
        if rule is None:
            return []
        doubtful = [
            slot
            for slot in range(start, stop)
            if confidence.get(slot, 1.0) < rule.below and times.get(slot, 0) < rule.times
        ]
        doubtful.sort(key=lambda slot: (confidence[slot], slot))
        return sorted(doubtful[: math.ceil(rule.share * (stop - start))])

    def _eligible(self, choices: Choices) -> npt.NDArray[np.bool_]:
        if self.ends == "any":
            return np.ones(len(choices.slots), bool)
        may: npt.NDArray[np.bool_] = ~choices.ends | (choices.slots == choices.slots.min())
        return may

    def _ranking(self, choices: Choices, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """All indices, the best first; equals from left to right."""
        keys = {
            "confidence": -choices.confidence,
            "entropy": choices.entropy,
            "margin": -choices.margin,
            "left": choices.slots,
        }
        key = rng.random(len(choices.slots)) if self.order == "random" else keys[self.order]
        return np.lexsort((choices.slots, key))


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What would be written into the open slots of a block, and how sure the model is; arrays of one length.

    slots: int, ascending. tokens: int. confidence: probability of the token. entropy: of the slot's distribution, in
    nats. margin: the probability of its best token less that of the second. ends: whether the token is a stop or pad.
    """

    slots: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    entropy: npt.NDArray[np.float64]
    margin: npt.NDArray[np.float64]
    ends: npt.NDArray[np.bool_]

    def of(self, indices: Sequence[int]) -> Choices:
        """Some of them."""
        return Choices(
            slots=self.slots[indices],
            tokens=self.tokens[indices],
            confidence=self.confidence[indices],
            entropy=self.entropy[indices],
            margin=self.margin[indices],
            ends=self.ends[indices],
        )


NAMED: Mapping[str, Schedule] = MappingProxyType(
    {
        "low-confidence": Schedule(),
        "entropy": Schedule(order="entropy"),
        "margin": Schedule(order="margin"),
        "random": Schedule(order="random"),
        "left-to-right": Schedule(order="left", block=None),
        "threshold": Schedule(threshold=0.9),
        "local": Schedule(threshold=0.9, radius=4, relaxed=0.75),
        "joint": Schedule(threshold=0.9, block=None, joint=True),
    }
)
"""Schedules by the names that they have in the literature; ``dataclasses.replace`` changes one setting."""


def as_schedule(schedule: Schedule | str) -> Schedule:
    """A schedule, or the one with this name. InvalidArgumentError for anything else."""
    if isinstance(schedule, Schedule):
        return schedule
    found = NAMED.get(schedule) if isinstance(schedule, str) else None
    if found is None:
        raise InvalidArgumentError(
            f"expected a Schedule or one of {', '.join(NAMED)}, not {schedule!r}", argument="schedule"
        )
    return found


def quotas(steps: int | None, blocks: Sequence[tuple[int, int]]) -> int | None:
    """Steps of each block, so that all blocks together take ``steps`` (LLaDA's even split, rounded up); None: no limit.

    Raises InvalidArgumentError if there are fewer steps than blocks.
    """
    if steps is None:
        return None
    check_count(steps, "steps")
    if steps < len(blocks):
        raise InvalidArgumentError(
            f"{len(blocks)} blocks take at least a step each, but there are {steps}; ask for larger blocks or more "
            "steps",
            argument="steps",
        )
    return math.ceil(steps / len(blocks))


def quota(num_open: int, step: int, steps: int | None) -> int:
    """How many slots to fill in step ``step`` (from 0) of a block that has ``steps``, so that none is left over."""
    if steps is None:
        return 1
    return math.ceil(num_open / max(steps - step, 1))
