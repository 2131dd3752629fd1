"""A masked diffusion model that knows nothing: logits from a seed, by the tokens around each position."""

from __future__ import annotations

from typing import Any

import torch

from grammar_engine import GrammarCompiler
from grammar_engine.diffusion import DiffusionModel


class RandomDiffusion(DiffusionModel):
    """Logits at i are a sum over the tokens at i − 3 … i + 3, each with a table of its own; open slots weigh nothing.

    calls: the canvases that were asked about.
    """

    def __init__(
        self,
        compiler: GrammarCompiler,
        *,
        mask_token_id: int,
        seed: int = 0,
        sharpness: float = 2.0,
        favoured: dict[int, float] | None = None,
        prompt_ids: tuple[int, ...] = (),
        context_length: int | None = None,
        pad_token_id: int | None = None,
    ) -> None:
        """favoured: what is added to the logits of some tokens everywhere. prompt_ids: what any prompt encodes to."""
        super().__init__(
            compiler, mask_token_id=mask_token_id, context_length=context_length, pad_token_id=pad_token_id
        )
        size = compiler.vocabulary.size
        tables = torch.randn((7, size, size), generator=torch.Generator().manual_seed(seed))
        tables[:, mask_token_id] = 0
        self._tables = tables * sharpness
        self._bias = torch.randn(size, generator=torch.Generator().manual_seed(seed + 1))
        for token, bonus in (favoured or {}).items():
            self._bias[token] += bonus
        self._prompt_ids = prompt_ids
        self.calls: list[list[list[int]]] = []

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def encode(self, prompt: Any, tools: Any = None) -> list[int]:  # noqa: ARG002
        return list(self._prompt_ids) + [0] * len(prompt)

    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        self.calls.append(ids.tolist())
        seen = torch.ones_like(ids, dtype=torch.bool) if attention_mask is None else attention_mask
        logits = self._bias.expand(*ids.shape, -1).clone()
        for offset in range(-3, 4):
            beside = self._tables[offset + 3][ids] * seen[..., None]
            shifted = torch.zeros_like(beside)
            if offset >= 0:
                shifted[:, offset:] = beside[:, : beside.shape[1] - offset]
            else:
                shifted[:, :offset] = beside[:, -offset:]
            logits += shifted * (offset != 0)
        return logits
