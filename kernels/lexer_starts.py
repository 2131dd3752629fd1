"""Lexer states at the start of a lexeme: all threads with which the terminals that a configuration offers begin."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_EPOCH,
    H_ORDERED,
    H_TOP,
    LIMIT,
    MEMORY,
    SLACK,
    kernel,
)
from grammar_engine.kernels.lexer import (
    AT_START,
    CLOSED,
    L_FIELDS,
    L_LIST,
    L_MONITORS,
    L_PLAIN,
    L_THREADS,
    NO_BYTE,
    NOT_AT_END,
    P_LOW,
    X_CLOSURE,
    X_FAMILY,
    X_MARK,
    X_ORDER,
    X_SHADOW,
    X_STARTS,
    X_UNLESS,
    add_thread,
    counter_after,
    intern_lexer_state,
)
from grammar_engine.kernels.scratch import SCRATCH_ROUND
from grammar_engine.kernels.seen import first_pair


@kernel(f"int64({MEMORY}, int64, int64, int64, int64)")
def add_closure(mem, scratch, base, threads, closure, epoch):
    """Add the threads of a terminal's start to the list at ``base``; returns the new count (or FULL).

    epoch: of the threads that are there already, leftmost-first; 0 if unordered.
    """
    entry = closure + 1
    for _ in range(mem[closure]):
        if base + 2 * threads + 64 > mem.size:
            return FULL
        c = counter_after(0, mem[entry + 1], mem[entry + 2])
        position = mem[entry]
        entry += 3
        if c == CLOSED or position <= 0:
            continue
        new = first_pair(scratch, epoch, position, c) if epoch != 0 else LIMIT
        if new == 1:
            mem[base + 2 * threads] = position
            mem[base + 2 * threads + 1] = c
            threads += 1
        elif new == LIMIT:
            threads = add_thread(mem, base, threads, position, c, np.int64(epoch != 0))
    return threads


@kernel("int64(int32[::1], int64, int64)")
def with_monitors(mem, start, before):
    """A start (leftmost-first) with the monitors of an ending, which must not match from now on; or FULL.

    As long as no monitor reads a byte, it steps as the start without does.
    """
    threads, monitors = mem[start + L_THREADS], mem[before + L_MONITORS]
    head = mem[H_TOP] + L_FIELDS
    base = mem[H_TOP] + L_LIST
    if base + 2 * (threads + monitors) + SLACK > mem.size:
        return FULL
    for i in range(2 * threads):
        mem[base + i] = mem[start + L_LIST + i]
    kind = AT_START
    at = base + 2 * threads
    source = before + L_LIST
    for i in range(source, source + 2 * monitors, 2):
        mem[at] = mem[i]
        mem[at + 1] = mem[i + 1]
        at += 2
        if mem[mem[i] + P_LOW] == NO_BYTE:
            kind = NOT_AT_END
    mem[head] = kind
    mem[head + 1] = threads
    mem[head + 2] = monitors
    mem[head + 3] = 0
    state = intern_lexer_state(mem, at - head)
    if monitors != 0:
        mem[state + L_PLAIN] = start
    return state


@kernel("int64(int32[::1], int32[::1], int64, int64, int64)")
def lexer_start(mem, scratch, first, count, before):
    """The lexer state at the start of a lexeme, for the (loaded) terminals scratch[first:first + count].

    ``before``: the ending of the previous lexeme, whose monitors must not match from now on, or 0.
    It tells the class of the character before, too.
    """
    ordered = mem[H_ORDERED]
    top = mem[H_TOP]
    base = top + L_LIST
    threads = 0
    seen = np.int64(0)
    last = -mem[before + L_LIST + 2 * mem[before + L_MONITORS] + 1] if before != 0 else 0
    if ordered:
        for i in range(first + 1, first + count):  # insertion sort by priority; lists are short and mostly sorted
            t = scratch[i]
            j = i
            while j > first and mem[scratch[j - 1] + X_ORDER] > mem[t + X_ORDER]:
                scratch[j] = scratch[j - 1]
                j -= 1
            scratch[j] = t
        mem[H_EPOCH] += 1
        epoch = mem[H_EPOCH]
        scratch[SCRATCH_ROUND] += 1
        seen = np.int64(scratch[SCRATCH_ROUND])
        for i in range(first, first + count):
            t = scratch[i]
            mem[(mem[t + X_FAMILY] if mem[t + X_FAMILY] != 0 else t) + X_MARK] = epoch
        for i in range(first, first + count):  # shadows go first, so that no match cuts them
            t = scratch[i]
            unless = mem[t + X_UNLESS]
            if unless != 0:
                for u in range(unless + 1, unless + 1 + mem[unless]):
                    if mem[mem[u] + X_MARK] == epoch:
                        threads = add_closure(mem, scratch, base, threads, mem[t + X_SHADOW], seen)
                        if threads < 0:
                            return FULL
                        scratch[i] = -t
                        break
    for i in range(first, first + count):
        t = scratch[i]
        if t > 0:
            closure = mem[mem[t + X_STARTS] + last] if mem[t + X_STARTS] != 0 else mem[t + X_CLOSURE]
            if closure != 0:
                threads = add_closure(mem, scratch, base, threads, closure, seen)
            if threads < 0:
                return FULL
            if ordered == 0 and mem[t + X_SHADOW] != 0:
                threads = add_closure(mem, scratch, base, threads, mem[t + X_SHADOW], seen)
                if threads < 0:
                    return FULL
    monitors = 0
    kind = AT_START
    if before != 0:
        at_monitors = base + 2 * threads
        source = before + L_LIST
        for i in range(source, source + 2 * mem[before + L_MONITORS], 2):
            if at_monitors + 2 * monitors + 64 > mem.size:
                return FULL
            monitors = add_thread(mem, at_monitors, monitors, mem[i], mem[i + 1], 0)
            if mem[mem[i] + P_LOW] == NO_BYTE:
                kind = NOT_AT_END
    head = top + L_FIELDS
    mem[head] = kind
    mem[head + 1] = threads
    mem[head + 2] = monitors
    mem[head + 3] = 0
    return intern_lexer_state(mem, 4 + 2 * (threads + monitors))
