"""The next token of each particle: by mask alone, or by mask and condition; on the host or where the logits are.

Which estimator, where that is left open (``method="auto"``), goes by what weights are for:

    one particle                       recursive: its weight decides nothing, so the fewest checks
    several, few tokens allowed        exact: all are checked, and the weight is the mass itself
    several, else                      low_variance: recursive or geometric, by how peaked the masses are

The choice looks at mask and masses alone, never at verdicts, so weights stay unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.sampling.awrs import Draw, awrs_checks, masked
from grammar_engine.sampling.batch_draws import awrs_batch, finish_together, masked_batch
from grammar_engine.sampling.conditions import Condition, Partial, ask

if TYPE_CHECKING:
    from torch import Tensor

MOST_CHECKED = 16
"""Allowed tokens that are all checked: a digit and what ends a number, the members of most enumerations."""

PartialOf = Callable[[int, int], Partial]
"""The text of a row with a token behind it."""


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """How a draw is weighted under a condition; see ``awrs``. several: whether weights are compared."""

    method: str = "auto"
    max_accepts: int = 2
    max_rejects: int | None = None
    several: bool = True

    def methods(self, bitmask: npt.NDArray[np.int32], size: int) -> list[str]:
        """For each row of a mask: the estimator's name."""
        if self.method != "auto" or not self.several or self.max_rejects is not None or self.max_accepts > 2:
            return [self.method] * len(bitmask)
        words = bitmask[:, : (size + 31) // 32].view(np.uint8)
        counts = np.unpackbits(words, axis=1, bitorder="little", count=size).sum(1)
        return ["exact" if count <= MOST_CHECKED else "low_variance" for count in counts.tolist()]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a draw for some rows needs.

    temperature: of the distribution that is drawn from. bitmask: int32 ``(n, W)``. partial_of: for the condition.
    """

    temperature: float
    bitmask: npt.NDArray[np.int32]
    condition: Condition | None
    estimator: Estimator
    partial_of: PartialOf

    def on_host(self, logits: Tensor, rngs: Sequence[np.random.Generator]) -> list[tuple[Draw, float]]:
        """A draw for each row, and the log-probability of its token at the temperature. ``logits``: ``(n, V)``."""
        logps = self._logps(logits).cpu().numpy()
        if self.condition is None:
            draws = [masked(logps[i], self.bitmask[i], rng=rng) for i, rng in enumerate(rngs)]
        else:
            bits = np.unpackbits(self.bitmask.view(np.uint8), axis=1, bitorder="little", count=logps.shape[1])
            allowed = np.where(bits, logps, -math.inf)
            methods = self.estimator.methods(self.bitmask, logps.shape[1])
            checks = [
                awrs_checks(
                    allowed[i],
                    rng=rng,
                    method=methods[i],
                    max_accepts=self.estimator.max_accepts,
                    max_rejects=self.estimator.max_rejects,
                )
                for i, rng in enumerate(rngs)
            ]
            draws = finish_together(checks, self._accept)
        return [
            (draw, -math.inf if draw.token is None else float(logps[i, draw.token])) for i, draw in enumerate(draws)
        ]

    def on_device(self, logits: Tensor, seeds: Sequence[int], step: int) -> list[tuple[Draw, float]]:
        """The same, where the logits are: the vocabulary does not leave the device. Other draws, alike distributed."""
        import torch

        logps = self._logps(logits)
        bitmask = torch.from_numpy(self.bitmask).to(logps.device)
        if self.condition is None:
            draws = masked_batch(logps, bitmask, seeds=seeds, steps=step)
        else:
            draws = awrs_batch(
                logps,
                self._accept,
                seeds=seeds,
                steps=step,
                bitmask=bitmask,
                method=self.estimator.methods(self.bitmask, logps.shape[1]),
                max_accepts=self.estimator.max_accepts,
                max_rejects=self.estimator.max_rejects,
            )
        tokens = torch.tensor([[draw.token or 0] for draw in draws], device=logps.device)
        scores = logps.gather(1, tokens)[:, 0].tolist()
        return [(draw, -math.inf if draw.token is None else score) for draw, score in zip(draws, scores, strict=True)]

    def _logps(self, logits: Tensor) -> Tensor:
        return (logits.double() / self.temperature).log_softmax(-1)

    def _accept(self, rows: Sequence[int], tokens: Sequence[int]) -> list[bool]:
        assert self.condition is not None
        return ask(self.condition, [self.partial_of(row, token) for row, token in zip(rows, tokens, strict=True)])
