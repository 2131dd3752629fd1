"""LR(0) item sets and persistent graph-structured stacks, both built on demand.

The grammar is ε-free, so every symbol spans at least one lexeme: a reduction pops at least one level, the stack graph
has no cycles, and "right-nulled" or hidden-left-recursive cases do not arise (they are what makes GLR subtle; see Scott
and Johnstone, Right Nulled GLR Parsers, 2006). There is no lookahead: a reduction that leads nowhere has no shift.

    node           = (LR state, set of parent nodes)                                        interned
    configuration  = (accepting?, set of nodes that can still shift)                        interned
    shift(C, t)    edges := { (goto(state(n), t), n) : n in C }
                   for each edge (s, p), also those added meanwhile:
                       for each complete item A -> X1..Xk in s, each node q that is k-1 levels above p:
                           edges += (goto(state(q), A), q)
                   group edges by state: each state with its parents is a node; those that can shift are the answer

Tomita's algorithm (1987), with nodes hash-consed so that equal stacks are equal integers: after each element of a list
the configuration is the *same* one, and everything known about it (its lexer start, its masks) is known again.

Symbols in the arena: terminal > 0 and nonterminal < 0 are (minus) addresses; 0 ends a right-hand side and is followed
by the left-hand side's address and the length. An item is the address of the symbol behind its dot.
"""

from __future__ import annotations

from grammar_engine.kernels.arena import (
    DEEP,
    FULL,
    H_EPOCH,
    H_MISS,
    H_ORDERED,
    H_START,
    H_TABLE,
    H_TOP,
    LIMIT,
    M_GOTO,
    M_SHIFT,
    MISS_NONTERMINAL,
    SLACK,
    T_CONFIG,
    T_NODE,
    T_STATE,
    UNKNOWN,
    intern,
    kernel,
    memo_get,
    memo_put,
    must_grow,
)
from grammar_engine.kernels.lexer import X_IGNORED, X_MARK
from grammar_engine.kernels.scratch import SCRATCH_SHIFT
from grammar_engine.kernels.table_parser import table_shift

# Nonterminal.
N_PRODUCTIONS, N_MARK, NONTERMINAL_SIZE = 0, 1, 2
# LR state: fields, then payload: sorted kernel items. The three lists are [n, ...].
S_CLOSURE, S_TERMINALS, S_COMPLETE, S_FIELDS = 2, 3, 4, 5
# Stack node: payload [state, parents...].
G_FIELDS = 2
# Configuration: payload [accepting, nodes...]. C_SHAPE: see kernels.starts, and of a shape, C_START. C_LEAST: 0, or the
# configuration cut at the first level (kernels.stack_tops). C_CUT: see kernels.table_parser.
C_START, C_SHAPE, C_LEAST, C_FIELDS = 2, 3, 4, 5


@kernel("int64(int32[::1], int64)")
def expand_state(mem, state):
    """Fill in closure, terminals and complete items of an LR state; 0, MISS_NONTERMINAL or FULL."""
    if mem[state + S_CLOSURE] != 0:
        return 0
    if must_grow(mem):
        return FULL
    mem[H_EPOCH] += 1
    epoch = mem[H_EPOCH]
    limit = mem.size - 64
    closure = mem[H_TOP]
    end = closure + 1
    first, last = state + S_FIELDS, state + S_FIELDS + mem[state + 1]
    for i in range(first, last):
        symbol = mem[mem[i]]
        if symbol < 0 and mem[-symbol + N_MARK] != epoch:
            mem[-symbol + N_MARK] = epoch
            mem[end] = -symbol
            end += 1
            if end > limit:
                return FULL
    i = closure + 1
    while i < end:
        productions = mem[mem[i] + N_PRODUCTIONS]
        if productions == 0:
            mem[H_MISS] = mem[i]
            return MISS_NONTERMINAL
        for j in range(productions + 1, productions + 1 + mem[productions]):
            symbol = mem[mem[j]]
            if symbol < 0 and mem[-symbol + N_MARK] != epoch:
                mem[-symbol + N_MARK] = epoch
                mem[end] = -symbol
                end += 1
                if end > limit:
                    return FULL
        i += 1
    mem[closure] = end - closure - 1
    terminals = end
    end = terminals + 1
    for i in range(first, last):
        symbol = mem[mem[i]]
        if symbol > 0 and mem[symbol + X_MARK] != epoch:
            mem[symbol + X_MARK] = epoch
            mem[end] = symbol
            end += 1
            if end > limit:
                return FULL
    for i in range(closure + 1, terminals):
        productions = mem[mem[i] + N_PRODUCTIONS]
        for j in range(productions + 1, productions + 1 + mem[productions]):
            symbol = mem[mem[j]]
            if symbol > 0 and mem[symbol + X_MARK] != epoch:
                mem[symbol + X_MARK] = epoch
                mem[end] = symbol
                end += 1
                if end > limit:
                    return FULL
    mem[terminals] = end - terminals - 1
    complete = end
    end = complete + 1
    for i in range(first, last):
        if mem[mem[i]] == 0:
            mem[end] = mem[i]
            end += 1
            if end > limit:
                return FULL
    mem[complete] = end - complete - 1
    mem[H_TOP] = end
    mem[state + S_TERMINALS] = terminals
    mem[state + S_COMPLETE] = complete
    mem[state + S_CLOSURE] = closure
    return 0


