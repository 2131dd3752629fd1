"""The walk of a lexer state from the root of the trie: known, of a loop, of a state without counts, less what shadows
forbid, or plain.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_MISS,
    H_NO_ROW_MISS,
    H_ORDERED,
    H_ROOT_NODE,
    H_TOP,
    H_VISITS,
    LIMIT,
    M_WALK,
    MEMORY,
    MISS_ROW,
    ROWS,
    SLACK,
    TRIE,
    UNKNOWN,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.counted_walks import (
    counter_in_loop,
    walk_in_loop,
)
from grammar_engine.kernels.lexer import (
    BLOCKER,
    DECIDING,
    L_LIST,
    L_MATCHES,
    L_SHADOWED,
    L_SHARED,
    L_THREADS,
    P_HIGH,
    P_LOW,
    P_SHADOW,
)
from grammar_engine.kernels.lexer_steps import lexer_step
from grammar_engine.kernels.lexer_views import (
    ending_of,
    exit_of,
    without_shadows,
)
from grammar_engine.kernels.loosened_walks import SHORT_ROOM, loosened_walk, room_of
from grammar_engine.kernels.scratch import (
    SCRATCH_EXITS,
    SCRATCH_PATH,
    SCRATCH_WALK,
)
from grammar_engine.kernels.trie import (
    NODE_DEPTH,
    NODE_SIZE,
    V_END,
    V_INFO,
)
from grammar_engine.kernels.walks import (
    E_COUNT,
    E_NODES,
    W_GROUPS,
    W_LIST,
    W_ROW,
    W_TOKENS,
    finish_walk,
    next_node,
    walk_from,
)


@kernel("int64(int32[::1], int64, int64)")
def shadow_reads(mem, state, byte):
    """1 if some shadow of the state can read the byte."""
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        position = mem[i]
        if mem[position + P_SHADOW] != 0 and mem[position + P_LOW] <= byte <= mem[position + P_HIGH]:
            return 1
    return 0


@kernel("boolean(int32[::1], int64)")
def has_others(mem, state):
    """Does a thread of the state block or decide? (Shadows of keywords keep blockers alive.)"""
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        if mem[mem[i] + P_SHADOW] in (BLOCKER, DECIDING):
            return True
    return False


@kernel(f"int64({MEMORY}, {TRIE}, int64, int64, int64, int64)")
def shadowed_walk(mem, scratch, trie, state, found, nodes, count):
    """The walk of a state with shadows from that of the state without them, ``found``.

    nodes, count: 0 for a walk from the root, or a list in the arena of nodes, none of them below another, ascending,
    whose byte the state has read already.

    It is the same less the exits that shadows forbid.

    Shadows never keep a thread from living, so the row is the same; only trie nodes that a shadow can read are visited.
    """
    # Where the shadows are alive, note nodes and what really matches there: (node, exit or 0) in trie order, all exits
    # of a node and at least one entry.
    exits_at = SCRATCH_EXITS
    most = 3 * (trie[V_END] // NODE_SIZE)
    noted = 0
    ordered = mem[H_ORDERED] != 0
    scratch[SCRATCH_WALK] = state
    scratch[SCRATCH_PATH] = 0
    visits = 0
    for n in range(max(count, 1)):
        child = np.int64(mem[nodes + n]) if count > 0 else np.int64(0)
        i = np.int64(max(child, NODE_SIZE))
        end = trie[child + V_END]
        while i < end:
            visits += 1
            info = trie[i + V_INFO]
            depth = (info >> NODE_DEPTH) & 0xFFF
            byte = info & 0xFF
            above = scratch[SCRATCH_WALK + depth - 1]
            after = np.int64(state)
            if i != child:
                if not shadow_reads(mem, above, byte):
                    i = np.int64(next_node(mem, trie, i, scratch[SCRATCH_PATH + depth - 1], above, 1))
                    if i < 0:
                        return i
                    continue
                after = np.int64(lexer_step(mem, above, byte))
                if after < 0:
                    return after
            endings = np.int64(0)
            if after != 0 and not (mem[after + L_THREADS] != 0 and trie[i + V_END] == i + NODE_SIZE):
                endings = np.int64(mem[after + L_MATCHES] if ordered else min(mem[after + L_MATCHES], 1))
            for k in range(max(endings, 1)):
                end_state = np.int64(0)
                if endings > 0:
                    end_state = np.int64(ending_of(mem, after, k) if ordered else exit_of(mem, after))
                    if end_state < 0:
                        return end_state
                if 2 * noted + 2 >= most:
                    return LIMIT
                scratch[exits_at + 2 * noted] = i
                scratch[exits_at + 2 * noted + 1] = end_state
                noted += 1
            if after != 0 and mem[after + L_SHADOWED] != 0:
                scratch[SCRATCH_WALK + depth] = after
                scratch[SCRATCH_PATH + depth] = i
                i += NODE_SIZE
            else:
                i = trie[i + V_END]
    mem[H_VISITS] += visits
    if must_grow(mem):
        return FULL
    tokens = mem[found + W_TOKENS]
    merged_at = exits_at + 2 * noted
    kept = 0
    at = found + W_LIST + tokens
    for _ in range(mem[found + W_GROUPS]):
        n = 0
        for k in range(at + E_NODES, at + E_NODES + mem[at + E_COUNT]):
            while n < noted and scratch[exits_at + 2 * n] < mem[k]:
                n += 1
            if n == noted or scratch[exits_at + 2 * n] != mem[k]:
                scratch[merged_at + 2 * kept] = mem[k]
                scratch[merged_at + 2 * kept + 1] = mem[at]
                kept += 1
        at += E_NODES + mem[at + E_COUNT]
    for n in range(noted):
        if scratch[exits_at + 2 * n + 1] != 0:
            scratch[merged_at + 2 * kept] = scratch[exits_at + 2 * n]
            scratch[merged_at + 2 * kept + 1] = scratch[exits_at + 2 * n + 1]
            kept += 1
    top = mem[H_TOP]
    if top + W_LIST + tokens + 4 * kept + SLACK > mem.size:
        return FULL
    mem[top + W_ROW] = mem[found + W_ROW]
    mem[top + W_TOKENS] = tokens
    for k in range(tokens):
        mem[top + W_LIST + k] = mem[found + W_LIST + k]
    finish_walk(mem, scratch, top, merged_at, kept)
    return top


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64)")
def walk(mem, scratch, trie, shared, rows, state):
    """The walk of a lexer state from the root of the trie: its record, or a code.

    Remembered, or put together from what the vocabulary knows, or done.
    """
    known = memo_get(mem, M_WALK, state, 0)
    if known != UNKNOWN:
        return known
    plain = state
    if mem[state + L_SHADOWED] != 0 and (mem[H_ORDERED] == 0 or not has_others(mem, state)):
        plain = np.int64(without_shadows(mem, state, 0))
        if plain < 0:
            return plain
    record = np.int64(memo_get(mem, M_WALK, plain, 0))
    if record == UNKNOWN:
        asks = mem[plain + L_SHARED] != 0 and mem[H_NO_ROW_MISS] == 0
        counter = np.int64(counter_in_loop(mem, plain)) if asks else 0
        room = np.int64(room_of(mem, plain)) if asks else 0
        if counter > 0:
            record = np.int64(walk_in_loop(mem, plain, counter))
        elif room >= SHORT_ROOM:
            record = np.int64(loosened_walk(mem, scratch, trie, shared, rows, plain, room))
        elif room < 0:
            mem[H_MISS] = plain
            record = np.int64(MISS_ROW)
        else:
            record = np.int64(walk_from(mem, scratch, trie, rows, plain, H_ROOT_NODE, 1, 0))
        if record < 0:
            return record
        memo_put(mem, M_WALK, plain, 0, record)
    if plain != state:
        record = np.int64(shadowed_walk(mem, scratch, trie, state, record, 0, 0))
        if record > 0:
            memo_put(mem, M_WALK, state, 0, record)
    return record
