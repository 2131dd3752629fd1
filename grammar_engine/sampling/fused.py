"""Draws on the device of the logits: mask, temperature, truncation and noise in one go, nothing waits for the CPU.

    sampler = FusedSampler([Sample(temperature=0.8, top_p=0.9), Greedy()], seeds=[1, 2], device="cuda")
    draws = sampler.draw(logits, bitmask)        # draws.token_ids, .logprobs, .log_z …; the next draw is the next step

What a row draws depends on its logits, its mask, its seed and its step alone: not on the batch, the order of rows, the
device, or how often something else was drawn. ``kernels.device.sampling`` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.samplers import Greedy, Sample

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from grammar_engine.kernels.device.sampling import Draws

_SEEDS = 1 << 63


class FusedSampler:
    """One sampler, seed and step counter per row. All of it lives on the device, so a CUDA graph may hold a draw."""

    def __init__(
        self,
        samplers: Sequence[Sample | Greedy],
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare.

        Args:
            samplers: how each row is drawn; rows may differ.
            seeds: of each row, below 2⁶³ in absolute value.
            device: that of the logits.

        Raises:
            InvalidArgumentError: there are not as many seeds as samplers, one is out of range, or a sampler has a
                penalty on repetition.
        """
        import torch

        from grammar_engine.kernels.device.sampling import Settings

        if len(seeds) != len(samplers):
            raise InvalidArgumentError(f"{len(seeds)} seeds for {len(samplers)} rows", argument="seeds")
        if not all(-_SEEDS < seed < _SEEDS for seed in seeds):
            raise InvalidArgumentError("a seed does not fit into 64 bits", argument="seeds")
        if any(sampler.repetition is not None for sampler in samplers):
            raise InvalidArgumentError(
                "a penalty on repeated structure needs each row's matcher; use the samplers of generate",
                argument="samplers",
            )
        drawn = [Sample() if isinstance(sampler, Greedy) else sampler for sampler in samplers]
        zeros = [0.0 if isinstance(sampler, Greedy) else sampler.temperature for sampler in samplers]
        # Subnormal temperatures would be 0 in float32.
        temperatures = [t and max(t, 1e-30) for t in zeros]
        self.settings = Settings(
            temperature=torch.tensor(temperatures, dtype=torch.float32, device=device),
            top_k=torch.tensor([min(s.top_k, (1 << 31) - 1) for s in drawn], dtype=torch.int32, device=device),
            top_p=torch.tensor([s.top_p for s in drawn], dtype=torch.float32, device=device),
            min_p=torch.tensor([s.min_p for s in drawn], dtype=torch.float32, device=device),
            seeds=torch.tensor(list(seeds), dtype=torch.int64, device=device),
            steps=torch.zeros(len(drawn), dtype=torch.int64, device=device),
            truncates=any(s.top_k > 0 or s.top_p < 1 for s in drawn),
        )

    @property
    def steps(self) -> Tensor:
        """How many draws each row has made: int64 ``(n,)``, on the device. Set it to draw a step again."""
        return self.settings.steps

    def of_rows(self, rows: Tensor, *, steps: Tensor) -> FusedSampler:
        """A sampler of chosen rows, each at a step of its own: rows and steps int64 ``(n,)``, on the device.

        Rows may repeat and come in any order; a row that is out of range is an error of the device. The two samplers
        share nothing that changes.
        """
        chosen = copy(self)
        names = ("temperature", "top_k", "top_p", "min_p", "seeds")
        selected = {name: getattr(self.settings, name).index_select(0, rows) for name in names}
        chosen.settings = replace(self.settings, **selected, steps=steps.clone())
        return chosen

    def draw(
        self,
        logits: Tensor,
        bitmask: Tensor | None = None,
        *,
        indices: Tensor | None = None,
        mask_rows: Tensor | None = None,
    ) -> Draws:
        """Draw a token for each row, and count the step.

        Args:
            logits: ``(rows, V)``, float16, bfloat16 or float32, any strides; not changed.
            bitmask: int32 ``(…, ceil(V / 32))`` on the same device, row i for row i of the logits; None: no mask.
            indices: int64 ``(n,)`` on the device: the rows of the logits, one for each sampler; None: all.
            mask_rows: int64 ``(n,)`` on the device: rows of the bitmask, negative for none; None: those of ``indices``.

        Returns:
            Token ids and log-probabilities (see ``Draws``); −1 in a row that has nothing to draw.

        Raises:
            ValueError: a shape, dtype or device does not fit.
        """
        from grammar_engine.kernels.device import sampling

        draws = sampling.draw(logits, self.settings, bitmask, indices, mask_rows)
        self.settings.steps.add_(1)
        return draws
