"""Which terminals a stack of the table parser can shift, for all of them at once.

    TAKES(n) = { t : state(n) shifts t }  +  for each rule r by which state(n) reduces:
               { t : state(n) reduces by r before t }  &  TAKES(the node behind that reduction)

Lookaheads of an LALR table come from several contexts; some of them only lead to reductions that fail on this stack.
One question per terminal would run the same reductions for each; as sets of bits, kept with each node, the reductions
are done once, and those of the nodes below are known already.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    DEEP,
    FULL,
    H_LAYOUT,
    H_TABLE,
    H_TOP,
    LIMIT,
    M_TAKES,
    SLACK,
    T_NODE,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import X_LAYOUT, X_ORDER
from grammar_engine.kernels.scratch import SCRATCH_SHIFT
from grammar_engine.kernels.table_parser import (
    CLOSES,
    END,
    LAYOUT_COLUMN,
    NODE_BELOW,
    NODE_LAYOUT,
    NODE_STATE,
    PARENTHESIS,
    S_ACTIONS,
    S_GOTOS,
    look_up,
)

TABLE_TERMINALS = 1  # from H_TABLE: number of terminals
MOST_PENDING = SCRATCH_SHIFT // 4
BOTTOM = 1  # the node below the bottom of the stack


@kernel("int64(int32[::1], int64, int64, int64)")
def below_reduction(mem, below, state, length):
    """The node on which a reduction of ``length`` states ends, the uppermost of them ``state`` above ``below``; or a
    code: DEEP if an opaque node is popped.

    An empty rule ends on the uppermost state itself, which then needs a node.
    """
    if length == 0:
        if must_grow(mem):
            return FULL
        top = mem[H_TOP]
        mem[top + NODE_STATE] = state
        mem[top + NODE_BELOW] = below
        mem[top + NODE_LAYOUT] = 0
        return intern(mem, T_NODE, NODE_STATE, 3)
    for _ in range(length - 1):
        if below < 0:
            return DEEP
        below = np.int64(mem[below + NODE_BELOW])
    return np.int64(DEEP if below < 0 else below)


@kernel("int64(int32[::1], int32[::1], int64)")
def takes_of(mem, scratch, node):
    """The address of TAKES(node), words of 32 bits by number of terminal; or a code.

    They are kept by what lies below the node and its state, so what reductions pass through needs no node. Those whose
    sets are asked for wait on a stack in scratch.
    """
    words = (mem[mem[H_TABLE] + TABLE_TERMINALS] + 31) // 32
    scratch[0] = mem[node + NODE_BELOW]
    scratch[1] = mem[node + NODE_STATE]
    pending = 1
    result = np.int64(0)
    while pending > 0:
        below, state = np.int64(scratch[2 * pending - 2]), np.int64(scratch[2 * pending - 1])
        key = below if below != 0 else np.int64(BOTTOM)
        result = np.int64(memo_get(mem, M_TAKES, key, state))
        if result != UNKNOWN:
            pending -= 1
            continue
        actions = mem[state + S_ACTIONS]
        first, last = actions + 1, actions + 1 + 2 * mem[actions]
        waits = False
        rule = np.int64(0)
        for i in range(first, last, 2):
            if mem[i + 1] < 0 and mem[i] != END and mem[i + 1] != rule:
                rule = np.int64(mem[i + 1])
                left = np.int64(below_reduction(mem, below, state, mem[-rule + 1]))
                if left < 0:
                    return left
                behind = look_up(mem, mem[mem[left + NODE_STATE] + S_GOTOS], mem[-rule])
                if memo_get(mem, M_TAKES, left, behind) == UNKNOWN:
                    for k in range(pending):
                        if scratch[2 * k] == left and scratch[2 * k + 1] == behind:
                            return LIMIT
                    if pending >= MOST_PENDING:
                        return LIMIT
                    scratch[2 * pending] = left
                    scratch[2 * pending + 1] = behind
                    pending += 1
                    waits = True
                    break
        if waits:
            continue
        if must_grow(mem) or mem[H_TOP] + words + SLACK > mem.size:
            return FULL
        result = np.int64(mem[H_TOP])
        mem[H_TOP] = result + words
        for w in range(words):
            mem[result + w] = 0
        rule = np.int64(0)
        allowed = np.int64(0)
        for i in range(first, last, 2):
            if mem[i] == END:
                continue
            number = mem[mem[i] + X_ORDER]
            if mem[i + 1] < 0:
                if mem[i + 1] != rule:
                    rule = np.int64(mem[i + 1])
                    left = np.int64(below_reduction(mem, below, state, mem[-rule + 1]))
                    if left < 0:
                        return left
                    behind = look_up(mem, mem[mem[left + NODE_STATE] + S_GOTOS], mem[-rule])
                    allowed = np.int64(memo_get(mem, M_TAKES, left, behind))
                if (mem[allowed + (number >> 5)] >> (number & 31)) & 1 == 0:
                    continue
            mem[result + (number >> 5)] |= np.int32(1) << np.int32(number & 31)
        memo_put(mem, M_TAKES, key, state, result)
        pending -= 1
    return result


@kernel("int64(int32[::1], int64, int64, int64)")
def takes(mem, allowed, node, terminal):
    """1 if a stack whose TAKES are ``allowed`` can do something with a match of a terminal that the lexer offers."""
    inside = mem[H_LAYOUT] != 0 and mem[mem[node + NODE_LAYOUT] + LAYOUT_COLUMN] == PARENTHESIS
    if inside and mem[mem[H_LAYOUT]] == terminal:
        return 1
    if mem[terminal + X_LAYOUT] == CLOSES and not inside:
        return 0
    number = mem[terminal + X_ORDER]
    return (mem[allowed + (number >> 5)] >> (number & 31)) & 1
