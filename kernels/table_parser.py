"""A parser that follows a given LR table, with a stack that is one chain and, beside it, a stack of indentation.

Where Lark builds an LALR(1) table, its verdict depends on that table (conflicts are resolved in it, its lookaheads are
what the contextual lexer offers), so the table is followed as it is:

    shift(C, t)   loop: action of (state on top, t)
                      none        -> 0
                      reduce A/k  -> pop k states, push goto(state on top, A)
                      shift s     -> push s; done
    accepting     the same with the end of the text, until the end state is pushed

A node is (state, node below, layout). Pushed states wait in scratch and become nodes when the shift has succeeded, so
what reductions pass through leaves no trace.

Layout (Lark's Indenter; Landin's off-side rule): a chain of open levels (column, below) and open parentheses
(PARENTHESIS, below). A newline terminal comes as one terminal per column, NL@k (``compiler.layout``): inside
parentheses it is no symbol; elsewhere the newline is shifted, and then, as k compares with the level on top, an INDENT,
nothing, or DEDENTs down to the level that must be k. (The last k stands for columns that are too deep or not known.)

Records of a table (``compiler.table_writer``): a state has the fields of ``parser``'s LR states and two lists behind
them, S_ACTIONS and S_GOTOS: [n, (symbol, value)...], ascending by symbol. Symbols of actions are addresses of
terminals, or END; values are addresses, of a state to shift to, or minus that of a rule [nonterminal, length]. Symbols
of gotos are numbers of nonterminals.
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
    M_SHIFT,
    SLACK,
    T_CONFIG,
    T_NODE,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import X_FAMILY, X_LAYOUT
from grammar_engine.kernels.scratch import SCRATCH_SHIFT

S_ACTIONS, S_GOTOS, TABLE_STATE_SIZE = 5, 6, 7
# H_TABLE: address of [end state, number of terminals]. H_LAYOUT: 0, or that of [newline, INDENT, DEDENT, columns].
END = 0
C_CUT = 2  # 1 if there is an opaque node: whether the text may end is then asked when the shape is (kernels.starts)
NOT_ASKED = 2
C_NODE = 6  # from the address of a configuration: its node
NODE_STATE, NODE_BELOW, NODE_LAYOUT = 2, 3, 4  # from the address of a node
LAYOUT_COLUMN, LAYOUT_BELOW = 2, 3  # from the address of a layout
PARENTHESIS = -1
OPAQUE = -(1 << 20)  # a layout that is not known, or less (see kernels.stack_tops)
# X_LAYOUT (see kernels.lexer for others): 1 + the column of a newline; or
OPENS, CLOSES, BLOCKS = -1, -2, -3

# The stack that is worked on: node, number of states pushed above it, those states.
WORK = SCRATCH_SHIFT // 2
WORK_SIZE = SCRATCH_SHIFT // 2


@kernel("int64(int32[::1], int64, int64)")
def look_up(mem, pairs, symbol):
    """The value of a symbol in a list [n, (symbol, value)...]; 0 if it is not there."""
    low, high = 0, mem[pairs]
    while low < high:
        middle = (low + high) >> 1
        at = pairs + 1 + 2 * middle
        if mem[at] == symbol:
            return mem[at + 1]
        if mem[at] < symbol:
            low = middle + 1
        else:
            high = middle
    return 0


@kernel("int64(int32[::1], int32[::1], int64)")
def feed(mem, scratch, symbol):
    """Run the table on a terminal, or on END; 1 if it was shifted (or accepted), 0 if it can't be, or a code."""
    while True:
        pushed = scratch[WORK + 1]
        state = scratch[WORK + 1 + pushed] if pushed > 0 else mem[scratch[WORK] + NODE_STATE]
        action = look_up(mem, mem[state + S_ACTIONS], symbol)
        if action == 0:
            return 0
        if pushed + 4 > WORK_SIZE:
            return LIMIT
        if action > 0:
            scratch[WORK + 2 + pushed] = action
            scratch[WORK + 1] = pushed + 1
            return 1
        left, length = mem[-action], mem[-action + 1]
        if length <= pushed:
            pushed -= length
        else:
            node = scratch[WORK]
            for _ in range(length - pushed):
                node = mem[node + NODE_BELOW]
                if node < 0:
                    return DEEP
            scratch[WORK] = node
            pushed = 0
        state = scratch[WORK + 1 + pushed] if pushed > 0 else mem[scratch[WORK] + NODE_STATE]
        target = look_up(mem, mem[state + S_GOTOS], left)
        scratch[WORK + 2 + pushed] = target
        scratch[WORK + 1] = pushed + 1
        if symbol == END and target == mem[mem[H_TABLE]]:
            return 1


