"""From a model's logits to what a schedule decides on: a token for each open slot, and how sure the model is of it.

All arithmetic over the vocabulary happens here, where the logits are (on the GPU, if the model is there); a few numbers
per slot come back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grammar_engine.bitmask import apply_token_bitmask_inplace
from grammar_engine.diffusion.schedules import Choices

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.sampling.samplers import Sampler


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """Of the open slots of a block: what is proposed, what may be chosen. Arrays over the slots.

    choices:   what may be committed.
    logps:     the model's own log-probability of each choice.
    proposals: the tokens that the model likes best, allowed or not.
    counts:    how many tokens the grammar allows, −1 where it was not asked.
    """

    choices: Choices
    logps: npt.NDArray[np.float64]
    proposals: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def replaced(self, i: int, other: Guesses) -> Guesses:
        """With the i-th slot as in ``other``, which has that slot alone."""
        choices, one = self.choices, other.choices
        return dataclasses.replace(
            self,
            choices=dataclasses.replace(
                choices,
                tokens=_put(choices.tokens, i, one.tokens),
                confidence=_put(choices.confidence, i, one.confidence),
                entropy=_put(choices.entropy, i, one.entropy),
                margin=_put(choices.margin, i, one.margin),
                ends=_put(choices.ends, i, one.ends),
            ),
            logps=_put(self.logps, i, other.logps),
        )

    def chosen(self, i: int, token: int, logp: float) -> Guesses:
        """With another token in the i-th slot, of this log-probability."""
        choices = dataclasses.replace(
            self.choices,
            tokens=_put(self.choices.tokens, i, token),
            confidence=_put(self.choices.confidence, i, math.exp(logp)),
        )
        return dataclasses.replace(self, choices=choices, logps=_put(self.logps, i, logp))


class Guesser:
    """How tokens are chosen from a slot's logits.

    never: ids that fill no slot whatever the grammar says (the mask). ends: stop and pad ids. measure: see
    ``schedules.Schedule``.
    """

    def __init__(
        self, sampler: Sampler, *, never: Sequence[int], ends: Sequence[int], measure: str = "allowed"
    ) -> None:
        self.sampler = sampler
        self._never = list(never)
        self._ends = np.array(sorted(ends), np.int64)
        self._measure = measure

    def model_logps(self, logits: Tensor) -> Tensor:
        """float32 ``(n, V)``: the model's log-probabilities of what may fill a slot; not changed in place."""
        scores = logits.float()
        scores[:, self._never] = float("-inf")
        return scores.log_softmax(-1)

    def guess(
        self,
        slots: Sequence[int],
        logps: Tensor,
        masks: npt.NDArray[np.int32] | None,
        rng: np.random.Generator,
        tokens: Sequence[int] | None = None,
    ) -> Guesses:
        """Choose a token for every slot.

        slots: ascending. logps: of ``model_logps``, a row for each. masks: int32 ``(n, ceil(V/32))``, at least one bit
        in every row; None: everything is allowed. tokens: what others have chosen, to be measured.
        """
        import torch

        within, counts = logps, np.full(len(slots), -1, np.int64)
        if masks is not None:
            within = logps.clone()
            apply_token_bitmask_inplace(within, masks)
            within = within.log_softmax(-1)
            counts = _count(masks)
        if tokens is None:
            uniforms = torch.from_numpy(rng.random(len(slots))).to(logps.device)
            chosen = self.sampler.choose(within, uniforms)
        else:
            chosen = torch.tensor(list(tokens), dtype=torch.int64, device=logps.device)
        measured = within if self._measure == "allowed" else logps
        probabilities = measured.exp()
        best = probabilities.topk(min(2, probabilities.shape[-1]), -1).values
        margin = best[:, 0] - best[:, 1] if best.shape[1] > 1 else best[:, 0]
        entropy = -(probabilities * measured.clamp(min=-1e4)).sum(-1)
        ids = _ids(chosen)
        return Guesses(
            choices=Choices(
                slots=np.array(slots, np.int64),
                tokens=ids,
                confidence=_floats(probabilities.gather(1, chosen[:, None])[:, 0]),
                entropy=_floats(entropy),
                margin=_floats(margin),
                ends=np.isin(ids, self._ends),
            ),
            logps=_floats(logps.gather(1, chosen[:, None])[:, 0]),
            proposals=_ids(logps.argmax(-1)),
            counts=counts,
        )


def _count(masks: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """How many bits are set in each row."""
    bits: npt.NDArray[np.int64] = np.take(_ONES, masks.view(np.uint8)).sum(-1, dtype=np.int64)
    return bits


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)


def _floats(values: Tensor) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = values.double().cpu().numpy()
    return array


def _ids(values: Tensor) -> npt.NDArray[np.int64]:
    array: npt.NDArray[np.int64] = values.long().cpu().numpy()
    return array


def _put(values: npt.NDArray[Any], i: int, value: Any) -> npt.NDArray[Any]:
    changed: npt.NDArray[Any] = values.copy()
    changed[i] = np.asarray(value).reshape(-1)[0]
    return changed
