"""The one compiled entry point.

Numba compiles a function together with everything that it calls, so several entry points over the same call tree
would compile the tree several times (measured on a prototype: 18 s for one). Hence one function and an operation code.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import LIMIT, MEMORY, ROWS, TRIE, UNKNOWN, entry_point, kernel
from grammar_engine.kernels.counted_walks import counted_walk
from grammar_engine.kernels.lexer_steps import lexer_step
from grammar_engine.kernels.lexer_views import exit_of, free_state
from grammar_engine.kernels.masks import K_LIST, K_ROWS, K_WALKS, Q_MASK, mask_of_pair
from grammar_engine.kernels.parser import expand_state, goto_state
from grammar_engine.kernels.positions import O_ACCEPTING, O_FIELDS, add_pair, intern_position, position_step
from grammar_engine.kernels.root_walks import walk
from grammar_engine.kernels.rows import add_row, copy_row
from grammar_engine.kernels.starts import starts_of
from grammar_engine.kernels.steps import mask_by_steps
from grammar_engine.kernels.walks import W_LIST, W_TOKENS

OP_ADVANCE = 0  # position a over data[b:c]: the position behind, 0 if a byte is impossible
OP_FILL = 1  # bitmask[b] := mask of position a (stop ids in data iff accepting)
OP_START = 2  # the position at the start of configuration a
OP_WALK = 3  # the walk of lexer state a
OP_STEP = 4  # the lexer state a after byte b
OP_COUNTED_WALK = 5  # counted_walks.counted_walk of lexer state a
OP_FREE_STATE = 6  # lexer state a with its counters, where not 0, set to start free counting
OP_EXIT = 7  # lexer_views.exit_of of lexer state a
OP_STARTS = 8  # starts.starts_of configuration a behind ending b
OP_GOTO = 9  # the LR state behind symbol b of LR state a
OP_EXPAND = 10  # 0, when LR state a has its lists


@kernel(f"int64(int32[::1], {ROWS}, {ROWS}, {ROWS}, int64, int64, int32[::1])")
def fill(mem, shared, rows, bitmask, position, index, stop_ids):
    """bitmask[index] := the mask of a position whose pairs' masks are known; 1."""
    first, last = position + O_FIELDS, position + O_FIELDS + mem[position + 1]
    empty = True
    for i in range(first, last):
        mask = mem[mem[i] + Q_MASK]
        for k in range(mask + K_LIST, mask + K_LIST + mem[mask + K_ROWS]):
            if empty:
                copy_row(bitmask, index, shared, rows, mem[k])
                empty = False
            else:
                add_row(bitmask, index, shared, rows, mem[k])
    if empty:
        for w in range(bitmask.shape[1]):
            bitmask[index, w] = 0
    for i in range(first, last):
        mask = mem[mem[i] + Q_MASK]
        walks = mask + K_LIST + mem[mask + K_ROWS]
        for k in range(walks, walks + mem[mask + K_WALKS]):
            tokens = mem[k] + W_LIST
            for t in range(tokens, tokens + mem[mem[k] + W_TOKENS]):
                bitmask[index, mem[t] >> 5] |= np.uint32(1) << np.uint32(mem[t] & 31)
    if mem[position + O_ACCEPTING] != 0:
        for k in range(stop_ids.size):
            token = stop_ids[k]
            bitmask[index, token >> 5] |= np.uint32(1) << np.uint32(token & 31)
    return 1


@kernel(f"int64(int64, {MEMORY}, {TRIE}, {ROWS}, {ROWS}, {ROWS}, int32[::1], int64, int64, int64)", entry=True)
def run(operation, mem, scratch, trie, shared, rows, bitmask, data, a, b, c):
    """One operation of the engine: an address, 0, or a code (see kernels.arena)."""
    if operation == OP_ADVANCE:
        position = np.int64(a)
        for i in range(b, c):
            position = np.int64(position_step(mem, scratch, position, np.int64(data[i])))
            if position <= 0:
                return position
        return position
    if operation == OP_FILL:
        pairs = mem[a + 1]
        for i in range(a + O_FIELDS, a + O_FIELDS + pairs):
            if mem[mem[i] + Q_MASK] != 0:
                continue
            code = mask_of_pair(mem, scratch, trie, shared, rows, mem[i])
            if code == LIMIT:
                code = mask_by_steps(mem, scratch, trie, rows, mem[i])
            if code < 0:
                return np.int64(code)
        return np.int64(fill(mem, shared, rows, bitmask, a, b, data))
    if operation == OP_START:
        starts = starts_of(mem, scratch, a, 0)
        if starts < 0:
            return np.int64(starts)
        count = 0
        for s in range(starts + 1, starts + 1 + mem[starts]):
            count = add_pair(mem, scratch, count, mem[s], a)
            if count < 0:
                return np.int64(count)
        return np.int64(intern_position(mem, scratch, count))
    if operation == OP_WALK:
        return np.int64(walk(mem, scratch, trie, shared, rows, a))
    if operation == OP_STEP:
        return np.int64(lexer_step(mem, a, b))
    if operation == OP_COUNTED_WALK:
        return np.int64(counted_walk(mem, scratch, trie, a))
    if operation == OP_FREE_STATE:
        return np.int64(free_state(mem, a))
    if operation == OP_EXIT:
        return np.int64(exit_of(mem, a))
    if operation == OP_STARTS:
        return np.int64(starts_of(mem, scratch, a, b))
    if operation == OP_GOTO:
        return np.int64(goto_state(mem, a, b))
    if operation == OP_EXPAND:
        return np.int64(expand_state(mem, a))
    return np.int64(UNKNOWN)


call = entry_point(run)