@kernel("int64(int32[::1], int64, int64)")
def layout_above(mem, layout, column):
    """The layout with one level more; the caller has made room."""
    top = mem[H_TOP]
    mem[top + LAYOUT_COLUMN] = column
    mem[top + LAYOUT_BELOW] = layout
    return intern(mem, T_NODE, LAYOUT_COLUMN, 2)


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def layout_after(mem, scratch, layout, column):
    """Shift what an indentation by ``column`` means; the layout then, 0 if it can't be, or a code."""
    settings = mem[H_LAYOUT]
    if column == mem[settings + 3]:
        return 0
    if layout < 0:
        return DEEP
    if column > mem[layout + LAYOUT_COLUMN]:
        code = feed(mem, scratch, mem[settings + 1])
        return layout_above(mem, layout, column) if code == 1 else code
    while column < mem[layout + LAYOUT_COLUMN]:
        code = feed(mem, scratch, mem[settings + 2])
        if code <= 0:
            return code
        layout = mem[layout + LAYOUT_BELOW]
        if layout < 0:
            return DEEP
    return layout if column == mem[layout + LAYOUT_COLUMN] else 0


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def may_end(mem, scratch, node, layout):
    """1 if the text may end with this stack, 0 if not, or a code."""
    if mem[H_LAYOUT] != 0:  # neither the end nor a DEDENT
        actions = mem[mem[node + NODE_STATE] + S_ACTIONS]
        if look_up(mem, actions, END) == 0 and look_up(mem, actions, mem[mem[H_LAYOUT] + 2]) == 0:
            return 0
    scratch[WORK] = node
    scratch[WORK + 1] = 0
    while layout != 0:
        if layout < 0:
            return DEEP
        if mem[layout + LAYOUT_BELOW] == 0:
            break
        if mem[layout + LAYOUT_COLUMN] != PARENTHESIS:
            code = feed(mem, scratch, mem[mem[H_LAYOUT] + 2])
            if code <= 0:
                return code
        layout = mem[layout + LAYOUT_BELOW]
    return feed(mem, scratch, END)


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def configuration_of(mem, scratch, node, is_cut):
    """The configuration whose stack is ``node``, or a code. is_cut: C_CUT."""
    accepting = NOT_ASKED
    if is_cut == 0:
        accepting = may_end(mem, scratch, node, mem[node + NODE_LAYOUT])
        if accepting < 0:
            return accepting
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    mem[top + C_NODE - 1] = accepting
    mem[top + C_NODE] = node
    result = intern(mem, T_CONFIG, C_NODE - 1, 2)
    if result == top:
        mem[result + C_CUT] = is_cut
        mem[result + 3] = 0
        mem[result + 4] = 0
    return result


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def table_shift(mem, scratch, configuration, terminal):
    """The configuration after ``terminal``; 0 if it cannot be shifted, or a code."""
    known = memo_get(mem, M_SHIFT, configuration, terminal)
    if known != UNKNOWN:
        return known
    if must_grow(mem):
        return FULL
    node = mem[configuration + C_NODE]
    layout = np.int64(mem[node + NODE_LAYOUT])
    kind = mem[terminal + X_LAYOUT]
    result = np.int64(0)
    if layout < 0 and kind not in (0, BLOCKS):
        result = np.int64(DEEP)
    elif kind > 0 and mem[layout + LAYOUT_COLUMN] == PARENTHESIS:
        result = configuration
    elif kind != BLOCKS:
        scratch[WORK] = node
        scratch[WORK + 1] = 0
        code = feed(mem, scratch, mem[terminal + X_FAMILY] if kind > 0 else terminal)
        if code == 1:
            if kind > 0:
                layout = np.int64(layout_after(mem, scratch, layout, kind - 1))
            elif kind == OPENS:
                layout = np.int64(layout_above(mem, layout, PARENTHESIS))
            elif kind == CLOSES:
                layout = np.int64(mem[layout + LAYOUT_BELOW] if mem[layout + LAYOUT_COLUMN] == PARENTHESIS else 0)
            if OPAQUE < layout < 0:
                code = layout
        if code == DEEP:
            result = np.int64(DEEP)
        elif code < 0:
            return code
        elif code == 1 and (layout != 0 or mem[H_LAYOUT] == 0):
            pushed = scratch[WORK + 1]
            if mem[H_TOP] + 5 * pushed + SLACK > mem.size or must_grow(mem):
                return FULL
            below = scratch[WORK]
            for i in range(WORK + 2, WORK + 2 + pushed):
                top = mem[H_TOP]
                mem[top + NODE_STATE] = scratch[i]
                mem[top + NODE_BELOW] = below
                mem[top + NODE_LAYOUT] = layout
                below = intern(mem, T_NODE, NODE_STATE, 3)
            result = np.int64(configuration_of(mem, scratch, below, mem[configuration + C_CUT]))
            if result < 0 and result != DEEP:
                return result
    memo_put(mem, M_SHIFT, configuration, terminal, result)
    return result
