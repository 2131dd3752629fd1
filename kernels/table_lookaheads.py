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


@kernel("int64(int32[::1], int64, int64)")
def reduced(mem, node, rule):
    """The node behind the reduction of a node by a rule, or a code: DEEP if an opaque node is popped."""
    if must_grow(mem):
        return FULL
    layout = mem[node + NODE_LAYOUT]
    below = np.int64(node)
    for _ in range(mem[rule + 1]):
        below = np.int64(mem[below + NODE_BELOW])
        if below < 0:
            return DEEP
    top = mem[H_TOP]
    mem[top + NODE_STATE] = look_up(mem, mem[mem[below + NODE_STATE] + S_GOTOS], mem[rule])
    mem[top + NODE_BELOW] = below
    mem[top + NODE_LAYOUT] = layout
    return intern(mem, T_NODE, NODE_STATE, 3)


@kernel("int64(int32[::1], int32[::1], int64)")
def takes_of(mem, scratch, root):
    """The address of TAKES(node), words of 32 bits by number of terminal; or a code.

    Nodes whose sets are asked for wait on a stack in scratch.
    """
    known = memo_get(mem, M_TAKES, root, 0)
    if known != UNKNOWN:
        return known
    words = (mem[mem[H_TABLE] + TABLE_TERMINALS] + 31) // 32
    scratch[0] = root
    pending = 1
    while pending > 0:
        node = np.int64(scratch[pending - 1])
        actions = mem[mem[node + NODE_STATE] + S_ACTIONS]
        first, last = actions + 1, actions + 1 + 2 * mem[actions]
        waits = False
        rule = np.int64(0)
        for i in range(first, last, 2):
            if mem[i + 1] < 0 and mem[i] != END and mem[i + 1] != rule:
                rule = np.int64(mem[i + 1])
                behind = reduced(mem, node, -rule)
                if behind < 0:
                    return behind
                if memo_get(mem, M_TAKES, behind, 0) == UNKNOWN:
                    for k in range(pending):
                        if scratch[k] == behind:
                            return LIMIT
                    if pending >= MOST_PENDING:
                        return LIMIT
                    scratch[pending] = behind
                    pending += 1
                    waits = True
                    break
        if waits:
            continue
        if must_grow(mem) or mem[H_TOP] + words + SLACK > mem.size:
            return FULL
        result = mem[H_TOP]
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
                    behind = reduced(mem, node, -rule)
                    if behind < 0:
                        return behind
                    allowed = np.int64(memo_get(mem, M_TAKES, behind, 0))
                if (mem[allowed + (number >> 5)] >> (number & 31)) & 1 == 0:
                    continue
            mem[result + (number >> 5)] |= np.int32(1) << np.int32(number & 31)
        if must_grow(mem):
            return FULL
        memo_put(mem, M_TAKES, node, 0, result)
        pending -= 1
    return memo_get(mem, M_TAKES, root, 0)


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
