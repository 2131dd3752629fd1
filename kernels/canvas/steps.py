"""Steps of the automaton of canvases, forwards and back (the idea: ``compiler.canvas.automaton``).

A boundary is a list of (lexer state, layout, node). One step works on **entries** (lexer state, layout, group), each
with a set of stacks, one node for each state on top:

    group ≥ 0    a crossing: stacks whose lexer is in that state when the trie nodes of the group have been read
    BEHIND       what the step leads to
    WANTED       of that, going back, what is to be reached

Crossings are worked on by rank, the fewest bytes that have been read, which grows from each crossing to those that it
leads to; so all stacks of one have come together before it is looked at. Going back, the same step is taken again (all
of it is remembered) and its crossings are visited in reverse.

    record of a crossing       [n, (state, token set)..., m, (terminal or 0, ending, group, rank)...]
    record of lexer starts     [n, states...]
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import H_TABLE, UNKNOWN, entry_point, kernel, memo_get, mix
from grammar_engine.kernels.canvas.open_shifts import open_before, open_shift
from grammar_engine.kernels.canvas.stacks import (
    ACCEPTED,
    ARENAS,
    H_FIRST,
    H_SECOND,
    L_ITEMS,
    LIMIT_CANVAS,
    M_CROSSINGS,
    M_STARTS,
    MISS_CROSSINGS,
    MISS_STARTS,
    N_STATE,
    NONE,
    P_LENGTH,
    SOURCES,
    intersection,
    list_of,
    meets,
    union,
)
from grammar_engine.kernels.canvas.table_shifts import table_before, table_ends, table_shift

OP_CROSS, OP_BACK, OP_ENDS, OP_JOIN, OP_TOKENS, OP_MEETS = 0, 1, 2, 3, 4, 5

BEHIND, WANTED = -1, -2
# Scratch: a hash table of entries; entries; cells [node, next cell]; of each rank its first entry; the order of work;
# and what is free.
HASH = 0
HASH_SIZE = 1 << 17
ENTRIES = HASH + HASH_SIZE
E_STATE, E_LAYOUT, E_GROUP, E_NODES, E_NEXT, E_ALIVE, E_SLOT, ENTRY_SIZE = 0, 1, 2, 3, 4, 5, 6, 7
MOST_ENTRIES = HASH_SIZE // 2
CELLS = ENTRIES + MOST_ENTRIES * ENTRY_SIZE
MOST_CELLS = 1 << 18
RANKS = CELLS + 2 * MOST_CELLS
NUM_RANKS = 4100
ORDER = RANKS + NUM_RANKS
COUNTS = ORDER + MOST_ENTRIES  # numbers of entries, of cells, of the order; the highest rank
FREE = COUNTS + 8
SCRATCH_SIZE = FREE + (1 << 19)
NUM_ENTRIES, NUM_CELLS, NUM_ORDER, MOST_RANK = COUNTS, COUNTS + 1, COUNTS + 2, COUNTS + 3


@kernel("void(int32[::1])", sources=SOURCES)
def begin(stack):
    """No entries."""
    for entry in range(ENTRIES, ENTRIES + stack[NUM_ENTRIES] * ENTRY_SIZE, ENTRY_SIZE):
        stack[HASH + stack[entry + E_SLOT]] = 0
    for i in range(RANKS, RANKS + stack[MOST_RANK] + 1):
        stack[i] = 0
    for i in range(COUNTS, COUNTS + 8):
        stack[i] = 0
    stack[NUM_CELLS] = 1  # cell 0 ends a list


@kernel("int64(int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def find(stack, state, layout, group, rank):
    """The address of an entry, 0 if there is none. rank: -1, or that of a crossing to be made if it is not there."""
    h = mix(mix(mix(np.int64(7), state), layout), group)
    slot = (h ^ (h >> 15)) & (HASH_SIZE - 1)
    while stack[HASH + slot] != 0:
        entry = np.int64(stack[HASH + slot])
        if stack[entry + E_STATE] == state and stack[entry + E_LAYOUT] == layout and stack[entry + E_GROUP] == group:
            return entry
        slot = (slot + 1) & (HASH_SIZE - 1)
    if rank < 0:
        return np.int64(0)
    number = stack[NUM_ENTRIES]
    if number == MOST_ENTRIES or rank >= NUM_RANKS:
        return np.int64(LIMIT_CANVAS)
    stack[NUM_ENTRIES] = number + 1
    entry = np.int64(ENTRIES + number * ENTRY_SIZE)
    stack[HASH + slot] = entry
    stack[entry + E_SLOT] = slot
    stack[entry + E_STATE] = state
    stack[entry + E_LAYOUT] = layout
    stack[entry + E_GROUP] = group
    stack[entry + E_NODES] = 0
    stack[entry + E_ALIVE] = 0
    if group >= 0:
        stack[entry + E_NEXT] = stack[RANKS + rank]
        stack[RANKS + rank] = entry
        stack[MOST_RANK] = max(stack[MOST_RANK], rank)
    return entry


@kernel(f"int64({ARENAS}, int64, int64)", sources=SOURCES)
def add(mem, stack, cells, node):
    """Add a node to the cells that begin at stack[cells]; 1, or a code."""
    state = mem[node + N_STATE]
    cell = stack[cells]
    while cell != 0:
        own = stack[CELLS + 2 * cell]
        if own == node:
            return np.int64(1)
        if mem[own + N_STATE] == state:
            merged = np.int64(union(mem, stack, FREE, own, node))
            if merged < 0:
                return merged
            stack[CELLS + 2 * cell] = merged
            return np.int64(1)
        cell = stack[CELLS + 2 * cell + 1]
    cell = stack[NUM_CELLS]
    if cell == MOST_CELLS:
        return np.int64(LIMIT_CANVAS)
    stack[NUM_CELLS] = cell + 1
    stack[CELLS + 2 * cell] = node
    stack[CELLS + 2 * cell + 1] = stack[cells]
    stack[cells] = cell
    return np.int64(1)


@kernel(f"int64({ARENAS}, int64, int64)", sources=SOURCES)
def node_in(mem, stack, cell, state):
    """The node of a state in a list of cells, or NONE."""
    while cell != 0:
        if mem[stack[CELLS + 2 * cell] + N_STATE] == state:
            return np.int64(stack[CELLS + 2 * cell])
        cell = np.int64(stack[CELLS + 2 * cell + 1])
    return np.int64(NONE)


@kernel("int64(int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def record_of(mem, memo, first, second, miss):
    """The record of a crossing or of lexer starts, or the miss code when it has to be made first."""
    known = np.int64(memo_get(mem, memo, first + 1, second))
    if known == UNKNOWN:
        mem[H_FIRST] = first
        mem[H_SECOND] = second
        return np.int64(miss)
    return known


@kernel(f"int64({ARENAS}, int32[::1], int64, int64, int64, int64)", sources=SOURCES)
def shift(mem, stack, engine, accepted, layout, node, terminal):
    """List [layout, nodes...] behind a terminal, or a code."""
    if engine[H_TABLE] != 0:
        return np.int64(table_shift(mem, stack, FREE, engine, layout, node, terminal))
    return np.int64(open_shift(mem, stack, FREE, engine, accepted, node, terminal))


@kernel(f"int64({ARENAS}, int64, int64, int64, int64, int64)", sources=SOURCES)
def begin_lexemes(mem, stack, layout, top, before, group, rank):
    """Add a node to the crossings in which a lexeme begins above it; 1, or a code."""
    starts = record_of(mem, M_STARTS, np.int64(mem[top + N_STATE]), before, MISS_STARTS)
    if starts < 0:
        return starts
    for s in range(starts + 1, starts + 1 + mem[starts]):
        then = find(stack, mem[s], layout, group, rank)
        if then < 0:
            return then
        code = np.int64(add(mem, stack, then + E_NODES, top))
        if code < 0:
            return code
    return np.int64(1)


@kernel(f"int64({ARENAS}, int32[::1], int64, int64, int64)", sources=SOURCES)
def cross(mem, stack, engine, accepted, boundary, group):
    """Work on all crossings of a step; 1, or a code. ``group``: that it begins with, of which nothing has been read."""
    begin(stack)
    for i in range(boundary + L_ITEMS, boundary + L_ITEMS + mem[boundary + P_LENGTH], 3):
        entry = find(stack, mem[i], mem[i + 1], group, 0)
        if entry < 0:
            return entry
        code = np.int64(add(mem, stack, entry + E_NODES, mem[i + 2]))
        if code < 0:
            return code
    rank = np.int64(0)
    while rank <= stack[MOST_RANK]:
        entry = np.int64(stack[RANKS + rank])
        while entry != 0:
            stack[ORDER + stack[NUM_ORDER]] = entry
            stack[NUM_ORDER] += 1
            layout = np.int64(stack[entry + E_LAYOUT])
            record = record_of(mem, M_CROSSINGS, stack[entry + E_STATE], stack[entry + E_GROUP], MISS_CROSSINGS)
            if record < 0:
                return record
            at = record + 1
            for _ in range(mem[record]):
                behind = find(stack, mem[at], layout, BEHIND, 0)
                if behind < 0:
                    return behind
                at += 2
                cell = stack[entry + E_NODES]
                while cell != 0:
                    code = np.int64(add(mem, stack, behind + E_NODES, stack[CELLS + 2 * cell]))
                    if code < 0:
                        return code
                    cell = stack[CELLS + 2 * cell + 1]
            exits = mem[at]
            at += 1
            for _ in range(exits):
                terminal, before, then, then_rank = mem[at], mem[at + 1], mem[at + 2], mem[at + 3]
                at += 4
                cell = stack[entry + E_NODES]
                while cell != 0:
                    node = np.int64(stack[CELLS + 2 * cell])
                    cell = stack[CELLS + 2 * cell + 1]
                    if terminal == 0:
                        code = np.int64(begin_lexemes(mem, stack, layout, node, before, then, then_rank))
                        if code < 0:
                            return code
                        continue
                    tops = shift(mem, stack, engine, accepted, layout, node, terminal)
                    if tops < 0:
                        return tops
                    after = np.int64(mem[tops + L_ITEMS])
                    for k in range(tops + L_ITEMS + 1, tops + L_ITEMS + mem[tops + P_LENGTH]):
                        code = np.int64(begin_lexemes(mem, stack, after, mem[k], before, then, then_rank))
                        if code < 0:
                            return code
            entry = np.int64(stack[entry + E_NEXT])
        rank += 1
    return np.int64(1)


@kernel("boolean(int32[::1], int64, int64)", sources=SOURCES)
def is_less(stack, a, b):
    """Whether one triple comes before another."""
    for i in range(3):
        if stack[a + i] != stack[b + i]:
            return stack[a + i] < stack[b + i]
    return False


@kernel(f"int64({ARENAS}, int64)", sources=SOURCES)
def boundary_of(mem, stack, count):
    """The boundary of the triples stack[FREE:FREE + 3 * count], which are sorted for it (by Shell's method)."""
    gap = 1
    while 3 * gap + 1 < count:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            j = i
            while j >= gap and is_less(stack, FREE + 3 * j, FREE + 3 * (j - gap)):
                for k in range(3):
                    a, b = FREE + 3 * j + k, FREE + 3 * (j - gap) + k
                    stack[a], stack[b] = stack[b], stack[a]
                j -= gap
        gap //= 3
    return np.int64(list_of(mem, stack, FREE, 3 * count))


@kernel("int64(int32[::1], int64, int64)", sources=SOURCES)
def put_triples(stack, entry, cells):
    """Write (state, layout, node) for each cell of an entry behind the triples at FREE; how many there are then is kept
    in stack[COUNTS + 4]; 1, or a code.
    """
    cell = stack[cells]
    count = stack[COUNTS + 4]
    while cell != 0:
        at = FREE + 3 * count
        if at + 64 > stack.size:
            return np.int64(LIMIT_CANVAS)
        stack[at] = stack[entry + E_STATE]
        stack[at + 1] = stack[entry + E_LAYOUT]
        stack[at + 2] = stack[CELLS + 2 * cell]
        count += 1
        cell = stack[CELLS + 2 * cell + 1]
    stack[COUNTS + 4] = count
    return np.int64(1)


@kernel(f"int64({ARENAS}, int64, int64, int64, int64)", sources=SOURCES)
def living(mem, stack, layout, top, before, group):
    """Of the stacks of a node above which lexemes begin in some crossings, those that live on there; or a code."""
    state = np.int64(mem[top + N_STATE])
    starts = record_of(mem, M_STARTS, state, before, MISS_STARTS)
    if starts < 0:
        return starts
    live = np.int64(NONE)
    for s in range(starts + 1, starts + 1 + mem[starts]):
        entry = find(stack, mem[s], layout, group, -1)
        if entry != 0:
            live = np.int64(union(mem, stack, FREE, live, node_in(mem, stack, stack[entry + E_ALIVE], state)))
            if live < 0:
                return live
    return live


@kernel(f"int64({ARENAS}, int32[::1], int64, int64, int64, int64, int64, int64)", sources=SOURCES)
def before_exit(mem, stack, engine, accepted, layout, node, terminal, before, then):
    """The stacks of a node that live on behind an exit, or a code."""
    if terminal == 0:
        live = np.int64(living(mem, stack, layout, node, before, then))
        return np.int64(intersection(mem, stack, FREE, node, live)) if live >= 0 else live
    tops = shift(mem, stack, engine, accepted, layout, node, terminal)
    if tops < 0:
        return tops
    after = np.int64(mem[tops + L_ITEMS])
    length = mem[tops + P_LENGTH]
    # (what is put together here must stand where ``living`` does not write: it is collected behind, by number)
    count = 0
    for k in range(length - 1):
        live = np.int64(living(mem, stack, after, mem[tops + L_ITEMS + 1 + k], before, then))
        if live < 0:
            return live
        if live != NONE:
            if ORDER + stack[NUM_ORDER] + count >= COUNTS:
                return np.int64(LIMIT_CANVAS)
            stack[ORDER + stack[NUM_ORDER] + count] = live
            count += 1
    if count == 0:
        return np.int64(NONE)
    targets = np.int64(list_of(mem, stack, ORDER + stack[NUM_ORDER], count))
    if targets < 0:
        return targets
    if engine[H_TABLE] != 0:
        return np.int64(table_before(mem, stack, FREE, engine, layout, node, terminal, targets))
    return np.int64(open_before(mem, stack, FREE, engine, accepted, node, terminal, targets))


@kernel(f"int64({ARENAS}, int64)", sources=SOURCES)
def want(mem, stack, wanted):
    """Enter a boundary that is to be reached; 1, or a code."""
    for i in range(wanted + L_ITEMS, wanted + L_ITEMS + mem[wanted + P_LENGTH], 3):
        entry = find(stack, mem[i], mem[i + 1], WANTED, 0)
        if entry < 0:
            return entry
        code = np.int64(add(mem, stack, entry + E_NODES, mem[i + 2]))
        if code < 0:
            return code
    return np.int64(1)


@kernel(f"int64({ARENAS}, int32[::1])", sources=SOURCES)
def tokens_to(mem, stack, token_sets):
    """After ``cross`` and ``want``: token_sets[1:] := those that lead to what is wanted (some twice), token_sets[0] :=
    their number; 1, or a code.
    """
    count = 0
    for o in range(stack[NUM_ORDER]):
        entry = np.int64(stack[ORDER + o])
        record = record_of(mem, M_CROSSINGS, stack[entry + E_STATE], stack[entry + E_GROUP], MISS_CROSSINGS)
        at = record + 1
        for _ in range(mem[record]):
            ending = find(stack, mem[at], stack[entry + E_LAYOUT], WANTED, -1)
            token_set = mem[at + 1]
            at += 2
            cell = stack[entry + E_NODES] if ending != 0 else 0
            while cell != 0:
                node = np.int64(stack[CELLS + 2 * cell])
                cell = np.int32(stack[CELLS + 2 * cell + 1])
                other = node_in(mem, stack, stack[ending + E_NODES], np.int64(mem[node + N_STATE]))
                leads = np.int64(meets(mem, stack, FREE, node, other))
                if leads < 0:
                    return leads
                if leads != 0:
                    if count + 1 == token_sets.size:
                        return np.int64(LIMIT_CANVAS)
                    count += 1
                    token_sets[count] = token_set
                    break
    token_sets[0] = count
    return np.int64(1)


@kernel(f"int64({ARENAS}, int32[::1], int64)", sources=SOURCES)
def go_back(mem, stack, engine, accepted):
    """After ``cross`` and ``want``: what of each crossing leads to what is wanted; 1, or a code."""
    for o in range(stack[NUM_ORDER] - 1, -1, -1):
        entry = np.int64(stack[ORDER + o])
        layout = np.int64(stack[entry + E_LAYOUT])
        record = record_of(mem, M_CROSSINGS, stack[entry + E_STATE], stack[entry + E_GROUP], MISS_CROSSINGS)
        at = record + 1
        for _ in range(mem[record]):
            ending = find(stack, mem[at], layout, WANTED, -1)
            at += 2
            cell = np.int32(stack[entry + E_NODES] if ending != 0 else 0)
            while cell != 0:
                node = np.int64(stack[CELLS + 2 * cell])
                cell = np.int32(stack[CELLS + 2 * cell + 1])
                other = node_in(mem, stack, stack[ending + E_NODES], np.int64(mem[node + N_STATE]))
                part = np.int64(intersection(mem, stack, FREE, node, other))
                if part > 0:
                    part = np.int64(add(mem, stack, entry + E_ALIVE, part))
                if part < 0:
                    return part
        exits = mem[at]
        at += 1
        for _ in range(exits):
            terminal, before, then = mem[at], mem[at + 1], mem[at + 2]
            at += 4
            cell = np.int32(stack[entry + E_NODES])
            while cell != 0:
                node = np.int64(stack[CELLS + 2 * cell])
                cell = np.int32(stack[CELLS + 2 * cell + 1])
                part = before_exit(mem, stack, engine, accepted, layout, node, terminal, before, then)
                if part > 0:
                    part = np.int64(add(mem, stack, entry + E_ALIVE, part))
                if part < 0:
                    return part
    return np.int64(1)


@kernel(
    f"int64(int64, {ARENAS}, int32[::1], int32[::1], int32[::1], int64, int64, int64, int64)",
    entry=True,
    sources=SOURCES,
)
def run(operation, mem, stack, engine, at_start, token_sets, accepted, a, b, c):
    """One operation, or a code.

    OP_CROSS: the boundary behind boundary a and a slot of group b. OP_BACK: with c the boundary that is wanted behind:
    the part of boundary a that leads there. OP_TOKENS: by which token sets any of boundary a does (see ``tokens_to``).
    OP_ENDS: the part of boundary a with which texts may end; at_start: of lexer states, 1 where they may. OP_JOIN: the
    boundary that is all of boundaries a and b. OP_MEETS: 1 if boundaries a and b have anything in common.
    """
    if operation == OP_MEETS:
        begin(stack)
        code = want(mem, stack, b)
        if code < 0:
            return code
        for i in range(a + L_ITEMS, a + L_ITEMS + mem[a + P_LENGTH], 3):
            entry = find(stack, mem[i], mem[i + 1], WANTED, -1)
            if entry != 0:
                other = node_in(mem, stack, stack[entry + E_NODES], np.int64(mem[mem[i + 2] + N_STATE]))
                code = np.int64(meets(mem, stack, FREE, mem[i + 2], other))
                if code != 0:
                    return code
        return np.int64(0)
    if operation == OP_CROSS or operation == OP_BACK or operation == OP_TOKENS:  # noqa: PLR1714, SIM109 (compiled)
        code = cross(mem, stack, engine, accepted, a, b)
        if code < 0:
            return code
        cells = E_NODES
        group = np.int64(BEHIND)
        if operation != OP_CROSS:
            code = want(mem, stack, c)
            if code < 0:
                return code
            if operation == OP_TOKENS:
                return tokens_to(mem, stack, token_sets)
            code = go_back(mem, stack, engine, accepted)
            if code < 0:
                return code
            cells = E_ALIVE
            group = np.int64(b)
        for number in range(stack[NUM_ENTRIES]):
            entry = ENTRIES + number * ENTRY_SIZE
            if stack[entry + E_GROUP] == group:
                code = put_triples(stack, entry, entry + cells)
                if code < 0:
                    return code
        return np.int64(boundary_of(mem, stack, stack[COUNTS + 4]))
    begin(stack)
    for half in range(2 if operation == OP_JOIN else 1):
        boundary = a if half == 0 else b
        for i in range(boundary + L_ITEMS, boundary + L_ITEMS + mem[boundary + P_LENGTH], 3):
            node = np.int64(mem[i + 2])
            if operation == OP_ENDS:
                if at_start[mem[i]] == 0:
                    continue
                if engine[H_TABLE] != 0:
                    node = np.int64(table_ends(mem, stack, FREE, engine, mem[i + 1], node))
                    if node < 0:
                        return node
                elif mem[node + N_STATE] != ACCEPTED:
                    continue
                if node == NONE:
                    continue
            entry = find(stack, mem[i], mem[i + 1], BEHIND, 0)
            if entry < 0:
                return entry
            code = np.int64(add(mem, stack, entry + E_NODES, node))
            if code < 0:
                return code
    for number in range(stack[NUM_ENTRIES]):
        entry = ENTRIES + number * ENTRY_SIZE
        code = put_triples(stack, entry, entry + E_NODES)
        if code < 0:
            return code
    return np.int64(boundary_of(mem, stack, stack[COUNTS + 4]))


call = entry_point(run)
