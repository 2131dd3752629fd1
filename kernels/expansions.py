"""What follows the exits of a walk in a configuration: remembered, as it is the same for all stacks with equal tops.

    expansion(W, C)   for each group G of exits of W and terminal t that ends there, C' := shift(C, t):
                          child (behind(G, start(C')), C'), and the tokens that end at G
                          where C is cut (kernels.stack_tops) and shift or start ask what is below: (G, t) stays open

Most of what follows is a few tokens behind which nothing begins. Those of an expansion are one list.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    DEEP,
    FULL,
    H_ORDERED,
    H_TOP,
    LEFTMOST_FIRST,
    LIMIT,
    M_EXPANSION,
    MEMORY,
    ROWS,
    SLACK,
    TRIE,
    UNKNOWN,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import ENDED_OR_LIVES, L_KIND, L_LIST, L_MATCHES, L_MONITORS, L_THREADS
from grammar_engine.kernels.lexer_views import remembered
from grammar_engine.kernels.parser import after_match
from grammar_engine.kernels.scratch import (
    SCRATCH_CHILDREN,
    SCRATCH_CHILDREN_SIZE,
    SCRATCH_TOKENS,
    SCRATCH_TOKENS_SIZE,
)
from grammar_engine.kernels.stack_tops import least_of
from grammar_engine.kernels.start_walks import B_COUNT, B_LIST, B_TOKENS, start_walks
from grammar_engine.kernels.starts import starts_of
from grammar_engine.kernels.walks import E_COUNT, E_NODES, W_GROUPS, W_LIST, W_ROW, W_TOKENS, walk_behind

# Expansion: [number of walks whose tokens may follow, of children, of open ones, whether it is closed, walk of what
# follows if it is (both: kernels.closed_expansions), walks..., (walk, configuration,
# terminal or 0, address of its expansion or 0 as long as nobody looked)..., (group, terminal)...]. Children are not
# among the walks: their tokens are.
X_WALKS, X_CHILDREN, X_OPEN, X_CLOSED, X_ALL, X_LIST = 0, 1, 2, 3, 4, 5
# The expansion being built, in scratch: numbers of its walks, children and tokens. Behind them walks from the bottom,
# children from the first third on, open ones from the second.
N_WALKS, N_CHILDREN, N_TOKENS = 0, 1, 2
WALKS = SCRATCH_CHILDREN + 4
THIRD = SCRATCH_CHILDREN_SIZE // 3
CHILDREN = SCRATCH_CHILDREN + THIRD
OPEN = SCRATCH_CHILDREN + 2 * THIRD


@kernel(f"int64({MEMORY}, int64)")
def take_tokens(mem, scratch, found):
    """Add the tokens of a walk to the expansion in scratch, one by one if they are few; 0, or LIMIT."""
    tokens = mem[found + W_TOKENS]
    known = scratch[SCRATCH_CHILDREN + N_TOKENS]
    if mem[found + W_ROW] < 0 and known + tokens <= SCRATCH_TOKENS_SIZE:
        for k in range(tokens):
            scratch[SCRATCH_TOKENS + known + k] = mem[found + W_LIST + k]
        scratch[SCRATCH_CHILDREN + N_TOKENS] = known + tokens
        return 0
    walks = scratch[SCRATCH_CHILDREN + N_WALKS]
    if WALKS + walks + 1 == CHILDREN:
        return LIMIT
    scratch[WALKS + walks] = found
    scratch[SCRATCH_CHILDREN + N_WALKS] = walks + 1
    return 0


@kernel(f"int64({MEMORY}, int64, int64, int64)")
def take_child(mem, scratch, found, configuration, terminal):
    """Add a walk, if it has exits, to the children of the expansion in scratch; 0, or LIMIT."""
    if mem[found + W_GROUPS] == 0:
        return 0
    children = scratch[SCRATCH_CHILDREN + N_CHILDREN]
    at = CHILDREN + 3 * children
    if at + 3 > OPEN:
        return LIMIT
    scratch[at] = found
    scratch[at + 1] = configuration
    scratch[at + 2] = terminal
    scratch[SCRATCH_CHILDREN + N_CHILDREN] = children + 1
    return 0


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64, int64, int64)")
def take(mem, scratch, trie, shared, rows, group, start, configuration, terminal):
    """Add the walks of lexemes that begin in ``start`` at the exits of a group to those in scratch; 0, or a code."""
    if start != 0 and mem[H_ORDERED] != 0:
        parts = np.int64(start_walks(mem, scratch, trie, shared, rows, group, start))
        code = parts if parts < 0 else np.int64(take_tokens(mem, scratch, mem[parts + B_TOKENS]))
        if code < 0:
            return code
        for k in range(parts + B_LIST, parts + B_LIST + mem[parts + B_COUNT]):
            code = np.int64(take_child(mem, scratch, mem[k], configuration, terminal))
            if code < 0:
                return code
        return np.int64(0)
    found = np.int64(walk_behind(mem, scratch, trie, rows, group, start))
    code = found if found < 0 else np.int64(take_tokens(mem, scratch, found))
    if code < 0:
        return code
    return np.int64(take_child(mem, scratch, found, configuration, terminal))


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, {ROWS}, int64, int64)")
def expansion_of(mem, scratch, trie, shared, rows, found, configuration):
    """The expansion of a walk in a configuration, or a code."""
    known = memo_get(mem, M_EXPANSION, found, configuration)
    if known != UNKNOWN:
        return known
    scratch[SCRATCH_CHILDREN + N_WALKS] = 0
    scratch[SCRATCH_CHILDREN + N_CHILDREN] = 0
    scratch[SCRATCH_CHILDREN + N_TOKENS] = 0
    still_open = 0
    at = found + W_LIST + mem[found + W_TOKENS]
    for _ in range(mem[found + W_GROUPS]):
        group = at
        at += E_NODES + mem[group + E_COUNT]
        exit_state = mem[group]
        monitors = mem[exit_state + L_MONITORS]
        before = remembered(mem, exit_state)
        matches = exit_state + L_LIST + 2 * (mem[exit_state + L_THREADS] + monitors)
        goes_on = False
        for v in range(2 * mem[exit_state + L_MATCHES]):  # each match, as a terminal and as an ignored one
            terminal = np.int64(mem[matches + (v & ~1)])
            after = np.int64(after_match(mem, scratch, configuration, terminal, v & 1))
            starts = np.int64(0)
            if after > 0:
                starts = np.int64(starts_of(mem, scratch, after, before))
            if DEEP in (after, starts):
                if 2 * still_open + 2 > THIRD:
                    return LIMIT
                scratch[OPEN + 2 * still_open] = group
                scratch[OPEN + 2 * still_open + 1] = terminal
                still_open += 1
                continue
            if after < 0:
                return after
            if after == 0:
                continue
            if starts < 0:
                return starts
            if mem[H_ORDERED] == LEFTMOST_FIRST:
                after = np.int64(least_of(mem, scratch, after))
                if after < 0:
                    return after
            for s in range(starts + 1, starts + 1 + mem[starts]):
                goes_on = True
                by = 0 if v & 1 else terminal
                code = np.int64(take(mem, scratch, trie, shared, rows, group, mem[s], after, by))
                if code < 0:
                    return code
        if goes_on and mem[exit_state + L_KIND] != ENDED_OR_LIVES:
            code = np.int64(take(mem, scratch, trie, shared, rows, group, 0, configuration, 0))
            if code < 0:
                return code
    walks, children = scratch[SCRATCH_CHILDREN + N_WALKS], scratch[SCRATCH_CHILDREN + N_CHILDREN]
    tokens = scratch[SCRATCH_CHILDREN + N_TOKENS]
    top = mem[H_TOP]
    size = X_LIST + walks + 4 * children + 2 * still_open
    if must_grow(mem) or top + W_LIST + tokens + size + SLACK > mem.size:
        return FULL
    if tokens != 0:
        mem[top + W_ROW] = -1
        mem[top + W_TOKENS] = tokens
        mem[top + W_GROUPS] = 0
        for k in range(tokens):
            mem[top + W_LIST + k] = scratch[SCRATCH_TOKENS + k]
        scratch[WALKS + walks] = top
        walks += 1
        size += 1
        top += W_LIST + tokens
        mem[H_TOP] = top
    mem[top + X_WALKS] = walks
    mem[top + X_CHILDREN] = children
    mem[top + X_OPEN] = still_open
    mem[top + X_CLOSED] = 0
    mem[top + X_ALL] = 0
    at = top + X_LIST
    for k in range(WALKS, WALKS + walks):
        mem[at] = scratch[k]
        at += 1
    for k in range(CHILDREN, CHILDREN + 3 * children, 3):
        mem[at] = scratch[k]
        mem[at + 1] = scratch[k + 1]
        mem[at + 2] = scratch[k + 2]
        mem[at + 3] = 0
        at += 4
    for k in range(OPEN, OPEN + 2 * still_open):
        mem[at] = scratch[k]
        at += 1
    mem[H_TOP] = at
    memo_put(mem, M_EXPANSION, found, configuration, top)
    return top
