"""Rows of masks: bitmasks over the vocabulary, in the pool that all its grammars read or in the grammar's own."""

from __future__ import annotations

from grammar_engine.kernels.arena import (
    FULL_ROWS,
    H_ROWS_USED,
    ROWS,
    SHARED,
    kernel,
)


@kernel("int64(int32[::1], uint32[:, ::1])")
def new_row(mem, rows):
    """A zeroed row of the pool, or FULL_ROWS."""
    row = mem[H_ROWS_USED]
    if row >= rows.shape[0]:
        return FULL_ROWS
    rows[row, :] = 0
    mem[H_ROWS_USED] = row + 1
    return row


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
