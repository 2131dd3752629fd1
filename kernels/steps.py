"""Masks by stepping: the way out where lexemes are so short or so ambiguous that there are too many exits to follow.

    mask(P)       scan the trie in preorder, a position per depth:
                      P' := step(position above, byte); none: skip the subtree; else the node's tokens are allowed

``start: CHAR+`` ends a lexeme at every node, so following exits one by one (kernels.masks) would keep an account of
half the vocabulary. Here a node costs one step, and steps repeat (``CHAR+`` is back at one position after every
character), so a small table remembers them. Slower than rows for everyday grammars, but without a limit of its own.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import FULL, H_ROWS_USED, H_TOP, MEMORY, ROWS, TRIE, kernel, mix, must_grow
from grammar_engine.kernels.masks import K_LIST, K_ROWS, K_WALKS, Q_MASK
from grammar_engine.kernels.positions import intern_position, position_step
from grammar_engine.kernels.rows import new_row
from grammar_engine.kernels.scratch import SCRATCH_ROUND, SCRATCH_VISITED, SCRATCH_WALK, SCRATCH_WORK, VISITED_SLOTS
from grammar_engine.kernels.trie import NODE_DEPTH, NODE_SIZE, NODE_TOKENS, V_END, V_FIRST, V_INFO


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, int64)", inline=True)
def mask_by_steps(mem, scratch, trie, rows, pair):
    """The mask of (lexer state, configuration), by position steps alone: its address, or a code."""
    scratch[SCRATCH_WORK] = pair
    start = intern_position(mem, scratch, 1)
    if start < 0:
        return start
    row = new_row(mem, rows)
    if row < 0:
        return row
    scratch[SCRATCH_ROUND] += 1
    epoch = np.int64(scratch[SCRATCH_ROUND])
    scratch[SCRATCH_WALK] = start
    node = np.int64(NODE_SIZE)
    code = 0
    while node < trie[V_END]:
        info = trie[node + V_INFO]
        depth = (info >> NODE_DEPTH) & 0xFFF
        byte = info & 0xFF
        before = np.int64(scratch[SCRATCH_WALK + depth - 1])
        h = mix(mix(np.int64(5), before), byte)
        known = SCRATCH_VISITED + 4 * ((h ^ (h >> 15)) & (VISITED_SLOTS - 1))
        if scratch[known] == epoch and scratch[known + 1] == before and scratch[known + 2] == byte:
            after = np.int64(scratch[known + 3])
        else:
            after = np.int64(position_step(mem, scratch, before, byte))
            if after < 0:
                code = after
                break
            scratch[known] = epoch
            scratch[known + 1] = before
            scratch[known + 2] = byte
            scratch[known + 3] = after
        if after == 0:
            node = trie[node + V_END]
            continue
        scratch[SCRATCH_WALK + depth] = after
        first = trie[node + V_FIRST]
        for t in range(first, first + (info >> NODE_TOKENS)):
            token = trie[t]
            rows[row, token >> 5] |= np.uint32(1) << np.uint32(token & 31)
        node += NODE_SIZE
    if code == 0 and must_grow(mem):
        code = FULL
    if code < 0:
        mem[H_ROWS_USED] = row
        return code
    top = mem[H_TOP]
    mem[top + K_ROWS] = 1
    mem[top + K_WALKS] = 0
    mem[top + K_LIST] = row
    mem[H_TOP] = top + K_LIST + 1
    mem[pair + Q_MASK] = top
    return top
