"""Expansions that depend on nothing below: all that follows is known once, as one list of tokens.

An expansion is **closed** when nothing in it is open and its children are closed. Behind the first minus of `-----` or
the parenthesis of `("` hundreds of walks follow, and the stack below does not matter to any of them: they are followed
once, and then stand for one walk. (Leftmost-first, where what follows is a tree.)
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_TOP,
    M_EXPANSION,
    MEMORY,
    SLACK,
    UNKNOWN,
    kernel,
    memo_get,
    must_grow,
)
from grammar_engine.kernels.expansions import X_ALL, X_CHILDREN, X_CLOSED, X_LIST, X_OPEN, X_WALKS
from grammar_engine.kernels.scratch import (
    PATH_EXPANSION,
    PATH_SIZE,
    SCRATCH_CHILDREN,
    SCRATCH_CHILDREN_SIZE,
    SCRATCH_PATHS,
    SCRATCH_TOKENS,
    SCRATCH_TOKENS_SIZE,
)
from grammar_engine.kernels.walks import W_GROUPS, W_LIST, W_ROW, W_TOKENS

# X_CLOSED: 0 as long as nobody looked.
CLOSED, NOT_CLOSED = 1, 2
TOO_MANY = -100  # unlike any code: too many tokens for a list


@kernel(f"int64({MEMORY}, int64)")
def note_closed(mem, scratch, paths):
    """Find out which of the expansions of a mask's paths are closed. Those behind a path have greater numbers."""
    for path in range(paths - 1, 0, -1):
        expansion = scratch[SCRATCH_PATHS + PATH_SIZE * path + PATH_EXPANSION]
        if expansion == 0 or mem[expansion + X_CLOSED] != 0:
            continue
        closed = CLOSED if mem[expansion + X_OPEN] == 0 else NOT_CLOSED
        first = expansion + X_LIST + mem[expansion + X_WALKS]
        for k in range(first, first + 4 * mem[expansion + X_CHILDREN], 4):
            if closed != CLOSED:
                break
            child = np.int64(mem[k + 3])
            if child == 0:
                child = np.int64(memo_get(mem, M_EXPANSION, mem[k], mem[k + 1]))
            if child == UNKNOWN or mem[child + X_CLOSED] != CLOSED:
                closed = NOT_CLOSED
        mem[expansion + X_CLOSED] = closed
    return paths


@kernel(f"int64({MEMORY}, int64)")
def all_behind(mem, scratch, expansion):
    """The walk with all tokens of a closed expansion; TOO_MANY, or FULL."""
    known = mem[expansion + X_ALL]
    if known != 0:
        return known
    tokens = 0
    scratch[SCRATCH_CHILDREN] = expansion
    pending = 1
    while pending > 0:
        pending -= 1
        here = np.int64(scratch[SCRATCH_CHILDREN + pending])
        first = here + X_LIST + mem[here + X_WALKS]
        for k in range(here + X_LIST, first):
            found = mem[k]
            count = mem[found + W_TOKENS]
            if mem[found + W_ROW] >= 0 or tokens + count > SCRATCH_TOKENS_SIZE:
                mem[expansion + X_ALL] = TOO_MANY
                return TOO_MANY
            for t in range(count):
                scratch[SCRATCH_TOKENS + tokens + t] = mem[found + W_LIST + t]
            tokens += count
        for k in range(first, first + 4 * mem[here + X_CHILDREN], 4):
            if pending == SCRATCH_CHILDREN_SIZE:
                mem[expansion + X_ALL] = TOO_MANY
                return TOO_MANY
            scratch[SCRATCH_CHILDREN + pending] = memo_get(mem, M_EXPANSION, mem[k], mem[k + 1])
            pending += 1
    if must_grow(mem) or mem[H_TOP] + W_LIST + tokens + SLACK > mem.size:
        return FULL
    top = mem[H_TOP]
    mem[top + W_ROW] = -1
    mem[top + W_TOKENS] = tokens
    mem[top + W_GROUPS] = 0
    for t in range(tokens):
        mem[top + W_LIST + t] = scratch[SCRATCH_TOKENS + t]
    mem[H_TOP] = top + W_LIST + tokens
    mem[expansion + X_ALL] = top
    return top
