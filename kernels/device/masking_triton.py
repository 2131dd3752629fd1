"""Masks on logits in Triton: one program per tile of some thousand logits of one row.

A tile is two-dimensional, words × 32, so that whether to touch 32 neighbours is one bit of a condition: they are then
read and written as vectors. Words that allow everything cost no traffic in logits, those that allow nothing no read.
What must move is the words of the mask and the logits behind words that forbid something.

Everything is integers (see ``backend.MINUS_INFINITY``); rows are addressed in 64 bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from grammar_engine.kernels.device import masking
from grammar_engine.kernels.device.backend import MINUS_INFINITY

# Words of a tile: of 4,096 logits, or of 1,024 where larger ones would leave most of a GPU idle. Each size is compiled
# when it is first used, so there are two.
_LARGE, _SMALL = 128, 32
_FEW_TILES = 256
_RECORD = tl.constexpr(masking.RECORD)
_RECORD_ROWS = tl.constexpr(masking.RECORD_ROWS)
_RECORD_TOKENS = tl.constexpr(masking.RECORD_TOKENS)
_UNCONSTRAINED = tl.constexpr(masking.UNCONSTRAINED)


@triton.jit
def _mask_tile(logits, column_stride, first_word, words, vocabulary, WORDS: tl.constexpr, MINUS: tl.constexpr):
    """Write −inf where the words of a tile have zeros. ``logits``: pointer to the row."""
    lanes = tl.arange(0, 32)
    word_ids = first_word + tl.arange(0, WORDS)
    columns = word_ids[:, None] * 32 + lanes[None, :]
    bits = (words[:, None] >> lanes[None, :]) & 1
    pointers = logits + columns.to(tl.int64) * column_stride
    touched = tl.broadcast_to((words != -1)[:, None], columns.shape)
    read = touched & (words != 0)[:, None]
    if (first_word + WORDS) * 32 > vocabulary:  # the last tile alone looks at every column
        inside = columns < vocabulary
        values = tl.load(pointers, mask=read & inside, other=MINUS)
        tl.store(pointers, tl.where(bits != 0, values, MINUS).to(values.dtype), mask=touched & inside)
    else:
        values = tl.load(pointers, mask=read, other=MINUS)
        tl.store(pointers, tl.where(bits != 0, values, MINUS).to(values.dtype), mask=touched)


@triton.jit
def _union(table, table_stride, record, word_ids, num_words):
    """The words of a record's mask: the union of its rows, and of its tokens."""
    count = tl.load(record)
    words = tl.zeros(word_ids.shape, tl.int32)
    inside = word_ids < num_words
    if count == _UNCONSTRAINED:
        words = tl.full(word_ids.shape, -1, tl.int32)
    else:
        for k in range(count):
            row = tl.load(record + _RECORD_ROWS + k).to(tl.int64)
            words |= tl.load(table + row * table_stride + word_ids, mask=inside, other=0)
        for k in range(tl.load(record + 1)):
            token = tl.load(record + _RECORD_TOKENS + k)
            words |= tl.where(word_ids == (token >> 5), tl.full(word_ids.shape, 1, tl.int32) << (token & 31), 0)
    return words


@triton.jit(do_not_specialize=["tiles"])
def _apply_bitmask_kernel(
    logits, row_stride, column_stride, vocabulary, bitmask, mask_stride, num_words, indices, mask_rows, tiles,
    HAS_INDICES: tl.constexpr, HAS_MASK_ROWS: tl.constexpr, WORDS: tl.constexpr, MINUS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) // tiles
    first_word = (tl.program_id(0) % tiles) * WORDS
    word_ids = first_word + tl.arange(0, WORDS)
    row = i.to(tl.int64)
    if HAS_INDICES:
        row = tl.load(indices + i)
    mask_row = row
    if HAS_MASK_ROWS:
        mask_row = tl.load(mask_rows + i)
    if mask_row >= 0:
        words = tl.load(bitmask + mask_row * mask_stride + word_ids, mask=word_ids < num_words, other=0)
        _mask_tile(logits + row * row_stride, column_stride, first_word, words, vocabulary, WORDS, MINUS)


