"""Masks on logits in plain torch, on any device: what the other implementations are compared with."""

from __future__ import annotations

import math

import torch
from grammar_engine.kernels.device import masking

_CHUNK = 1 << 24  # logits masked at once: bounds the memory of the unpacked bits


def unpack(bitmask: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Packed masks ``(n, W)`` as bool ``(n, vocabulary)``; False beyond their bits."""
    shifts = torch.arange(32, dtype=torch.int32, device=bitmask.device)
    bits = ((bitmask.unsqueeze(-1) >> shifts) & 1).to(torch.bool).flatten(1)[:, :vocabulary]
    missing = vocabulary - bits.shape[1]
    return torch.nn.functional.pad(bits, (0, missing), value=False) if missing else bits


def apply_bitmask(
    rows: torch.Tensor, bitmask: torch.Tensor, indices: torch.Tensor | None, mask_rows: torch.Tensor | None
) -> None:
    """See ``masking.apply_bitmask``; the arguments are checked."""
    if indices is None:
        indices = torch.arange(len(rows), device=rows.device)
    if mask_rows is None:
        mask_rows = indices
    vocabulary = rows.shape[1]
    step = max(1, _CHUNK // max(1, vocabulary))
    for chosen, masks in zip(indices.split(step), mask_rows.split(step), strict=True):
        allowed = unpack(bitmask[masks.clamp(min=0)], vocabulary) | (masks < 0).unsqueeze(1)
        rows[chosen] = rows[chosen].masked_fill_(~allowed, -math.inf)


def expand_records(table: torch.Tensor, records: torch.Tensor, bitmask: torch.Tensor) -> None:
    """See ``masking.expand_records``; the arguments are checked."""
    count, words = len(records), table.shape[1]
    result = torch.zeros((count, words), dtype=torch.int32, device=table.device)
    for k in range(masking.MOST_ROWS):
        used = (k < records[:, 0]).unsqueeze(1)
        row = records[:, masking.RECORD_ROWS + k].clamp(0, max(0, len(table) - 1)).long()
        result |= torch.where(used, table[row], 0)
    # Each token adds its bit; a token that stands in a record twice, or in a row, must add nothing.
    for k in range(masking.MOST_TOKENS):
        used = k < records[:, 1]
        token = torch.where(used, records[:, masking.RECORD_TOKENS + k], 0)
        word = (token >> 5).long().unsqueeze(1)
        bit = torch.where(used, torch.ones_like(token) << (token & 31), 0).unsqueeze(1)
        result.scatter_(1, word, result.gather(1, word) | bit)
    unconstrained = (records[:, 0] == masking.UNCONSTRAINED).unsqueeze(1)
    bitmask[:count] = torch.where(unconstrained, -1, result)
