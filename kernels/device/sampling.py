"""A token per row of logits, in one go: mask, temperature, top-k, top-p, min-p, draw, log-probabilities.

    x      logits in float32; NaN counts as −inf, +inf as the greatest finite number
    p      softmax(x)                     the raw distribution
    Z      Σ p over allowed tokens        p / Z: the masked distribution
    y      (x − greatest allowed x) / temperature
    q      softmax(y) over the tokens that top-k, top-p and min-p leave: what is drawn from
    token  argmax of y + Gumbel noise of (seed, step, token id), the lowest id among equals

Truncation has the meaning of ``grammar_engine.sampling.Sample``: top-k keeps all tokens as probable as the k-th; top-p
keeps the fewest most probable tokens whose mass reaches it, of equally probable ones the lowest ids; min-p those at
least that fraction as probable as the best. In this order, each on what the one before left.

Nothing depends on the device, on the rows beside, or on how work is split: elementary functions give the same bits
everywhere and masses are summed as integers (``exact_reference.py``), so Triton and torch draw the same tokens and
report the same log-probabilities. Those have an error below 10⁻⁵ (or 10⁻⁶ of their value, if that is more): float32
differences of logits, and masses below 2⁻⁴⁰ of the greatest are lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from grammar_engine.kernels.device.backend import TRITON, as_rows, backend_of, on_device_of
from grammar_engine.kernels.device.masking import _check_numbers, _check_words

MOST_LOGITS = 1 << 22
"""Masses of so many tokens add up to less than 2⁶³."""
GREATEST = 3.4028234663852886e38
"""The greatest finite float32."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is asked of each row: tensors ``(n,)`` on the device of the logits.

    temperature: float32, 0 for the most probable token. top_k: int32, 0 keeps all. top_p: float32, 1 keeps all. min_p:
    float32, 0 keeps all. seeds, steps: int64. truncates: some row may have a top_k or a top_p that is not off; if
    False, those are not looked at.
    """

    temperature: torch.Tensor
    top_k: torch.Tensor
    top_p: torch.Tensor
    min_p: torch.Tensor
    seeds: torch.Tensor
    steps: torch.Tensor
    truncates: bool = True


@dataclass(frozen=True, kw_only=True)
class Draws:
    """A token per row, and what each distribution says of it: tensors ``(n,)`` on the device of the logits.

    token_ids: int64; −1 where no allowed token has any probability (the other values are −inf then).
    logprobs: log p, of the raw distribution. masked_logprobs: log p/Z. draw_logprobs: log q, 0 for the most probable
    token at temperature 0. log_z: log Z, the weight of a step that draws from the masked distribution. All float32.
    """

    token_ids: torch.Tensor
    logprobs: torch.Tensor
    masked_logprobs: torch.Tensor
    draw_logprobs: torch.Tensor
    log_z: torch.Tensor


def draw(
    logits: torch.Tensor,
    settings: Settings,
    bitmask: torch.Tensor | None = None,
    indices: torch.Tensor | None = None,
    mask_rows: torch.Tensor | None = None,
) -> Draws:
    """Draw a token for each chosen row.

    Args:
        logits: ``(rows, V)`` or ``(V,)``, float16, bfloat16 or float32, any strides. Not changed.
        settings: n of everything.
        bitmask: packed masks as in ``masking.apply_bitmask``; None: every token is allowed.
        indices: int64 ``(n,)``, the rows of the logits; None: all.
        mask_rows: int64 ``(n,)``, the row of the bitmask for each, negative for none; None: those of ``indices``.

    Raises:
        ValueError: a shape, dtype or device does not fit, or V is over 2²².
    """
    rows = as_rows(logits)
    if rows.dtype == torch.float64:
        raise ValueError("logits have dtype torch.float64, needed is float16, bfloat16 or float32")
    count = rows.shape[0] if indices is None else indices.shape[0]
    if not 0 < rows.shape[1] <= MOST_LOGITS:
        raise ValueError(f"{rows.shape[1]} logits per row; at least 1 and at most {MOST_LOGITS} can be summed exactly")
    for name, dtype in _DTYPES.items():
        tensor = getattr(settings, name)
        if tensor.shape != (count,) or tensor.dtype != dtype or tensor.device != rows.device:
            raise ValueError(f"{name}: {dtype} ({count},) on {rows.device}, not {tensor.dtype} {tuple(tensor.shape)}")
    for name, numbers in (("indices", indices), ("mask_rows", mask_rows)):
        _check_numbers(numbers, count, rows.device, name)
    if bitmask is not None:
        _check_words(bitmask, rows.device, "bitmask")
        if mask_rows is None and indices is None and bitmask.shape[0] < count:
            raise ValueError(f"logits {tuple(logits.shape)} and bitmask {tuple(bitmask.shape)} do not fit")
    if backend_of(rows) == TRITON:
        from grammar_engine.kernels.device import sampling_triton

        with on_device_of(rows):
            return sampling_triton.draw(rows, settings, bitmask, indices, mask_rows)
    from grammar_engine.kernels.device import sampling_reference

    return sampling_reference.draw(rows, settings, bitmask, indices, mask_rows)


_DTYPES = {
    "temperature": torch.float32,
    "top_k": torch.int32,
    "top_p": torch.float32,
    "min_p": torch.float32,
    "seeds": torch.int64,
    "steps": torch.int64,
}
