"""Packed masks on logits in the CPU's memory: one compiled loop over rows and words.

Most words of a mask are all ones or all zeros: the first cost a comparison per 32 tokens, the second a fill. Of the
others the zeros are visited, one after the other, the lowest found by a multiplication (Leiserson, Prokop and Randall
1998): an eighth of what a test of each bit costs. Rows and columns may have any strides: both sides are addressed in
the flat memory that they lie in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from grammar_engine.kernels.arena import kernel
from grammar_engine.kernels.device.backend import MINUS_INFINITY, as_bits

_DE_BRUIJN = np.uint32(0x077CB531)


def _bit_table() -> npt.NDArray[np.uint8]:
    table = np.zeros(32, np.uint8)
    for bit in range(32):
        table[((int(_DE_BRUIJN) << bit) & 0xFFFFFFFF) >> 27] = bit
    return table


_BIT_OF = _bit_table()  # which bit a power of two is, by the top bits of its product


def _apply(flat, minus_infinity, row_stride, column_stride, vocabulary, masks, mask_stride, words, indices, mask_rows):
    """Mask rows ``indices`` of the logits by rows ``mask_rows`` of the bitmask (negative: by none)."""
    whole = min(words, vocabulary >> 5) if column_stride == 1 else 0
    for i in range(indices.size):
        if mask_rows[i] < 0:
            continue
        mask = mask_rows[i] * mask_stride
        start = indices[i] * row_stride
        for w in range(whole):
            word = masks[mask + w]
            if word == np.uint32(0xFFFFFFFF):
                continue
            first = start + (w << 5)
            if word == 0:
                flat[first : first + 32] = minus_infinity
                continue
            zeros = ~word
            while zeros != np.uint32(0):
                lowest = zeros & (~zeros + np.uint32(1))
                flat[first + _BIT_OF[(lowest * _DE_BRUIJN & np.uint32(0xFFFFFFFF)) >> np.uint32(27)]] = minus_infinity
                zeros ^= lowest
        for t in range(whole << 5, min(words << 5, vocabulary)):
            if not (masks[mask + (t >> 5)] >> np.uint32(t & 31)) & np.uint32(1):
                flat[start + t * column_stride] = minus_infinity
        for t in range(words << 5, vocabulary):
            flat[start + t * column_stride] = minus_infinity


_REST = "int64, int64, int64, uint32[::1], int64, int64, int64[::1], int64[::1]"
_apply_16 = kernel(f"void(int16[::1], int16, {_REST})", entry=True)(_apply)
_apply_32 = kernel(f"void(int32[::1], int32, {_REST})", entry=True)(_apply)
_apply_64 = kernel(f"void(int64[::1], int64, {_REST})", entry=True)(_apply)
_BY_WIDTH = {2: _apply_16, 4: _apply_32, 8: _apply_64}


def apply_bitmask(
    rows: torch.Tensor,
    bitmask: torch.Tensor,
    indices: torch.Tensor | None,
    mask_rows: torch.Tensor | None,
    *,
    value: int | None = None,
) -> None:
    """See ``masking.apply_bitmask``; the arguments are checked. value: the bits of what is written instead of −inf."""
    chosen = np.arange(rows.shape[0]) if indices is None else np.ascontiguousarray(indices.numpy())
    masks = chosen if mask_rows is None else np.ascontiguousarray(mask_rows.numpy())
    if mask_rows is not None and masks.size and int(masks.max()) >= bitmask.shape[0]:
        raise ValueError(f"row {int(masks.max())} of a bitmask with {bitmask.shape[0]} rows")
    row_stride, column_stride = rows.stride()
    _BY_WIDTH[rows.element_size()](
        _flat(as_bits(rows)),
        MINUS_INFINITY[rows.dtype] if value is None else value,
        row_stride,
        column_stride,
        rows.shape[1],
        _flat(bitmask).view(np.uint32),
        bitmask.stride(0),
        bitmask.shape[1],
        chosen,
        masks,
    )


def _flat(tensor: torch.Tensor):
    """The memory from the first element of a matrix to its last."""
    if tensor.is_contiguous():
        return tensor.numpy().reshape(-1)
    extent = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((1 + extent if tensor.numel() else 0,), (1,)).numpy()
