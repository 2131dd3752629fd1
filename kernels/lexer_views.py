"""Lexer states seen from walks: without what a walk need not know, so that more of them are one, and where they loop.

without_shadows   exits aside, shadows change nothing
free_state        counters that count from anywhere
exit_of           where a lexeme ends: only what matched
loose_of          as long as a count has room it does not matter
runs_of           classes of bytes behind which the lexeme lives on, whatever comes
"""

from __future__ import annotations

import numpy as np
from grammar_engine.compiler.automaton import (
    AGAIN,
)
from grammar_engine.kernels.arena import (
    FULL,
    H_ORDERED,
    H_TOP,
    R_LENGTH,
    UNKNOWN,
    kernel,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    ENDLESS,
    FREE,
    L_ALIVE,
    L_EXIT,
    L_FIELDS,
    L_IS_START,
    L_LIST,
    L_LOOSE,
    L_MATCHES,
    L_MONITORS,
    L_ROOM,
    L_RUNS,
    L_THREADS,
    LOOSE,
    P_NEXT,
    P_SHADOW,
    add_thread,
    intern_lexer_state,
    lexer_step,
)
from grammar_engine.kernels.scratch import (
    MOST_ALIVE,
    SCRATCH_ALIVE,
)
from grammar_engine.kernels.trie import (
    ALL_RUNS,
    BYTE_RUNS,
    PRINTABLE_RUN,
    RUNS_OF_BYTE,
    utf8_step,
)

NOT_ALIVE, ALIVE_ASCII, ALIVE_TEXT = 1, 2, 3  # L_ALIVE: what is known of ``stays_alive``
MOST_ALIVE_WORK = 1 << 17  # threads that are stepped for it, about two milliseconds


@kernel("int64(int32[::1], int64)")
def without_shadows(mem, state):
    """An unordered lexer state less its shadows: itself if it has none, or FULL."""
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    base = top + L_LIST
    if base + mem[state + R_LENGTH] + 64 > mem.size:
        return FULL
    threads = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        if mem[mem[i] + P_SHADOW] == 0:
            mem[base + 2 * threads] = mem[i]
            mem[base + 2 * threads + 1] = mem[i + 1]
            threads += 1
    if threads == mem[state + L_THREADS]:
        return state
    head = top + L_FIELDS
    mem[head] = mem[state + L_IS_START]
    mem[head + 1] = threads
    mem[head + 2] = 0
    mem[head + 3] = 0
    return intern_lexer_state(mem, 4 + 2 * threads)


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


@kernel("int64(int32[::1], int64)")
def exit_of(mem, state):
    """A lexer state that matches, as the end of a lexeme: the same matches without threads, or FULL.

    Unordered lexing asks nothing more of it, and so the many states in which, say, a gap of some number of spaces may
    end are one. (Leftmost-first lexing asks which threads live on: there it is the state itself.)
    """
    known = mem[state + L_EXIT]
    if known != 0:
        return known
    result = state
    if mem[H_ORDERED] == 0 and mem[state + L_THREADS] != 0:
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


