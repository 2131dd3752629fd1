"""Positions: interned sets of pairs (lexer state, configuration), stepped byte by byte.

    step(P, b):   for each (L, C) of P: L' := step(L, b)
                      if threads of L' live on:                     (L', C) joins P'
                      for each terminal t that matches at L':       C' := shift(C, t); (start(C'), C') joins P'

Pairs never speak to each other, so the mask of a position is the union of its pairs' masks.
"""

from __future__ import annotations

from grammar_engine.kernels.arena import (
    FULL,
    H_ORDERED,
    H_TOP,
    LIMIT,
    SLACK,
    T_PAIR,
    T_POSITION,
    intern,
    kernel,
    must_grow,
)
from grammar_engine.kernels.lexer import AT_START, L_KIND, L_LIST, L_MATCHES, L_MONITORS, L_THREADS
from grammar_engine.kernels.lexer_steps import lexer_step
from grammar_engine.kernels.lexer_views import ending_of, remembered
from grammar_engine.kernels.masks import Q_FIELDS, Q_MASK
from grammar_engine.kernels.parser import C_FIELDS, after_match
from grammar_engine.kernels.scratch import SCRATCH_WORK, SCRATCH_WORK_SIZE
from grammar_engine.kernels.starts import starts_of

# Position: payload [pairs...]; accepting is known at creation.
O_ACCEPTING, O_FIELDS = 2, 3


@kernel("int64(int32[::1], int64, int64)")
def intern_pair(mem, state, configuration):
    """The record of (lexer state, configuration)."""
    top = mem[H_TOP]
    mem[top + Q_FIELDS] = state
    mem[top + Q_FIELDS + 1] = configuration
    pair = intern(mem, T_PAIR, Q_FIELDS, 2)
    if pair == top:
        mem[pair + Q_MASK] = 0
    return pair


@kernel("int64(int32[::1], int32[::1], int64, int64, int64)")
def add_pair(mem, scratch, count, state, configuration):
    """Add a pair to the sorted list in scratch[SCRATCH_WORK:]; the new count, or a code."""
    if must_grow(mem):
        return FULL
    pair = intern_pair(mem, state, configuration)
    i = SCRATCH_WORK + count
    while i > SCRATCH_WORK and scratch[i - 1] > pair:
        i -= 1
    if i > SCRATCH_WORK and scratch[i - 1] == pair:
        return count
    if count + 1 >= SCRATCH_WORK_SIZE:
        return LIMIT
    for j in range(SCRATCH_WORK + count, i, -1):
        scratch[j] = scratch[j - 1]
    scratch[i] = pair
    return count + 1


@kernel("int64(int32[::1], int32[::1], int64)")
def intern_position(mem, scratch, count):
    """The position made of the pairs in scratch[SCRATCH_WORK:], or FULL."""
    if must_grow(mem) or mem[H_TOP] + count + SLACK > mem.size:
        return FULL
    top = mem[H_TOP]
    for i in range(count):
        mem[top + O_FIELDS + i] = scratch[SCRATCH_WORK + i]
    position = intern(mem, T_POSITION, O_FIELDS, count)
    if position == top:
        accepting = 0
        for i in range(position + O_FIELDS, position + O_FIELDS + count):
            if mem[mem[mem[i] + Q_FIELDS] + L_KIND] == AT_START and mem[mem[mem[i] + Q_FIELDS + 1] + C_FIELDS] != 0:
                accepting = 1
        mem[position + O_ACCEPTING] = accepting
    return position


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def position_step(mem, scratch, position, byte):
    """The position after a byte; 0 if no thread survives, or a code."""
    ordered = mem[H_ORDERED]
    count = 0
    for i in range(position + O_FIELDS, position + O_FIELDS + mem[position + 1]):
        pair = mem[i]
        configuration = mem[pair + Q_FIELDS + 1]
        state = lexer_step(mem, mem[pair + Q_FIELDS], byte)
        if state < 0:
            return state
        if state == 0:
            continue
        alive = mem[state + L_THREADS] != 0
        if alive:
            count = add_pair(mem, scratch, count, state, configuration)
            if count < 0:
                return count
        matches = state + L_LIST + 2 * (mem[state + L_THREADS] + mem[state + L_MONITORS])
        for v in range(2 * mem[state + L_MATCHES]):  # each match, as a terminal and as an ignored one
            after = after_match(mem, scratch, configuration, mem[matches + (v & ~1)], v & 1)
            if after < 0:
                return after
            if after == 0:
                continue
            starts = starts_of(mem, scratch, after, remembered(mem, ending_of(mem, state, v >> 1)) if ordered else 0)
            if starts < 0:
                return starts
            for s in range(starts + 1, starts + 1 + mem[starts]):
                count = add_pair(mem, scratch, count, mem[s], after)
                if count < 0:
                    return count
    if count == 0:
        return 0
    return intern_position(mem, scratch, count)
