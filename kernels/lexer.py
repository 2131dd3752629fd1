"""Lexer states: the interned set of threads alive inside the current lexeme, stepped byte by byte.

    step(L, b):
        for each thread (p, c) of L, in order, whose byte range holds b:
            for each entry (q, op, bound) of the state behind p, where op lets the counter pass:
                q is a position: the thread (q, c') joins L'
                q is MATCH of terminal t: the lexeme may end here as t;
                    leftmost-first: all threads of lower priority are cut (Pike's rule)

Unordered lexing keeps threads sorted, so that equal sets are one state. Leftmost-first lexing keeps their priority,
and where a match was found while threads of higher priority live on, both futures are kept: the lexeme ended here, or
it goes on. In the first, the surviving threads become **monitors**: if one of them matches later, the backtracking
engine would have preferred that longer match, so the state dies. Monitors can't help a text, only forbid it, and
vanish when none of them can match any more.

**Shadows** are threads that never match by themselves but change a match of another terminal at the same byte:

    keyword   (Lark's rule: a literal wins over a regex terminal only where that matches exactly the literal's text)
              the match of the regex terminal counts as the keyword's
    excluded  (any property name but the declared ones) the match of the terminal does not count
    reserved  (leftmost-first: an identifier that no keyword may be) the same, unless a keyword takes the match; the
              threads of lower priority are cut all the same

A state in which only shadows are left is dead.

**Blockers** (with a given LR table) are twins of terminals that Lark's lexer offers though the parser can't shift them
with this very stack. They take part like any thread, and what they match is a match of nothing: the text is dead there.
A state in which only blockers are left is dead too; where a lexeme ended, they go on as monitors.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT
from grammar_engine.kernels.arena import (
    FULL,
    H_ORDERED,
    H_TOP,
    SLACK,
    T_LEXER,
    UNKNOWN,
    intern,
    kernel,
    must_grow,
)

# Position: a byte range and the closure (state) behind it.
P_LOW, P_HIGH, P_NEXT, P_KEY, P_SHADOW, POSITION_SIZE = 0, 1, 2, 3, 4, 5
# P_KEY: 0, or the key of a shared automaton: its number, whether it is one counted loop, its bounds (most -1: none),
# and between which counts it does not matter how many: no loop is left too early from one on, or ends up to the other.
KEY_NUMBER, KEY_COUNTED, KEY_LEAST, KEY_MOST, KEY_ENOUGH, KEY_TIGHT = 0, 1, 2, 3, 4, 5
# And from which address on its closures are settled (compiler.automaton).
KEY_SETTLED, KEY_SIZE = 6, 7
# Closure: [number of entries, (target, op, bound)...]; target > 0: position, < 0: minus a terminal that matches.
# Terminal. X_TEXTS: a literal's text as [1, length, bytes...], until its closure is written.
X_ORDER, X_CLOSURE, X_SHADOW, X_UNLESS, X_MARK, X_SHADOW_OF, X_IGNORED, X_WIDE = 0, 1, 2, 3, 4, 5, 6, 7
# X_BLOCKER: the twin that blocks, once made. X_FAMILY: what a twin or a newline of one column stands for, else 0.
# X_LAYOUT: see kernels.table_parser.
X_TEXTS, X_BLOCKER, X_FAMILY, X_LAYOUT, TERMINAL_SIZE = 8, 9, 10, 11, 12
SHADOW, BLOCKER, KEYWORD = 1, 2, 3  # P_SHADOW; KEYWORD: the shadow of one that the parser takes
BLOCKS = -3  # X_LAYOUT of a blocker
# Lexer state: fields, then payload: is_start, numbers of threads, monitors and matches, then those: (position, counter)
# of each thread and monitor, (terminal, counter) of each match.
# L_BYTES, L_BYTES + 1: the bytes that a thread, or a shadow, can read: address of a list, 0 if not known, WIDE if many.
# L_TABLE: address of the 256 states behind each byte (0: none, UNKNOWN), or 0 as long as few steps were asked for.
L_SHARED, L_SHADOWED, L_MARK, L_GROUP, L_EXIT, L_TABLE, L_STEPS, L_BYTES = 2, 3, 4, 5, 6, 7, 8, 9
# What kernels.runs knows: L_LOOSE: the state without counts. L_ROOM: rounds that its loops have left. L_RUNS: classes
# of bytes. L_ALIVE: how long texts of NUM_TEXTS kinds keep it alive.
L_LOOSE, L_ROOM, L_RUNS, L_ALIVE, NUM_TEXTS, L_FIELDS = 11, 12, 13, 14, 4, 18
L_IS_START, L_THREADS, L_MONITORS, L_MATCHES, L_LIST = L_FIELDS, L_FIELDS + 1, L_FIELDS + 2, L_FIELDS + 3, L_FIELDS + 4

STEPS_WITHOUT_TABLE = 24
FEW_BYTES = 32  # so many bytes are looked up one by one where a trie node has many children
WIDE = -16  # unlike any code

CLOSED = -(1 << 30)  # no counter: the entry may not be taken
FREE = -(1 << 20)  # where free counting starts
LOOSE = -(1 << 28)
ENDLESS = 1 << 30  # rounds that are left where nothing is counted


@kernel("int64(int64, int64, int64)")
def counter_after(c, op, bound):
    """The counter after an entry's operation, or CLOSED if the entry is closed to it (see compiler.automaton).

    Below zero the counter is *free*: rounds are counted from FREE upwards, no bound holds, and leaving the loop keeps
    the count. One walk in that mode tells for every token how many rounds it begins, whatever the bounds are.
    LOOSE stands for any count: no bound holds, and nothing is counted.
    """
    if op == 0:
        return c
    if c == LOOSE:
        return np.int64(0) if op == EXIT else np.int64(LOOSE)
    if c < 0:
        return c + 1 if op == AGAIN else c
    if op == ENTER:
        return 1
    if op == AGAIN:
        if bound < 0:
            return min(c + 1, -bound)
        return c + 1 if c < bound else CLOSED
    return 0 if c >= bound else CLOSED


@kernel("int64(int32[::1], int64, int64, int64)", entry=True)
def write_texts(mem, texts, terminal, shadow):
    """The closure that starts each of the texts [n, (length, bytes...)...], which match ``terminal``; or FULL.

    A text is a chain: closure, position, closure, position, ..., closure with a match.
    """
    count = mem[texts]
    end = texts + 1
    for _ in range(count):
        end += 1 + mem[end]
    top = mem[H_TOP]
    if must_grow(mem) or top + 13 * (end - texts) + SLACK > mem.size:
        return FULL
    closure = top
    top += 1 + 3 * count
    mem[closure] = count
    at = texts + 1
    for k in range(count):
        length = mem[at]
        first = closure + 1 + 3 * k
        mem[first] = top
        mem[first + 1] = 0
        mem[first + 2] = 0
        for i in range(at + 1, at + 1 + length):
            mem[top + P_LOW] = mem[i]
            mem[top + P_HIGH] = mem[i]
            mem[top + P_NEXT] = top + POSITION_SIZE
            mem[top + P_KEY] = 0
            mem[top + P_SHADOW] = shadow
            top += POSITION_SIZE
            mem[top] = 1
            mem[top + 1] = top + 4 if i < at + length else -terminal
            mem[top + 2] = 0
            mem[top + 3] = 0
            top += 4
        at += 1 + length
    mem[H_TOP] = top
    return closure


@kernel("int64(int32[::1], int64, int64, int64, int64, int64)")
def add_thread(mem, base, count, position, c, ordered):
    """Add a thread to the list of pairs at ``base``; returns the new count. Sorted if unordered; no duplicates."""
    at = base + 2 * count
    if ordered:
        for i in range(base, at, 2):
            if mem[i] == position and mem[i + 1] == c:
                return count
        mem[at] = position
        mem[at + 1] = c
        return count + 1
    i = at
    while i > base and (mem[i - 2] > position or (mem[i - 2] == position and mem[i - 1] > c)):
        i -= 2
    if i > base and mem[i - 2] == position and mem[i - 1] == c:
        return count
    for j in range(at, i, -2):
        mem[j] = mem[j - 2]
        mem[j + 1] = mem[j - 1]
    mem[i] = position
    mem[i + 1] = c
    return count + 1


@kernel("int64(int32[::1], int64)", entry=True)
def intern_lexer_state(mem, length):
    """Intern the payload of ``length`` ints at TOP + L_FIELDS."""
    top = mem[H_TOP]
    state = intern(mem, T_LEXER, L_FIELDS, length)
    if state == top:
        shared = 1
        shadowed = 0
        at = state + L_LIST
        for i in range(at, at + 2 * mem[state + L_THREADS], 2):
            position = mem[i]
            if mem[position + P_KEY] == 0:
                shared = 0
            if mem[position + P_SHADOW] != 0:
                shadowed = 1
        if mem[state + L_MONITORS] != 0 or mem[state + L_THREADS] == 0:
            shared = 0
        mem[state + L_SHARED] = shared
        mem[state + L_SHADOWED] = shadowed
        mem[state + L_RUNS] = UNKNOWN
        mem[state + L_MARK] = 0
        mem[state + L_EXIT] = 0
        mem[state + L_TABLE] = 0
        mem[state + L_STEPS] = 0
        mem[state + L_BYTES] = 0
        mem[state + L_BYTES + 1] = 0
        mem[state + L_LOOSE] = 0
        mem[state + L_ROOM] = ENDLESS
        for kind in range(NUM_TEXTS):
            mem[state + L_ALIVE + kind] = UNKNOWN
    return state


@kernel("int64(int32[::1], int64)")
def table_of(mem, state):
    """The 256 states behind each byte: 0 where no thread reads it, UNKNOWN where nobody asked; their address, or FULL.

    Most states are stepped from a few times at most, and a table is twenty times the size of what else they are.
    """
    table = mem[state + L_TABLE]
    if table == 0:
        if must_grow(mem):
            return FULL
        table = mem[H_TOP]
        mem[H_TOP] = table + 256
        for i in range(table, table + 256):
            mem[i] = 0
        for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
            position = mem[i]
            for b in range(mem[position + P_LOW], mem[position + P_HIGH] + 1):
                mem[table + b] = UNKNOWN
        mem[state + L_TABLE] = table
    return table


@kernel("int64(int32[::1], int64, int64)")
def bytes_of(mem, state, shadows):
    """The list [n, bytes, ascending...] that some thread (some shadow, if ``shadows``) reads; WIDE if many; or FULL."""
    known = mem[state + L_BYTES + shadows]
    if known != 0:
        return known
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    count = 0
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        position = mem[i]
        if shadows and mem[position + P_SHADOW] == 0:
            continue
        low, high = mem[position + P_LOW], mem[position + P_HIGH]
        if high - low >= FEW_BYTES:
            count = FEW_BYTES + 1
            break
        for b in range(low, high + 1):
            at = top + 1 + count
            while at > top + 1 and mem[at - 1] > b:
                at -= 1
            if at > top + 1 and mem[at - 1] == b:
                continue
            for j in range(top + 1 + count, at, -1):
                mem[j] = mem[j - 1]
            mem[at] = b
            count += 1
        if count > FEW_BYTES:
            break
    if count > FEW_BYTES:
        mem[state + L_BYTES + shadows] = WIDE
        return WIDE
    mem[top] = count
    mem[H_TOP] = top + 1 + count
    mem[state + L_BYTES + shadows] = top
    return top


@kernel("int64(int32[::1], int64, int64)")
def lexer_step(mem, state, byte):
    """The lexer state after ``byte``: an address, 0 if no thread survives and nothing matched, or FULL."""
    table = np.int64(mem[state + L_TABLE])
    if table == 0:
        mem[state + L_STEPS] += 1
        if mem[state + L_STEPS] > STEPS_WITHOUT_TABLE:
            table = np.int64(table_of(mem, state))
            if table < 0:
                return table
    if table != 0:
        known = mem[table + byte]
        if known != UNKNOWN:
            return known
    if must_grow(mem):
        return FULL
    ordered = mem[H_ORDERED]
    top = mem[H_TOP]
    limit = mem.size - 64
    base = top + L_LIST
    threads = 0
    at_threads = state + L_LIST
    end_threads = at_threads + 2 * mem[state + L_THREADS]
    matched = 0  # ordered: the terminal; unordered: number of MATCH entries met
    shadows = 0
    shadows_at = limit  # whose shadows are complete at this byte, noted from the end of the arena downwards
    cut = False
    settled = 0  # the key of an automaton of which a thread is settled
    for i in range(at_threads, end_threads, 2):
        position = mem[i]
        if byte < mem[position + P_LOW] or byte > mem[position + P_HIGH]:
            continue
        c = mem[i + 1]
        closure = mem[position + P_NEXT]
        entry = closure + 1
        key = mem[position + P_KEY]
        if key != 0 and ordered == 0:
            if key == settled:
                continue
            if closure >= mem[key + KEY_SETTLED]:  # all other threads of the automaton are superfluous
                settled = key
                c = 0
                kept = 0
                for k in range(base, base + 2 * threads, 2):
                    if mem[mem[k] + P_KEY] != key:
                        mem[base + 2 * kept] = mem[k]
                        mem[base + 2 * kept + 1] = mem[k + 1]
                        kept += 1
                threads = kept
        for _ in range(mem[closure]):
            target = mem[entry]
            c2 = counter_after(c, mem[entry + 1], mem[entry + 2])
            entry += 3
            if c2 == CLOSED:
                continue
            if base + 2 * threads + 64 > shadows_at - shadows:
                return FULL
            if target > 0:
                threads = add_thread(mem, base, threads, target, c2, ordered)
            elif mem[-target + X_SHADOW_OF] != 0:
                shadows += 1
                mem[shadows_at - shadows] = mem[-target + X_SHADOW_OF]
            elif ordered == 0:
                matched += 1
            else:
                matched = -target
                family = mem[matched + X_FAMILY] if mem[matched + X_FAMILY] != 0 else matched
                for k in range(shadows_at - shadows, shadows_at):
                    if mem[k] == -target and matched == -target:
                        matched = 0
                    unless = mem[mem[k] + X_UNLESS]
                    if unless != 0:
                        for u in range(unless + 1, unless + 1 + mem[unless]):
                            if mem[u] == family:
                                matched = mem[k]
                if matched != 0 and mem[matched + X_LAYOUT] == BLOCKS:
                    matched = 0
                cut = True
                break
        if cut:
            break
    alive = False
    keyword = False
    blocker = False
    for i in range(base, base + 2 * threads, 2):
        kind = mem[mem[i] + P_SHADOW]
        keyword |= kind == KEYWORD
        blocker |= kind == BLOCKER
        if kind == 0 or (keyword and blocker):  # (a keyword may take the match of a blocker)
            alive = True
            break
    blockers = 0
    if not alive:
        if ordered and matched != 0:  # they stay where they are, and become monitors
            for i in range(base, base + 2 * threads, 2):
                if mem[mem[i] + P_SHADOW] == BLOCKER:
                    position = mem[i]
                    blockers = add_thread(mem, base, blockers, position, mem[i + 1], 0)
        threads = 0
    if threads == 0 and matched == 0:
        if table != 0:
            mem[table + byte] = 0
        return 0
    # Monitors of this state move on; one that matches kills everything.
    monitors = blockers
    at_monitors = base + 2 * threads
    for i in range(end_threads, end_threads + 2 * mem[state + L_MONITORS], 2):
        position = mem[i]
        if byte < mem[position + P_LOW] or byte > mem[position + P_HIGH]:
            continue
        closure = mem[position + P_NEXT]
        entry = closure + 1
        for _ in range(mem[closure]):
            target = mem[entry]
            c2 = counter_after(mem[i + 1], mem[entry + 1], mem[entry + 2])
            entry += 3
            if c2 == CLOSED:
                continue
            if target < 0:
                if mem[-target + X_SHADOW_OF] == 0:
                    if table != 0:
                        mem[table + byte] = 0
                    return 0
            else:
                if at_monitors + 2 * monitors + 64 > limit:
                    return FULL
                monitors = add_thread(mem, at_monitors, monitors, target, c2, 0)
    matches = 0
    at_matches = at_monitors + 2 * monitors
    if matched != 0:
        if ordered:
            mem[at_matches] = matched
            mem[at_matches + 1] = 0
            matches = 1
        else:
            for i in range(at_threads, end_threads, 2):
                position = mem[i]
                if byte < mem[position + P_LOW] or byte > mem[position + P_HIGH]:
                    continue
                closure = mem[position + P_NEXT]
                entry = closure + 1
                for _ in range(mem[closure]):
                    target = mem[entry]
                    c2 = counter_after(mem[i + 1], mem[entry + 1], mem[entry + 2])
                    entry += 3
                    if target > 0 or c2 == CLOSED or mem[-target + X_SHADOW_OF] != 0:
                        continue
                    excluded = False
                    for k in range(shadows_at - shadows, shadows_at):
                        if mem[k] == -target:
                            excluded = True
                    if excluded:
                        continue
                    if at_matches + 2 * matches + 64 > shadows_at - shadows:
                        return FULL
                    matches = add_thread(mem, at_matches, matches, -target, 0 if c2 == LOOSE else min(c2, 0), 0)
            if matches == 0 and threads == 0:
                if table != 0:
                    mem[table + byte] = 0
                return 0
    head = top + L_FIELDS
    mem[head] = 0
    mem[head + 1] = threads
    mem[head + 2] = monitors
    mem[head + 3] = matches
    result = intern_lexer_state(mem, 4 + 2 * (threads + monitors + matches))
    if table != 0:
        mem[table + byte] = result
    return result
