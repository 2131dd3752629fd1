"""How long a lexeme surely lives, whatever text of some kind follows: what lets a walk take subtrees unseen.

For each lexer state, less its counts (``loose_of``), two things are worked out when first asked for:

    runs    classes of bytes (see kernels.trie) each of which leads the state back to itself
    alive   for each kind of text the number of bytes after which the lexeme surely still lives and has not ended:
            inside ``.*word.*`` without end, inside ``(\\S+\\s+){0,9}\\S+`` so many words

The second is a search, breadth first, through the states that such texts lead to; it ends where one is dead or
matches, or when enough was seen. Bytes that no thread tells apart are tried once.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.compiler.automaton import AGAIN
from grammar_engine.kernels.arena import (
    FULL,
    H_EPOCH,
    H_ORDERED,
    H_TOP,
    M_WALK,
    MEMORY,
    R_LENGTH,
    UNKNOWN,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    ENDLESS,
    L_ALIVE,
    L_FIELDS,
    L_GROUP,
    L_LIST,
    L_LOOSE,
    L_MARK,
    L_MATCHES,
    L_MONITORS,
    L_ROOM,
    L_RUNS,
    L_THREADS,
    LOOSE,
    NO_BYTE,
    NUM_TEXTS,
    P_HIGH,
    P_LOW,
    P_NEXT,
    add_thread,
    intern_lexer_state,
)
from grammar_engine.kernels.lexer_steps import is_killed, lexer_step
from grammar_engine.kernels.lexer_views import ending_of
from grammar_engine.kernels.scratch import MOST_ALIVE, MOST_MIDDLE, SCRATCH_ALIVE, SCRATCH_BOUNDS, SCRATCH_MIDDLE
from grammar_engine.kernels.trie import (
    BYTE_RUNS,
    HEIGHT,
    PRINTABLE_RUN,
    RUNS_OF_BYTE,
    TEXT_RUN,
    TEXT_STEPS,
    VISIBLE_RUN,
    VISIBLE_TEXT_RUN,
)

# Kinds of text. The odd ones hold spaces; those from 2 on hold characters beyond ASCII.
VISIBLE, PRINTABLE, VISIBLE_TEXT, TEXT = 0, 1, 2, 3

MOST_ALIVE_WORK = 1 << 16  # threads that are stepped for one answer, some hundred microseconds
LONG = 24  # bytes; few tokens are longer. An answer that leaves so many for a state on the way is kept for that state
LENGTHENS = 2  # beside a lexer state in M_WALK: what ``lengthens`` knows of it
PLACE = 16  # L_RUNS: how many bytes of a character are to come stands above so many bits


@kernel("int64(int32[::1], int64)")
def loose_of(mem, state):
    """The state with its counters made LOOSE; itself if it has none, or monitors; or FULL.

    Leaves in L_ROOM how many more rounds may begin as long as the threads stay at the same positions.
    """
    known = mem[state + L_LOOSE]
    if known != 0:
        return known
    if must_grow(mem):
        return FULL
    most = 0
    counted = False
    tightest = ENDLESS
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        c = mem[i + 1]
        if c in (0, LOOSE):
            continue
        counted = True
        most = max(most, c)
        closure = mem[mem[i] + P_NEXT]
        for entry in range(closure + 1, closure + 1 + 3 * mem[closure], 3):
            if mem[entry + 1] == AGAIN and mem[entry + 2] >= 0 and c > 0:
                tightest = min(tightest, mem[entry + 2])
    result = state
    if counted and mem[state + L_MONITORS] == 0:
        top = mem[H_TOP]
        base = top + L_LIST
        length = mem[state + R_LENGTH]
        if base + length + 64 > mem.size:
            return FULL
        threads = 0
        for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
            threads = add_thread(mem, base, threads, mem[i], LOOSE if mem[i + 1] != 0 else 0, mem[H_ORDERED])
        mem[top + L_FIELDS] = 0
        mem[top + L_FIELDS + 1] = threads
        mem[top + L_FIELDS + 2] = 0
        mem[top + L_FIELDS + 3] = 0
        mem[state + L_ROOM] = tightest - most if tightest < ENDLESS else ENDLESS
        result = intern_lexer_state(mem, 4 + 2 * threads)
    mem[state + L_LOOSE] = result
    return result


@kernel(f"int64({MEMORY}, int64)")
def note_bounds(mem, scratch, state):
    """scratch[SCRATCH_BOUNDS + b] := 1 where a thread or monitor tells byte b from the one before; their number."""
    for b in range(SCRATCH_BOUNDS, SCRATCH_BOUNDS + 257):
        scratch[b] = 0
    count = mem[state + L_THREADS] + mem[state + L_MONITORS]
    for i in range(state + L_LIST, state + L_LIST + 2 * count, 2):
        if mem[mem[i] + P_LOW] != NO_BYTE:
            scratch[SCRATCH_BOUNDS + mem[mem[i] + P_LOW]] = 1
            scratch[SCRATCH_BOUNDS + mem[mem[i] + P_HIGH] + 1] = 1
    return count


@kernel(f"int64({MEMORY}, int64, int64)")
def alive_for(mem, scratch, state, kind):
    """After how many bytes of any text of a kind the lexeme surely lives and has not ended: ENDLESS, or a code.

    ENDLESS + 1 if every character leads back to the state.
    """
    found, places, layers = SCRATCH_ALIVE, SCRATCH_ALIVE + MOST_ALIVE, SCRATCH_ALIVE + 2 * MOST_ALIVE
    same = SCRATCH_ALIVE + 3 * MOST_ALIVE  # the entry before of the same state, at another place in a character
    last = 0xF5 if kind >= VISIBLE_TEXT else 0x7F
    first = 0x20 if kind & 1 else 0x21
    mem[H_EPOCH] += 1
    epoch = mem[H_EPOCH]
    scratch[found] = state
    scratch[places] = 0
    scratch[layers] = 0
    scratch[same] = -1
    mem[state + L_MARK] = epoch
    mem[state + L_GROUP] = 0
    count = 1
    done = 0
    work = 0
    bound = np.int64(ENDLESS)
    itself = 1
    while done < count:
        here, place, layer = np.int64(scratch[found + done]), np.int64(scratch[places + done]), scratch[layers + done]
        if layer >= bound:
            break
        done += 1
        if place == 0 and here != state:
            itself = 0
            known = mem[here + L_ALIVE + kind]
            if known != UNKNOWN:
                bound = min(bound, layer + known)
                continue
        work += 16 * note_bounds(mem, scratch, here)
        if work > MOST_ALIVE_WORK:
            bound = min(bound, layer)
            break
        before = -1
        for byte in range(first if place == 0 else 0x80, last):
            behind = np.int64(TEXT_STEPS[place, byte])
            if behind == before and scratch[SCRATCH_BOUNDS + byte] == 0:
                continue
            before = behind
            if behind < 0:
                continue
            after = lexer_step(mem, here, byte)
            if after < 0:
                return after
            if after == 0 or mem[after + L_THREADS] == 0 or mem[after + L_MATCHES] != 0:
                bound = min(bound, layer)
                break
            k = np.int64(mem[after + L_GROUP]) if mem[after + L_MARK] == epoch else -1
            others = k
            while k >= 0 and scratch[places + k] != behind:
                k = np.int64(scratch[same + k])
            if k >= 0:
                continue
            if count == MOST_ALIVE:
                bound = min(bound, layer + 1)
                continue
            mem[after + L_MARK] = epoch
            mem[after + L_GROUP] = count
            scratch[found + count] = after
            scratch[places + count] = behind
            scratch[layers + count] = layer + 1
            scratch[same + count] = others
            count += 1
    for k in range(count):
        here = scratch[found + k]
        if scratch[places + k] == 0 and mem[here + L_ALIVE + kind] == UNKNOWN:
            if bound == ENDLESS:
                mem[here + L_ALIVE + kind] = ENDLESS
            elif bound - scratch[layers + k] >= LONG and here != state:
                mem[here + L_ALIVE + kind] = bound - scratch[layers + k]
    mem[state + L_ALIVE + kind] = bound
    return ENDLESS + itself if bound == ENDLESS else bound


@kernel(f"int64({MEMORY}, int64, int64)")
def alive_inside(mem, scratch, state, to_come):
    """The same as ``alive_for`` any text, in the middle of a character of which so many bytes are to come."""
    states, places = SCRATCH_MIDDLE, SCRATCH_MIDDLE + MOST_MIDDLE
    scratch[states] = state
    scratch[places] = to_come
    count = 1
    done = 0
    bound = np.int64(ENDLESS)
    while done < count:
        here, place = np.int64(scratch[states + done]), np.int64(scratch[places + done])
        done += 1
        if place == 0:
            known = np.int64(mem[here + L_ALIVE + TEXT])
            if known == UNKNOWN:
                known = np.int64(alive_for(mem, scratch, here, TEXT))
                if known < 0:
                    return known
            bound = min(bound, to_come + known)
            continue
        note_bounds(mem, scratch, here)
        for byte in range(0x80, 0xC0):
            if byte > 0x80 and scratch[SCRATCH_BOUNDS + byte] == 0:
                continue
            after = lexer_step(mem, here, byte)
            if after < 0:
                return after
            if after == 0 or mem[after + L_THREADS] == 0 or mem[after + L_MATCHES] != 0:
                return 0
            k = 0
            while k < count and (scratch[states + k] != after or scratch[places + k] != place - 1):
                k += 1
            if k < count:
                continue
            if count == MOST_MIDDLE:
                return 0
            scratch[states + count] = after
            scratch[places + count] = place - 1
            count += 1
    return min(bound, ENDLESS)


@kernel(f"int64({MEMORY}, int64)")
def runs_of(mem, scratch, state):
    """The classes that lead a state without counts back to itself | bytes of a character to come << PLACE; or FULL.

    Leaves in L_ALIVE what ``alive_for`` says of each kind of text; in the middle of a character, of TEXT alone.
    """
    known = mem[state + L_RUNS]
    if known != UNKNOWN:
        return known
    note_bounds(mem, scratch, state)
    runs = BYTE_RUNS
    between = 0
    before = 0
    after = np.int64(0)
    for byte in range(0x20, 0x7F):
        classes = RUNS_OF_BYTE[byte]
        if classes == 0:
            continue
        if before != byte - 1 or scratch[SCRATCH_BOUNDS + byte] != 0:
            after = np.int64(lexer_step(mem, state, byte))
            if after < 0:
                return after
        before = byte
        between |= after
        if after != state:
            runs &= ~classes
    for kind in range(NUM_TEXTS):
        if mem[state + L_MONITORS] != 0 or (between == 0 and kind != TEXT):
            mem[state + L_ALIVE + kind] = 0
    if mem[state + L_MONITORS] == 0 and between != 0:
        for kind in (TEXT, PRINTABLE, VISIBLE_TEXT, VISIBLE):
            alive = np.int64(mem[state + L_ALIVE + kind])
            if alive == UNKNOWN or (alive == ENDLESS and kind >= VISIBLE_TEXT):
                mem[state + L_ALIVE + kind] = UNKNOWN
                alive = np.int64(alive_for(mem, scratch, state, kind))
                if alive < 0:
                    return alive
            if alive > ENDLESS:
                runs |= TEXT_RUN if kind == TEXT else VISIBLE_TEXT_RUN if kind == VISIBLE_TEXT else 0
            if kind == TEXT and alive >= ENDLESS:  # then of all others too
                for other in range(NUM_TEXTS):
                    mem[state + L_ALIVE + other] = ENDLESS
                if runs & TEXT_RUN:
                    runs |= VISIBLE_TEXT_RUN
                break
    elif mem[state + L_MONITORS] == 0:
        alive = np.int64(0)
        to_come = 0
        while alive == 0 and to_come < 3:
            to_come += 1
            alive = np.int64(alive_inside(mem, scratch, state, to_come))
            if alive < 0:
                return alive
        mem[state + L_ALIVE + TEXT] = alive
        runs = to_come << PLACE
    mem[state + L_RUNS] = runs
    return runs


@kernel(f"int64({MEMORY}, int64, int64)")
def takes(mem, scratch, state, below):
    """1 if a state takes every text below a trie node unseen, 0 if that is not sure; or FULL.

    below: the runs of the node.
    """
    loose = loose_of(mem, state)
    if loose < 0:
        return loose
    runs = runs_of(mem, scratch, loose)
    if runs < 0:
        return runs
    height = below >> HEIGHT
    if (runs & below & ((1 << PLACE) - 1)) != 0:
        return np.int64(mem[state + L_ROOM] >= height)
    if loose != state:
        return 0
    place = runs >> PLACE
    alive = state + L_ALIVE
    if (below & (TEXT_RUN << place)) != 0 and mem[alive + TEXT] >= height:
        return 1
    if place != 0:
        return 0
    if (below & PRINTABLE_RUN) != 0 and mem[alive + PRINTABLE] >= height:
        return 1
    if (below & VISIBLE_RUN) != 0 and mem[alive + VISIBLE] >= height:
        return 1
    return np.int64((below & VISIBLE_TEXT_RUN) != 0 and mem[alive + VISIBLE_TEXT] >= height)


@kernel(f"int64({MEMORY}, int64, int64)")
def lengthens(mem, scratch, state, below):
    """1 if every byte below a trie node leads a state that matches back to itself, 0 if that is not sure; or FULL.

    Leftmost-first, no other lexeme can begin there then: each byte makes a longer match, which kills the endings.
    """
    known = memo_get(mem, M_WALK, state, LENGTHENS)
    if known == UNKNOWN:
        loose = loose_of(mem, state)
        if loose < 0:
            return loose
        runs = np.int64(0)
        if loose == state:
            runs = np.int64(runs_of(mem, scratch, state))
            if runs < 0:
                return runs
            runs &= BYTE_RUNS
        if must_grow(mem):
            return FULL
        for byte in range(0x20, 0x7F):
            if (runs & RUNS_OF_BYTE[byte]) == 0:
                continue
            for k in range(mem[state + L_MATCHES]):
                if is_killed(mem, ending_of(mem, state, k), byte) == 0:
                    runs &= ~RUNS_OF_BYTE[byte]
        memo_put(mem, M_WALK, state, LENGTHENS, runs)
        known = runs
    return np.int64((known & below & BYTE_RUNS) != 0)
