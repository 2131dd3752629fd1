"""The parser without lookahead (``kernels.parser``) over sets of stacks: shifts, and the way back.

    open_shift(n, t)          list [0, nodes...] behind a terminal, one for each state on top, reduced as far as it goes
    open_before(n, t, A)      the stacks of n of which some stack behind t is in A (a list of nodes, one for each state)

The way back goes through the same reductions:

    open_back(s, n, A)        the stacks w of n such that s · w leads into A:
                                  those under s in A, and for each rule X/k that is complete in s:
                                      take n apart, k - 1 levels down
                                      each base b there := open_back(goto(state(b), X), b, A)
                                                           (b, if X is the start symbol and A has ACCEPTED)
                                      put together what is left

Where reductions can go down a stack for ever (right recursion), that has no end in universal nodes: ENDLESS.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import H_START, kernel
from grammar_engine.kernels.canvas.stacks import (
    ACCEPTED,
    ARENAS,
    ENDLESS,
    H_ROUND,
    K_VALUE,
    L_ITEMS,
    LIMIT_CANVAS,
    N_BELOW,
    N_STATE,
    NONE,
    P_LENGTH,
    SOURCES,
    intersection,
    join,
    key_of,
    list_of,
    pop,
    pushed_node,
    put_together,
    take_apart,
    union,
)
from grammar_engine.kernels.parser import S_COMPLETE, S_TERMINALS, expand_state, goto_state

SHIFTED, PUSHED, FED, BEFORE_FED = 1, 2, 3, 4  # kinds of keys
MOST_EDGES = 4096
MOST_WAITING = 1 << 14


@kernel("int64(int32[::1], int64, int64, int64)", sources=SOURCES)
def in_list(mem, nodes, state, missing):
    """The node of a state in a list of nodes, or ``missing``."""
    for i in range(nodes + L_ITEMS, nodes + L_ITEMS + mem[nodes + P_LENGTH]):
        if mem[mem[i] + N_STATE] == state:
            return np.int64(mem[i])
    return missing


@kernel(f"int64({ARENAS}, int64, int64, int64, int64)", sources=SOURCES)
def under(mem, stack, sp, state, node, targets):
    """The stacks of a node that stand under a state in a list of nodes, or a code."""
    target = in_list(mem, targets, state, NONE)
    if target != NONE:
        for k in range(target + N_BELOW, target + N_STATE + mem[target + P_LENGTH]):
            if mem[mem[k] + N_STATE] == mem[node + N_STATE]:
                return np.int64(intersection(mem, stack, sp, node, mem[k]))
    return np.int64(NONE)


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64)", sources=SOURCES)
def open_shift(mem, stack, sp, engine, accepted, node, terminal):
    """See above. engine: its arena. accepted: the node that says that a text may end."""
    key = key_of(mem, SHIFTED, node, terminal, 0, 0)
    if key < 0:
        return key
    if mem[key + K_VALUE] != 0:
        return np.int64(mem[key + K_VALUE] - 1)
    edges = sp
    count = 0
    if mem[node + N_STATE] != ACCEPTED:
        state = np.int64(goto_state(engine, mem[node + N_STATE], terminal))
        if state < 0:
            return state
        if state > 0:
            stack[edges] = state
            stack[edges + 1] = node
            count = 1
    levels = edges + 2 * MOST_EDGES
    if levels + 64 > stack.size:
        return np.int64(LIMIT_CANVAS)
    is_accepted = False
    e = 0
    while e < count:
        state = np.int64(stack[edges + 2 * e])
        parent = np.int64(stack[edges + 2 * e + 1])
        e += 1
        code = np.int64(expand_state(engine, state))
        if code < 0:
            return code
        complete = engine[state + S_COMPLETE]
        for r in range(complete + 1, complete + 1 + engine[complete]):
            left = engine[engine[r] + 1]
            stack[levels] = parent
            bases = np.int64(1)
            for _ in range(engine[engine[r] + 2] - 1):
                bases = np.int64(pop(mem, stack, levels, bases))
                if bases < 0:
                    return bases
            if left == engine[H_START]:
                is_accepted = True
                continue
            for b in range(levels, levels + bases):
                base = np.int64(stack[b])
                target = np.int64(goto_state(engine, mem[base + N_STATE], -left))
                if target < 0:
                    return target
                if target == 0:
                    continue
                found = False
                for g in range(count):
                    if stack[edges + 2 * g] == target and stack[edges + 2 * g + 1] == base:
                        found = True
                        break
                if not found:
                    if count == MOST_EDGES:
                        return np.int64(LIMIT_CANVAS)
                    stack[edges + 2 * count] = target
                    stack[edges + 2 * count + 1] = base
                    count += 1
    # One node for each state that can shift.
    results = levels
    stack[results] = 0
    found_tops = 1
    for e in range(count):
        state = np.int64(stack[edges + 2 * e])
        if state == 0 or engine[engine[state + S_TERMINALS]] == 0:
            continue
        under = results + found_tops
        parents = np.int64(0)
        for g in range(e, count):
            if stack[edges + 2 * g] == state:
                parents = np.int64(join(mem, stack, under, parents, stack[edges + 2 * g + 1]))
                if parents < 0:
                    return parents
                if g > e:
                    stack[edges + 2 * g] = 0
        top = np.int64(pushed_node(mem, stack, state, under, parents))
        if top < 0:
            return top
        stack[results + found_tops] = top
        found_tops += 1
    if is_accepted:
        stack[results + found_tops] = accepted
        found_tops += 1
    result = np.int64(list_of(mem, stack, results, found_tops))
    if result >= 0:
        mem[key + K_VALUE] = result + 1
    return result


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def open_back(mem, stack, sp, engine, accepted, state, node, targets):
    """See above."""
    stack[sp] = state
    stack[sp + 1] = node
    waiting = 1
    mem[H_ROUND] += 1
    work = sp + 2 * MOST_WAITING
    if work + 1024 > stack.size:
        return np.int64(LIMIT_CANVAS)
    result = np.int64(NONE)
    while waiting > 0:
        state = np.int64(stack[sp + 2 * waiting - 2])
        node = np.int64(stack[sp + 2 * waiting - 1])
        key = np.int64(key_of(mem, PUSHED, state, node, targets, 0))
        if key < 0:
            return key
        if mem[key + K_VALUE] > 0:
            result = np.int64(mem[key + K_VALUE] - 1)
            waiting -= 1
            continue
        code = np.int64(expand_state(engine, state))
        if code < 0:
            return code
        result = np.int64(under(mem, stack, work, state, node, targets))
        if result < 0:
            return result
        misses = False
        complete = engine[state + S_COMPLETE]
        for r in range(complete + 1, complete + 1 + engine[complete]):
            if result == node or misses:
                break
            left, depth = np.int64(engine[engine[r] + 1]), np.int64(engine[engine[r] + 2] - 1)
            last = np.int64(take_apart(mem, stack, work, node, depth))
            if last < 0:
                return last
            count = stack[last]
            for i in range(last + 1, last + 1 + count):
                base = np.int64(stack[i])
                if left == engine[H_START]:
                    stack[i + count] = base if in_list(mem, targets, ACCEPTED, NONE) != NONE else NONE
                    continue
                pushed = np.int64(goto_state(engine, mem[base + N_STATE], -left))
                if pushed < 0:
                    return pushed
                stack[i + count] = NONE
                if pushed == 0:
                    continue
                other = np.int64(key_of(mem, PUSHED, pushed, base, targets, 0))
                if other < 0:
                    return other
                if mem[other + K_VALUE] > 0:
                    stack[i + count] = mem[other + K_VALUE] - 1
                    continue
                if mem[other + K_VALUE] == -mem[H_ROUND]:
                    return np.int64(ENDLESS)
                if waiting == MOST_WAITING:
                    return np.int64(LIMIT_CANVAS)
                stack[sp + 2 * waiting] = pushed
                stack[sp + 2 * waiting + 1] = base
                waiting += 1
                misses = True
            if not misses:
                part = np.int64(put_together(mem, stack, work, depth))
                if part < 0:
                    return part
                result = np.int64(union(mem, stack, work, result, part))
                if result < 0:
                    return result
        if misses:
            mem[key + K_VALUE] = -mem[H_ROUND]
        else:
            mem[key + K_VALUE] = result + 1
            waiting -= 1
    return result


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def open_before(mem, stack, sp, engine, accepted, node, terminal, targets):
    """See above."""
    state = np.int64(goto_state(engine, mem[node + N_STATE], terminal))
    if state <= 0:
        return state
    return np.int64(open_back(mem, stack, sp, engine, accepted, state, node, targets))