@kernel("int64(int32[::1], int64, int64, int64)")
def insert_sorted(mem, base, count, value):
    """Insert into the sorted list at ``base`` unless present; returns the new count."""
    i = base + count
    while i > base and mem[i - 1] > value:
        i -= 1
    if i > base and mem[i - 1] == value:
        return count
    for j in range(base + count, i, -1):
        mem[j] = mem[j - 1]
    mem[i] = value
    return count + 1


@kernel("int64(int32[::1], int64, int64)")
def goto_state(mem, state, symbol):
    """The LR state behind ``symbol``; 0 if there is none, or a code."""
    known = memo_get(mem, M_GOTO, state, symbol)
    if known != UNKNOWN:
        return known
    code = expand_state(mem, state)
    if code < 0:
        return code
    if must_grow(mem):
        return FULL
    limit = mem.size - 64
    base = mem[H_TOP] + S_FIELDS
    count = 0
    for i in range(state + S_FIELDS, state + S_FIELDS + mem[state + 1]):
        if mem[mem[i]] == symbol:
            count = insert_sorted(mem, base, count, mem[i] + 1)
    closure = mem[state + S_CLOSURE]
    for i in range(closure + 1, closure + 1 + mem[closure]):
        productions = mem[mem[i] + N_PRODUCTIONS]
        for j in range(productions + 1, productions + 1 + mem[productions]):
            if mem[mem[j]] == symbol:
                if base + count > limit:
                    return FULL
                count = insert_sorted(mem, base, count, mem[j] + 1)
    result = 0
    if count > 0:
        top = mem[H_TOP]
        result = intern(mem, T_STATE, S_FIELDS, count)
        if result == top:
            mem[result + S_CLOSURE] = 0
            mem[result + S_TERMINALS] = 0
            mem[result + S_COMPLETE] = 0
    memo_put(mem, M_GOTO, state, symbol, result)
    return result


