"""Walks over the token trie: which tokens stay inside a lexeme, and where it can end.

    walk(L)          the tokens that stay inside the lexeme, and the exits (trie node, L') where it can end
    behind(G, L)     the same for lexemes that begin in L at the exits of group G (those with one lexer state)

Both depend on lexer states and the vocabulary alone, so one walk serves every configuration of the parser.

A walk is one scan over the nodes in preorder: a node whose byte the lexer state above cannot read is skipped with its
whole subtree. The few tokens of a narrow walk are listed; those of a wide one become a row, a bitmask in the pool.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    H_EPOCH,
    H_ORDERED,
    H_ROWS_USED,
    H_TOP,
    H_VISITS,
    LIMIT,
    M_BEHIND,
    MEMORY,
    ROWS,
    SLACK,
    TRIE,
    UNKNOWN,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    L_GROUP,
    L_MARK,
    L_MATCHES,
    L_TABLE,
    L_THREADS,
    WIDE,
    bytes_of,
    table_of,
)
from grammar_engine.kernels.lexer_steps import is_killed, lexer_step
from grammar_engine.kernels.lexer_views import ending_of, exit_of
from grammar_engine.kernels.rows import kept_row, new_row
from grammar_engine.kernels.runs import lengthens, takes
from grammar_engine.kernels.scratch import (
    SCRATCH_EXITS,
    SCRATCH_PATH,
    SCRATCH_ROUND,
    SCRATCH_WALK,
)
from grammar_engine.kernels.seen import first_pair
from grammar_engine.kernels.trie import (
    ALL_RUNS,
    NODE_DEPTH,
    NODE_SIZE,
    NODE_TOKENS,
    V_CHILDREN,
    V_END,
    V_FIRST,
    V_INFO,
    V_RUNS,
)

# Walk: [row or -1, tokens, groups, token ids..., groups of exits...].
# Group of exits: [lexer state, number of nodes, address of its index or 0, nodes...].
# Its index: [257 offsets by byte, children of its nodes, sorted by the byte that they read...].
E_STATE, E_COUNT, E_INDEX, E_NODES = 0, 1, 2, 3
W_ROW, W_TOKENS, W_GROUPS, W_LIST = 0, 1, 2, 3

MANY = 512  # more token ids than this become a row
MANY_EXITS = 32  # from so many on a group has an index
RUN_NODES = 2 * NODE_SIZE  # subtrees of at most so many nodes are not worth asking for runs


@kernel(f"int64({MEMORY}, int64, int64, int64)")
def finish_walk(mem, scratch, record, exits_at, exits):
    """Write the exits, (node, lexer state) pairs in scratch, into a walk's record at TOP, grouped by lexer state.

    In a group the nodes keep their order. The caller has made room for four ints per exit.
    """
    mem[H_EPOCH] += 1
    epoch = mem[H_EPOCH]
    groups = 0
    states_at = exits_at + 2 * exits
    for k in range(exits_at, exits_at + 2 * exits, 2):
        state = scratch[k + 1]
        if mem[state + L_MARK] != epoch:
            mem[state + L_MARK] = epoch
            mem[state + L_GROUP] = 0
            scratch[states_at + groups] = state
            groups += 1
        mem[state + L_GROUP] += 1
    at = record + W_LIST + mem[record + W_TOKENS]
    for g in range(states_at, states_at + groups):
        state = scratch[g]
        count = mem[state + L_GROUP]
        mem[at + E_STATE] = state
        mem[at + E_COUNT] = count
        mem[at + E_INDEX] = 0
        mem[state + L_GROUP] = at + E_NODES
        at += E_NODES + count
    for k in range(exits_at, exits_at + 2 * exits, 2):
        state = scratch[k + 1]
        mem[mem[state + L_GROUP]] = scratch[k]
        mem[state + L_GROUP] += 1
    mem[record + W_GROUPS] = groups
    mem[H_TOP] = at
    return groups


@kernel(f"int64({MEMORY}, {ROWS}, int64, int64, int64, int64)")
def close_walk(mem, scratch, rows, tokens_at, tokens, exits_at, exits):
    """The record of a walk from what it left in scratch, or a code. Many tokens become a row."""
    if must_grow(mem):
        return FULL
    row = -1
    listed = tokens
    if tokens > MANY:
        row = new_row(mem, rows)
        if row < 0:
            return row
        for k in range(tokens_at, tokens_at + tokens):
            token = scratch[k]
            rows[row, token >> 5] |= np.uint32(1) << np.uint32(token & 31)
        listed = 0
    top = mem[H_TOP]
    if top + W_LIST + listed + 4 * exits + SLACK > mem.size:
        if row >= 0:
            mem[H_ROWS_USED] -= 1
        return FULL
    mem[top + W_ROW] = kept_row(mem, rows, row) if row >= 0 else row
    mem[top + W_TOKENS] = listed
    for k in range(listed):
        mem[top + W_LIST + k] = scratch[tokens_at + k]
    finish_walk(mem, scratch, top, exits_at, exits)
    return top


@kernel("int64(int32[::1], int32[::1], int64, int64, int64, int64)")
def next_node(mem, trie, node, parent, state, shadows):
    """Where a walk goes on that skips a node and what is below it: its next sibling, one that ``state`` (its shadows)
    can read if the parent has a table, else the end of the parent; or FULL.
    """
    table = trie[parent + V_CHILDREN]
    if table == 0:
        return trie[node + V_END]
    readable = bytes_of(mem, state, shadows)
    if readable == WIDE:
        return trie[node + V_END]
    if readable < 0:
        return readable
    byte = trie[node + V_INFO] & 0xFF
    for k in range(readable + 1, readable + 1 + mem[readable]):
        if mem[k] > byte:
            child = trie[table + mem[k]]
            if child != 0:
                return child
    return trie[parent + V_END]


@kernel("int64(int32[::1], int32[::1], int64, int64, int64)")
def leads_on(mem, trie, node, state, end_state):
    """May an ending (leftmost-first) of a state that might go on be followed by a lexeme below a trie node? 1, 0, FULL.

    Not where every byte that the node's children read makes a longer match (behind letters mostly letters come).
    """
    child = node + NODE_SIZE
    end = trie[node + V_END]
    while child < end:
        byte = trie[child + V_INFO] & 0xFF
        after = lexer_step(mem, state, byte)
        if after < 0:
            return after
        if after == 0 or mem[after + L_MATCHES] == 0:
            return 1
        if is_killed(mem, end_state, byte) == 0:
            return 1
        child = trie[child + V_END]
    return 0


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, int64, int64, int64, int64)")
def walk_from(mem, scratch, trie, rows, state, nodes, count, there):
    """The walk of a lexer state from each of the trie nodes mem[nodes:nodes + count] on: its record, or a code.

    The state reads the nodes' own bytes first, unless it is ``there`` already, behind those bytes; from the root, which
    has none, it is what is below that is walked. there: 1 says that no node is below another too, 2 does not.

    LIMIT if there are more exits or tokens than scratch can hold (the same ones, found again below nested nodes).
    """
    exits_at = SCRATCH_EXITS
    num_nodes = trie[V_END] // NODE_SIZE
    most_exits = 2 * num_nodes
    tokens_at = exits_at + 6 * num_nodes
    most_tokens = scratch.size - tokens_at - 4096
    exits = 0
    tokens = 0
    visits = 0
    ordered = mem[H_ORDERED]
    scratch[SCRATCH_ROUND] += 1
    epoch = np.int64(scratch[SCRATCH_ROUND])
    scratch[SCRATCH_WALK] = state
    for n in range(nodes, nodes + count):
        node = mem[n]
        scratch[SCRATCH_PATH] = node
        depth0 = max(((trie[node + V_INFO] >> NODE_DEPTH) & 0xFFF) - 1, 0)
        i = np.int64(max(node, NODE_SIZE))
        end = trie[node + V_END]
        while i < end:
            visits += 1
            info = trie[i + V_INFO]
            depth = ((info >> NODE_DEPTH) & 0xFFF) - depth0
            above = scratch[SCRATCH_WALK + depth - 1]
            byte = info & 0xFF
            table = mem[above + L_TABLE]
            after = mem[table + byte] if table != 0 else UNKNOWN
            if there != 0 and i == node:
                after = state
            elif after == UNKNOWN:
                after = lexer_step(mem, above, byte)
                if after < 0:
                    return after
            if after == 0 and i == node:
                break
            if after == 0:
                i = np.int64(next_node(mem, trie, i, scratch[SCRATCH_PATH + depth - 1], above, 0))
                if i < 0:
                    return i
                continue
            alive = mem[after + L_THREADS] != 0
            below = trie[i + V_END]
            if (
                alive
                and below > i + RUN_NODES
                and (trie[i + V_RUNS] & ALL_RUNS) != 0
                and (mem[after + L_MATCHES] == 0 or ordered != 0)
            ):
                if mem[after + L_MATCHES] == 0:
                    taken = takes(mem, scratch, after, trie[i + V_RUNS])
                else:
                    taken = lengthens(mem, scratch, after, trie[i + V_RUNS])
                if taken < 0:
                    return taken
                if taken:
                    last = trie[below + V_FIRST]
                    if tokens + last - trie[i + V_FIRST] > most_tokens:
                        return LIMIT
                    for k in range(trie[i + V_FIRST], last):
                        scratch[tokens_at + tokens] = trie[k]
                        tokens += 1
                    i = below
                    continue
            here = info >> NODE_TOKENS
            if alive and here != 0:
                if tokens + here > most_tokens:
                    return LIMIT
                first = trie[i + V_FIRST]
                for k in range(first, first + here):
                    scratch[tokens_at + tokens] = trie[k]
                    tokens += 1
            if mem[after + L_MATCHES] != 0 and not (alive and below == i + NODE_SIZE):
                # (Where the lexeme may go on and no token is longer, that it may end here adds nothing.)
                new = 1
                if count > 1 and there != 1 and new != 0:
                    new = first_pair(scratch, epoch, i, after)
                if new < 0 or exits == most_exits:
                    return LIMIT
                endings = new
                if new and mem[H_ORDERED] != 0:
                    endings = mem[after + L_MATCHES]
                    if exits + endings > most_exits:
                        return LIMIT
                for k in range(endings):
                    end_state = ending_of(mem, after, k) if mem[H_ORDERED] != 0 else exit_of(mem, after)
                    if end_state < 0:
                        return end_state
                    if alive and ordered != 0:
                        followed = leads_on(mem, trie, i, after, end_state)
                        if followed < 0:
                            return followed
                        if followed == 0:
                            continue
                    scratch[exits_at + 2 * exits] = i
                    scratch[exits_at + 2 * exits + 1] = end_state
                    exits += 1
            if alive:
                scratch[SCRATCH_WALK + depth] = after
                scratch[SCRATCH_PATH + depth] = i
                i += NODE_SIZE
            else:
                i = trie[i + V_END]
    mem[H_VISITS] += visits
    return close_walk(mem, scratch, rows, tokens_at, tokens, exits_at, exits)


@kernel("int64(int32[::1], int32[::1], int64)")
def index_exits(mem, trie, group):
    """The index of a group of exits: made once, for all lexemes that may begin there; or FULL."""
    first, last = group + E_NODES, group + E_NODES + mem[group + E_COUNT]
    if must_grow(mem):
        return FULL
    index = mem[H_TOP]
    for b in range(index, index + 257):
        mem[b] = 0
    count = 0
    for k in range(first, last):
        child = mem[k] + NODE_SIZE
        while child < trie[mem[k] + V_END]:
            mem[index + 1 + (trie[child + V_INFO] & 0xFF)] += 1
            count += 1
            child = trie[child + V_END]
    if index + 257 + count + SLACK > mem.size:
        return FULL
    for b in range(index, index + 256):
        mem[b + 1] += mem[b]
    for k in range(first, last):
        child = mem[k] + NODE_SIZE
        while child < trie[mem[k] + V_END]:
            at = index + (trie[child + V_INFO] & 0xFF)
            mem[index + 257 + mem[at]] = child
            mem[at] += 1
            child = trie[child + V_END]
    for b in range(index + 256, index, -1):  # each offset has moved to where the next one begins
        mem[b] = mem[b - 1]
    mem[index] = 0
    mem[H_TOP] = index + 257 + count
    mem[group + E_INDEX] = index
    return index


@kernel(f"int64({MEMORY}, {TRIE}, {ROWS}, int64, int64)")
def walk_behind(mem, scratch, trie, rows, group, start):
    """The walk of lexemes that begin in ``start`` at the exits of a group: its record, or a code.

    It depends on the group and the start alone, so it is done once, not for every configuration. Most exits lead
    nowhere (behind digits only digits, behind spaces only spaces); only those with a byte that ``start`` reads are
    walked. With ``start`` 0: the tokens that end at the exits themselves.
    """
    known = memo_get(mem, M_BEHIND, group, start)
    if known != UNKNOWN:
        return known
    count = mem[group + E_COUNT]
    if must_grow(mem):
        return FULL
    tokens_at = SCRATCH_EXITS + 6 * (trie[V_END] // NODE_SIZE)
    tokens = 0
    if start == 0:
        for k in range(group + E_NODES, group + E_NODES + count):
            first = trie[mem[k] + V_FIRST]
            for t in range(first, first + (trie[mem[k] + V_INFO] >> NODE_TOKENS)):
                scratch[tokens_at + tokens] = trie[t]
                tokens += 1
        record = close_walk(mem, scratch, rows, tokens_at, tokens, SCRATCH_EXITS, 0)
    else:
        table = np.int64(table_of(mem, start))
        if table < 0:
            return table
        viable = np.int64(0)
        nodes = np.int64(0)
        if count >= MANY_EXITS:
            index = np.int64(mem[group + E_INDEX])
            if index == 0:
                index = np.int64(index_exits(mem, trie, group))
                if index < 0:
                    return index
            nodes = np.int64(mem[H_TOP])
            if nodes + mem[index + 256] + SLACK > mem.size:
                return FULL
            for byte in range(256):
                if mem[table + byte] != 0:
                    for k in range(index + 257 + mem[index + byte], index + 257 + mem[index + byte + 1]):
                        mem[nodes + viable] = mem[k]
                        viable += 1
        else:
            readable = bytes_of(mem, start, 0)
            if readable < 0 and readable != WIDE:
                return readable
            nodes = np.int64(mem[H_TOP])
            if nodes + 256 * count + SLACK > mem.size:
                return FULL
            for k in range(group + E_NODES, group + E_NODES + count):
                listed = trie[mem[k] + V_CHILDREN]
                if listed != 0 and readable != WIDE:
                    for r in range(readable + 1, readable + 1 + mem[readable]):
                        if trie[listed + mem[r]] != 0:
                            mem[nodes + viable] = trie[listed + mem[r]]
                            viable += 1
                else:
                    child = mem[k] + NODE_SIZE
                    while child < trie[mem[k] + V_END]:
                        if mem[table + (trie[child + V_INFO] & 0xFF)] != 0:
                            mem[nodes + viable] = child
                            viable += 1
                        child = trie[child + V_END]
        mem[H_TOP] = nodes + viable
        record = walk_from(mem, scratch, trie, rows, start, nodes, viable, 0)
        if record < 0 and mem[H_TOP] == nodes + viable:
            mem[H_TOP] = nodes
    if record > 0:
        memo_put(mem, M_BEHIND, group, start, record)
    return record
