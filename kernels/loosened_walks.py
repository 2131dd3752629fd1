"""Walks of states that count, where counts do not matter: those of the states without, long tokens looked at again.

With r rounds left no token of at most r bytes can use them up; and from some count on no loop is left too early. So
all counts with room have one walk, and where a few long tokens go too far those are struck out of a copy of its row.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_MISS,
    H_ORDERED,
    H_ROWS_USED,
    H_TOP,
    H_VISITS,
    M_WALK,
    MEMORY,
    MISS_ROW,
    ROWS,
    SLACK,
    TRIE,
    UNKNOWN,
    kernel,
    memo_get,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    KEY_ENOUGH,
    KEY_TIGHT,
    L_LIST,
    L_MATCHES,
    L_MONITORS,
    L_THREADS,
    P_KEY,
)
from grammar_engine.kernels.lexer_steps import lexer_step
from grammar_engine.kernels.lexer_views import exit_of
from grammar_engine.kernels.rows import copy_row, new_row
from grammar_engine.kernels.runs import loose_of, takes
from grammar_engine.kernels.scratch import SCRATCH_EXITS, SCRATCH_WALK
from grammar_engine.kernels.trie import (
    ALL_RUNS,
    HEIGHT,
    NODE_DEPTH,
    NODE_SIZE,
    NODE_TOKENS,
    V_END,
    V_FIRST,
    V_INFO,
    V_RUNS,
)
from grammar_engine.kernels.walks import E_COUNT, E_NODES, E_STATE, W_GROUPS, W_LIST, W_ROW, W_TOKENS, finish_walk

SHORT_ROOM = 12  # bytes: with less room than that too many tokens would have to be looked at again
COUNTLESS, ALL_MATTER = -1, -2


@kernel("int64(int32[::1], int64)")
def room_of(mem, state):
    """How many rounds a state with keys surely has left: counts do not matter for texts of so many bytes.

    COUNTLESS if it does not count; ALL_MATTER if some loop may still be left too early.
    """
    most = 0
    room = np.int64(1 << 30)
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        c = mem[i + 1]
        key = mem[mem[i] + P_KEY]
        if c < 0 or (c > 0 and c < mem[key + KEY_ENOUGH]):
            return ALL_MATTER
        most = max(most, c)
        room = min(room, mem[key + KEY_TIGHT])
    if most == 0:
        return COUNTLESS
    if mem[H_ORDERED] != 0 or mem[state + L_MONITORS] != 0:
        return ALL_MATTER
    return max(room - most, 0)


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64, int64)")
def without_long_tokens(mem, scratch, trie, shared, rows, state, known, room):
    """A known walk less the tokens and exits of more than ``room`` bytes that ``state`` does not reach; or a code."""
    exits_at = SCRATCH_EXITS
    gone_at = exits_at + 6 * (trie[V_END] // NODE_SIZE)
    exits = 0
    # What is known of short texts holds.
    old = np.int64(0)
    at = known + W_LIST + mem[known + W_TOKENS]
    for _ in range(mem[known + W_GROUPS]):
        for k in range(at + E_NODES, at + E_NODES + mem[at + E_COUNT]):
            if (trie[mem[k] + V_INFO] >> NODE_DEPTH) & 0xFFF <= room:
                scratch[exits_at + 2 * exits] = mem[k]
                scratch[exits_at + 2 * exits + 1] = mem[at + E_STATE]
                exits += 1
            old += 1
        at += E_NODES + mem[at + E_COUNT]
    gone = np.int64(0)
    visits = 0
    scratch[SCRATCH_WALK] = state
    i = np.int64(NODE_SIZE)
    end = trie[V_END]
    while i < end:
        info = trie[i + V_INFO]
        depth = (info >> NODE_DEPTH) & 0xFFF
        if depth + (trie[i + V_RUNS] >> HEIGHT) <= room:
            i = np.int64(trie[i + V_END])
            continue
        visits += 1
        after = np.int64(scratch[SCRATCH_WALK + depth - 1])
        if after != 0:
            after = np.int64(lexer_step(mem, after, info & 0xFF))
            if after < 0:
                return after
        ends = after != 0 and mem[after + L_MATCHES] != 0 and depth > room
        if ends and not (mem[after + L_THREADS] != 0 and trie[i + V_END] == i + NODE_SIZE):
            end_state = np.int64(exit_of(mem, after))
            if end_state < 0:
                return end_state
            scratch[exits_at + 2 * exits] = i
            scratch[exits_at + 2 * exits + 1] = end_state
            exits += 1
        if after != 0 and mem[after + L_THREADS] == 0:
            after = np.int64(0)
        if after != 0 and mem[after + L_MATCHES] == 0 and (trie[i + V_RUNS] & ALL_RUNS) != 0:
            taken = takes(mem, scratch, after, trie[i + V_RUNS])
            if taken < 0:
                return taken
            if taken:
                i = np.int64(trie[i + V_END])
                continue
        scratch[SCRATCH_WALK + depth] = after
        if depth > room and after == 0:
            first = trie[i + V_FIRST]
            for k in range(first, first + (info >> NODE_TOKENS)):
                scratch[gone_at + gone] = trie[k]
                gone += 1
        i += NODE_SIZE
    mem[H_VISITS] += visits
    if must_grow(mem):
        return FULL
    # Of those that are gone, some have never been there.
    row = np.int64(mem[known + W_ROW])
    tokens = np.int64(mem[known + W_TOKENS])
    changed = 0
    top = mem[H_TOP]
    if top + W_LIST + tokens + 4 * exits + SLACK > mem.size:
        return FULL
    if row >= 0:
        fresh = np.int64(new_row(mem, rows))
        if fresh < 0:
            return fresh
        copy_row(rows, fresh, shared, rows, row)
        for k in range(gone_at, gone_at + gone):
            token = scratch[k]
            bit = np.uint32(1) << np.uint32(token & 31)
            if rows[fresh, token >> 5] & bit:
                rows[fresh, token >> 5] &= ~bit
                changed = 1
        if changed:
            row = fresh
        else:
            mem[H_ROWS_USED] -= 1
    listed = 0
    for k in range(known + W_LIST, known + W_LIST + tokens):
        kept = 1
        for g in range(gone_at, gone_at + gone):
            if scratch[g] == mem[k]:
                kept = 0
                changed = 1
        if kept:
            mem[top + W_LIST + listed] = mem[k]
            listed += 1
    if not changed and exits == old:
        return known
    mem[top + W_ROW] = row
    mem[top + W_TOKENS] = listed
    finish_walk(mem, scratch, top, exits_at, exits)
    return top


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64)")
def loosened_walk(mem, scratch, trie, shared, rows, state, room):
    """The walk of a state with so much room from that of the state without counts; MISS_ROW if that is missing."""
    loose = np.int64(loose_of(mem, state))
    if loose < 0:
        return loose
    known = np.int64(memo_get(mem, M_WALK, loose, 0))
    if known == UNKNOWN:
        mem[H_MISS] = loose
        return MISS_ROW
    if room > trie[V_RUNS] >> HEIGHT:
        return known
    return without_long_tokens(mem, scratch, trie, shared, rows, state, known, room)
