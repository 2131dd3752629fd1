"""Masks: walks put together along the parser's configurations.

    mask(L, C)        todo := [(walk(L), C)]
                      for each (W, C) in todo, each once: W's tokens are allowed
                          for each group G of exits of W, with lexer state L', and terminal t that ends there:
                              C' := shift(C, t); the tokens that end at G are allowed
                              todo += (behind(G, start(C')), C')

The inner part is remembered as an expansion (kernels.expansions), for C cut to its top (kernels.stack_tops).
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
    LEFTMOST_FIRST,
    LIMIT,
    M_EXPANSION,
    MEMORY,
    ROWS,
    SLACK,
    TRIE,
    kernel,
    memo_get,
    mix,
    must_grow,
)
from grammar_engine.kernels.closed_expansions import CLOSED, TOO_MANY, all_behind, note_closed
from grammar_engine.kernels.expansions import X_CHILDREN, X_CLOSED, X_LIST, X_OPEN, X_WALKS, expansion_of
from grammar_engine.kernels.lexer import AT_START, ENDED_OR_LIVES, L_KIND, L_SHARED, NOT_AT_END
from grammar_engine.kernels.lexer_views import remembered
from grammar_engine.kernels.root_walks import walk
from grammar_engine.kernels.rows import add_row, kept_row, new_row
from grammar_engine.kernels.scratch import (
    MOST_PATHS,
    PATH_EXPANSION,
    PATH_LEVEL,
    PATH_SIZE,
    SCRATCH_IDS,
    SCRATCH_IDS_SIZE,
    SCRATCH_MASK,
    SCRATCH_PATHS,
    SCRATCH_ROUND,
    SCRATCH_ROWS,
    SCRATCH_VISITED,
    SCRATCH_WORK,
    VISITED_SLOTS,
)
from grammar_engine.kernels.stack_tops import add_path, behind_path, first_path, least_of
from grammar_engine.kernels.start_walks import B_COUNT, B_LIST, B_TOKENS, start_walks
from grammar_engine.kernels.starts import starts_of
from grammar_engine.kernels.walks import W_GROUPS, W_LIST, W_ROW, W_TOKENS, walk_behind

# Mask: [number of rows, number of walks, rows..., walks whose listed tokens are in it...].
K_ROWS, K_WALKS, K_LIST = 0, 1, 2
MOST_ROWS = 4  # more rows, or
MOST_LISTED = 1024  # more tokens in lists than this become a row: a mask is used more often than it is made
FEW_VISITS = 16
# The mask being built, in scratch: numbers of its rows and walks, of tokens in those, and its own row or -1.
A_ROWS, A_WALKS, A_LISTED, A_OWN = 0, 1, 2, 3
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


@kernel(f"int64({MEMORY}, {ROWS}, {ROWS}, int64)")
def allow(mem, scratch, shared, rows, found):
    """Add the tokens of a walk to the mask being built; 0, or a code."""
    row = mem[found + W_ROW]
    num_rows = scratch[SCRATCH_MASK + A_ROWS]
    num_walks = scratch[SCRATCH_MASK + A_WALKS]
    if row >= 0:
        k = SCRATCH_ROWS
        while k < SCRATCH_ROWS + num_rows and scratch[k] != row:
            k += 1
        if k == SCRATCH_ROWS + num_rows:
            scratch[k] = row
            num_rows += 1
    if mem[found + W_TOKENS] > 0:
        scratch[SCRATCH_IDS + num_walks] = found
        num_walks += 1
        scratch[SCRATCH_MASK + A_LISTED] += mem[found + W_TOKENS]
    if num_rows > MOST_ROWS or scratch[SCRATCH_MASK + A_LISTED] > MOST_LISTED or num_walks == SCRATCH_IDS_SIZE:
        own = spill(mem, scratch, shared, rows, scratch[SCRATCH_MASK + A_OWN], num_rows, num_walks)
        if own < 0:
            return own
        scratch[SCRATCH_MASK + A_OWN] = own
        scratch[SCRATCH_MASK + A_LISTED] = 0
        num_rows = 1
        num_walks = 0
    scratch[SCRATCH_MASK + A_ROWS] = num_rows
    scratch[SCRATCH_MASK + A_WALKS] = num_walks
    return 0


@kernel(f"int64({MEMORY}, {ROWS}, {ROWS}, int64, int64, int64, int64, int64, int64, int64, int64)")
def visit(mem, scratch, shared, rows, todo, epoch, found, configuration, path, level, terminal, link):
    """Put (walk, configuration) behind a path on the list in scratch, if new; that list's length, or a code.

    Where all that follows is known, its tokens are allowed instead. link: where its expansion's address is kept, or 0.
    """
    if mem[found + W_GROUPS] == 0:
        return todo
    expansion = np.int64(0)
    if mem[H_ORDERED] == LEFTMOST_FIRST:  # every walk belongs to one group, and that to one terminal: all are new
        expansion = np.int64(mem[link]) if link != 0 else np.int64(0)
        if expansion == 0:
            expansion = np.int64(max(memo_get(mem, M_EXPANSION, found, configuration), 0))
            if link != 0:
                mem[link] = expansion
        if expansion != 0 and mem[expansion + X_CLOSED] == CLOSED:
            behind = np.int64(all_behind(mem, scratch, expansion))
            if behind != TOO_MANY:
                code = behind if behind < 0 else np.int64(allow(mem, scratch, shared, rows, behind))
                return code if code < 0 else todo
    else:
        new = first_visit(scratch, todo, epoch, found, configuration)
        if new <= 0:
            return LIMIT if new < 0 else todo
    if todo + 1 >= MOST_PATHS:
        return LIMIT
    scratch[SCRATCH_WORK + 2 * todo] = found
    scratch[SCRATCH_WORK + 2 * todo + 1] = configuration
    add_path(scratch, todo, path, terminal, level, configuration)
    scratch[SCRATCH_PATHS + PATH_SIZE * todo + PATH_EXPANSION] = expansion
    return todo + 1


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64, int64, int64, int64, int64, int64, int64)")
def follow(mem, scratch, trie, shared, rows, group, start, todo, epoch, after, path, level, terminal):
    """Allow and visit the walks of lexemes that begin in ``start`` at the exits of a group; the new length, or a code.

    The root is a group of one.
    """
    if start != 0 and mem[H_ORDERED] != 0:
        parts = np.int64(start_walks(mem, scratch, trie, shared, rows, group, start))
        code = parts if parts < 0 else allow(mem, scratch, shared, rows, mem[parts + B_TOKENS])
        if code < 0:
            return code
        for k in range(parts + B_LIST, parts + B_LIST + mem[parts + B_COUNT]):
            todo = np.int64(visit(mem, scratch, shared, rows, todo, epoch, mem[k], after, path, level, terminal, 0))
            if todo < 0:
                return todo
        return todo
    found = np.int64(walk_behind(mem, scratch, trie, rows, group, start))
    code = found if found < 0 else allow(mem, scratch, shared, rows, found)
    if code < 0:
        return code
    return visit(mem, scratch, shared, rows, todo, epoch, found, after, path, level, terminal, 0)


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64, int64, int64, int64)")
def follow_deeper(mem, scratch, trie, shared, rows, todo, epoch, path, group, terminal):
    """The same for what follows a group by a terminal for which the path's stacks must be cut deeper."""
    after = np.int64(behind_path(mem, scratch, path, terminal))
    if after <= 0:
        return after if after < 0 else todo
    level = np.int64(scratch[0])
    exit_state = mem[group]
    starts = starts_of(mem, scratch, after, remembered(mem, exit_state))
    if starts < 0:
        return starts
    if mem[H_ORDERED] == LEFTMOST_FIRST:
        level = np.int64(0)
        after = np.int64(least_of(mem, scratch, after))
        if after < 0:
            return after
    first = starts if mem[starts] != 0 and mem[exit_state + L_KIND] != ENDED_OR_LIVES else starts + 1
    for s in range(first, starts + 1 + mem[starts]):
        start = 0 if s == starts else mem[s]
        todo = np.int64(
            follow(mem, scratch, trie, shared, rows, group, start, todo, epoch, after, path, level, terminal)
        )
        if todo < 0:
            return todo
    return todo


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64, int64)")
def expand(mem, scratch, trie, shared, rows, todo, epoch, path):
    """Allow and visit what follows the exits of the walk at a path's end; the list's length, or a code."""
    found, configuration = scratch[SCRATCH_WORK + 2 * path], scratch[SCRATCH_WORK + 2 * path + 1]
    level = np.int64(scratch[SCRATCH_PATHS + PATH_SIZE * path + PATH_LEVEL])
    known = SCRATCH_PATHS + PATH_SIZE * path + PATH_EXPANSION
    expansion = np.int64(scratch[known])
    if expansion == 0:
        expansion = np.int64(expansion_of(mem, scratch, trie, shared, rows, found, configuration))
        if expansion < 0:
            return expansion
        scratch[known] = expansion
    if mem[H_ORDERED] == LEFTMOST_FIRST:  # its children are cut at the first level again
        level = np.int64(0)
    walks = expansion + X_LIST
    children = walks + mem[expansion + X_WALKS]
    still_open = children + 4 * mem[expansion + X_CHILDREN]
    last = still_open + 2 * mem[expansion + X_OPEN]
    code = np.int64(0)
    for k in range(walks, children):
        code = np.int64(allow(mem, scratch, shared, rows, mem[k]))
        if code < 0:
            return code
    for k in range(children, still_open, 4):
        todo = np.int64(
            visit(mem, scratch, shared, rows, todo, epoch, mem[k], mem[k + 1], path, level, mem[k + 2], k + 3)
        )
        if todo < 0:
            return todo
    for k in range(still_open, last, 2):
        todo = np.int64(follow_deeper(mem, scratch, trie, shared, rows, todo, epoch, path, mem[k], mem[k + 1]))
        if todo < 0:
            return todo
    return todo


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
    scratch[SCRATCH_MASK + A_ROWS] = 0
    scratch[SCRATCH_MASK + A_WALKS] = 0
    scratch[SCRATCH_MASK + A_LISTED] = 0
    scratch[SCRATCH_MASK + A_OWN] = -1
    state = np.int64(mem[pair + Q_FIELDS])
    configuration = np.int64(first_path(mem, scratch, mem[pair + Q_FIELDS + 1]))
    if configuration < 0:
        return configuration
    level = np.int64(scratch[SCRATCH_PATHS + PATH_LEVEL])
    # On the list: nothing, then the walks of the lexer state, then those behind their exits. Path k is that of entry k.
    scratch[SCRATCH_WORK] = 0
    scratch[SCRATCH_WORK + 1] = 0
    todo, done = np.int64(1), np.int64(1)
    code = np.int64(0)
    # Behind its next byte a lexeme is mostly in a state that others lead to as well: an identifier behind any keyword.
    if mem[H_ORDERED] != 0 and (mem[state + L_SHARED] == 0 or mem[state + L_KIND] in (AT_START, NOT_AT_END)):
        code = np.int64(
            follow(mem, scratch, trie, shared, rows, H_ROOT_GROUP, state, todo, epoch, configuration, 0, level, 0)
        )
    else:
        found = np.int64(walk(mem, scratch, trie, shared, rows, state))
        code = found if found < 0 else np.int64(allow(mem, scratch, shared, rows, found))
        if code >= 0:
            code = np.int64(visit(mem, scratch, shared, rows, todo, epoch, found, configuration, 0, level, 0, 0))
    while code >= 0:
        todo = code
        if done == todo:
            break
        code = np.int64(expand(mem, scratch, trie, shared, rows, todo, epoch, done))
        done += 1
    if code >= 0 and mem[H_ORDERED] == LEFTMOST_FIRST:
        note_closed(mem, scratch, todo)
    num_rows, num_walks = scratch[SCRATCH_MASK + A_ROWS], scratch[SCRATCH_MASK + A_WALKS]
    if code >= 0 and (must_grow(mem) or mem[H_TOP] + num_walks + SLACK > mem.size):
        code = FULL
    if code < 0:
        unfinished = scratch[SCRATCH_MASK + A_OWN]
        if unfinished >= 0 and mem[H_ROWS_USED] == unfinished + 1:
            mem[H_ROWS_USED] = unfinished
        return code
    own = np.int64(scratch[SCRATCH_MASK + A_OWN])
    if own >= 0:  # it is the first
        scratch[SCRATCH_ROWS] = kept_row(mem, rows, own)
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
