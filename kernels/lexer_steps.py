"""The step of a lexer state over a byte (see ``kernels.lexer``)."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import FULL, H_ORDERED, H_TOP, LIMIT, UNKNOWN, kernel, must_grow
from grammar_engine.kernels.lexer import (
    ALL_MATCHES,
    BLOCKER,
    BLOCKS,
    CLOSED,
    DECIDING,
    ENDED,
    ENDED_OR_LIVES,
    INSIDE,
    KEY_SETTLED,
    KEYWORD,
    L_FIELDS,
    L_LIST,
    L_MONITORS,
    L_PLAIN,
    L_STEPS,
    L_TABLE,
    L_THREADS,
    LOOSE,
    P_HIGH,
    P_KEY,
    P_LOW,
    P_NEXT,
    P_SHADOW,
    SHADOW,
    STEPS_WITHOUT_TABLE,
    X_CONDITION_OF,
    X_FAILS,
    X_FAMILY,
    X_HOLDS,
    X_LAYOUT,
    X_SHADOW_OF,
    X_UNLESS,
    add_thread,
    counter_after,
    intern_lexer_state,
    table_of,
)

MOST_ENDINGS = 100
KILLED = -100  # unlike any code


@kernel("int64(int32[::1], int64, int64)")
def is_alive(mem, base, threads):
    """1 if some of the threads at ``base`` may match something that the parser takes."""
    keyword = False
    blocker = False
    for i in range(base, base + 2 * threads, 2):
        kind = mem[mem[i] + P_SHADOW]
        keyword |= kind == KEYWORD
        blocker |= kind == BLOCKER
        if kind == 0 or (keyword and blocker):  # (a keyword may take the match of a blocker)
            return 1
    return 0


@kernel("int64(int32[::1], int64, int64, int64)")
def what_matches(mem, terminal, shadows, end):
    """The terminal whose match a match of ``terminal`` is, given the shadows at the same byte; 0 if of none."""
    matched = terminal
    family = mem[matched + X_FAMILY] if mem[matched + X_FAMILY] != 0 else matched
    for k in range(shadows, end):
        if mem[k] == terminal and matched == terminal:
            matched = 0
        unless = mem[mem[k] + X_UNLESS]
        if unless != 0:
            for u in range(unless + 1, unless + 1 + mem[unless]):
                if mem[u] == family:
                    matched = mem[k]
    return 0 if matched != 0 and mem[matched + X_LAYOUT] == BLOCKS else matched


@kernel("int64(int32[::1], int64, int64, int64, int64, int64, int64)")
def note_ending(mem, notes, count, terminal, threads, fails, last):
    """Note (terminal, threads of higher priority, what decides that it was no match, minus the class of the last
    character) at ``notes``; how many there are.

    Of equal ones the first is enough: what makes it fail makes the others fail. LIMIT if there are too many.
    """
    for k in range(notes, notes + 4 * count, 4):
        if mem[k] == terminal and mem[k + 2] == fails:
            return count
    if count == MOST_ENDINGS:
        return LIMIT
    at = notes + 4 * count
    mem[at] = terminal
    mem[at + 1] = threads
    mem[at + 2] = fails
    mem[at + 3] = last
    return count + 1


@kernel("int64(int32[::1], int64, int64, int64, int64, int64)")
def ending(mem, note, threads_at, monitors_at, monitors, kind):
    """The ending that was noted; the caller has made room."""
    top = mem[H_TOP]
    base = top + L_LIST
    count = 0
    for i in range(threads_at, threads_at + 2 * mem[note + 1], 2):
        shadow = mem[mem[i] + P_SHADOW]
        if shadow not in (SHADOW, KEYWORD):
            count = add_thread(mem, base, count, mem[i], mem[i + 1], 0)
    for i in range(monitors_at, monitors_at + 2 * monitors, 2):
        count = add_thread(mem, base, count, mem[i], mem[i + 1], 0)
    fails = mem[note + 2]
    if fails != 0:
        for entry in range(fails + 1, fails + 1 + 3 * mem[fails], 3):
            count = add_thread(mem, base, count, mem[entry], 0, 0)
    mem[top + L_FIELDS] = kind
    mem[top + L_FIELDS + 1] = 0
    mem[top + L_FIELDS + 2] = count
    mem[top + L_FIELDS + 3] = 1
    mem[base + 2 * count] = mem[note]
    mem[base + 2 * count + 1] = mem[note + 3]
    return intern_lexer_state(mem, 6 + 2 * count)


@kernel("int64(int32[::1], int64, int64, int64, int64, int64)")
def ordered_state(mem, base, threads, monitors, notes, endings):
    """The state of the threads and monitors at ``base`` (leftmost-first) with the endings that were noted, or FULL."""
    lives = is_alive(mem, base, threads)
    size = 2 * (threads + monitors)
    high = mem[H_TOP] + L_LIST
    for k in range(notes, notes + 4 * endings, 4):
        high += L_LIST + size + 8
        if mem[k + 2] != 0:
            high += 2 * mem[mem[k + 2]]
    if high + size + 64 > notes:
        return FULL
    if endings > 0:  # they are written first, where the lists stand now
        for j in range(size - 1, -1, -1):
            mem[high + j] = mem[base + j]
        only = endings == 1 and lives == 0
        for k in range(notes, notes + 4 * endings, 4):
            kind = ENDED_OR_LIVES if lives else ENDED
            mem[k + 1] = ending(mem, k, high, high + 2 * threads, monitors, kind)
            if only:
                return mem[k + 1]
        base = mem[H_TOP] + L_LIST
        for j in range(size):
            mem[base + j] = mem[high + j]
    kept = threads if lives else 0
    while kept > 0 and mem[mem[base + 2 * kept - 2] + P_SHADOW] == DECIDING:  # there is nothing to cut
        kept -= 1
    if not lives:
        monitors = 0
    at = base + 2 * kept
    if kept < threads:
        for j in range(2 * monitors):
            mem[at + j] = mem[base + 2 * threads + j]
    at += 2 * monitors
    for k in range(notes, notes + 4 * endings, 4):
        mem[at] = mem[k]
        mem[at + 1] = mem[k + 1]
        at += 2
    head = base - L_LIST + L_FIELDS
    mem[head] = INSIDE
    mem[head + 1] = kept
    mem[head + 2] = monitors
    mem[head + 3] = endings
    return intern_lexer_state(mem, at - head)


@kernel("int64(int32[::1], int64, int64, int64, int64)")
def moved_monitors(mem, state, byte, base, limit):
    """Write the monitors of a state behind a byte at ``base``; their number, KILLED if one matched, or FULL."""
    found = 0
    first = state + L_LIST + 2 * mem[state + L_THREADS]
    for i in range(first, first + 2 * mem[state + L_MONITORS], 2):
        position = mem[i]
        if byte < mem[position + P_LOW] or byte > mem[position + P_HIGH]:
            continue
        closure = mem[position + P_NEXT]
        entry = closure + 1
        for _ in range(mem[closure]):
            target = mem[entry]
            c = counter_after(mem[i + 1], mem[entry + 1], mem[entry + 2])
            entry += 3
            if c == CLOSED:
                continue
            if base + 2 * found + 64 > limit:
                return FULL
            if target > 0:
                found = add_thread(mem, base, found, target, c, 0)
            elif mem[-target + X_CONDITION_OF] != 0:
                holds = mem[-target + X_HOLDS]
                for e in range(holds + 1, holds + 1 + 3 * mem[holds], 3):
                    if base + 2 * found + 64 > limit:
                        return FULL
                    found = add_thread(mem, base, found, mem[e], 0, 0)
            elif mem[-target + X_SHADOW_OF] == 0:
                return KILLED
    return found


@kernel("int64(int32[::1], int64, int64)")
def is_killed(mem, state, byte):
    """1 if a monitor of a state matches at a byte."""
    first = state + L_LIST + 2 * mem[state + L_THREADS]
    for i in range(first, first + 2 * mem[state + L_MONITORS], 2):
        position = mem[i]
        if byte < mem[position + P_LOW] or byte > mem[position + P_HIGH]:
            continue
        closure = mem[position + P_NEXT]
        for entry in range(closure + 1, closure + 1 + 3 * mem[closure], 3):
            target = mem[entry]
            if (
                target < 0
                and mem[-target + X_CONDITION_OF] == 0
                and mem[-target + X_SHADOW_OF] == 0
                and counter_after(mem[i + 1], mem[entry + 1], mem[entry + 2]) != CLOSED
            ):
                return 1
    return 0


@kernel("int64(int32[::1], int64, int64)")
def lexer_step(mem, state, byte):
    """The lexer state after ``byte``: an address, 0 if no thread survives and nothing matched, or a code."""
    if mem[state + L_PLAIN] != 0:
        reads = False
        monitors = state + L_LIST + 2 * mem[state + L_THREADS]
        for i in range(monitors, monitors + 2 * mem[state + L_MONITORS], 2):
            if mem[mem[i] + P_LOW] <= byte <= mem[mem[i] + P_HIGH]:
                reads = True
                break
        if not reads:
            state = np.int64(mem[state + L_PLAIN])
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
    notes = mem.size - 64 - 4 * MOST_ENDINGS
    base = top + L_LIST
    threads = 0
    at_threads = state + L_LIST
    end_threads = at_threads + 2 * mem[state + L_THREADS]
    matched = 0  # number of MATCH entries met, or of endings noted
    shadows = 0
    shadows_at = notes  # whose shadows are complete at this byte, noted from here downwards
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
            bound = mem[entry + 2]
            c2 = counter_after(c, mem[entry + 1], bound)
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
                of = mem[-target + X_CONDITION_OF]
                found = what_matches(mem, of if of != 0 else -target, shadows_at - shadows, shadows_at)
                if found != 0:
                    rivals = threads if mem[found + X_LAYOUT] != ALL_MATCHES else 0
                    fails = mem[-target + X_FAILS] if of != 0 else 0
                    matched = note_ending(mem, notes, matched, found, rivals, fails, min(bound, 0))
                    if matched < 0:
                        return matched
                if of == 0:
                    cut = True
                    break
                holds = mem[-target + X_HOLDS]
                for e in range(holds + 1, holds + 1 + 3 * mem[holds], 3):
                    if base + 2 * threads + 64 > shadows_at - shadows:
                        return FULL
                    threads = add_thread(mem, base, threads, mem[e], 0, ordered)
        if cut:
            break
    if is_alive(mem, base, threads) == 0:
        if matched == 0:
            if table != 0:
                mem[table + byte] = 0
            return 0
        if ordered == 0:
            threads = 0
    if ordered != 0:
        monitors = moved_monitors(mem, state, byte, base + 2 * threads, notes)
        if monitors == FULL:
            return FULL
        result = np.int64(0)
        if monitors >= 0:
            result = np.int64(ordered_state(mem, base, threads, monitors, notes, matched))
            if result < 0:
                return result
    else:
        matches = 0
        at_matches = base + 2 * threads
        if matched != 0:
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
        result = np.int64(0)
        if matches != 0 or threads != 0:
            head = top + L_FIELDS
            mem[head] = INSIDE
            mem[head + 1] = threads
            mem[head + 2] = 0
            mem[head + 3] = matches
            result = np.int64(intern_lexer_state(mem, 4 + 2 * (threads + matches)))
    if table != 0:
        mem[table + byte] = result
    return result