@kernel("int64(int32[::1], int32[::1], int64, int64)")
def shift(mem, scratch, configuration, terminal):
    """The configuration after ``terminal``; 0 if it cannot be shifted, or a code: DEEP if an opaque node is popped.

    scratch[0:SCRATCH_SHIFT] holds the edges from below and the current frontier from the middle.
    """
    known = memo_get(mem, M_SHIFT, configuration, terminal)
    if known != UNKNOWN:
        return known
    if must_grow(mem):
        return FULL
    half = SCRATCH_SHIFT // 2
    edges = 0
    accepting = 0
    nodes = configuration + C_FIELDS + 1
    for i in range(nodes, configuration + C_FIELDS + mem[configuration + 1]):
        node = mem[i]
        state = goto_state(mem, mem[node + G_FIELDS], terminal)
        if state < 0:
            return state
        if state > 0:
            scratch[2 * edges] = state
            scratch[2 * edges + 1] = node
            edges += 1
    if edges == 0:
        memo_put(mem, M_SHIFT, configuration, terminal, 0)
        return 0
    e = 0
    while e < edges:
        state = scratch[2 * e]
        parent = scratch[2 * e + 1]
        e += 1
        code = expand_state(mem, state)
        if code < 0:
            return code
        complete = mem[state + S_COMPLETE]
        for r in range(complete + 1, complete + 1 + mem[complete]):
            left = mem[mem[r] + 1]
            length = mem[mem[r] + 2]
            # Ancestors `length - 1` levels above the parent, each once.
            start, count = half, 1
            scratch[start] = parent
            for _ in range(length - 1):
                next_start, next_count = start + count, 0
                for f in range(start, start + count):
                    above = scratch[f]
                    for g in range(above + G_FIELDS + 1, above + G_FIELDS + mem[above + 1]):
                        if mem[g] < 0:
                            memo_put(mem, M_SHIFT, configuration, terminal, DEEP)
                            return DEEP
                        found = False
                        for h in range(next_start, next_start + next_count):
                            if scratch[h] == mem[g]:
                                found = True
                                break
                        if not found:
                            if next_start + next_count + 1 >= SCRATCH_SHIFT:
                                return LIMIT
                            scratch[next_start + next_count] = mem[g]
                            next_count += 1
                start, count = next_start, next_count
            for f in range(start, start + count):
                above = scratch[f]
                if left == mem[H_START]:
                    accepting = 1
                    continue
                target = goto_state(mem, mem[above + G_FIELDS], -left)
                if target < 0:
                    return target
                if target == 0:
                    continue
                found = False
                for g in range(edges):
                    if scratch[2 * g] == target and scratch[2 * g + 1] == above:
                        found = True
                        break
                if not found:
                    if 2 * edges + 2 >= half:
                        return LIMIT
                    scratch[2 * edges] = target
                    scratch[2 * edges + 1] = above
                    edges += 1
    # Group edges by state; only nodes that can shift stay. Node addresses are collected behind the edges.
    tops = half
    num_tops = 0
    for e in range(edges):
        state = scratch[2 * e]
        if state == 0 or mem[mem[state + S_TERMINALS]] == 0:
            continue
        if must_grow(mem):
            return FULL
        top = mem[H_TOP]
        base = top + G_FIELDS + 1
        if base + edges + SLACK > mem.size:
            return FULL
        count = 0
        for g in range(e, edges):
            if scratch[2 * g] == state:
                count = insert_sorted(mem, base, count, scratch[2 * g + 1])
                if g > e:
                    scratch[2 * g] = 0
        mem[top + G_FIELDS] = state
        scratch[tops + num_tops] = intern(mem, T_NODE, G_FIELDS, count + 1)
        num_tops += 1
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    base = top + C_FIELDS + 1
    if base + num_tops + SLACK > mem.size:
        return FULL
    count = 0
    for i in range(num_tops):
        count = insert_sorted(mem, base, count, scratch[tops + i])
    mem[top + C_FIELDS] = accepting
    result = 0
    if count > 0 or accepting != 0:
        result = intern(mem, T_CONFIG, C_FIELDS, count + 1)
        if result == top:
            mem[result + C_START] = 0
            mem[result + C_SHAPE] = 0
            mem[result + C_LEAST] = 0
    memo_put(mem, M_SHIFT, configuration, terminal, result)
    return result


@kernel("int64(int32[::1], int32[::1], int64, int64, int64)")
def after_match(mem, scratch, configuration, terminal, as_ignored):
    """The configuration after a match, once as a terminal of the rules and once as an ignored one; 0 if it is not one.

    Leftmost-first lexing drops an ignored match, as Lark's lexers do; unordered lexing tries both.
    """
    ignored = mem[terminal + X_IGNORED] != 0
    if as_ignored != 0:
        return configuration if ignored else 0
    if ignored and mem[H_ORDERED] != 0:
        return 0
    if mem[H_TABLE] != 0:
        return table_shift(mem, scratch, configuration, terminal)
    return shift(mem, scratch, configuration, terminal)
