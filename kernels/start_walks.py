"""Leftmost-first: walks of lexemes that begin at the exits of a group, or at the root, taken apart by the first byte.

    walks(G, L) = { walk(step(L, b)) below the children of G's nodes that read a byte b which leads there }

Starts are many: one for each set of terminals that some parser state offers, with the monitors of the lexeme before.
What they lead to is the same for nearly all of them: behind a letter an identifier, behind a quote a string, and that
is what costs. So those walks are shared, with their exits, and with what is known behind those. Where keywords are
offered too, the identifier's walk below each of their first letters is corrected (``root_walks.shadowed_walk``).
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_TOP,
    M_BEHIND,
    M_WALK,
    MEMORY,
    ROWS,
    SLACK,
    T_POSITION,
    TRIE,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import L_SHADOWED
from grammar_engine.kernels.lexer_steps import lexer_step
from grammar_engine.kernels.lexer_views import without_shadows
from grammar_engine.kernels.root_walks import has_others, shadowed_walk
from grammar_engine.kernels.rows import add_row, kept_row, new_row
from grammar_engine.kernels.scratch import SCRATCH_FIRST
from grammar_engine.kernels.trie import NODE_SIZE, V_END, V_INFO
from grammar_engine.kernels.walks import (
    E_COUNT,
    E_INDEX,
    E_NODES,
    MANY,
    W_GROUPS,
    W_LIST,
    W_ROW,
    W_TOKENS,
    walk_from,
)

# Walks taken apart: [walk with all tokens but no exits, number of walks with exits, those...].
B_TOKENS, B_COUNT, B_LIST = 0, 1, 2
# Index of a group: [number of bytes, parts...]; a part: [byte, number of nodes, nodes that read it...].
I_BYTE, I_COUNT, I_NODES = 0, 1, 2
_MARK = -1  # begins a list of parts: positions lie in the same table and do not
_FIELDS = 3  # O_FIELDS of kernels.positions


@kernel("int64(int32[::1], int32[::1], int32[::1], int64)")
def children_of(mem, scratch, trie, group):
    """The index of a group: the children of its nodes by the byte that they read; or FULL."""
    known = mem[group + E_INDEX]
    if known != 0:
        return known
    first, last = group + E_NODES, group + E_NODES + mem[group + E_COUNT]
    for b in range(SCRATCH_FIRST, SCRATCH_FIRST + 256):
        scratch[b] = 0
    size = 1
    for k in range(first, last):
        child = mem[k] + NODE_SIZE
        while child < trie[mem[k] + V_END]:
            b = SCRATCH_FIRST + (trie[child + V_INFO] & 0xFF)
            size += 1 if scratch[b] != 0 else 1 + I_NODES
            scratch[b] += 1
            child = trie[child + V_END]
    if must_grow(mem) or mem[H_TOP] + size + SLACK > mem.size:
        return FULL
    index = mem[H_TOP]
    mem[index] = 0
    at = index + 1
    for b in range(256):
        count = scratch[SCRATCH_FIRST + b]
        if count != 0:
            mem[index] += 1
            mem[at + I_BYTE] = b
            mem[at + I_COUNT] = count
            scratch[SCRATCH_FIRST + b] = at + I_NODES
            at += I_NODES + count
    for k in range(first, last):
        child = mem[k] + NODE_SIZE
        while child < trie[mem[k] + V_END]:
            b = SCRATCH_FIRST + (trie[child + V_INFO] & 0xFF)
            mem[scratch[b]] = child
            scratch[b] += 1
            child = trie[child + V_END]
    mem[H_TOP] = at
    mem[group + E_INDEX] = index
    return index


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, int64, int64)")
def walk_below(mem, scratch, trie, rows, state, parts):
    """The walk below an interned list of parts of an index, whose bytes all led to ``state``: its record, or a code."""
    known = memo_get(mem, M_WALK, state, parts)
    if known != UNKNOWN:
        return known
    listed, count = parts + _FIELDS + 1, mem[parts + 1] - 1
    if must_grow(mem):
        return FULL
    nodes = mem[H_TOP]
    total = np.int64(0)
    for p in range(listed, listed + count):
        total += mem[mem[p] + I_COUNT]
    if nodes + total + SLACK > mem.size:
        return FULL
    at = nodes
    apart = True  # no node is below another
    for p in range(listed, listed + count):
        for k in range(mem[p] + I_NODES, mem[p] + I_NODES + mem[mem[p] + I_COUNT]):
            mem[at] = mem[k]
            if at > nodes and mem[at] < trie[mem[at - 1] + V_END]:
                apart = False
            at += 1
    mem[H_TOP] = at
    plain = np.int64(state)
    if mem[state + L_SHADOWED] != 0 and count == 1 and apart and not has_others(mem, state):
        plain = np.int64(without_shadows(mem, state, 1))
        if plain < 0:
            mem[H_TOP] = nodes
            return plain
    record = np.int64(memo_get(mem, M_WALK, plain, parts))
    if record == UNKNOWN:
        record = np.int64(walk_from(mem, scratch, trie, rows, plain, nodes, total, 1 if apart else 2))
        if record > 0:
            memo_put(mem, M_WALK, plain, parts, record)
    if record > 0 and plain != state:
        record = np.int64(shadowed_walk(mem, scratch, trie, state, record, nodes, total))
        if record > 0:
            memo_put(mem, M_WALK, state, parts, record)
    if record < 0 and mem[H_TOP] == at:
        mem[H_TOP] = nodes
    return record


@kernel(f"int64({MEMORY}, {ROWS}, {ROWS}, int64, int64)")
def tokens_of(mem, scratch, shared, rows, walks, count):
    """A walk with the tokens of so many walks, which scratch lists, and no exits; or a code."""
    listed = np.int64(0)
    full = np.int64(0)
    one = np.int64(0)
    rows_of = 0
    for k in range(walks, walks + count):
        found = scratch[k]
        if mem[found + W_TOKENS] != 0 or mem[found + W_ROW] >= 0:
            full += 1
            one = np.int64(found)
        listed += mem[found + W_TOKENS]
        rows_of += mem[found + W_ROW] >= 0
    if full == 1 and mem[one + W_GROUPS] == 0:
        return one
    if must_grow(mem) or mem[H_TOP] + listed + SLACK > mem.size:
        return FULL
    row = np.int64(-1)
    own = False
    if full == 1:
        row = np.int64(mem[one + W_ROW])
    elif listed > MANY or rows_of > 0:
        row = np.int64(new_row(mem, rows))
        if row < 0:
            return row
        own = True
    top = mem[H_TOP]
    at = top + W_LIST
    for k in range(walks, walks + count):
        found = scratch[k]
        if mem[found + W_ROW] >= 0 and mem[found + W_ROW] != row:
            add_row(rows, row, shared, rows, mem[found + W_ROW])
        for t in range(found + W_LIST, found + W_LIST + mem[found + W_TOKENS]):
            if row >= 0:
                rows[row, mem[t] >> 5] |= np.uint32(1) << np.uint32(mem[t] & 31)
            else:
                mem[at] = mem[t]
                at += 1
    mem[top + W_ROW] = kept_row(mem, rows, row) if own else row
    mem[top + W_TOKENS] = at - top - W_LIST
    mem[top + W_GROUPS] = 0
    mem[H_TOP] = at
    return top


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64)")
def start_walks(mem, scratch, trie, shared, rows, group, state):
    """The walks of lexemes that begin in ``state`` at the exits of a group, taken apart; or a code."""
    known = memo_get(mem, M_BEHIND, group, state)
    if known != UNKNOWN:
        return known
    index = children_of(mem, scratch, trie, group)
    if index < 0:
        return index
    # Behind each byte: the part of the index, and the state.
    bytes_read = 0
    at = index + 1
    for _ in range(mem[index]):
        after = lexer_step(mem, state, mem[at + I_BYTE])
        if after < 0:
            return after
        if after != 0:
            scratch[SCRATCH_FIRST + 2 * bytes_read] = at
            scratch[SCRATCH_FIRST + 2 * bytes_read + 1] = after
            bytes_read += 1
        at += I_NODES + mem[at + I_COUNT]
    walks = SCRATCH_FIRST + 512
    count = 0
    for i in range(bytes_read):
        after = np.int64(scratch[SCRATCH_FIRST + 2 * i + 1])
        if after == 0:
            continue
        alone = mem[after + L_SHADOWED] != 0 and not has_others(mem, after)
        if must_grow(mem):
            return FULL
        base = mem[H_TOP] + _FIELDS
        mem[base] = _MARK
        parts = 1
        for k in range(2 * i, 2 * i + 2 if alone else 2 * bytes_read, 2):
            if scratch[SCRATCH_FIRST + k + 1] == after:
                mem[base + parts] = scratch[SCRATCH_FIRST + k]
                parts += 1
                scratch[SCRATCH_FIRST + k + 1] = 0
        listed = intern(mem, T_POSITION, _FIELDS, parts)
        found = walk_below(mem, scratch, trie, rows, after, listed)
        if found < 0:
            return found
        scratch[walks + count] = found
        count += 1
    tokens = tokens_of(mem, scratch, shared, rows, walks, count)
    if tokens < 0:
        return tokens
    if must_grow(mem) or mem[H_TOP] + count + SLACK > mem.size:
        return FULL
    record = mem[H_TOP]
    mem[record + B_TOKENS] = tokens
    kept = 0
    for k in range(walks, walks + count):
        if mem[scratch[k] + W_GROUPS] != 0:
            mem[record + B_LIST + kept] = scratch[k]
            kept += 1
    mem[record + B_COUNT] = kept
    mem[H_TOP] = record + B_LIST + kept
    memo_put(mem, M_BEHIND, group, state, record)
    return record
