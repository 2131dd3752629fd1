"""A causal language model as a function from tokens to next-token logits, with its key-value cache.

Rows of a batch have prompts of different lengths. They are padded on the left, so that the newest token of every row
stands in the last column; the attention mask hides the padding and position ids start at 0 behind it. Rows that are
finished leave the batch, and the cache with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class CausalForward:
    """The forward passes of one batch. Not shared between threads; the network may be."""

    def __init__(self, network: Any, prompts: Sequence[Sequence[int]], *, pad_token_id: int) -> None:
        """Prepare a batch.

        Args:
            network: a Hugging Face causal language model in evaluation mode.
            prompts: token ids of each row; none empty.
            pad_token_id: any id that the network embeds; what stands there is never attended to.
        """
        import torch

        self._torch = torch
        self._network = network
        self._device = network.device
        self._accepted = frozenset(inspect.signature(network.forward).parameters)
        self._cache: Any = None
        width = max(map(len, prompts))
        rows = [[pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        self._prompt = torch.tensor(rows, dtype=torch.long, device=self._device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._device)
        self._padding = width - lengths
        self._padded = bool((self._padding > 0).any())
        self._length = 0

    def prefill(self) -> Tensor:
        """Read the prompts. Returns float32 logits ``(B, V)`` of the token behind each."""
        return self._forward(self._prompt)

    def step(self, token_ids: Sequence[int]) -> Tensor:
        """Append one token per row. Returns float32 logits ``(B, V)`` of the token behind it."""
        return self._forward(self._torch.tensor([[i] for i in token_ids], dtype=self._torch.long, device=self._device))

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows of the current batch, in this order."""
        index = self._torch.tensor(list(rows), dtype=self._torch.long, device=self._device)
        if self._cache is not None:
            self._cache.batch_select_indices(index)
        self._padding = self._padding[index]
        self._padded = bool((self._padding > 0).any())

    def _forward(self, input_ids: Tensor) -> Tensor:
        torch = self._torch
        start, self._length = self._length, self._length + input_ids.shape[1]
        arguments: dict[str, Any] = {"use_cache": True, "past_key_values": self._cache}
        if "logits_to_keep" in self._accepted:
            arguments["logits_to_keep"] = 1
        if self._padded:
            # Without padding the network derives both itself, and skips building a mask.
            columns = torch.arange(self._length, device=self._device)
            arguments["attention_mask"] = (columns >= self._padding[:, None]).long()
            if "position_ids" in self._accepted:
                positions = columns[None, start:] - self._padding[:, None]
                arguments["position_ids"] = positions.clamp_(min=0)
        with torch.inference_mode():
            output = self._network(input_ids=input_ids, **arguments)
        self._cache = output.past_key_values
        # Copied outside of inference mode: the caller writes masks into it.
        logits: Tensor = output.logits[:, -1, :].to(torch.float32, copy=True)
        return logits