@triton.jit(do_not_specialize=["tiles"])
def _apply_records_kernel(
    logits, row_stride, column_stride, vocabulary, table, table_stride, num_words, records, indices, tiles,
    HAS_INDICES: tl.constexpr, WORDS: tl.constexpr, MINUS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) // tiles
    first_word = (tl.program_id(0) % tiles) * WORDS
    word_ids = first_word + tl.arange(0, WORDS)
    row = i.to(tl.int64)
    if HAS_INDICES:
        row = tl.load(indices + i)
    record = records + i.to(tl.int64) * _RECORD
    if tl.load(record) != _UNCONSTRAINED:
        words = _union(table, table_stride, record, word_ids, num_words)
        _mask_tile(logits + row * row_stride, column_stride, first_word, words, vocabulary, WORDS, MINUS)


@triton.jit(do_not_specialize=["tiles"])
def _expand_records_kernel(
    bitmask, mask_stride, table, table_stride, num_words, records, tiles, WORDS: tl.constexpr
):  # fmt: skip
    i = (tl.program_id(0) // tiles).to(tl.int64)
    word_ids = (tl.program_id(0) % tiles) * WORDS + tl.arange(0, WORDS)
    words = _union(table, table_stride, records + i * _RECORD, word_ids, num_words)
    tl.store(bitmask + i * mask_stride + word_ids, words, mask=word_ids < num_words)


def _tiling(rows: int, words: int) -> tuple[int, int]:
    """Words per tile, and tiles per row."""
    size = _LARGE if rows * triton.cdiv(words, _LARGE) >= _FEW_TILES else _SMALL
    return size, triton.cdiv(words, size)


def apply_bitmask(
    bits: torch.Tensor,
    dtype: torch.dtype,
    bitmask: torch.Tensor,
    indices: torch.Tensor | None,
    mask_rows: torch.Tensor | None,
) -> None:
    """See ``masking.apply_bitmask``; the arguments are checked. bits: the logits as integers; dtype: what they are."""
    count, vocabulary = len(bits) if indices is None else len(indices), bits.shape[1]
    words, tiles = _tiling(count, triton.cdiv(vocabulary, 32))
    _apply_bitmask_kernel[(count * tiles,)](
        bits, bits.stride(0), bits.stride(1), vocabulary, bitmask, bitmask.stride(0), bitmask.shape[1],
        indices, mask_rows, tiles,
        HAS_INDICES=indices is not None, HAS_MASK_ROWS=mask_rows is not None, WORDS=words,
        MINUS=MINUS_INFINITY[dtype],
    )  # fmt: skip


def apply_records(
    bits: torch.Tensor, dtype: torch.dtype, table: torch.Tensor, records: torch.Tensor, indices: torch.Tensor | None
) -> None:
    """See ``masking.apply_records``; the arguments are checked. bits, dtype: as above."""
    vocabulary = bits.shape[1]
    words, tiles = _tiling(len(records), triton.cdiv(vocabulary, 32))
    _apply_records_kernel[(len(records) * tiles,)](
        bits, bits.stride(0), bits.stride(1), vocabulary, table, table.stride(0), table.shape[1], records, indices,
        tiles, HAS_INDICES=indices is not None, WORDS=words, MINUS=MINUS_INFINITY[dtype],
    )  # fmt: skip


def expand_records(table: torch.Tensor, records: torch.Tensor, bitmask: torch.Tensor) -> None:
    """See ``masking.expand_records``; the arguments are checked."""
    words, tiles = _tiling(len(records), table.shape[1])
    _expand_records_kernel[(len(records) * tiles,)](
        bitmask, bitmask.stride(0), table, table.stride(0), table.shape[1], records, tiles, WORDS=words
    )
