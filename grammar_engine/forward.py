"""A causal language model as a function from tokens to next-token logits, with its key-value cache.

Rows of a batch have prompts of different lengths. They are padded on the left, so that the newest token of every row
stands in the last column; the attention mask hides the padding and position ids start at 0 behind it. Rows that are
finished leave the batch, and the cache with them.

A chunk appends several tokens per row in one pass, as guesses are verified (``grammar_engine.drafts``); of each row as
many are kept as proved right. Columns that no row keeps are cut off the cache, those that only some rows keep are
hidden from the others like padding:

    columns   0 1 2 3 4 5 6        chunk in columns 4, 5, 6; row 0 keeps 1 of 3, row 1 keeps 2
    row 0     x x x x x . .        after settle([1, 2]): column 6 is cut off, column 5 of row 0 is hidden
    row 1     . . x x x x .
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class CausalForward:
    """The forward passes of one batch. Not shared between threads; the network may be.

    passes: how many there have been, the prompt's included.
    """

    def __init__(
        self, network: Any, prompts: Sequence[Sequence[int]], *, pad_token_id: int, copies_logits: bool = True
    ) -> None:
        """Prepare a batch.

        Args:
            network: a Hugging Face causal language model in evaluation mode.
            prompts: token ids of each row; none empty.
            pad_token_id: any id that the network embeds; what stands there is never attended to.
            copies_logits: logits are float32 copies, to be written to; else they are as the network gives them.
        """
        import torch

        self.passes = 0
        self._torch = torch
        self._network = network
        self._device = network.device
        self._pad_token_id = pad_token_id
        self._copies_logits = copies_logits
        self._accepted = frozenset(inspect.signature(network.forward).parameters)
        self._cache: Any = None
        width = max(map(len, prompts))
        rows = [[pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        self._prompt = _sent(rows, torch.long, self._device)
        lengths = _sent([len(prompt) for prompt in prompts], torch.long, self._device)
        self._new = torch.arange(width, device=self._device) >= (width - lengths)[:, None]
        # bool (B, columns so far): what may be attended to. int64 (B,): how many tokens of each row.
        self._seen = torch.zeros((len(prompts), 0), dtype=torch.bool, device=self._device)
        self._counts = torch.zeros_like(lengths)
        # Known without asking the device: how many columns of each row are hidden, and the last chunk's lengths.
        self._hidden = [width - len(prompt) for prompt in prompts]
        self._chunk = [0] * len(prompts)

    @functools.cached_property
    def takes_chunks(self) -> bool:
        """Whether several tokens can be appended at once and some of them taken back; known after ``prefill``.

        They can where every layer keeps all keys and values. States of sliding windows and of recurrent layers cannot
        be put back.
        """
        layers = getattr(self._cache, "layers", None) or ()
        return "attention_mask" in self._accepted and bool(layers) and all(map(_keeps_everything, layers))

    def prefill(self) -> Tensor:
        """Read the prompts. Returns logits ``(B, V)`` of the token behind each."""
        return self._forward(self._prompt, self._new if any(self._hidden) else None, 1)[:, -1, :]

    def step(self, token_ids: Sequence[int]) -> Tensor:
        """Append one token per row. Returns logits ``(B, V)`` of the token behind it."""
        tokens = _sent([[i] for i in token_ids], self._torch.long, self._device)
        return self._forward(tokens, None, 1)[:, -1, :]

    def chunk(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Append at least one token per row; to be followed by ``settle``.

        Returns logits ``(B, K, V)``, K the longest row: ``[i, j]`` is behind token j of row i; meaningless
        where row i has no token j.
        """
        torch = self._torch
        self._chunk = [len(row) for row in rows]
        width = max(self._chunk)
        padded = [[*row, *[self._pad_token_id] * (width - len(row))] for row in rows]
        tokens = _sent(padded, torch.long, self._device)
        if min(self._chunk) == width:
            return self._forward(tokens, None, width)
        lengths = _sent(self._chunk, torch.long, self._device)
        return self._forward(tokens, torch.arange(width, device=self._device) < lengths[:, None], width)

    def settle(self, counts: Sequence[int]) -> None:
        """Of row i keep the first ``counts[i]`` tokens of the last chunk, at least one."""
        torch = self._torch
        most, surplus = max(counts), max(self._chunk) - max(counts)
        if surplus:
            self._cache.crop(-surplus)
            self._seen = self._seen[:, :-surplus]
        if min(counts) < most:
            kept = _sent(list(counts), torch.long, self._device)
            self._seen[:, -most:] &= torch.arange(most, device=self._device) < kept[:, None]
        if list(counts) != self._chunk:
            taken_back = [have - keep for have, keep in zip(self._chunk, counts, strict=True)]
            self._counts -= _sent(taken_back, torch.long, self._device)
        self._hidden = [hidden + most - count for hidden, count in zip(self._hidden, counts, strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows of the current batch, in this order."""
        index = _sent(list(rows), self._torch.long, self._device)
        if self._cache is not None:
            self._cache.batch_select_indices(index)
        self._seen = self._seen[index]
        self._counts = self._counts[index]
        self._hidden = [self._hidden[row] for row in rows]

    def _forward(self, input_ids: Tensor, new: Tensor | None, wanted: int) -> Tensor:
        """One pass over new columns; ``new``: which of them are tokens, None for all. The last ``wanted`` logits."""
        torch = self._torch
        fresh = torch.ones_like(input_ids, dtype=torch.bool) if new is None else new
        self._seen = torch.cat([self._seen, fresh], 1)
        arguments: dict[str, Any] = {"use_cache": True, "past_key_values": self._cache}
        if "logits_to_keep" in self._accepted:
            arguments["logits_to_keep"] = wanted
        if new is not None or any(self._hidden):
            # Without gaps the network derives both itself, and skips building a mask.
            arguments["attention_mask"] = self._seen.long()
            if "position_ids" in self._accepted:
                arguments["position_ids"] = (self._counts[:, None] + fresh.cumsum(1) - 1).clamp_(min=0)
        self._counts = self._counts + fresh.sum(1)
        with torch.inference_mode():
            output = self._network(input_ids=input_ids, **arguments)
        self.passes += 1
        self._cache = output.past_key_values
        logits: Tensor = output.logits[:, -wanted:, :]
        # Copied outside of inference mode: the caller writes masks into it.
        return logits.to(torch.float32, copy=True) if self._copies_logits else logits


def _sent(values: Sequence[Any], dtype: Any, device: Any) -> Tensor:
    """A tensor on a device; the host does not wait for its copy."""
    import torch

    here = torch.tensor(values, dtype=dtype)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here.to(device)


def _keeps_everything(layer: Any) -> bool:
    from transformers.cache_utils import DynamicLayer

    return type(layer) is DynamicLayer
