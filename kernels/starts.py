"""Where a configuration begins a lexeme: lexer states, shared by all configurations of one shape.

What a lexer is offered depends on little of a stack: the states on top and, with a given table, which of the terminals
that the top one offers can be shifted. Interned, that is a configuration's **shape**, and what is known of lexer starts
is kept with it: new stacks are many, shapes are few.

    shape          = [mark, LR states on top, ascending...]                     or, with a table
                     [mark, state on top, which offered terminals it takes, as bits...]
    mark           = -2 if the text may end here, else -1
    starts(C, L)   = lexer starts of the terminals that the shape offers, with the monitors of L
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    DEEP,
    FULL,
    H_BEHIND,
    H_EPOCH,
    H_IGNORED,
    H_MISS,
    H_ORDERED,
    H_TABLE,
    H_TOP,
    H_TRIED,
    LEFTMOST_FIRST,
    LIMIT,
    M_START,
    MISS_BLOCKER,
    MISS_TERMINAL,
    ONE_BY_ONE,
    SLACK,
    T_CONFIG,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    AT_START,
    L_KIND,
    L_LIST,
    L_THREADS,
    X_BLOCKER,
    X_CLOSURE,
    X_IGNORED,
    X_MARK,
    X_TEXTS,
    X_WIDE,
    write_texts,
)
from grammar_engine.kernels.lexer_starts import lexer_start, with_monitors
from grammar_engine.kernels.lexer_steps import is_alive
from grammar_engine.kernels.parser import (
    C_FIELDS,
    C_SHAPE,
    C_START,
    G_FIELDS,
    S_TERMINALS,
    expand_state,
    insert_sorted,
)
from grammar_engine.kernels.scratch import SCRATCH_SHIFT
from grammar_engine.kernels.table_lookaheads import takes, takes_of
from grammar_engine.kernels.table_parser import C_NODE, NODE_LAYOUT, NODE_STATE, NOT_ASKED, may_end

_MARK = -1  # minus 1 if accepting: configurations lie in the same table and begin with 0 or 1


@kernel("int64(int32[::1], int32[::1], int64)")
def shape_of(mem, scratch, configuration):
    """The shape of a configuration, or a code: DEEP where the stack is cut too high to tell."""
    known = mem[configuration + C_SHAPE]
    if known != 0:
        return known
    allowed = np.int64(0)
    accepting = np.int64(mem[configuration + C_FIELDS])
    nodes = configuration + C_FIELDS + 1
    tops = mem[configuration + 1] - 1
    if mem[H_TABLE] != 0:
        node = mem[configuration + C_NODE]
        if mem[node + NODE_LAYOUT] < 0:
            return DEEP
        if accepting == NOT_ASKED:
            accepting = np.int64(may_end(mem, scratch, node, mem[node + NODE_LAYOUT]))
            if accepting < 0:
                if accepting == DEEP:
                    mem[configuration + C_SHAPE] = DEEP
                return accepting
        allowed = np.int64(takes_of(mem, scratch, mem[configuration + C_NODE]))
        if allowed < 0:
            if allowed == DEEP:
                mem[configuration + C_SHAPE] = DEEP
            return allowed
    else:
        for i in range(nodes, nodes + tops):
            code = expand_state(mem, mem[mem[i] + G_FIELDS])
            if code < 0:
                return code
    top = mem[H_TOP]
    base = top + C_FIELDS + 1
    if must_grow(mem) or base + tops + SLACK > mem.size:
        return FULL
    mem[base - 1] = _MARK - accepting
    count = 0
    if mem[H_TABLE] != 0:
        node = mem[configuration + C_NODE]
        state = mem[node + NODE_STATE]
        mem[base] = state
        terminals = mem[state + S_TERMINALS]
        count = 1 + (mem[terminals] + 31) // 32
        if base + count + SLACK > mem.size:
            return FULL
        for w in range(base + 1, base + count):
            mem[w] = 0
        for j in range(mem[terminals]):
            t = mem[terminals + 1 + j]
            if mem[t + X_IGNORED] == 0 and takes(mem, allowed, node, t):
                mem[base + 1 + (j >> 5)] |= np.int32(1) << np.int32(j & 31)
    else:
        for i in range(nodes, nodes + tops):
            count = insert_sorted(mem, base, count, mem[mem[i] + G_FIELDS])
    shape = intern(mem, T_CONFIG, C_FIELDS, count + 1)
    if shape == top:
        mem[shape + C_START] = 0
        mem[shape + C_SHAPE] = 0
    mem[configuration + C_SHAPE] = shape
    return shape


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def starts_of_shape(mem, scratch, shape, before):
    """The list [n, lexer states...] at the start of a lexeme in configurations of a shape, or a code.

    Unordered lexing: one state for each *wide* terminal (whose rows are worth sharing between grammars: see MISS_ROW)
    and one for all others; threads of different terminals never speak to each other, so only rows are affected.
    Leftmost-first: one, or one for each terminal (ONE_BY_ONE); none if no text may follow. ``before``: see lexer_start.
    """
    if before == 0:
        if mem[shape + C_START] != 0:
            return mem[shape + C_START]
    else:
        known = memo_get(mem, M_START, shape, before)
        if known != UNKNOWN:
            return known
    mem[H_EPOCH] += 1
    epoch = mem[H_EPOCH]
    # Terminals of the common state grow from the bottom of scratch, wide ones from the middle.
    half = SCRATCH_SHIFT // 2
    count = 0
    wide = 0
    ignored = mem[H_IGNORED]
    ordered = mem[H_ORDERED]
    table = mem[H_TABLE]
    accepting = mem[shape + C_FIELDS] == _MARK - 1
    states = shape + C_FIELDS + 1
    tops = 1 if table != 0 else mem[shape + 1] - 1
    tried = mem[H_TRIED]
    for i in range(-1, tops + (1 if tried != 0 else 0)):
        terminals = ignored if i < 0 else tried
        if 0 <= i < tops:
            terminals = mem[mem[states + i] + S_TERMINALS]
        for j in range(mem[terminals]):
            t = mem[terminals + 1 + j]
            if mem[t + X_MARK] == epoch:
                continue
            mem[t + X_MARK] = epoch
            blocks = i == tops
            if table != 0 and 0 <= i < tops and mem[t + X_IGNORED] == 0:
                blocks = (mem[states + 1 + (j >> 5)] >> (j & 31)) & 1 == 0
            if blocks:
                if mem[t + X_BLOCKER] == 0:
                    mem[H_MISS] = t
                    return MISS_BLOCKER
                t = mem[t + X_BLOCKER]
            if mem[t + X_CLOSURE] == 0:
                if mem[t + X_TEXTS] == 0:
                    mem[H_MISS] = t
                    return MISS_TERMINAL
                closure = write_texts(mem, mem[t + X_TEXTS], t, 0)
                if closure < 0:
                    return closure
                mem[t + X_CLOSURE] = closure
            if ordered == ONE_BY_ONE or (mem[t + X_WIDE] != 0 and ordered == 0):
                scratch[half + wide] = t
                wide += 1
            else:
                scratch[count] = t
                count += 1
            if count >= half or wide >= half:
                return LIMIT
    starts = 0
    if count > 0 or (accepting if ordered == ONE_BY_ONE else wide == 0):
        if must_grow(mem):
            return FULL
        state = lexer_start(mem, scratch, 0, count, before)
        if state < 0:
            return state
        if (accepting and mem[state + L_KIND] == AT_START) or is_alive(mem, state + L_LIST, mem[state + L_THREADS]):
            scratch[0] = state
            starts = 1
    for i in range(wide):
        if must_grow(mem):
            return FULL
        state = lexer_start(mem, scratch, half + i, 1, before)
        if state < 0:
            return state
        if mem[state + L_THREADS] != 0:
            scratch[starts] = state
            starts += 1
    if must_grow(mem) or mem[H_TOP] + starts + SLACK > mem.size:
        return FULL
    result = mem[H_TOP]
    mem[result] = starts
    for i in range(starts):
        mem[result + 1 + i] = scratch[i]
    mem[H_TOP] = result + 1 + starts
    if before == 0:
        mem[shape + C_START] = result
    else:
        memo_put(mem, M_START, shape, before, result)
    return result


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def starts_of(mem, scratch, configuration, before):
    """The list [n, lexer states...] at the start of a lexeme in a configuration, or a code.

    before: see lexer_start.
    """
    shape = shape_of(mem, scratch, configuration)
    if shape < 0:
        return shape
    if before == 0 or mem[H_ORDERED] != LEFTMOST_FIRST or mem[H_BEHIND] != 0:
        return starts_of_shape(mem, scratch, shape, before)
    known = memo_get(mem, M_START, shape, before)
    if known != UNKNOWN:
        return known
    # What is offered without regard to what came before, with its monitors.
    plain = np.int64(starts_of_shape(mem, scratch, shape, 0))
    if plain < 0:
        return plain
    if must_grow(mem):
        return FULL
    state = np.int64(0)
    if mem[plain] != 0:
        state = np.int64(with_monitors(mem, mem[plain + 1], before))
        if state < 0:
            return state
        accepting = mem[shape + C_FIELDS] == _MARK - 1 and mem[state + L_KIND] == AT_START
        if not accepting and not is_alive(mem, state + L_LIST, mem[state + L_THREADS]):
            state = np.int64(0)
    if must_grow(mem):
        return FULL
    result = np.int64(mem[H_TOP])
    mem[result] = 0 if state == 0 else 1
    mem[result + 1] = state
    mem[H_TOP] = result + 2
    memo_put(mem, M_START, shape, before, result)
    return result
