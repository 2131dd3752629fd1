"""Lexer states: the interned set of threads alive inside the current lexeme, stepped byte by byte.

    step(L, b):
        for each thread (p, c) of L, in order, whose byte range holds b:
            for each entry (q, op, bound) of the state behind p, where op lets the counter pass:
                q is a position: the thread (q, c') joins L'
                q is MATCH of terminal t: the lexeme may end here as t;
                    leftmost-first: all threads of lower priority are cut (Pike's rule)

Unordered lexing keeps threads sorted, so that equal sets are one state. Leftmost-first lexing keeps their priority,
and where a match was found while threads of higher priority live on, both futures are kept: the lexeme ended here, or
it goes on. The first is an *ending*, a state of its own, in which the surviving threads become **monitors**: if one of
them matches later, the backtracking engine would have preferred that longer match, so the text is dead. Monitors can't
help a text, only forbid it, and vanish when none of them can match any more.

**Conditions** (leftmost-first; see compiler.conditions): a match that depends on the text behind the lexeme cuts
nothing yet. Each condition has two deterministic threads, one that matches when it holds, one that does when it fails:

    the lexeme ended here   the second is a monitor of the ending
    it goes on              the first stands in the match's place among the threads: when it matches, the threads of
                            lower priority are cut; among the monitors of a later ending, it kills
    a monitor matches       the first takes its place; the text is dead when it matches

At the end of the text those decide that stand on a position that reads NO_BYTE.

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
# X_CONDITION_OF: the terminal that matches under the condition whose record this is; X_HOLDS, X_FAILS: the closures
# whose threads decide it. X_STARTS: closures by the class of the character before (ir.Grammar.behind), or 0.
X_TEXTS, X_BLOCKER, X_FAMILY, X_LAYOUT, X_CONDITION_OF, X_STARTS = 8, 9, 10, 11, 12, 13
TERMINAL_SIZE = 14
X_HOLDS, X_FAILS = X_CLOSURE, X_SHADOW
# P_SHADOW. KEYWORD: the shadow of one that the parser takes. DECIDING: of a condition.
SHADOW, BLOCKER, KEYWORD, DECIDING = 1, 2, 3, 4
NO_BYTE = 256  # P_LOW where the end of the text is read
BLOCKS, ALL_MATCHES = -3, -4  # X_LAYOUT of a blocker, and of a terminal whose first match is not its only one
# Lexer state: fields, then payload: kind, numbers of threads, monitors and matches, then those: (position, counter) of
# each thread and monitor, (terminal, counter) of each match; leftmost-first (terminal, ending), or, of
# the state itself, minus the class of its last character.
# L_BYTES, L_BYTES + 1: the bytes that a thread, or a shadow, can read: address of a list, 0 if not known, WIDE if many.
# L_TABLE: address of the 256 states behind each byte (0: none, UNKNOWN), or 0 as long as few steps were asked for.
L_SHARED, L_SHADOWED, L_MARK, L_GROUP, L_EXIT, L_TABLE, L_STEPS, L_BYTES = 2, 3, 4, 5, 6, 7, 8, 9
# What kernels.runs knows: L_LOOSE: the state without counts. L_ROOM: rounds that its loops have left. L_RUNS: classes
# of bytes. L_ALIVE: how long texts of NUM_TEXTS kinds keep it alive.
L_LOOSE, L_ROOM, L_RUNS, L_ALIVE, NUM_TEXTS = 11, 12, 13, 14, 4
# L_PLAIN: of a start with monitors, the same start without (see kernels.lexer_starts), or 0.
L_PLAIN, L_FIELDS = 18, 19
L_KIND, L_THREADS, L_MONITORS, L_MATCHES, L_LIST = L_FIELDS, L_FIELDS + 1, L_FIELDS + 2, L_FIELDS + 3, L_FIELDS + 4
# L_KIND. AT_START: of a lexeme. NOT_AT_END: the same, where the text must not end. ENDED: a lexeme has ended, of which
# only matches and monitors are kept; ENDED_OR_LIVES: from a state in which it may go on too.
INSIDE, AT_START, NOT_AT_END, ENDED, ENDED_OR_LIVES = 0, 1, 2, 3, 4

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
        mem[state + L_PLAIN] = 0
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
            for b in range(mem[position + P_LOW], min(mem[position + P_HIGH] + 1, NO_BYTE)):
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
        low, high = mem[position + P_LOW], min(mem[position + P_HIGH], NO_BYTE - 1)
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
