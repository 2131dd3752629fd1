"""Masks: walks put together along the parser's configurations.

    mask(L, C)        todo := [(walk(L), C)]
                      for each (W, C) in todo, each once: W's tokens are allowed
                          for each group G of exits of W, with lexer state L', and terminal t that ends there:
                              C' := shift(C, t); the tokens that end at G are allowed
                              todo += (behind(G, start(C')), C')

Exact however many lexemes a token spans: the loop follows it through all of them, for all exits of a group at once.
A mask is kept compact, as a few rows and the walks whose listed tokens it has: so a new mask costs no copies of either.
Only where rows or tokens are too many are they put into a row of the mask's own.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_ORDERED,
    H_ROOT_GROUP,
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
from grammar_engine.kernels.lexer import (
    AT_START,
    ENDED_OR_LIVES,
    L_KIND,
    L_LIST,
    L_MATCHES,
    L_MONITORS,
    L_THREADS,
    NOT_AT_END,
)
from grammar_engine.kernels.parser import after_match
from grammar_engine.kernels.root_walks import walk
from grammar_engine.kernels.rows import add_row, new_row
from grammar_engine.kernels.scratch import (
    SCRATCH_IDS,
    SCRATCH_IDS_SIZE,
    SCRATCH_ROUND,
    SCRATCH_ROWS,
    SCRATCH_TARGETS,
    SCRATCH_TARGETS_SIZE,
    SCRATCH_VISITED,
    SCRATCH_WORK,
    SCRATCH_WORK_SIZE,
    VISITED_SLOTS,
)
from grammar_engine.kernels.start_walks import B_COUNT, B_LIST, B_TOKENS, start_walks
from grammar_engine.kernels.starts import starts_of
from grammar_engine.kernels.walks import E_COUNT, E_NODES, W_GROUPS, W_LIST, W_ROW, W_TOKENS, walk_behind

# Mask: [number of rows, number of walks, rows..., walks whose listed tokens are in it...].
K_ROWS, K_WALKS, K_LIST = 0, 1, 2
MOST_ROWS = 4  # more rows, or
MOST_LISTED = 1024  # more tokens in lists than this become a row: a mask is used more often than it is made
FEW_VISITS = 16
# Pair: payload [lexer state, configuration].
Q_MASK, Q_FIELDS = 2, 3


@kernel("int64(int32[::1], int64, int64, int64, int64)")
def first_visit(scratch, todo, epoch, a, b):
    """1 if (a, b) was not among the first ``todo`` to visit, 0 if it was, LIMIT if too many were.

    A few are compared with all others; those beyond are found by a hash of (a, b), in memory that is far away.
    """
    for i in range(SCRATCH_WORK, SCRATCH_WORK + 2 * min(todo, FEW_VISITS), 2):
        if scratch[i] == a and scratch[i + 1] == b:
            return 0
    if todo < FEW_VISITS:
        return 1
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


@kernel("int64(int32[::1], int32[::1], int64, int64)", inline=True)
def targets_of(mem, scratch, configuration, exit_state):
    """Where a lexeme that ends in ``exit_state`` leads: (lexer start, configuration) pairs in scratch.

    Returns their number, or a code.
    """
    before = exit_state if mem[exit_state + L_MONITORS] != 0 else 0
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
def spill(mem, scratch, shared, rows, own, num_rows, num_walks):
    """Put the rows and walks that are listed in scratch into the mask's own row, a new one if ``own`` is -1.

    Returns that row, which is the one that is listed then, or a code.
    """
    if own < 0:
        own = new_row(mem, rows)
        if own < 0:
            return own
    for k in range(SCRATCH_ROWS, SCRATCH_ROWS + num_rows):
        if scratch[k] != own:
            add_row(rows, own, shared, rows, scratch[k])
    for k in range(SCRATCH_IDS, SCRATCH_IDS + num_walks):
        first = scratch[k] + W_LIST
        for t in range(first, first + mem[scratch[k] + W_TOKENS]):
            rows[own, mem[t] >> 5] |= np.uint32(1) << np.uint32(mem[t] & 31)
    scratch[SCRATCH_ROWS] = own
    return own


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64)", inline=True)
def mask_of_pair(mem, scratch, trie, shared, rows, pair):
    """The mask of (lexer state, configuration): its address, or a code."""
    known = mem[pair + Q_MASK]
    if known != 0:
        return known
    if must_grow(mem):
        return FULL
    scratch[SCRATCH_ROUND] += 1
    epoch = np.int64(scratch[SCRATCH_ROUND])
    # The walk whose tokens are added next, and those whose exits are followed: the walk itself, or, leftmost-first,
    # what that of a lexeme's start comes apart to.
    ordered = mem[H_ORDERED] != 0
    found, parts, count = np.int64(0), np.int64(0), np.int64(0)
    if ordered and mem[mem[pair + Q_FIELDS] + L_KIND] in (AT_START, NOT_AT_END):
        parts = np.int64(start_walks(mem, scratch, trie, shared, rows, H_ROOT_GROUP, mem[pair + Q_FIELDS]))
        if parts < 0:
            return parts
    else:
        found = np.int64(walk(mem, scratch, trie, shared, rows, mem[pair + Q_FIELDS]))
        if found < 0:
            return found
    after = np.int64(mem[pair + Q_FIELDS + 1])
    todo, done = 0, 0
    num_rows = 0
    num_walks = 0
    ids = 0
    own = -1  # a row of this mask's own, once there are too many others
    code = 0
    # Each turn adds one walk's tokens and exits; groups and their targets are gone through as it goes.
    group, groups, target, targets, configuration = np.int64(0), 0, 0, 0, np.int64(0)
    while True:
        if parts > 0:
            found, count = np.int64(mem[parts + B_TOKENS]), np.int64(mem[parts + B_COUNT])
        row = mem[found + W_ROW]
        tokens = mem[found + W_TOKENS]
        if row >= 0:
            k = SCRATCH_ROWS
            while k < SCRATCH_ROWS + num_rows and scratch[k] != row:
                k += 1
            if k == SCRATCH_ROWS + num_rows:
                scratch[k] = row
                num_rows += 1
        if tokens > 0:
            scratch[SCRATCH_IDS + num_walks] = found
            num_walks += 1
            ids += tokens
        if num_rows > MOST_ROWS or ids > MOST_LISTED or num_walks == SCRATCH_IDS_SIZE:
            own = spill(mem, scratch, shared, rows, own, num_rows, num_walks)
            if own < 0:
                code = own
                break
            num_rows = 1
            num_walks = 0
            ids = 0
        for k in range(count if parts > 0 else 1):
            followed = np.int64(mem[parts + B_LIST + k]) if parts > 0 else found
            if mem[followed + W_GROUPS] == 0:
                continue
            new = first_visit(scratch, todo, epoch, followed, after)
            if new < 0 or 2 * todo + 2 > SCRATCH_WORK_SIZE:
                code = LIMIT
                break
            if new:
                scratch[SCRATCH_WORK + 2 * todo] = followed
                scratch[SCRATCH_WORK + 2 * todo + 1] = after
                todo += 1
        # The next target of the group, the next group of the walk, or the next walk.
        target += 1
        while code >= 0 and target >= targets:
            if groups == 0:
                if done == todo:
                    break
                at = np.int64(scratch[SCRATCH_WORK + 2 * done])
                configuration = np.int64(scratch[SCRATCH_WORK + 2 * done + 1])
                done += 1
                groups = mem[at + W_GROUPS]
                group = at + W_LIST + mem[at + W_TOKENS]
            else:
                group += E_NODES + mem[group + E_COUNT]
            groups -= 1
            targets = targets_of(mem, scratch, configuration, mem[group])
            if targets < 0:
                code = targets
            target = -1 if targets > 0 and mem[mem[group] + L_KIND] != ENDED_OR_LIVES else 0
        if code < 0 or target >= targets:
            break
        parts = np.int64(0)
        if target < 0:
            after = configuration
            found = np.int64(walk_behind(mem, scratch, trie, rows, group, 0))
            code = min(found, 0)
        else:
            start = np.int64(scratch[SCRATCH_TARGETS + 2 * target])
            after = np.int64(scratch[SCRATCH_TARGETS + 2 * target + 1])
            if ordered:
                parts = np.int64(start_walks(mem, scratch, trie, shared, rows, group, start))
                code = min(parts, 0)
            else:
                found = np.int64(walk_behind(mem, scratch, trie, rows, group, start))
                code = min(found, 0)
        if code < 0:
            break
    if code >= 0 and (must_grow(mem) or mem[H_TOP] + num_walks + SLACK > mem.size):
        code = FULL
    if code < 0:
        if own >= 0 and mem[H_ROWS_USED] == own + 1:
            mem[H_ROWS_USED] = own
        return code
    top = mem[H_TOP]
    mem[top + K_ROWS] = num_rows
    mem[top + K_WALKS] = num_walks
    for k in range(num_rows):
        mem[top + K_LIST + k] = scratch[SCRATCH_ROWS + k]
    for k in range(num_walks):
        mem[top + K_LIST + num_rows + k] = scratch[SCRATCH_IDS + k]
    mem[H_TOP] = top + K_LIST + num_rows + num_walks
    mem[pair + Q_MASK] = top
    return top
