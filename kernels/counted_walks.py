"""Walks inside counted loops: done once in free counting, cut to the rounds that are left (see compiler.row_loader)."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_MISS,
    H_ORDERED,
    H_TOP,
    H_VISITS,
    M_WALK,
    MEMORY,
    MISS_ROW,
    SLACK,
    TRIE,
    UNKNOWN,
    kernel,
    memo_get,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    FREE,
    KEY_COUNTED,
    KEY_LEAST,
    KEY_MOST,
    L_LIST,
    L_MATCHES,
    L_MONITORS,
    L_THREADS,
    P_KEY,
    lexer_step,
)
from grammar_engine.kernels.lexer_views import (
    free_state,
)
from grammar_engine.kernels.scratch import (
    SCRATCH_EXITS,
    SCRATCH_WALK,
)
from grammar_engine.kernels.trie import (
    NODE_DEPTH,
    NODE_SIZE,
    NODE_TOKENS,
    V_END,
    V_FIRST,
    V_INFO,
)
from grammar_engine.kernels.walks import (
    E_COUNT,
    E_INDEX,
    E_NODES,
    E_STATE,
    W_GROUPS,
    W_LIST,
    W_ROW,
    W_TOKENS,
)

# Common walk of a counted loop: [exits, lexer state behind the loop, most rounds that a token begins, a row (or -1) for
# each number of rounds left from 0 to that, (node, rounds)...].
B_EXITS, B_AFTER, B_ROUNDS, B_ROWS = 0, 1, 2, 3


@kernel(f"int64({MEMORY}, {TRIE}, int64)", inline=True)
def counted_walk(mem, scratch, trie, state):
    """A walk from the root in free counting (see lexer.counter_after), for lexer states inside one counted loop.

    Leaves (token, rounds) pairs and (node, lexer state, rounds) triples in scratch, their numbers in scratch[0] and
    scratch[1], and where they start in scratch[2] and scratch[3]; rounds is how many rounds the loop begins on the way,
    -1 where that does not matter because a thread outside of the loop is alive. Returns 1; 0 if some text leaves the
    loop with several counts, so that one number per exit does not say it; or a code.
    """
    exits_at = SCRATCH_EXITS
    tokens_at = exits_at + 6 * (trie[V_END] // NODE_SIZE)
    exits = 0
    tokens = 0
    scratch[SCRATCH_WALK] = state
    i = np.int64(NODE_SIZE)
    end = trie[V_END]
    visits = 0
    while i < end:
        visits += 1
        info = trie[i + V_INFO]
        depth = (info >> NODE_DEPTH) & 0xFFF
        after = lexer_step(mem, scratch[SCRATCH_WALK + depth - 1], info & 0xFF)
        if after < 0:
            return after
        if after == 0:
            i = trie[i + V_END]
            continue
        threads = mem[after + L_THREADS]
        if threads != 0:
            rounds = np.int64(1 << 30)
            for k in range(after + L_LIST, after + L_LIST + 2 * threads, 2):
                rounds = min(rounds, mem[k + 1] - FREE if mem[k + 1] < 0 else -1)
            first = trie[i + V_FIRST]
            for k in range(first, first + (info >> NODE_TOKENS)):
                scratch[tokens_at + 2 * tokens] = trie[k]
                scratch[tokens_at + 2 * tokens + 1] = rounds
                tokens += 1
        if mem[after + L_MATCHES] > 1:
            return 0
        if mem[after + L_MATCHES] == 1:
            c = mem[after + L_LIST + 2 * (threads + mem[after + L_MONITORS]) + 1]
            scratch[exits_at + 3 * exits] = i
            scratch[exits_at + 3 * exits + 1] = after
            scratch[exits_at + 3 * exits + 2] = c - FREE if c < 0 else -1
            exits += 1
        if threads != 0:
            scratch[SCRATCH_WALK + depth] = after
            i += NODE_SIZE
        else:
            i = trie[i + V_END]
    mem[H_VISITS] += visits
    scratch[0] = tokens
    scratch[1] = exits
    scratch[2] = tokens_at
    scratch[3] = exits_at
    return 1


@kernel("int64(int32[::1], int64)", entry=True)
def counter_in_loop(mem, state):
    """The one counter of a state whose threads are all in (or just behind) one counted loop; 0 for other states."""
    counter = 0
    key = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        if key == 0:
            key = mem[mem[i] + P_KEY]
        if mem[mem[i] + P_KEY] != key or mem[key + KEY_COUNTED] == 0:
            return 0
        c = mem[i + 1]
        if c != 0:
            if counter == 0:
                counter = c
            elif counter != c:
                return 0
    return counter if mem[H_ORDERED] == 0 else 0


@kernel("int64(int32[::1], int64, int64)")
def walk_in_loop(mem, state, counter):
    """The walk from the root of a state in a counted loop: the loop's common walk, cut to the rounds that are left.

    The common walk (``B_``) is remembered under the state in free counting; MISS_ROW if it or the row is missing.
    """
    free = free_state(mem, state)
    if free < 0:
        return free
    if must_grow(mem):
        return FULL
    base = memo_get(mem, M_WALK, free, 0)
    mem[H_MISS] = state
    if base == UNKNOWN:
        return MISS_ROW
    key = mem[mem[state + L_LIST] + P_KEY]
    most = mem[base + B_ROUNDS]
    left = most
    room = 1 << 30
    if mem[key + KEY_MOST] >= 0:
        room = mem[key + KEY_MOST] - counter
        left = min(room, most)
    row = mem[base + B_ROWS + left]
    if row < 0:
        return MISS_ROW
    exits = mem[base + B_EXITS]
    first = base + B_ROWS + most + 1
    top = mem[H_TOP]
    if top + W_LIST + 2 * exits + SLACK > mem.size:
        return FULL
    at = top + W_LIST + E_NODES
    for k in range(first, first + 2 * exits, 2):
        rounds = mem[k + 1]
        if rounds < 0 or (rounds <= room and counter + rounds >= mem[key + KEY_LEAST]):
            mem[at] = mem[k]
            at += 1
    mem[top + W_ROW] = row
    mem[top + W_TOKENS] = 0
    mem[top + W_GROUPS] = at > top + W_LIST + E_NODES  # (in the middle of a character there is none)
    mem[top + W_LIST + E_STATE] = mem[base + B_AFTER]
    mem[top + W_LIST + E_COUNT] = at - top - W_LIST - E_NODES
    mem[top + W_LIST + E_INDEX] = 0
    mem[H_TOP] = at
    return top
