"""Rows of masks: bitmasks over the vocabulary, in the pool that all its grammars read or in the grammar's own."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL_ROWS,
    H_ROWS_USED,
    M_EXPANSION,
    ROWS,
    SHARED,
    UNKNOWN,
    kernel,
    memo_get,
    memo_put,
)

_SAME_ROW = -1  # in the memo of expansions, which is emptied with the pool: (hash of a row, this)


@kernel("int64(int32[::1], uint32[:, ::1])")
def new_row(mem, rows):
    """A zeroed row of the pool, or FULL_ROWS."""
    row = mem[H_ROWS_USED]
    if row >= rows.shape[0]:
        return FULL_ROWS
    rows[row, :] = 0
    mem[H_ROWS_USED] = row + 1
    return row


@kernel(f"int64(int32[::1], {ROWS}, int64)")
def kept_row(mem, rows, row):
    """A row that is finished and stays: an older one with the same bits, where it is the pool's last and can go back.

    Behind different stacks mostly the same tokens are allowed: of a thousand rows a few hundred differ.
    """
    if mem[H_ROWS_USED] != row + 1:
        return row
    total = np.uint64(0)
    for w in range(rows.shape[1]):
        total += np.uint64(rows[row, w]) * (np.uint64(w) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1))
    h = np.int64((total ^ (total >> np.uint64(32))) & np.uint64(0x3FFFFFFF)) + 1
    known = np.int64(memo_get(mem, M_EXPANSION, h, _SAME_ROW))
    if known == UNKNOWN:
        memo_put(mem, M_EXPANSION, h, _SAME_ROW, row)
        return row
    for w in range(rows.shape[1]):
        if rows[known, w] != rows[row, w]:
            return row
    mem[H_ROWS_USED] = row
    return known


@kernel(f"void({ROWS}, int64, {ROWS}, {ROWS}, int64)")
def copy_row(target, index, shared, rows, row):
    """target[index] := a row, of the vocabulary's pool or of the grammar's own."""
    if row >= SHARED:
        for w in range(target.shape[1]):
            target[index, w] = shared[row - SHARED, w]
    else:
        for w in range(target.shape[1]):
            target[index, w] = rows[row, w]


@kernel(f"void({ROWS}, int64, {ROWS}, {ROWS}, int64)")
def add_row(target, index, shared, rows, row):
    """target[index] := its union with a row, of the vocabulary's pool or of the grammar's own."""
    if row >= SHARED:
        for w in range(target.shape[1]):
            target[index, w] |= shared[row - SHARED, w]
    else:
        for w in range(target.shape[1]):
            target[index, w] |= rows[row, w]
