"""Walks inside counted loops: done once in free counting, cut to the rounds that are left (see compiler.row_loader)."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_MISS,
    H_ORDERED,
    H_TOP,
    H_VISITS,
    M_WALK,
    MEMORY,
    MISS_ROW,
    SLACK,
    TRIE,
    UNKNOWN,
    kernel,
    memo_get,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    FREE,
    KEY_COUNTED,
    KEY_LEAST,
    KEY_MOST,
    L_FIELDS,
    L_LIST,
    L_LOOSE,
    L_MATCHES,
    L_MONITORS,
    L_ROOM,
    L_RUNS,
    L_THREADS,
    P_KEY,
    add_thread,
    intern_lexer_state,
)
from grammar_engine.kernels.lexer_steps import lexer_step
from grammar_engine.kernels.lexer_views import free_state
from grammar_engine.kernels.runs import note_bounds
from grammar_engine.kernels.scratch import (
    MOST_MIDDLE,
    SCRATCH_BOUNDS,
    SCRATCH_EXITS,
    SCRATCH_MIDDLE,
    SCRATCH_PATH,
    SCRATCH_WALK,
)
from grammar_engine.kernels.trie import (
    ALL_RUNS,
    BYTE_RUNS,
    NODE_DEPTH,
    NODE_SIZE,
    NODE_TOKENS,
    RUNS_OF_BYTE,
    TEXT_RUN,
    TEXT_STEPS,
    V_END,
    V_FIRST,
    V_INFO,
    V_RUNS,
    VISIBLE_TEXT_RUN,
)
from grammar_engine.kernels.walks import (
    E_COUNT,
    E_INDEX,
    E_NODES,
    E_STATE,
    RUN_NODES,
    W_GROUPS,
    W_LIST,
    W_ROW,
    W_TOKENS,
)

# Common walk of a counted loop: [exits, lexer state behind the loop, most rounds that a token begins, a row (or -1) for
# each number of rounds left from 0 to that, (node, rounds)...].
B_EXITS, B_AFTER, B_ROUNDS, B_ROWS = 0, 1, 2, 3


@kernel("int64(int32[::1], int64, int64, int64)")
def counted_on(mem, state, rounds, least):
    """A state in free counting with so many rounds more, or, if ``least``, with FREE as its least counter; or FULL."""
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    base = top + L_LIST
    if base + 2 * mem[state + L_THREADS] + 64 > mem.size:
        return FULL
    if least:
        lowest = 0
        for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
            lowest = min(lowest, mem[i + 1])
        rounds = FREE - lowest
    threads = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        threads = add_thread(mem, base, threads, mem[i], mem[i + 1] + rounds if mem[i + 1] != 0 else 0, 0)
    mem[top + L_FIELDS] = 0
    mem[top + L_FIELDS + 1] = threads
    mem[top + L_FIELDS + 2] = 0
    mem[top + L_FIELDS + 3] = 0
    return intern_lexer_state(mem, 4 + 2 * threads)


@kernel(f"int64({MEMORY}, int64)")
def uniform_runs(mem, scratch, counting):
    """The classes of which each character leads a state in free counting to itself one round later; or FULL.

    Among them TEXT_RUN, between two characters. Leaves in L_ROOM of the state with FREE as its least counter, which is
    L_LOOSE of each, how many rounds later than that its threads are in the middle of a character.
    """
    state = np.int64(mem[counting + L_LOOSE])  # the same for each count
    if state == 0:
        state = np.int64(counted_on(mem, counting, 0, 1))
        if state < 0:
            return state
        mem[counting + L_LOOSE] = state
    known = mem[state + L_RUNS]
    if known != UNKNOWN:
        return known
    later = counted_on(mem, state, 1, 0)
    if later < 0:
        return later
    states, places = SCRATCH_MIDDLE, SCRATCH_MIDDLE + MOST_MIDDLE
    scratch[states] = state
    scratch[places] = 0
    count = 1
    done = 0
    runs = BYTE_RUNS | TEXT_RUN | VISIBLE_TEXT_RUN
    while done < count and runs != 0:
        here, place = np.int64(scratch[states + done]), np.int64(scratch[places + done])
        if done > 0:
            least = np.int64(0)
            for i in range(here + L_LIST, here + L_LIST + 2 * mem[here + L_THREADS], 2):
                least = min(least, mem[i + 1] if mem[i + 1] != 0 else FREE - 1)
            if done == 1:
                mem[state + L_ROOM] = least - FREE
            if least < FREE or mem[state + L_ROOM] != least - FREE:
                runs &= BYTE_RUNS
                break
        note_bounds(mem, scratch, here)
        before = np.int64(-1)
        after = np.int64(0)
        for byte in range(0x20 if done == 0 else 0x80, 0xF5):
            behind = np.int64(TEXT_STEPS[place, byte])
            if behind != before or scratch[SCRATCH_BOUNDS + byte] != 0:
                after = np.int64(0)
                if behind >= 0:
                    after = np.int64(lexer_step(mem, here, byte))
                    if after < 0:
                        return after
            before = behind
            if behind == 0 and after != later:
                runs &= ~(TEXT_RUN | (0 if byte == 0x20 else VISIBLE_TEXT_RUN))
                if done == 0:
                    runs &= ~RUNS_OF_BYTE[byte]
            elif behind > 0:
                k = 0
                while k < count and (scratch[states + k] != after or scratch[places + k] != behind):
                    k += 1
                if k == count:
                    if count == MOST_MIDDLE or after == 0:
                        runs &= BYTE_RUNS
                        break
                    scratch[states + count] = after
                    scratch[places + count] = behind
                    count += 1
        if (runs & VISIBLE_TEXT_RUN) == 0:
            break
        done += 1
    mem[state + L_RUNS] = runs
    return runs


@kernel(f"int64({MEMORY}, {TRIE}, int64)", inline=True)
def counted_walk(mem, scratch, trie, state):
    """A walk from the root in free counting (see lexer.counter_after), for lexer states inside one counted loop.

    Leaves (token, rounds) pairs and (node, lexer state, rounds) triples in scratch, their numbers in scratch[0] and
    scratch[1], and where they start in scratch[2] and scratch[3]; rounds is how many rounds the loop begins on the way,
    -1 where that does not matter because a thread outside of the loop is alive. Returns 1; 0 if some text leaves the
    loop with several counts, so that one number per exit does not say it; or a code.
    """
    exits_at = SCRATCH_EXITS
    tokens_at = exits_at + 6 * (trie[V_END] // NODE_SIZE)
    exits = 0
    tokens = 0
    scratch[SCRATCH_WALK] = state
    i = np.int64(NODE_SIZE)
    end = trie[V_END]
    visits = 0
    while i < end:
        visits += 1
        info = trie[i + V_INFO]
        depth = (info >> NODE_DEPTH) & 0xFFF
        after = lexer_step(mem, scratch[SCRATCH_WALK + depth - 1], info & 0xFF)
        if after < 0:
            return after
        if after == 0:
            i = trie[i + V_END]
            continue
        threads = mem[after + L_THREADS]
        rounds = np.int64(1 << 30)
        if threads != 0:
            for k in range(after + L_LIST, after + L_LIST + 2 * threads, 2):
                rounds = min(rounds, mem[k + 1] - FREE if mem[k + 1] < 0 else -1)
            first = trie[i + V_FIRST]
            for k in range(first, first + (info >> NODE_TOKENS)):
                scratch[tokens_at + 2 * tokens] = trie[k]
                scratch[tokens_at + 2 * tokens + 1] = rounds
                tokens += 1
        below = trie[i + V_END]
        classes = trie[i + V_RUNS] & ALL_RUNS
        if threads != 0 and below > i + RUN_NODES and classes != 0 and mem[after + L_MATCHES] == 0:
            runs = uniform_runs(mem, scratch, after)
            if runs < 0:
                return runs
            if (runs & classes) != 0 and rounds >= 0:
                # Each character below begins a round: they are counted, by depth, beside where in one the text is.
                middle = mem[mem[after + L_LOOSE] + L_ROOM]
                scratch[SCRATCH_PATH + depth] = rounds * 32
                for j in range(i + NODE_SIZE, below, NODE_SIZE):
                    info = trie[j + V_INFO]
                    depth = (info >> NODE_DEPTH) & 0xFFF
                    above = scratch[SCRATCH_PATH + depth - 1]
                    place = TEXT_STEPS[above & 31, info & 0xFF]
                    above += place - (above & 31) + (32 if place == 0 else 0)
                    scratch[SCRATCH_PATH + depth] = above
                    first = trie[j + V_FIRST]
                    for k in range(first, first + (info >> NODE_TOKENS)):
                        scratch[tokens_at + 2 * tokens] = trie[k]
                        scratch[tokens_at + 2 * tokens + 1] = (above >> 5) + (middle if place != 0 else 0)
                        tokens += 1
                i = np.int64(below)
                continue
        if mem[after + L_MATCHES] > 1:
            return 0
        if mem[after + L_MATCHES] == 1:
            c = mem[after + L_LIST + 2 * (threads + mem[after + L_MONITORS]) + 1]
            scratch[exits_at + 3 * exits] = i
            scratch[exits_at + 3 * exits + 1] = after
            scratch[exits_at + 3 * exits + 2] = c - FREE if c < 0 else -1
            exits += 1
        if threads != 0:
            scratch[SCRATCH_WALK + depth] = after
            i += NODE_SIZE
        else:
            i = trie[i + V_END]
    mem[H_VISITS] += visits
    scratch[0] = tokens
    scratch[1] = exits
    scratch[2] = tokens_at
    scratch[3] = exits_at
    return 1


@kernel("int64(int32[::1], int64)", entry=True)
def counter_in_loop(mem, state):
    """The one counter of a state whose threads are all in (or just behind) one counted loop; 0 for other states."""
    counter = 0
    key = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        if key == 0:
            key = mem[mem[i] + P_KEY]
        if mem[mem[i] + P_KEY] != key or mem[key + KEY_COUNTED] == 0:
            return 0
        c = mem[i + 1]
        if c != 0:
            if counter == 0:
                counter = c
            elif counter != c:
                return 0
    return counter if mem[H_ORDERED] == 0 else 0


@kernel("int64(int32[::1], int64, int64)")
def walk_in_loop(mem, state, counter):
    """The walk from the root of a state in a counted loop: the loop's common walk, cut to the rounds that are left.

    The common walk (``B_``) is remembered under the state in free counting; MISS_ROW if it or the row is missing.
    """
    free = free_state(mem, state)
    if free < 0:
        return free
    if must_grow(mem):
        return FULL
    base = memo_get(mem, M_WALK, free, 0)
    mem[H_MISS] = state
    if base == UNKNOWN:
        return MISS_ROW
    key = mem[mem[state + L_LIST] + P_KEY]
    most = mem[base + B_ROUNDS]
    left = most
    room = 1 << 30
    if mem[key + KEY_MOST] >= 0:
        room = mem[key + KEY_MOST] - counter
        left = min(room, most)
    row = mem[base + B_ROWS + left]
    if row < 0:
        return MISS_ROW
    exits = mem[base + B_EXITS]
    first = base + B_ROWS + most + 1
    top = mem[H_TOP]
    if top + W_LIST + 2 * exits + SLACK > mem.size:
        return FULL
    at = top + W_LIST + E_NODES
    for k in range(first, first + 2 * exits, 2):
        rounds = mem[k + 1]
        if rounds < 0 or (rounds <= room and counter + rounds >= mem[key + KEY_LEAST]):
            mem[at] = mem[k]
            at += 1
    mem[top + W_ROW] = row
    mem[top + W_TOKENS] = 0
    mem[top + W_GROUPS] = at > top + W_LIST + E_NODES  # (in the middle of a character there is none)
    mem[top + W_LIST + E_STATE] = mem[base + B_AFTER]
    mem[top + W_LIST + E_COUNT] = at - top - W_LIST - E_NODES
    mem[top + W_LIST + E_INDEX] = 0
    mem[H_TOP] = at
    return top
