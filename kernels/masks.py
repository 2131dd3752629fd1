"""Which tokens may come next: walks over the token trie, and masks put together from them.

    walk(L, node)     the tokens below a trie node that stay inside the lexeme, and the exits: nodes where it can end.
                      Depends on the lexer state and the vocabulary alone, so one walk serves every configuration.
    mask(L, C)        todo := [(L, root, C)]
                      for each (L, node, C) in todo, each once:
                          take walk(L, node)
                          for each exit (node', L') and terminal t that ends there: C' := shift(C, t)
                              the tokens that end at node' are allowed; todo += (start(C'), node', C')
    mask(position)    the union over its pairs (threads of lexing never speak to each other)

Exact however many lexemes a token spans: the inner loop follows it through all of them. A mask is kept compact, as
(row id or none, a few token ids); a row is a bitmask in the pool.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    FULL,
    FULL_ROWS,
    H_MISS,
    H_NO_ROW_MISS,
    H_ORDERED,
    H_ROWS_USED,
    H_TOP,
    H_VISITS,
    LIMIT,
    M_WALK,
    MISS_ROW,
    SLACK,
    T_PAIR,
    T_POSITION,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    mix,
    must_grow,
)
from grammar_engine.kernels.lexer import (
    FREE,
    L_IS_START,
    L_LIST,
    L_MATCHES,
    L_MONITORS,
    L_NEXT,
    L_SHADOWED,
    L_SHARED,
    L_THREADS,
    P_HIGH,
    P_LOW,
    P_SHADOW,
    lexer_step,
    without_shadows,
)
from grammar_engine.kernels.parser import C_FIELDS, SCRATCH_SHIFT, after_match, starts_of

# Walk: [row or -1, tokens, exits, token ids..., (node, lexer state)...].
W_ROW, W_TOKENS, W_EXITS, W_LIST = 0, 1, 2, 3
# Mask: [row or -1, number of ids, ids...].
K_ROW, K_COUNT, K_LIST = 0, 1, 2
# Pair: payload [lexer state, configuration]. Position: payload [pairs...]; accepting is known at creation.
Q_MASK, Q_FIELDS = 2, 3
O_ACCEPTING, O_FIELDS = 2, 3

# Trie node: byte | depth << 8 | number of tokens << 20.
NODE_DEPTH, NODE_TOKENS = 8, 20

MANY = 256  # more token ids than this become a row
VISITED_SLOTS = 1 << 14
SCRATCH_WORK = SCRATCH_SHIFT  # todo triples
SCRATCH_WORK_SIZE = 3 << 14
SCRATCH_VISITED = SCRATCH_WORK + SCRATCH_WORK_SIZE
SCRATCH_ROUND = SCRATCH_VISITED + 4 * VISITED_SLOTS  # stamps the visited set; grammars share scratch, so it lives here
SCRATCH_IDS = SCRATCH_ROUND + 1  # token ids of the mask being built
SCRATCH_IDS_SIZE = 1 << 14
SCRATCH_WALK = SCRATCH_IDS + SCRATCH_IDS_SIZE  # stack of lexer states (4096), then exits (1 << 18), then token ids
SCRATCH_STACK_SIZE = 1 << 12
SCRATCH_EXITS_SIZE = 1 << 18
SCRATCH_FIXED = SCRATCH_WALK + SCRATCH_STACK_SIZE + SCRATCH_EXITS_SIZE


@kernel("int64(int32[::1], uint32[:, ::1])")
def new_row(mem, rows):  # type: ignore[no-untyped-def]
    """A zeroed row of the pool, or FULL_ROWS."""
    row = mem[H_ROWS_USED]
    if row >= rows.shape[0]:
        return FULL_ROWS
    rows[row, :] = 0
    mem[H_ROWS_USED] = row + 1
    return row


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint32[:, ::1], int64, int64)")
def plain_walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, state, node):  # type: ignore[no-untyped-def]
    """A walk by following every trie node that the lexer state can read."""
    exits_at = SCRATCH_WALK + SCRATCH_STACK_SIZE
    tokens_at = exits_at + SCRATCH_EXITS_SIZE
    exits = 0
    tokens = 0
    visits = 0
    depth0 = (node_info[node] >> NODE_DEPTH) & 0xFFF
    scratch[SCRATCH_WALK] = state
    i = node + 1
    end = node_end[node]
    while i < end:
        visits += 1
        info = node_info[i]
        depth = ((info >> NODE_DEPTH) & 0xFFF) - depth0
        above = scratch[SCRATCH_WALK + depth - 1]
        byte = info & 0xFF
        after = mem[above + L_NEXT + byte]
        if after == UNKNOWN:
            after = lexer_step(mem, above, byte)
            if after < 0:
                return after
        if after == 0:
            i = node_end[i]
            continue
        alive = mem[after + L_THREADS] != 0
        count = info >> NODE_TOKENS
        if alive and count != 0:
            first = node_token[i]
            for k in range(first, first + count):
                scratch[tokens_at + tokens] = token_ids[k]
                tokens += 1
        if mem[after + L_MATCHES] != 0:
            if 2 * exits + 2 >= SCRATCH_EXITS_SIZE:
                return LIMIT
            scratch[exits_at + 2 * exits] = i
            scratch[exits_at + 2 * exits + 1] = after
            exits += 1
        if alive:
            scratch[SCRATCH_WALK + depth] = after
            i += 1
        else:
            i = node_end[i]
    mem[H_VISITS] += visits
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
    if top + W_LIST + listed + 2 * exits + SLACK > mem.size:
        if row >= 0:
            mem[H_ROWS_USED] -= 1
        return FULL
    mem[top + W_ROW] = row
    mem[top + W_TOKENS] = listed
    mem[top + W_EXITS] = exits
    for k in range(listed):
        mem[top + W_LIST + k] = scratch[tokens_at + k]
    for k in range(2 * exits):
        mem[top + W_LIST + listed + k] = scratch[exits_at + k]
    mem[H_TOP] = top + W_LIST + listed + 2 * exits
    memo_put(mem, M_WALK, state, node, top)
    return top


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int64)")
def counted_walk(mem, scratch, node_info, node_end, node_token, token_ids, state):  # type: ignore[no-untyped-def]
    """A walk from the root in free counting (see lexer.counter_after), for lexer states inside one counted loop.

    Leaves (token, rounds) pairs and (node, lexer state, rounds) triples in scratch, their numbers in scratch[0] and
    scratch[1], and where they start in scratch[2] and scratch[3]; rounds is how many rounds the loop begins on the way,
    -1 where that does not matter because a thread outside of the loop is alive.
    """
    exits_at = SCRATCH_WALK + SCRATCH_STACK_SIZE
    tokens_at = exits_at + SCRATCH_EXITS_SIZE
    exits = 0
    tokens = 0
    scratch[SCRATCH_WALK] = state
    i = 1
    end = node_end[0]
    visits = 0
    while i < end:
        visits += 1
        info = node_info[i]
        depth = (info >> NODE_DEPTH) & 0xFFF
        after = lexer_step(mem, scratch[SCRATCH_WALK + depth - 1], info & 0xFF)
        if after < 0:
            return after
        if after == 0:
            i = node_end[i]
            continue
        threads = mem[after + L_THREADS]
        if threads != 0:
            rounds = np.int64(1 << 30)
            for k in range(after + L_LIST, after + L_LIST + 2 * threads, 2):
                rounds = min(rounds, mem[k + 1] - FREE if mem[k + 1] < 0 else -1)
            first = node_token[i]
            for k in range(first, first + (info >> NODE_TOKENS)):
                scratch[tokens_at + 2 * tokens] = token_ids[k]
                scratch[tokens_at + 2 * tokens + 1] = rounds
                tokens += 1
        matches = after + L_LIST + 2 * (threads + mem[after + L_MONITORS])
        for k in range(matches, matches + 2 * mem[after + L_MATCHES], 2):
            if 3 * exits + 3 >= SCRATCH_EXITS_SIZE:
                return LIMIT
            scratch[exits_at + 3 * exits] = i
            scratch[exits_at + 3 * exits + 1] = after
            scratch[exits_at + 3 * exits + 2] = mem[k + 1] - FREE if mem[k + 1] < 0 else -1
            exits += 1
        if threads != 0:
            scratch[SCRATCH_WALK + depth] = after
            i += 1
        else:
            i = node_end[i]
    mem[H_VISITS] += visits
    scratch[0] = tokens
    scratch[1] = exits
    scratch[2] = tokens_at
    scratch[3] = exits_at
    return 1


@kernel("int64(int32[::1], int64, int64)")
def shadow_reads(mem, state, byte):  # type: ignore[no-untyped-def]
    """1 if some shadow of the state can read the byte."""
    for i in range(state + L_LIST, state + L_LIST + 2 * mem[state + L_THREADS], 2):
        position = mem[i]
        if mem[position + P_SHADOW] != 0 and mem[position + P_LOW] <= byte <= mem[position + P_HIGH]:
            return 1
    return 0


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint32[:, ::1], int64, int64)")
def shadowed_walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, state, node):  # type: ignore[no-untyped-def]
    """The walk of a state with shadows (unordered lexing): that of the state without them, but for the exits they forbid.

    Shadows never keep a thread from living, so the row is the same; only trie nodes that a shadow can read are visited.
    """
    plain = without_shadows(mem, state)
    if plain < 0:
        return plain
    found = memo_get(mem, M_WALK, plain, node)
    if found == UNKNOWN:
        if node == 0 and mem[plain + L_SHARED] != 0 and mem[H_NO_ROW_MISS] == 0:
            mem[H_MISS] = plain
            return MISS_ROW
        found = plain_walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, plain, node)
        if found < 0:
            return found
    # Where the shadows are alive, note nodes and what the state really is there: (node, state) in trie order.
    exits_at = SCRATCH_WALK + SCRATCH_STACK_SIZE
    noted = 0
    depth0 = (node_info[node] >> NODE_DEPTH) & 0xFFF
    scratch[SCRATCH_WALK] = state
    i = node + 1
    end = node_end[node]
    visits = 0
    while i < end:
        visits += 1
        info = node_info[i]
        depth = ((info >> NODE_DEPTH) & 0xFFF) - depth0
        byte = info & 0xFF
        above = scratch[SCRATCH_WALK + depth - 1]
        if not shadow_reads(mem, above, byte):
            i = node_end[i]
            continue
        after = lexer_step(mem, above, byte)
        if after < 0:
            return after
        scratch[exits_at + 2 * noted] = i
        scratch[exits_at + 2 * noted + 1] = after
        noted += 1
        if 2 * noted + 2 >= SCRATCH_EXITS_SIZE:
            return LIMIT
        if after != 0 and mem[after + L_SHADOWED] != 0:
            scratch[SCRATCH_WALK + depth] = after
            i += 1
        else:
            i = node_end[i]
    mem[H_VISITS] += visits
    if must_grow(mem):
        return FULL
    tokens = mem[found + W_TOKENS]
    exits = mem[found + W_EXITS]
    top = mem[H_TOP]
    if top + W_LIST + tokens + 2 * exits + SLACK > mem.size:
        return FULL
    mem[top + W_ROW] = mem[found + W_ROW]
    mem[top + W_TOKENS] = tokens
    at = top + W_LIST
    for k in range(found + W_LIST, found + W_LIST + tokens):
        mem[at] = mem[k]
        at += 1
    kept = 0
    n = 0
    for k in range(found + W_LIST + tokens, found + W_LIST + tokens + 2 * exits, 2):
        while n < noted and scratch[exits_at + 2 * n] < mem[k]:
            n += 1
        after = mem[k + 1]
        if n < noted and scratch[exits_at + 2 * n] == mem[k]:
            after = scratch[exits_at + 2 * n + 1]
            if after == 0 or mem[after + L_MATCHES] == 0:
                continue
        mem[at] = mem[k]
        mem[at + 1] = after
        at += 2
        kept += 1
    mem[top + W_EXITS] = kept
    mem[H_TOP] = at
    memo_put(mem, M_WALK, state, node, top)
    return top


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint32[:, ::1], int64, int64)")
def walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, state, node):  # type: ignore[no-untyped-def]
    """The walk of a lexer state below a trie node: its address, or a code."""
    known = memo_get(mem, M_WALK, state, node)
    if known != UNKNOWN:
        return known
    if node == 0 and mem[state + L_SHARED] != 0 and mem[H_NO_ROW_MISS] == 0:
        mem[H_MISS] = state
        return MISS_ROW
    if mem[state + L_SHADOWED] != 0 and mem[H_ORDERED] == 0:
        return shadowed_walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, state, node)
    return plain_walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, state, node)


@kernel("int64(int32[::1], int64, int64, int64, int64)")
def first_visit(scratch, epoch, a, b, c):  # type: ignore[no-untyped-def]
    """1 if (a, b, c) was not seen in this epoch, 0 if it was, LIMIT if too many were."""
    h = mix(mix(mix(np.int64(3), a), b), c)
    slot = (h ^ (h >> 15)) & (VISITED_SLOTS - 1)
    for _ in range(64):
        at = SCRATCH_VISITED + 4 * slot
        if scratch[at] != epoch:
            scratch[at] = epoch
            scratch[at + 1] = a
            scratch[at + 2] = b
            scratch[at + 3] = c
            return 1
        if scratch[at + 1] == a and scratch[at + 2] == b and scratch[at + 3] == c:
            return 0
        slot = (slot + 1) & (VISITED_SLOTS - 1)
    return LIMIT


@kernel("void(uint32[:, ::1], int64, int32[::1], int64, int64)")
def add_to_row(rows, row, ids, first, count):  # type: ignore[no-untyped-def]
    """Set the bits of ids[first:first + count] in a row."""
    for k in range(first, first + count):
        token = ids[k]
        rows[row, token >> 5] |= np.uint32(1) << np.uint32(token & 31)


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint32[:, ::1], int64)")
def mask_of_pair(mem, scratch, node_info, node_end, node_token, token_ids, rows, pair):  # type: ignore[no-untyped-def]
    """The mask of (lexer state, configuration): its address, or a code."""
    known = mem[pair + Q_MASK]
    if known != 0:
        return known
    if must_grow(mem):
        return FULL
    ordered = mem[H_ORDERED]
    scratch[SCRATCH_ROUND] += 1
    epoch = np.int64(scratch[SCRATCH_ROUND])
    scratch[SCRATCH_WORK] = mem[pair + Q_FIELDS]
    scratch[SCRATCH_WORK + 1] = 0
    scratch[SCRATCH_WORK + 2] = mem[pair + Q_FIELDS + 1]
    todo, done = 1, 0
    ids = 0
    base = -1  # the one row that is taken as it is
    own = -1  # a row of this mask's own, once one is not enough
    while done < todo:
        at = SCRATCH_WORK + 3 * done
        state, node, configuration = scratch[at], scratch[at + 1], scratch[at + 2]
        done += 1
        found = walk(mem, scratch, node_info, node_end, node_token, token_ids, rows, state, node)
        if found < 0:
            if own >= 0 and mem[H_ROWS_USED] == own + 1:
                mem[H_ROWS_USED] = own
            return found
        if mem[found + W_ROW] >= 0:
            if base < 0:
                base = mem[found + W_ROW]
            elif base != mem[found + W_ROW]:
                if own < 0:
                    own = new_row(mem, rows)
                    if own < 0:
                        return own
                    for w in range(rows.shape[1]):
                        rows[own, w] = rows[base, w]
                other = mem[found + W_ROW]
                for w in range(rows.shape[1]):
                    rows[own, w] |= rows[other, w]
        count = mem[found + W_TOKENS]
        if ids + count >= SCRATCH_IDS_SIZE:
            if own < 0:
                own = new_row(mem, rows)
                if own < 0:
                    return own
                if base >= 0:
                    for w in range(rows.shape[1]):
                        rows[own, w] = rows[base, w]
                base = own
            add_to_row(rows, own, scratch, SCRATCH_IDS, ids)
            ids = 0
        for k in range(found + W_LIST, found + W_LIST + count):
            scratch[SCRATCH_IDS + ids] = mem[k]
            ids += 1
        exits = found + W_LIST + count
        for k in range(exits, exits + 2 * mem[found + W_EXITS], 2):
            exit_node = mem[k]
            exit_state = mem[k + 1]
            matches = exit_state + L_LIST + 2 * (mem[exit_state + L_THREADS] + mem[exit_state + L_MONITORS])
            shifted = False
            for v in range(2 * mem[exit_state + L_MATCHES]):  # each match, as a terminal and as an ignored one
                after = after_match(mem, scratch, configuration, mem[matches + (v & ~1)], v & 1)
                if after < 0:
                    if own >= 0 and mem[H_ROWS_USED] == own + 1:
                        mem[H_ROWS_USED] = own
                    return after
                if after == 0:
                    continue
                shifted = True
                if node_end[exit_node] == exit_node + 1:
                    continue
                lexeme_lives = mem[exit_state + L_THREADS] + mem[exit_state + L_MONITORS] != 0
                starts = starts_of(mem, scratch, after, exit_state if ordered and lexeme_lives else 0)
                if starts < 0:
                    if own >= 0 and mem[H_ROWS_USED] == own + 1:
                        mem[H_ROWS_USED] = own
                    return starts
                for s in range(starts + 1, starts + 1 + mem[starts]):
                    # Most exits lead nowhere (behind digits only digits, behind spaces only spaces): look before walking.
                    child = exit_node + 1
                    while child < node_end[exit_node] and mem[mem[s] + L_NEXT + (node_info[child] & 0xFF)] == 0:
                        child = node_end[child]
                    if child >= node_end[exit_node]:
                        continue
                    new = first_visit(scratch, epoch, mem[s], exit_node, after)
                    if new < 0 or 3 * todo + 3 >= SCRATCH_WORK_SIZE:
                        return LIMIT
                    if new:
                        work = SCRATCH_WORK + 3 * todo
                        scratch[work] = mem[s]
                        scratch[work + 1] = exit_node
                        scratch[work + 2] = after
                        todo += 1
            if shifted and mem[exit_state + L_THREADS] == 0:
                count = node_info[exit_node] >> NODE_TOKENS
                if count != 0:
                    first = node_token[exit_node]
                    if ids + count >= SCRATCH_IDS_SIZE:
                        return LIMIT
                    for t in range(first, first + count):
                        scratch[SCRATCH_IDS + ids] = token_ids[t]
                        ids += 1
    if own < 0 and ids > MANY:
        own = new_row(mem, rows)
        if own < 0:
            return own
        if base >= 0:
            for w in range(rows.shape[1]):
                rows[own, w] = rows[base, w]
    if own >= 0:
        add_to_row(rows, own, scratch, SCRATCH_IDS, ids)
        ids = 0
        base = own
    if must_grow(mem) or mem[H_TOP] + ids + SLACK > mem.size:
        if own >= 0 and mem[H_ROWS_USED] == own + 1:
            mem[H_ROWS_USED] = own
        return FULL
    top = mem[H_TOP]
    mem[top + K_ROW] = base
    mem[top + K_COUNT] = ids
    for k in range(ids):
        mem[top + K_LIST + k] = scratch[SCRATCH_IDS + k]
    mem[H_TOP] = top + K_LIST + ids
    mem[pair + Q_MASK] = top
    return top


@kernel("int64(int32[::1], int64, int64)")
def intern_pair(mem, state, configuration):  # type: ignore[no-untyped-def]
    """The record of (lexer state, configuration)."""
    top = mem[H_TOP]
    mem[top + Q_FIELDS] = state
    mem[top + Q_FIELDS + 1] = configuration
    pair = intern(mem, T_PAIR, Q_FIELDS, 2)
    if pair == top:
        mem[pair + Q_MASK] = 0
    return pair


@kernel("int64(int32[::1], int32[::1], int64, int64, int64)")
def add_pair(mem, scratch, count, state, configuration):  # type: ignore[no-untyped-def]
    """Add a pair to the sorted list in scratch[SCRATCH_WORK:]; the new count, or a code."""
    if must_grow(mem):
        return FULL
    pair = intern_pair(mem, state, configuration)
    i = SCRATCH_WORK + count
    while i > SCRATCH_WORK and scratch[i - 1] > pair:
        i -= 1
    if i > SCRATCH_WORK and scratch[i - 1] == pair:
        return count
    if count + 1 >= SCRATCH_WORK_SIZE:
        return LIMIT
    for j in range(SCRATCH_WORK + count, i, -1):
        scratch[j] = scratch[j - 1]
    scratch[i] = pair
    return count + 1


@kernel("int64(int32[::1], int32[::1], int64)")
def intern_position(mem, scratch, count):  # type: ignore[no-untyped-def]
    """The position made of the pairs in scratch[SCRATCH_WORK:], or FULL."""
    if must_grow(mem) or mem[H_TOP] + count + SLACK > mem.size:
        return FULL
    top = mem[H_TOP]
    for i in range(count):
        mem[top + O_FIELDS + i] = scratch[SCRATCH_WORK + i]
    position = intern(mem, T_POSITION, O_FIELDS, count)
    if position == top:
        accepting = 0
        for i in range(position + O_FIELDS, position + O_FIELDS + count):
            if mem[mem[mem[i] + Q_FIELDS] + L_IS_START] != 0 and mem[mem[mem[i] + Q_FIELDS + 1] + C_FIELDS] != 0:
                accepting = 1
        mem[position + O_ACCEPTING] = accepting
    return position


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def position_step(mem, scratch, position, byte):  # type: ignore[no-untyped-def]
    """The position after a byte; 0 if no thread survives, or a code."""
    ordered = mem[H_ORDERED]
    count = 0
    for i in range(position + O_FIELDS, position + O_FIELDS + mem[position + 1]):
        pair = mem[i]
        configuration = mem[pair + Q_FIELDS + 1]
        state = lexer_step(mem, mem[pair + Q_FIELDS], byte)
        if state < 0:
            return state
        if state == 0:
            continue
        alive = mem[state + L_THREADS] != 0
        if alive:
            count = add_pair(mem, scratch, count, state, configuration)
            if count < 0:
                return count
        matches = state + L_LIST + 2 * (mem[state + L_THREADS] + mem[state + L_MONITORS])
        for v in range(2 * mem[state + L_MATCHES]):  # each match, as a terminal and as an ignored one
            after = after_match(mem, scratch, configuration, mem[matches + (v & ~1)], v & 1)
            if after < 0:
                return after
            if after == 0:
                continue
            lexeme_lives = mem[state + L_THREADS] + mem[state + L_MONITORS] != 0
            starts = starts_of(mem, scratch, after, state if ordered and lexeme_lives else 0)
            if starts < 0:
                return starts
            for s in range(starts + 1, starts + 1 + mem[starts]):
                count = add_pair(mem, scratch, count, mem[s], after)
                if count < 0:
                    return count
    if count == 0:
        return 0
    return intern_position(mem, scratch, count)
