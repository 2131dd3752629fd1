"""What a filling leaves behind: counts, a record of every step, the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")

COMMITTED = "committed"
WAITING = "waiting"
CONFLICT = "conflict"
REJECTED = "rejected"
RECOVERED = "recovered"
TAIL = "tail"


@dataclass(kw_only=True)
class Counters:
    """Counts of one text; ``forwards`` are shared by a batch.

    forwards:         passes of the model.
    steps:            of them those in which this text had an open slot in the block.
    commits:          tokens that were written into slots because a schedule chose them.
    tail_tokens:      stop and pad tokens written behind the end, which no pass was needed for.
    masks:            slots whose allowed tokens were worked out.
    checks:           batches that the canvas was asked to take.
    rejected_batches: of them those that it refused: their tokens do not go together.
    reopened:         slots opened again, by remasking or a restart.
    restarts:         times that a schema's guard refused every token of a slot, and what is behind it was filled again
                      from left to right.
    verifications:    proposals that lookahead was tried for (LAVE), as are the following.
    rejects:          of them those for which it found nothing.
    false_rejects:    of those the ones that an exact check says can be completed (counted where one is given).
    false_accepts:    accepted proposals that it says cannot be, in the slots that there are.
    recoveries:       times that a witness was taken because of too many rejects in a row.
    """

    forwards: int = 0
    steps: int = 0
    commits: int = 0
    tail_tokens: int = 0
    masks: int = 0
    checks: int = 0
    rejected_batches: int = 0
    reopened: int = 0
    restarts: int = 0
    verifications: int = 0
    rejects: int = 0
    false_rejects: int = 0
    false_accepts: int = 0
    recoveries: int = 0


@dataclass(frozen=True, kw_only=True)
class SlotRecord:
    """What a step saw in a slot that was open, and what it did.

    proposal:   the token that the model liked best. is_allowed: whether the grammar allows it there, None if not asked.
    choice:     the token that was chosen among those allowed. confidence: its probability.
    num_allowed: how many tokens the grammar allows, −1 if it was not asked.
    state:      "committed"; "waiting" (not chosen in this step); "conflict" (chosen, but refused together with better
                ones); "rejected" (no lookahead); "recovered" (from a witness); "tail" (behind the end).
    """

    slot: int
    proposal: int
    is_allowed: bool | None
    choice: int
    confidence: float
    num_allowed: int
    state: str


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step of one text.

    number: from 0. slots: the open ones of the block, and any written to. token_ids: the canvas behind the step.
    reopened: slots that were opened again after that.
    """

    row: int
    number: int
    block: tuple[int, int]
    slots: tuple[SlotRecord, ...]
    token_ids: tuple[int, ...]
    reopened: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DiffusionResult(Generic[T]):
    """A filled canvas and its value.

    value:          what ``read`` makes of the text; None if ``complete`` is false.
    text:           up to the end. token_ids: its tokens, without the stop token.
    canvas:         all slots.
    complete:       whether the text is in the language: always for "exact".
    finish_reason:  "stop": the text ends before the canvas does; "length": it ends with it.
    logprob:        Σ log p of the tokens chosen by the steps, each under the model's own distribution in the pass that
                    it was chosen in; not the probability of the text.
    history:        the steps, in order.
    seconds:        wall time of the batch. grammar_seconds: this text's part of it spent on masks and checks.
    """

    value: T | None
    text: str
    token_ids: tuple[int, ...]
    canvas: tuple[int, ...]
    complete: bool
    finish_reason: str
    logprob: float
    counters: Counters
    prompt_tokens: int
    seconds: float
    grammar_seconds: float
    mask_token_id: int
    shown: Any = field(repr=False, compare=False)
    history: tuple[StepRecord, ...] = field(repr=False)

    def to_html(self, title: str = "Canvas") -> str:
        """A page that shows the canvas filling up (see ``inspection.canvas_page``)."""
        from grammar_engine.inspection.canvas_page import canvas_page

        return canvas_page(self, title)
