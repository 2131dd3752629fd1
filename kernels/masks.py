"""Masks: walks put together along the parser's configurations.

    mask(L, C)        todo := [(walk(L), C)]
                      for each (W, C) in todo, each once: W's tokens are allowed
                          for each group G of exits of W, with lexer state L', and terminal t that ends there:
                              C' := shift(C, t); the tokens that end at G are allowed
                              todo += (behind(G, start(C')), C')

Exact however many lexemes a token spans: the loop follows it through all of them, for all exits of a group at once.
A mask is kept compact, as (row id or none, a few token ids).
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_ORDERED,
    H_ROWS_USED,
    H_TOP,
    LIMIT,
    MEMORY,
    ROWS,
    SLACK,
    TRIE,
    kernel,
    mix,
    must_grow,
)
from grammar_engine.kernels.lexer import L_LIST, L_MATCHES, L_MONITORS, L_THREADS
from grammar_engine.kernels.parser import after_match, starts_of
from grammar_engine.kernels.scratch import (
    SCRATCH_IDS,
    SCRATCH_IDS_SIZE,
    SCRATCH_ROUND,
    SCRATCH_TARGETS,
    SCRATCH_TARGETS_SIZE,
    SCRATCH_VISITED,
    SCRATCH_WORK,
    SCRATCH_WORK_SIZE,
    VISITED_SLOTS,
)
from grammar_engine.kernels.walks import (
    E_COUNT,
    E_NODES,
    MANY,
    W_GROUPS,
    W_LIST,
    W_ROW,
    W_TOKENS,
    add_row,
    copy_row,
    new_row,
    walk,
    walk_behind,
)

# Mask: [row or -1, number of ids, ids...].
K_ROW, K_COUNT, K_LIST = 0, 1, 2
# Pair: payload [lexer state, configuration].
Q_MASK, Q_FIELDS = 2, 3


@kernel("int64(int32[::1], int64, int64, int64)")
def first_visit(scratch, epoch, a, b):
    """1 if (a, b) was not seen in this epoch, 0 if it was, LIMIT if too many were."""
    h = mix(mix(np.int64(3), a), b)
    slot = (h ^ (h >> 15)) & (VISITED_SLOTS - 1)
    for _ in range(64):
        at = SCRATCH_VISITED + 4 * slot
        if scratch[at] != epoch:
            scratch[at] = epoch
            scratch[at + 1] = a
            scratch[at + 2] = b
            return 1
        if scratch[at + 1] == a and scratch[at + 2] == b:
            return 0
        slot = (slot + 1) & (VISITED_SLOTS - 1)
    return LIMIT


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def targets_of(mem, scratch, configuration, exit_state):
    """Where a lexeme that ends in ``exit_state`` leads: (lexer start, configuration) pairs in scratch.

    Returns their number, or a code.
    """
    before = 0
    if mem[H_ORDERED] != 0 and mem[exit_state + L_THREADS] + mem[exit_state + L_MONITORS] != 0:
        before = exit_state
    matches = exit_state + L_LIST + 2 * (mem[exit_state + L_THREADS] + mem[exit_state + L_MONITORS])
    count = 0
    for v in range(2 * mem[exit_state + L_MATCHES]):  # each match, as a terminal and as an ignored one
        after = after_match(mem, scratch, configuration, mem[matches + (v & ~1)], v & 1)
        if after < 0:
            return after
        if after == 0:
            continue
        starts = starts_of(mem, scratch, after, before)
        if starts < 0:
            return starts
        for s in range(starts + 1, starts + 1 + mem[starts]):
            if 2 * count + 2 > SCRATCH_TARGETS_SIZE:
                return LIMIT
            scratch[SCRATCH_TARGETS + 2 * count] = mem[s]
            scratch[SCRATCH_TARGETS + 2 * count + 1] = after
            count += 1
    return count


@kernel(f"int64({MEMORY}, {ROWS}, {ROWS}, int64, int64, int64)")
def spill(mem, scratch, shared, rows, base, own, ids):
    """Put the ids in scratch into the mask's own row, made of row ``base`` if ``own`` is -1; the row, or a code."""
    if own < 0:
        own = new_row(mem, rows)
        if own < 0:
            return own
        if base >= 0:
            copy_row(rows, own, shared, rows, base)
    for k in range(SCRATCH_IDS, SCRATCH_IDS + ids):
        token = scratch[k]
        rows[own, token >> 5] |= np.uint32(1) << np.uint32(token & 31)
    return own


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, int64)")
def mask_of_pair(mem, scratch, t_info, t_end, t_first, t_runs, t_children, t_ids, shared, rows, pair):
    """The mask of (lexer state, configuration): its address, or a code."""
    known = mem[pair + Q_MASK]
    if known != 0:
        return known
    if must_grow(mem):
        return FULL
    scratch[SCRATCH_ROUND] += 1
    epoch = np.int64(scratch[SCRATCH_ROUND])
    found = walk(mem, scratch, t_info, t_end, t_first, t_runs, t_children, t_ids, shared, rows, mem[pair + Q_FIELDS])
    if found < 0:
        return found
    scratch[SCRATCH_WORK] = found
    scratch[SCRATCH_WORK + 1] = mem[pair + Q_FIELDS + 1]
    todo, done = 1, 0
    ids = 0
    base = -1  # the one row that is taken as it is
    own = -1  # a row of this mask's own, once one is not enough
    code = 0
    while done < todo and code >= 0:
        found, configuration = scratch[SCRATCH_WORK + 2 * done], scratch[SCRATCH_WORK + 2 * done + 1]
        done += 1
        row = mem[found + W_ROW]
        if row >= 0:
            if base < 0:
                base = row
            elif base != row:
                if own < 0:
                    own = spill(mem, scratch, shared, rows, base, own, 0)
                    if own < 0:
                        code = own
                        break
                    base = own
                add_row(rows, own, shared, rows, row)
        if ids + mem[found + W_TOKENS] > SCRATCH_IDS_SIZE:
            own = spill(mem, scratch, shared, rows, base, own, ids)
            if own < 0:
                code = own
                break
            base = own
            ids = 0
        at = found + W_LIST
        for k in range(at, at + mem[found + W_TOKENS]):
            scratch[SCRATCH_IDS + ids] = mem[k]
            ids += 1
        at += mem[found + W_TOKENS]
        for _ in range(mem[found + W_GROUPS]):
            group = at
            at += E_NODES + mem[group + E_COUNT]
            targets = targets_of(mem, scratch, configuration, mem[group])
            if targets < 0:
                code = targets
                break
            first = -1 if targets > 0 and mem[mem[group] + L_THREADS] == 0 else 0
            for t in range(first, targets):
                start, after = 0, configuration
                if t >= 0:
                    start, after = scratch[SCRATCH_TARGETS + 2 * t], scratch[SCRATCH_TARGETS + 2 * t + 1]
                behind = walk_behind(
                    mem, scratch, t_info, t_end, t_first, t_runs, t_children, t_ids, shared, rows, group, start
                )
                if behind < 0:
                    code = behind
                    break
                if mem[behind + W_ROW] < 0 and mem[behind + W_TOKENS] == 0 and mem[behind + W_GROUPS] == 0:
                    continue
                new = first_visit(scratch, epoch, behind, after)
                if new < 0 or 2 * todo + 2 > SCRATCH_WORK_SIZE:
                    code = LIMIT
                    break
                if new:
                    scratch[SCRATCH_WORK + 2 * todo] = behind
                    scratch[SCRATCH_WORK + 2 * todo + 1] = after
                    todo += 1
            if code < 0:
                break
    if code >= 0 and (own >= 0 or ids > MANY):
        own = spill(mem, scratch, shared, rows, base, own, ids)
        if own < 0:
            return own
        ids = 0
        base = own
    if code >= 0 and (must_grow(mem) or mem[H_TOP] + ids + SLACK > mem.size):
        code = FULL
    if code < 0:
        if own >= 0 and mem[H_ROWS_USED] == own + 1:
            mem[H_ROWS_USED] = own
        return code
    top = mem[H_TOP]
    mem[top + K_ROW] = base
    mem[top + K_COUNT] = ids
    for k in range(ids):
        mem[top + K_LIST + k] = scratch[SCRATCH_IDS + k]
    mem[H_TOP] = top + K_LIST + ids
    mem[pair + Q_MASK] = top
    return top
