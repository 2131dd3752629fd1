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
"""

from __future__ import annotations

import numpy as np
from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT
from grammar_engine.kernels.arena import (
    FULL,
    H_EPOCH,
    H_ORDERED,
    H_TOP,
    R_LENGTH,
    SLACK,
    T_LEXER,
    UNKNOWN,
    intern,
    kernel,
    must_grow,
)
from grammar_engine.kernels.scratch import MOST_ALIVE, SCRATCH_ALIVE
from grammar_engine.kernels.trie import ALL_RUNS, BYTE_RUNS, PRINTABLE_RUN, RUNS_OF_BYTE, utf8_step

# Position: a byte range and the closure (state) behind it.
P_LOW, P_HIGH, P_NEXT, P_KEY, P_SHADOW, POSITION_SIZE = 0, 1, 2, 3, 4, 5
# P_KEY: 0, or the key of a shared automaton: its number, whether it is one counted loop, its bounds (most -1: none).
KEY_NUMBER, KEY_COUNTED, KEY_LEAST, KEY_MOST, KEY_SIZE = 0, 1, 2, 3, 4
# Closure: [number of entries, (target, op, bound)...]; target > 0: position, < 0: minus a terminal that matches.
# Terminal. X_TEXTS: a literal's text as [1, length, bytes...], until its closure is written.
X_ORDER, X_CLOSURE, X_SHADOW, X_UNLESS, X_MARK, X_SHADOW_OF, X_IGNORED, X_WIDE = 0, 1, 2, 3, 4, 5, 6, 7
X_TEXTS, TERMINAL_SIZE = 8, 9
# Lexer state: fields, then payload: is_start, numbers of threads, monitors and matches, then those: (position, counter)
# of each thread and monitor, (terminal, counter) of each match.
# L_BYTES, L_BYTES + 1: the bytes that a thread, or a shadow, can read: address of a list, 0 if not known, WIDE if many.
# L_TABLE: address of the 256 states behind each byte (0: none, UNKNOWN), or 0 as long as few steps were asked for.
L_SHARED, L_SHADOWED, L_RUNS, L_MARK, L_GROUP, L_EXIT, L_TABLE, L_STEPS, L_BYTES, L_LOOSE, L_ROOM, L_ALIVE, L_FIELDS = (
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    12,
    13,
    14,
    15,
)
L_IS_START, L_THREADS, L_MONITORS, L_MATCHES, L_LIST = L_FIELDS, L_FIELDS + 1, L_FIELDS + 2, L_FIELDS + 3, L_FIELDS + 4

STEPS_WITHOUT_TABLE = 24
NOT_ALIVE, ALIVE_ASCII, ALIVE_TEXT = 1, 2, 3  # L_ALIVE: what is known of ``stays_alive``
MOST_ALIVE_WORK = 1 << 17  # threads that are stepped for it, about two milliseconds
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
        mem[state + L_ALIVE] = 0
        mem[state + L_ROOM] = ENDLESS
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
    for i in range(at_threads, end_threads, 2):
        position = mem[i]
        if byte < mem[position + P_LOW] or byte > mem[position + P_HIGH]:
            continue
        c = mem[i + 1]
        closure = mem[position + P_NEXT]
        entry = closure + 1
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
                for k in range(shadows_at - shadows, shadows_at):
                    if mem[k] == -target and matched == -target:
                        matched = 0
                    unless = mem[mem[k] + X_UNLESS]
                    if unless != 0:
                        for u in range(unless + 1, unless + 1 + mem[unless]):
                            if mem[u] == -target:
                                matched = mem[k]
                cut = True
                break
        if cut:
            break
    alive = False
    for i in range(base, base + 2 * threads, 2):
        if mem[mem[i] + P_SHADOW] == 0:
            alive = True
            break
    if not alive:
        threads = 0
    if threads == 0 and matched == 0:
        if table != 0:
            mem[table + byte] = 0
        return 0
    # Monitors of this state move on; one that matches kills everything.
    monitors = 0
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
                    matches = add_thread(mem, at_matches, matches, -target, min(c2, 0), 0)
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

    ``before``: the lexer state in which the previous lexeme ended, whose threads and monitors must not match from now
    on, or 0.
    """
    ordered = mem[H_ORDERED]
    top = mem[H_TOP]
    base = top + L_LIST
    threads = 0
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
            mem[scratch[i] + X_MARK] = epoch
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
            threads = add_closure(mem, base, threads, mem[t + X_CLOSURE], ordered)
            if threads < 0:
                return FULL
            if ordered == 0 and mem[t + X_SHADOW] != 0:
                threads = add_closure(mem, base, threads, mem[t + X_SHADOW], ordered)
                if threads < 0:
                    return FULL
    monitors = 0
    if before != 0:
        at_monitors = base + 2 * threads
        source = before + L_LIST
        for i in range(source, source + 2 * (mem[before + L_THREADS] + mem[before + L_MONITORS]), 2):
            if at_monitors + 2 * monitors + 64 > mem.size:
                return FULL
            monitors = add_thread(mem, at_monitors, monitors, mem[i], mem[i + 1], 0)
    head = top + L_FIELDS
    mem[head] = 1
    mem[head + 1] = threads
    mem[head + 2] = monitors
    mem[head + 3] = 0
    return intern_lexer_state(mem, 4 + 2 * (threads + monitors))


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
