"""Sets of parser stacks as interned deterministic automata (the idea: ``compiler.canvas.automaton``).

They lie in an arena of their own, laid out as the engine's is (``kernels.arena``):

    node      interned [LR state, nodes below..., by ascending state]
    list      interned [numbers...]: boundaries, targets, what lies behind a shift
    key       interned [numbers...] with one field: what is remembered for it, plus 1, or 0
    layout    a list [column, layout below]

A node is **universal** if it stands for all stacks of its state: those below it are universal too, one for each state
that is known to lie under its own. These are made by Python, not interned, and go round in circles. The union with one
is that, the intersection the other node.

``stack`` is scratch space, and ``sp`` says from where on it is free. Codes: FULL_CANVAS where this arena must grow,
LIMIT_CANVAS where scratch space is exhausted; those of the engine as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from grammar_engine.kernels.arena import (
    H_TOP,
    SLACK,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    must_grow,
    sources_fingerprint,
)

SOURCES = sources_fingerprint(Path(__file__).parent)

NONE, BOTTOM_STATE, ACCEPTED = 0, -1, 0
FULL_CANVAS, LIMIT_CANVAS, MISS_CROSSINGS, MISS_STARTS = -20, -21, -22, -23
ENDLESS = -24  # a way back into universal nodes that has no end
H_FIRST, H_SECOND = 2, 3  # what a MISS is about
T_NODES, T_LISTS, T_KEYS = 16, 20, 24
M_UNION, M_INTERSECTION, M_CROSSINGS, M_STARTS, M_MEETS = 28, 32, 36, 40, 44
M_UNDER = 48  # (2 + a state, 2 + one that lies under it)
H_ROUND = 4  # numbers the ways back: what is being worked out in this one has minus this for a value
CANVAS_INTERN = (T_NODES, T_LISTS, T_KEYS)
CANVAS_MEMO = (M_UNION, M_INTERSECTION, M_CROSSINGS, M_STARTS, M_MEETS, M_UNDER)
CANVAS_HEADER = 56
UNIVERSAL = -7  # the hash of such a node, unlike any

P_LENGTH = 1  # of the payload, in every record
N_STATE, N_BELOW = 2, 3  # of a node: its state, its first node below
L_ITEMS = 2  # of a list: its first number
K_VALUE, K_ITEMS = 2, 3  # of a key

MOST_LEVELS = 256  # that a rule may be long

ARENAS = "int32[::1], int32[::1]"  # the canvas's arena and its scratch space


@kernel("int64(int32[::1], int64)", sources=SOURCES)
def is_full(mem, more):
    """Whether the arena must grow before so many numbers more are written."""
    return np.int64(must_grow(mem) or mem[H_TOP] + more + SLACK > mem.size)


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def node_of(mem, stack, state, first, count):
    """The node of a state above the nodes stack[first:first + count]; NONE if there are none below; or a code."""
    if count == 0:
        return NONE
    if is_full(mem, count):
        return FULL_CANVAS
    top = mem[H_TOP]
    mem[top + N_STATE] = state
    for i in range(count):
        mem[top + N_BELOW + i] = stack[first + i]
    return intern(mem, T_NODES, N_STATE, count + 1)


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def pushed_node(mem, stack, state, first, count):
    """``node_of`` for a state that a parser has pushed: what lies under it is written down."""
    for i in range(first, first + count):
        under = mem[stack[i] + N_STATE]
        if memo_get(mem, M_UNDER, state + 2, under + 2) == UNKNOWN:
            if must_grow(mem):
                return np.int64(FULL_CANVAS)
            memo_put(mem, M_UNDER, state + 2, under + 2, 1)
    return np.int64(node_of(mem, stack, state, first, count))


@kernel(f"int64({ARENAS}, int64, int64)", sources=SOURCES)
def list_of(mem, stack, first, count):
    """The list of the numbers stack[first:first + count], or a code."""
    if is_full(mem, count):
        return FULL_CANVAS
    top = mem[H_TOP]
    for i in range(count):
        mem[top + L_ITEMS + i] = stack[first + i]
    return intern(mem, T_LISTS, L_ITEMS, count)


@kernel("int64(int32[::1], int64, int64, int64, int64, int64)", sources=SOURCES)
def key_of(mem, kind, a, b, c, d):
    """The record of a key, or a code."""
    if is_full(mem, 5):
        return FULL_CANVAS
    top = mem[H_TOP]
    mem[top + K_ITEMS] = kind
    mem[top + K_ITEMS + 1] = a
    mem[top + K_ITEMS + 2] = b
    mem[top + K_ITEMS + 3] = c
    mem[top + K_ITEMS + 4] = d
    key = intern(mem, T_KEYS, K_ITEMS, 5)
    if key == top:
        mem[key + K_VALUE] = 0
    return key


@kernel("int64(int32[::1], int64, int64, int64)", sources=SOURCES)
def combined(mem, memo, a, b):
    """What is known of the union (intersection) of two nodes of one state, or UNKNOWN."""
    if a == b:
        return a
    if mem[a] == UNIVERSAL:
        return a if memo == M_UNION else b
    if mem[b] == UNIVERSAL:
        return b if memo == M_UNION else a
    return np.int64(memo_get(mem, memo, min(a, b), max(a, b)))


@kernel(f"int64({ARENAS}, int64, int64, int64, int64)", sources=SOURCES)
def combine(mem, stack, sp, memo, first, second):
    """The union or the intersection, as ``memo`` says, of two different nodes of one state, or a code.

    Depth first over pairs of nodes below. What waits is in scratch space: compiled functions that call themselves can't
    be kept in numba's cache.
    """
    stack[sp] = min(first, second)
    stack[sp + 1] = max(first, second)
    waiting = 1
    while waiting > 0:
        at = sp + 2 * waiting - 2
        a, b = stack[at], stack[at + 1]
        if memo_get(mem, memo, a, b) != UNKNOWN:
            waiting -= 1
            continue
        i, end_i = a + N_BELOW, a + N_STATE + mem[a + P_LENGTH]
        j, end_j = b + N_BELOW, b + N_STATE + mem[b + P_LENGTH]
        if at + 64 + (end_i - i) + (end_j - j) > stack.size:
            return np.int64(LIMIT_CANVAS)
        count = 0
        misses = False
        while i < end_i or j < end_j:
            if j == end_j or (i < end_i and mem[mem[i] + N_STATE] < mem[mem[j] + N_STATE]):
                found = np.int64(mem[i] if memo == M_UNION else NONE)
                i += 1
            elif i == end_i or mem[mem[j] + N_STATE] < mem[mem[i] + N_STATE]:
                found = np.int64(mem[j] if memo == M_UNION else NONE)
                j += 1
            else:
                found = combined(mem, memo, np.int64(mem[i]), np.int64(mem[j]))
                if found == UNKNOWN:
                    stack[sp + 2 * waiting] = min(mem[i], mem[j])
                    stack[sp + 2 * waiting + 1] = max(mem[i], mem[j])
                    waiting += 1
                    misses = True
                    break
                i += 1
                j += 1
            if found != NONE:
                stack[at + 2 + count] = found
                count += 1
        if misses:
            continue
        result = np.int64(node_of(mem, stack, mem[a + N_STATE], at + 2, count))
        if result < 0:
            return result
        if must_grow(mem):
            return np.int64(FULL_CANVAS)
        memo_put(mem, memo, a, b, result)
        waiting -= 1
    return combined(mem, memo, first, second)


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def union(mem, stack, sp, a, b):
    """The stacks of either of two nodes of one state, or a code."""
    if a == b or b == NONE:  # noqa: PLR1714 (compiled)
        return a
    if a == NONE:
        return b
    known = combined(mem, M_UNION, a, b)
    return np.int64(combine(mem, stack, sp, M_UNION, a, b)) if known == UNKNOWN else known


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def intersection(mem, stack, sp, a, b):
    """The stacks of both of two nodes, or a code."""
    if a == b:
        return a
    if a == NONE or b == NONE or mem[a + N_STATE] != mem[b + N_STATE]:  # noqa: PLR1714 (compiled)
        return np.int64(NONE)
    known = combined(mem, M_INTERSECTION, a, b)
    return np.int64(combine(mem, stack, sp, M_INTERSECTION, a, b)) if known == UNKNOWN else known


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def meets(mem, stack, sp, first, second):
    """1 if two nodes have a stack in common, 0 if not, or a code. Depth first, as far as the first that they have."""
    stack[sp] = first
    stack[sp + 1] = second
    waiting = 1
    answer = np.int64(0)
    while waiting > 0:
        at = sp + 2 * waiting - 2
        a, b = min(stack[at], stack[at + 1]), max(stack[at], stack[at + 1])
        if at + 64 > stack.size:
            return np.int64(LIMIT_CANVAS)
        if a == b or mem[a] == UNIVERSAL or mem[b] == UNIVERSAL:
            answer = np.int64(a != NONE)
            waiting -= 1
            continue
        if a == NONE:
            answer = np.int64(0)
            waiting -= 1
            continue
        answer = np.int64(memo_get(mem, M_MEETS, a, b))
        if answer != UNKNOWN:
            waiting -= 1
            continue
        i, end_i = a + N_BELOW, a + N_STATE + mem[a + P_LENGTH]
        j, end_j = b + N_BELOW, b + N_STATE + mem[b + P_LENGTH]
        answer = np.int64(0)
        while i < end_i and j < end_j and answer == 0:
            own, other = mem[mem[i] + N_STATE], mem[mem[j] + N_STATE]
            if own < other:
                i += 1
            elif other < own:
                j += 1
            else:
                x, y = min(mem[i], mem[j]), max(mem[i], mem[j])
                if x == y or mem[x] == UNIVERSAL or mem[y] == UNIVERSAL:
                    answer = np.int64(1)
                else:
                    answer = np.int64(memo_get(mem, M_MEETS, x, y))
                    if answer == UNKNOWN:
                        stack[at + 2] = x
                        stack[at + 3] = y
                        waiting += 1
                i += 1
                j += 1
        if answer == UNKNOWN:
            continue
        if must_grow(mem):
            return np.int64(FULL_CANVAS)
        memo_put(mem, M_MEETS, a, b, answer)
        waiting -= 1
    return answer


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def join(mem, stack, first, count, node):
    """Add the stacks of a node to the nodes stack[first:first + count], one for each state, ascending; the new count,
    or a code. Uses what lies behind.
    """
    state = mem[node + N_STATE]
    i = first + count
    while i > first and mem[stack[i - 1] + N_STATE] > state:
        i -= 1
    if i > first and mem[stack[i - 1] + N_STATE] == state:
        merged = np.int64(union(mem, stack, first + count, stack[i - 1], node))
        if merged < 0:
            return merged
        stack[i - 1] = merged
        return count
    if first + count + 64 > stack.size:
        return LIMIT_CANVAS
    for j in range(first + count, i, -1):
        stack[j] = stack[j - 1]
    stack[i] = node
    return count + 1


@kernel(f"int64({ARENAS}, int64, int64)", sources=SOURCES)
def pop(mem, stack, first, count):
    """The nodes below stack[first:first + count], one for each state, in their place; how many, or a code."""
    behind = first + count
    found = np.int64(0)
    for i in range(first, first + count):
        node = stack[i]
        for k in range(node + N_BELOW, node + N_STATE + mem[node + P_LENGTH]):
            found = np.int64(join(mem, stack, behind, found, mem[k]))
            if found < 0:
                return found
    for i in range(found):
        stack[first + i] = stack[behind + i]
    return found


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def take_apart(mem, stack, sp, node, depth):
    """The nodes that lie 0, 1, ..., depth levels below a node, once per level: where the last level begins, or a code.

    A level is [its number of nodes, those, as many values]; stack[sp + i] tells where level i begins.
    """
    if depth >= MOST_LEVELS:
        return np.int64(LIMIT_CANVAS)
    at = sp + MOST_LEVELS
    stack[sp] = at
    stack[at] = 1
    stack[at + 1] = node
    for level in range(depth):
        count = stack[at]
        behind = at + 1 + 2 * count
        found = 0
        for i in range(at + 1, at + 1 + count):
            above = stack[i]
            for k in range(above + N_BELOW, above + N_STATE + mem[above + P_LENGTH]):
                is_new = True
                for h in range(behind + 1, behind + 1 + found):
                    if stack[h] == mem[k]:
                        is_new = False
                        break
                if is_new:
                    found += 1
                    if behind + 2 * found + 64 > stack.size:
                        return np.int64(LIMIT_CANVAS)
                    stack[behind + found] = mem[k]
        stack[behind] = found
        at = behind
        stack[sp + 1 + level] = at
    return np.int64(at)


@kernel(f"int64({ARENAS}, int64, int64)", sources=SOURCES)
def put_together(mem, stack, sp, depth):
    """After ``take_apart``, and with the nodes of the last level replaced by their values: the node, or a code."""
    last = stack[sp + depth]
    free = last + 1 + 2 * stack[last]
    for level in range(depth - 1, -1, -1):
        at = stack[sp + level]
        count = stack[at]
        under = stack[sp + level + 1]
        num_under = stack[under]
        for i in range(at + 1, at + 1 + count):
            above = stack[i]
            kept = 0
            for k in range(above + N_BELOW, above + N_STATE + mem[above + P_LENGTH]):
                for h in range(under + 1, under + 1 + num_under):
                    if stack[h] == mem[k]:
                        if stack[h + num_under] != NONE:
                            stack[free + kept] = stack[h + num_under]
                            kept += 1
                        break
            value = np.int64(node_of(mem, stack, mem[above + N_STATE], free, kept))
            if value < 0:
                return value
            stack[i + count] = value
    return np.int64(stack[stack[sp] + 2])