@kernel("int64(int32[::1], int64)")
def loose_of(mem, state):
    """The state with its counter, if there is one, made LOOSE; or FULL. Two different counters: the state itself.

    Leaves in L_ROOM how many more rounds may begin as long as the threads stay at the same positions.
    """
    known = mem[state + L_LOOSE]
    if known != 0:
        return known
    if must_grow(mem):
        return FULL
    counter = 0
    tightest = ENDLESS
    counters = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        c = mem[i + 1]
        if c == 0:
            continue
        if c != counter:
            counters += 1
            counter = c
        closure = mem[mem[i] + P_NEXT]
        for entry in range(closure + 1, closure + 1 + 3 * mem[closure], 3):
            if mem[entry + 1] == AGAIN and mem[entry + 2] >= 0:
                tightest = min(tightest, mem[entry + 2])
    result = state
    if counters == 1 and counter > 0 and mem[state + L_MONITORS] == 0:
        top = mem[H_TOP]
        base = top + L_LIST
        length = mem[state + R_LENGTH]
        if base + length + 64 > mem.size:
            return FULL
        for i in range(length):
            mem[top + L_FIELDS + i] = mem[state + L_FIELDS + i]
        for i in range(base, base + 2 * mem[state + L_THREADS], 2):
            if mem[i + 1] != 0:
                mem[i + 1] = LOOSE
        mem[state + L_ROOM] = tightest - counter if tightest < ENDLESS else ENDLESS
        result = intern_lexer_state(mem, length)
    mem[state + L_LOOSE] = result
    return result


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def stays_alive(mem, scratch, state, text):
    """1 if every text keeps the lexeme alive and never ends it; 0 if not, or not surely; or FULL.

    Texts of printable ASCII, and, with ``text``, of all characters beyond ASCII too. That is so if the states reached
    are few, all alive, and none matches: inside ``.*word.*``, say. Each is explored with the place in UTF-8 that it is
    reached at.
    """
    found, places = SCRATCH_ALIVE, SCRATCH_ALIVE + MOST_ALIVE
    scratch[found] = state
    scratch[places] = 0
    count = 1
    done = 0
    alive = 1
    work = 0
    while done < count and alive:
        here, place = np.int64(scratch[found + done]), np.int64(scratch[places + done])
        done += 1
        work += mem[here + L_THREADS] * (64 if place != 0 else 96)
        if work > MOST_ALIVE_WORK:
            alive = 0
        for byte in range(0x20, 0xF5 if text else 0x7F):
            behind = utf8_step(place, byte)
            if behind < 0:
                continue
            after = lexer_step(mem, here, byte)
            if after < 0:
                return after
            if after == 0 or mem[after + L_THREADS] == 0 or mem[after + L_MATCHES] != 0:
                alive = 0
                break
            if after == here and behind == place:
                continue
            k = 0
            while k < count and scratch[found + k] != after:
                k += 1
            if k < count:
                if scratch[places + k] != behind:
                    alive = 0
                    break
                continue
            if count == MOST_ALIVE:
                alive = 0
                break
            scratch[found + count] = after
            scratch[places + count] = behind
            count += 1
    for k in range(count):
        if scratch[places + k] == 0:
            at = scratch[found + k] + L_ALIVE
            if alive:
                mem[at] = ALIVE_TEXT if text else max(mem[at], ALIVE_ASCII)
            elif mem[at] == 0:
                mem[at] = NOT_ALIVE
    return alive


@kernel("int64(int32[::1], int32[::1], int64)")
def runs_of(mem, scratch, state):
    """The classes of bytes (see kernels.trie) whose texts keep the lexeme alive without ending it, or FULL.

    For sure where every byte leads back to the state; else, if nothing is counted, by a look at the states behind it.
    """
    known = mem[state + L_RUNS]
    if known != UNKNOWN:
        return known
    runs = BYTE_RUNS
    elsewhere = 0
    for byte in range(0x20, 0x7F):
        classes = RUNS_OF_BYTE[byte]
        if (runs & classes) != 0:
            after = lexer_step(mem, state, byte)
            if after < 0:
                return after
            if after == 0 or mem[after + L_THREADS] == 0 or mem[after + L_MATCHES] != 0:
                runs &= ~classes
                if runs == 0:
                    break
            elif after != state:
                elsewhere |= classes
    printable = (runs & PRINTABLE_RUN) != 0
    runs &= ~elsewhere
    counts = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        counts |= mem[i + 1]
    if printable and counts == 0 and mem[state + L_MONITORS] == 0:
        if mem[state + L_ALIVE] == 0:
            alive = stays_alive(mem, scratch, state, 0)
            if alive > 0:  # a look at ASCII is cheap; only where that holds, characters beyond it are worth one
                alive = stays_alive(mem, scratch, state, 1)
            if alive < 0:
                return alive
        if mem[state + L_ALIVE] == ALIVE_TEXT:
            runs = ALL_RUNS
        elif mem[state + L_ALIVE] == ALIVE_ASCII:
            runs = BYTE_RUNS
    mem[state + L_RUNS] = runs
    return runs
