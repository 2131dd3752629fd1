"""Lexer states seen from walks: without what a walk need not know, so that more of them are one (see also runs.py).

without_shadows   exits aside, shadows change nothing
free_state        counters that count from anywhere
exit_of           where a lexeme ends: only what matched
"""

from __future__ import annotations

from grammar_engine.kernels.arena import (
    FULL,
    H_BEHIND,
    H_ORDERED,
    H_TOP,
    R_LENGTH,
    kernel,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    FREE,
    KEYWORD,
    L_EXIT,
    L_FIELDS,
    L_KIND,
    L_LIST,
    L_MATCHES,
    L_MONITORS,
    L_THREADS,
    P_SHADOW,
    SHADOW,
    add_thread,
    intern_lexer_state,
)


@kernel("int64(int32[::1], int64, int64)")
def without_shadows(mem, state, matching):
    """A lexer state less its shadows, and, unless ``matching``, what it matches: itself if it has none, or FULL."""
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    base = top + L_LIST
    if base + mem[state + R_LENGTH] + 64 > mem.size:
        return FULL
    threads = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        if mem[mem[i] + P_SHADOW] not in (SHADOW, KEYWORD):
            mem[base + 2 * threads] = mem[i]
            mem[base + 2 * threads + 1] = mem[i + 1]
            threads += 1
    if threads == mem[state + L_THREADS]:
        return state
    matches = mem[state + L_MATCHES] if matching else 0
    rest = 2 * (mem[state + L_MONITORS] + matches)
    source = state + L_LIST + 2 * mem[state + L_THREADS]
    for i in range(rest):
        mem[base + 2 * threads + i] = mem[source + i]
    head = top + L_FIELDS
    mem[head] = mem[state + L_KIND]
    mem[head + 1] = threads
    mem[head + 2] = mem[state + L_MONITORS]
    mem[head + 3] = matches
    return intern_lexer_state(mem, 4 + 2 * threads + rest)


@kernel("int64(int32[::1], int64)")
def free_state(mem, state):
    """An unordered lexer state with every counter that is not 0 replaced by FREE, or FULL."""
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    base = top + L_LIST
    if base + mem[state + R_LENGTH] + 64 > mem.size:
        return FULL
    threads = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        threads = add_thread(mem, base, threads, mem[i], FREE if mem[i + 1] != 0 else 0, 0)
    head = top + L_FIELDS
    mem[head] = 0
    mem[head + 1] = threads
    mem[head + 2] = 0
    mem[head + 3] = 0
    return intern_lexer_state(mem, 4 + 2 * threads)


@kernel("int64(int32[::1], int64, int64)")
def ending_of(mem, state, match):
    """The ending of one of a state's matches (leftmost-first)."""
    at = state + L_LIST + 2 * (mem[state + L_THREADS] + mem[state + L_MONITORS] + match)
    return mem[at + 1] if mem[at + 1] > 0 else state


@kernel("int64(int32[::1], int64)")
def remembered(mem, ended):
    """What the next lexeme must know of an ending: the ending itself, or 0."""
    return ended if mem[ended + L_MONITORS] != 0 or mem[H_BEHIND] != 0 else 0


@kernel("int64(int32[::1], int64)")
def exit_of(mem, state):
    """A lexer state that matches, as the end of a lexeme: the same matches without threads, or FULL.

    Unordered lexing asks nothing more of it, and so the many states in which, say, a gap of some number of spaces may
    end are one. (Leftmost-first there are endings: this is the first.)
    """
    if mem[H_ORDERED] != 0:
        return ending_of(mem, state, 0)
    known = mem[state + L_EXIT]
    if known != 0:
        return known
    result = state
    if mem[state + L_THREADS] != 0:
        if must_grow(mem):
            return FULL
        head = mem[H_TOP] + L_FIELDS
        matches = mem[state + L_MATCHES]
        if head + 2 * matches + 64 > mem.size:
            return FULL
        mem[head] = 0
        mem[head + 1] = 0
        mem[head + 2] = 0
        mem[head + 3] = matches
        source = state + L_LIST + 2 * (mem[state + L_THREADS] + mem[state + L_MONITORS])
        for i in range(2 * matches):
            mem[head + 4 + i] = mem[source + i]
        result = intern_lexer_state(mem, 4 + 2 * matches)
    mem[state + L_EXIT] = result
    return result
