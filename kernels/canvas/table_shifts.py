"""The parser with a given LALR(1) table (``kernels.table_parser``) over sets of stacks: shifts, and the way back.

    table_feed(n, s)          list of nodes behind a symbol: reductions as the table has them for it, then the shift
    table_back(n, s, A)       the stacks of n that a symbol leads into A: by the same reductions (``open_shifts``)

A terminal is a symbol, or (a newline of some column, beside the layout) several: NEWLINE, then INDENT, or DEDENT as
often as levels close. Stacks without an action for a symbol are left out.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import H_LAYOUT, H_TABLE, kernel
from grammar_engine.kernels.canvas.open_shifts import BEFORE_FED, FED, MOST_WAITING, SHIFTED, in_list, under
from grammar_engine.kernels.canvas.stacks import (
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
)
from grammar_engine.kernels.lexer import X_LAYOUT
from grammar_engine.kernels.table_parser import CLOSES, END, OPENS, PARENTHESIS, S_ACTIONS, S_GOTOS, look_up

MOST_PENDING = 4096
MOST_SYMBOLS = 512


@kernel(f"int64({ARENAS}, int64, int64, int64, int64)", sources=SOURCES)
def add_result(mem, stack, first, count, node, free):
    """``join``, with what it needs of scratch space at ``free``."""
    for i in range(count):
        stack[free + i] = stack[first + i]
    count = np.int64(join(mem, stack, free, count, node))
    for i in range(count):
        stack[first + i] = stack[free + i]
    return count


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64)", sources=SOURCES)
def table_feed(mem, stack, sp, engine, node, symbol):
    """See above."""
    key = key_of(mem, FED, node, symbol, 0, 0)
    if key < 0:
        return key
    if mem[key + K_VALUE] != 0:
        return np.int64(mem[key + K_VALUE] - 1)
    end_state = engine[engine[H_TABLE]]
    results = sp
    pending = sp + MOST_PENDING
    levels = pending + MOST_PENDING
    if levels + 64 > stack.size:
        return np.int64(LIMIT_CANVAS)
    num_results = np.int64(0)
    stack[pending] = node
    count = 1
    done = 0
    while done < count:
        top = np.int64(stack[pending + done])
        done += 1
        state = mem[top + N_STATE]
        action = look_up(engine, engine[state + S_ACTIONS], symbol)
        if action == 0:
            continue
        stack[levels] = top
        if action > 0:
            pushed = np.int64(pushed_node(mem, stack, action, levels, 1))
            if pushed < 0:
                return pushed
            # (joining needs room behind the results, which lies before what is pending)
            num_results = np.int64(add_result(mem, stack, results, num_results, pushed, levels))
            if num_results < 0:
                return num_results
            continue
        bases = np.int64(1)
        for _ in range(engine[-action + 1]):
            bases = np.int64(pop(mem, stack, levels, bases))
            if bases < 0:
                return bases
        for b in range(levels, levels + bases):
            base = np.int64(stack[b])
            target = look_up(engine, engine[mem[base + N_STATE] + S_GOTOS], engine[-action])
            stack[levels + bases] = base
            pushed = np.int64(pushed_node(mem, stack, target, levels + bases, 1))
            if pushed < 0:
                return pushed
            if symbol == END and target == end_state:
                num_results = np.int64(add_result(mem, stack, results, num_results, pushed, levels + bases))
                if num_results < 0:
                    return num_results
                continue
            found = False
            for k in range(pending, pending + count):
                if stack[k] == pushed:
                    found = True
                    break
            if not found:
                if count == MOST_PENDING:
                    return np.int64(LIMIT_CANVAS)
                stack[pending + count] = pushed
                count += 1
    result = np.int64(list_of(mem, stack, results, num_results))
    if result >= 0:
        mem[key + K_VALUE] = result + 1
    return result


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64)", sources=SOURCES)
def table_back(mem, stack, sp, engine, node, symbol, targets):
    """See above."""
    stack[sp] = node
    waiting = 1
    mem[H_ROUND] += 1
    work = sp + MOST_WAITING
    if work + 1024 > stack.size:
        return np.int64(LIMIT_CANVAS)
    result = np.int64(NONE)
    while waiting > 0:
        node = np.int64(stack[sp + waiting - 1])
        key = np.int64(key_of(mem, BEFORE_FED, node, symbol, targets, 0))
        if key < 0:
            return key
        if mem[key + K_VALUE] > 0:
            result = np.int64(mem[key + K_VALUE] - 1)
            waiting -= 1
            continue
        action = look_up(engine, engine[mem[node + N_STATE] + S_ACTIONS], symbol)
        result = np.int64(NONE)
        misses = False
        if action > 0:
            result = np.int64(under(mem, stack, work, action, node, targets))
        elif action < 0:
            depth = np.int64(engine[-action + 1])
            last = np.int64(take_apart(mem, stack, work, node, depth))
            if last < 0:
                return last
            count = stack[last]
            free = last + 1 + 2 * count
            for i in range(last + 1, last + 1 + count):
                base = np.int64(stack[i])
                stack[i + count] = NONE
                target = look_up(engine, engine[mem[base + N_STATE] + S_GOTOS], engine[-action])
                if target == 0:
                    continue
                if symbol == END and target == engine[engine[H_TABLE]]:
                    value = np.int64(under(mem, stack, free, target, base, targets))
                    if value < 0:
                        return value
                    stack[i + count] = value
                    continue
                stack[free] = base
                pushed = np.int64(pushed_node(mem, stack, target, free, 1))
                if pushed < 0:
                    return pushed
                other = np.int64(key_of(mem, BEFORE_FED, pushed, symbol, targets, 0))
                if other < 0:
                    return other
                if mem[other + K_VALUE] > 0:
                    value = np.int64(mem[other + K_VALUE] - 1)
                    stack[i + count] = mem[value + N_BELOW] if value != NONE else NONE
                    continue
                if mem[other + K_VALUE] == -mem[H_ROUND]:
                    return np.int64(ENDLESS)
                if waiting == MOST_WAITING:
                    return np.int64(LIMIT_CANVAS)
                stack[sp + waiting] = pushed
                waiting += 1
                misses = True
            if not misses:
                result = np.int64(put_together(mem, stack, work, depth))
        if result < 0:
            return result
        if misses:
            mem[key + K_VALUE] = -mem[H_ROUND]
        else:
            mem[key + K_VALUE] = result + 1
            waiting -= 1
    return result


@kernel(f"int64({ARENAS}, int64, int64, int64)", sources=SOURCES)
def level_above(mem, stack, sp, column, layout):
    """The layout with one level more, or a code."""
    stack[sp] = column
    stack[sp + 1] = layout
    return np.int64(list_of(mem, stack, sp, 2))


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64)", sources=SOURCES)
def symbols_of(mem, stack, sp, engine, layout, terminal):
    """What a terminal means beside a layout: stack[sp] := the layout then, and behind it the symbols; how many, or -1
    where it cannot stand, or a code.
    """
    kind = engine[terminal + X_LAYOUT]
    stack[sp] = layout
    stack[sp + 1] = terminal
    if engine[H_LAYOUT] == 0:
        return np.int64(1)
    column = mem[layout + L_ITEMS]
    if kind > 0:
        if column == PARENTHESIS:
            return np.int64(0)
        settings = engine[H_LAYOUT]
        wanted = kind - 1
        if wanted == engine[settings + 3]:
            return np.int64(-1)
        stack[sp + 1] = engine[settings]
        count = 1
        if wanted > column:
            stack[sp + 2] = engine[settings + 1]
            layout = np.int64(level_above(mem, stack, sp + 3, wanted, layout))
            stack[sp] = layout
            return np.int64(2) if layout > 0 else layout
        while wanted < column:
            if count == MOST_SYMBOLS:
                return np.int64(LIMIT_CANVAS)
            stack[sp + 1 + count] = engine[settings + 2]
            count += 1
            layout = np.int64(mem[layout + L_ITEMS + 1])
            column = mem[layout + L_ITEMS]
        stack[sp] = layout
        return np.int64(count if wanted == column else -1)
    if kind == OPENS:
        layout = np.int64(level_above(mem, stack, sp + 2, PARENTHESIS, layout))
        stack[sp] = layout
        return np.int64(1) if layout > 0 else layout
    if kind == CLOSES:
        if column != PARENTHESIS:
            return np.int64(-1)
        stack[sp] = mem[layout + L_ITEMS + 1]
    return np.int64(1)


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64)", sources=SOURCES)
def feed_all(mem, stack, sp, engine, first, count, node):
    """stack[sp:] := lists of nodes before each of the symbols stack[first:first + count], and behind them all; 1, or a
    code.
    """
    free = sp + count + 1
    if free + 64 > stack.size:
        return np.int64(LIMIT_CANVAS)
    stack[free] = node
    listed = np.int64(list_of(mem, stack, free, 1))
    for s in range(count):
        if listed < 0:
            return listed
        stack[sp + s] = listed
        found = np.int64(0)
        for i in range(listed + L_ITEMS, listed + L_ITEMS + mem[listed + P_LENGTH]):
            fed = np.int64(table_feed(mem, stack, free + found, engine, mem[i], stack[first + s]))
            if fed < 0:
                return fed
            for k in range(fed + L_ITEMS, fed + L_ITEMS + mem[fed + P_LENGTH]):
                found = np.int64(join(mem, stack, free, found, mem[k]))
                if found < 0:
                    return found
        listed = np.int64(list_of(mem, stack, free, found))
    stack[sp + count] = listed
    return np.int64(1 if listed >= 0 else listed)


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def back_all(mem, stack, sp, engine, first, count, node, targets):
    """The stacks of a node that the symbols stack[first:first + count] lead into a list of nodes, or a code."""
    code = np.int64(feed_all(mem, stack, sp, engine, first, count, node))
    if code < 0:
        return code
    free = sp + count + 1
    for s in range(count - 1, -1, -1):
        listed = stack[sp + s]
        kept = np.int64(0)
        for i in range(listed + L_ITEMS, listed + L_ITEMS + mem[listed + P_LENGTH]):
            symbol = stack[first + s]
            part = np.int64(table_back(mem, stack, free + kept, engine, mem[i], symbol, targets))
            if part < 0:
                return part
            if part != NONE:
                kept = np.int64(join(mem, stack, free, kept, part))
                if kept < 0:
                    return kept
        targets = np.int64(list_of(mem, stack, free, kept))
        if targets < 0:
            return targets
    target = in_list(mem, targets, mem[node + N_STATE], NONE)
    return np.int64(intersection(mem, stack, free, node, target))


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64)", sources=SOURCES)
def table_shift(mem, stack, sp, engine, layout, node, terminal):
    """List [layout, nodes...] behind a terminal, one node for each state on top; or a code."""
    key = key_of(mem, SHIFTED, node, terminal, layout, 0)
    if key < 0:
        return key
    if mem[key + K_VALUE] != 0:
        return np.int64(mem[key + K_VALUE] - 1)
    if sp + 2 * MOST_SYMBOLS + 64 > stack.size:
        return np.int64(LIMIT_CANVAS)
    count = np.int64(symbols_of(mem, stack, sp, engine, layout, terminal))
    if count < -1:
        return count
    free = sp + 1 + max(count, 0)
    after = stack[sp]
    listed = np.int64(0)
    if count >= 0:
        code = np.int64(feed_all(mem, stack, free, engine, sp + 1, count, node))
        if code < 0:
            return code
        listed = np.int64(stack[free + count])
    stack[free] = after
    length = np.int64(0)
    if count >= 0:
        length = np.int64(mem[listed + P_LENGTH])
        for i in range(length):
            stack[free + 1 + i] = mem[listed + L_ITEMS + i]
    result = np.int64(list_of(mem, stack, free, length + 1))
    if result >= 0:
        mem[key + K_VALUE] = result + 1
    return result


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def table_before(mem, stack, sp, engine, layout, node, terminal, targets):
    """The stacks of a node that a terminal leads into a list of nodes (beside the layout behind it); or a code."""
    if sp + 2 * MOST_SYMBOLS + 64 > stack.size:
        return np.int64(LIMIT_CANVAS)
    count = np.int64(symbols_of(mem, stack, sp, engine, layout, terminal))
    if count < 0:
        return np.int64(NONE if count == -1 else count)
    return np.int64(back_all(mem, stack, sp + 1 + count, engine, sp + 1, count, node, targets))


@kernel(f"int64({ARENAS}, int64, int32[::1], int64, int64)", sources=SOURCES)
def table_ends(mem, stack, sp, engine, layout, node):
    """The stacks of a node with which a text may end, or a code."""
    count = 0
    if sp + 2 * MOST_SYMBOLS + 64 > stack.size:
        return np.int64(LIMIT_CANVAS)
    if engine[H_LAYOUT] != 0:
        while mem[layout + L_ITEMS + 1] != 0:
            if mem[layout + L_ITEMS] != PARENTHESIS:
                if count == MOST_SYMBOLS:
                    return np.int64(LIMIT_CANVAS)
                stack[sp + count] = engine[engine[H_LAYOUT] + 2]
                count += 1
            layout = np.int64(mem[layout + L_ITEMS + 1])
    stack[sp + count] = END
    count += 1
    code = np.int64(feed_all(mem, stack, sp + count, engine, sp, count, node))
    if code < 0:
        return code
    return np.int64(back_all(mem, stack, sp + count, engine, sp, count, node, stack[sp + 2 * count]))
