"""Lexer states at the start of a lexeme: all threads with which the terminals that a configuration offers begin."""

from __future__ import annotations

from grammar_engine.kernels.arena import (
    FULL,
    H_EPOCH,
    H_ORDERED,
    H_TOP,
    kernel,
)
from grammar_engine.kernels.lexer import (
    AT_START,
    CLOSED,
    L_FIELDS,
    L_LIST,
    L_MONITORS,
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


@kernel("int64(int32[::1], int64, int64, int64, int64)")
def add_closure(mem, base, threads, closure, ordered):
    """Add the threads of a terminal's start to the list at ``base``; returns the new count (or FULL)."""
    entry = closure + 1
    for _ in range(mem[closure]):
        if base + 2 * threads + 64 > mem.size:
            return FULL
        c = counter_after(0, mem[entry + 1], mem[entry + 2])
        if c != CLOSED and mem[entry] > 0:
            threads = add_thread(mem, base, threads, mem[entry], c, ordered)
        entry += 3
    return threads


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
        for i in range(first, first + count):
            t = scratch[i]
            mem[(mem[t + X_FAMILY] if mem[t + X_FAMILY] != 0 else t) + X_MARK] = epoch
        for i in range(first, first + count):  # shadows go first, so that no match cuts them
            t = scratch[i]
            unless = mem[t + X_UNLESS]
            if unless != 0:
                for u in range(unless + 1, unless + 1 + mem[unless]):
                    if mem[mem[u] + X_MARK] == epoch:
                        threads = add_closure(mem, base, threads, mem[t + X_SHADOW], ordered)
                        if threads < 0:
                            return FULL
                        scratch[i] = -t
                        break
    for i in range(first, first + count):
        t = scratch[i]
        if t > 0:
            closure = mem[mem[t + X_STARTS] + last] if mem[t + X_STARTS] != 0 else mem[t + X_CLOSURE]
            if closure != 0:
                threads = add_closure(mem, base, threads, closure, ordered)
            if threads < 0:
                return FULL
            if ordered == 0 and mem[t + X_SHADOW] != 0:
                threads = add_closure(mem, base, threads, mem[t + X_SHADOW], ordered)
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
