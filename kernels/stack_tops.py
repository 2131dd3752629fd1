"""The tops of stacks: as much of them as a mask looks at, so that deep stacks with equal tops share what is known.

Behind `x` of `f(x` most tokens do not depend on what stands before the parenthesis; only those that close it do. So a
mask follows its lexemes in the configuration **cut** to some level, and looks deeper only for a terminal whose
reductions pop more than that. Statements repeat, what surrounds them hardly ever does: cut, most new stacks are old.

    opaque node    = (LR state, -hole): a reduction may end there, but to pop it is DEEP                  interned
    top(C, level)  = C with the nodes at the level's depth below its own made opaque, or C if it is not that deep
    path           = a terminal (0: an ignored one) behind another path; its configuration at any level, by shifts from
                     top(C, level)

With a given table (kernels.table_parser) the stack is a chain. What is known of its top is its shape too, since what
the lexer is offered depends on reductions below: a cut configuration is [0, top node, shape]. Layouts are cut like
stacks; those of the nodes below the top do not matter.

Exact, as cutting commutes with shift: what a reduction needs of the node where it ends is its LR state alone. Holes
are numbered, so in one mask equal cut configurations are cuts of equal ones.
"""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import (
    DEEP,
    FULL,
    H_ORDERED,
    H_TABLE,
    H_TOP,
    LEFTMOST_FIRST,
    MEMORY,
    SLACK,
    T_CONFIG,
    T_NODE,
    intern,
    kernel,
    must_grow,
)
from grammar_engine.kernels.parser import (
    C_FIELDS,
    C_LEAST,
    C_SHAPE,
    G_FIELDS,
    after_match,
    insert_sorted,
)
from grammar_engine.kernels.scratch import (
    PATH_CONFIGURATIONS,
    PATH_EXPANSION,
    PATH_LEVEL,
    PATH_PARENT,
    PATH_SIZE,
    PATH_TERMINAL,
    SCRATCH_PATHS,
    SCRATCH_SHIFT,
    WHOLE,
)
from grammar_engine.kernels.starts import shape_of
from grammar_engine.kernels.table_parser import (
    C_CUT,
    C_NODE,
    LAYOUT_BELOW,
    LAYOUT_COLUMN,
    NODE_BELOW,
    NODE_LAYOUT,
    NODE_STATE,
    OPAQUE,
    layout_above,
)

DEPTHS = (1, 4, 9, 24)  # by level; from WHOLE on nothing is cut
COLUMNS = (1, 2, 5, 24)  # of a layout
MOST_NODES = 512  # of stacks with more nodes than this on top nothing is cut
HOLES = 1 << 16  # from a hole of one level to that of the next


@kernel("int64(int64)")
def hole_of(level):
    """What stands in the place of an opaque node's parents."""
    return -(level * HOLES + 1)


@kernel(f"int64({MEMORY}, int64, int64)")
def table_top(mem, scratch, configuration, level):
    """The same for a configuration of the table parser; or a code."""
    shape = np.int64(shape_of(mem, scratch, configuration))
    if shape < 0:
        return shape
    depth = DEPTHS[level]
    node = np.int64(mem[configuration + C_NODE])
    layout = np.int64(mem[node + NODE_LAYOUT])
    below = np.int64(hole_of(level))
    nodes = 0
    while nodes <= depth:
        scratch[nodes] = node
        nodes += 1
        node = np.int64(mem[node + NODE_BELOW])
        if node == 0:
            return configuration
        if node < 0:
            below = node
            break
    levels = 0
    while layout > 0 and levels < COLUMNS[level]:
        scratch[depth + 1 + levels] = mem[layout + LAYOUT_COLUMN]
        levels += 1
        layout = np.int64(mem[layout + LAYOUT_BELOW])
    if layout > 0:
        layout = np.int64(OPAQUE - level)
    for k in range(depth + levels, depth, -1):
        if must_grow(mem):
            return FULL
        layout = np.int64(layout_above(mem, layout, scratch[k]))
    for d in range(nodes - 1, -1, -1):
        if must_grow(mem):
            return FULL
        top = mem[H_TOP]
        mem[top + NODE_STATE] = mem[scratch[d] + NODE_STATE]
        mem[top + NODE_BELOW] = below
        mem[top + NODE_LAYOUT] = layout if d == 0 else 0
        below = np.int64(intern(mem, T_NODE, NODE_STATE, 3))
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    mem[top + C_FIELDS] = 0
    mem[top + C_FIELDS + 1] = below
    mem[top + C_FIELDS + 2] = shape
    result = intern(mem, T_CONFIG, C_FIELDS, 3)
    if result == top:
        mem[result + C_CUT] = 1
        mem[result + C_SHAPE] = shape
        mem[result + C_LEAST] = result if level == 0 else 0
    return result


@kernel(f"int64({MEMORY}, int64, int64)")
def top_of(mem, scratch, configuration, level):
    """The configuration cut at a level, itself if there is nothing below; or a code."""
    if mem[H_TABLE] != 0:
        return table_top(mem, scratch, configuration, level)
    bounds = SCRATCH_SHIFT - 64  # where the nodes of each depth begin
    cut = SCRATCH_SHIFT // 2  # what replaces them
    depth = DEPTHS[level]
    last = mem[configuration + 1] - 1
    if last > MOST_NODES:
        return configuration
    for i in range(last):
        scratch[i] = mem[configuration + C_FIELDS + 1 + i]
    first = 0
    scratch[bounds] = 0
    for d in range(1, depth + 1):
        scratch[bounds + d] = last
        end = last
        for f in range(first, last):
            node = scratch[f]
            for g in range(node + G_FIELDS + 1, node + G_FIELDS + mem[node + 1]):
                h = last
                while h < end and scratch[h] != mem[g]:
                    h += 1
                if h == end and mem[g] > 0:
                    if end == MOST_NODES:
                        return configuration
                    scratch[end] = mem[g]
                    end += 1
        first, last = last, end
    holes = 0
    one = mem[H_ORDERED] == LEFTMOST_FIRST
    if must_grow(mem) or mem[H_TOP] + 4 * (last - first) + SLACK > mem.size:
        return FULL
    for f in range(first, last):
        node = scratch[f]
        if mem[node + 1] > 1 and mem[node + G_FIELDS + 1] > 0:
            holes += 1
            top = mem[H_TOP]
            mem[top + G_FIELDS] = mem[node + G_FIELDS]
            mem[top + G_FIELDS + 1] = hole_of(level) - (0 if one else holes - 1)
            node = intern(mem, T_NODE, G_FIELDS, 2)
        scratch[cut + f] = node
    if holes == 0:
        return configuration
    for d in range(depth - 1, -1, -1):
        last = first
        first = scratch[bounds + d]
        for f in range(first, last):
            node = scratch[f]
            if must_grow(mem) or mem[H_TOP] + mem[node + 1] + SLACK > mem.size:
                return FULL
            top = mem[H_TOP]
            base = top + G_FIELDS + 1
            count = 0
            for g in range(node + G_FIELDS + 1, node + G_FIELDS + mem[node + 1]):
                known = mem[g]
                if known > 0:
                    h = last
                    while scratch[h] != known:
                        h += 1
                    known = scratch[cut + h]
                count = insert_sorted(mem, base, count, known)
            mem[top + G_FIELDS] = mem[node + G_FIELDS]
            scratch[cut + f] = intern(mem, T_NODE, G_FIELDS, count + 1)
    if must_grow(mem):
        return FULL
    top = mem[H_TOP]
    base = top + C_FIELDS + 1
    count = 0
    for f in range(mem[configuration + 1] - 1):
        count = insert_sorted(mem, base, count, scratch[cut + f])
    mem[base - 1] = mem[configuration + C_FIELDS]
    result = intern(mem, T_CONFIG, C_FIELDS, count + 1)
    if result == top:
        mem[result + C_CUT] = 1
        mem[result + C_SHAPE] = 0
        mem[result + C_LEAST] = result if one and level == 0 else 0
    return result


@kernel(f"int64({MEMORY}, int64)")
def least_of(mem, scratch, configuration):
    """A configuration whose shape is known, cut at the first level; or a code."""
    known = np.int64(mem[configuration + C_LEAST])
    if known == 0:
        known = np.int64(top_of(mem, scratch, configuration, 0))
        if known > 0:
            mem[configuration + C_LEAST] = known
    return known


@kernel("int64(int32[::1], int64, int64, int64, int64, int64)")
def add_path(scratch, path, parent, terminal, level, configuration):
    """Path number ``path``: behind another one, with its configuration at the level where it is known; that."""
    at = SCRATCH_PATHS + PATH_SIZE * path
    scratch[at + PATH_PARENT] = parent
    scratch[at + PATH_TERMINAL] = terminal
    scratch[at + PATH_LEVEL] = level
    scratch[at + PATH_EXPANSION] = 0
    for other in range(WHOLE + 1):
        scratch[at + PATH_CONFIGURATIONS + other] = 0
    scratch[at + PATH_CONFIGURATIONS + level] = configuration
    return configuration


@kernel(f"int64({MEMORY}, int64)")
def first_path(mem, scratch, configuration):
    """Path 0: nothing read yet. Its configuration at the first level; or a code."""
    add_path(scratch, 0, 0, 0, WHOLE, configuration)
    top = least_of(mem, scratch, configuration)
    if top > 0:
        scratch[SCRATCH_PATHS + PATH_LEVEL] = 0
        scratch[SCRATCH_PATHS + PATH_CONFIGURATIONS] = top
    return top


@kernel(f"int64({MEMORY}, int64, int64)")
def configuration_at(mem, scratch, path, level):
    """A path's configuration at a level; or a code: DEEP if that level does not reach down far enough."""
    wanted = SCRATCH_PATHS + PATH_SIZE * path + PATH_CONFIGURATIONS + level
    while scratch[wanted] == 0:
        # The first path on the way here that lacks it.
        at = np.int64(path)
        parent = np.int64(scratch[SCRATCH_PATHS + PATH_SIZE * at + PATH_PARENT])
        while at != 0 and scratch[SCRATCH_PATHS + PATH_SIZE * parent + PATH_CONFIGURATIONS + level] == 0:
            at = parent
            parent = np.int64(scratch[SCRATCH_PATHS + PATH_SIZE * at + PATH_PARENT])
        if at == 0:
            whole = scratch[SCRATCH_PATHS + PATH_CONFIGURATIONS + WHOLE]
            found = np.int64(top_of(mem, scratch, whole, level))
        else:
            found = np.int64(scratch[SCRATCH_PATHS + PATH_SIZE * parent + PATH_CONFIGURATIONS + level])
            if found > 0:
                terminal = np.int64(scratch[SCRATCH_PATHS + PATH_SIZE * at + PATH_TERMINAL])
                if terminal != 0:
                    found = np.int64(after_match(mem, scratch, found, terminal, 0))
        if found < 0 and found != DEEP:
            return found
        scratch[SCRATCH_PATHS + PATH_SIZE * at + PATH_CONFIGURATIONS + level] = found
    return np.int64(scratch[wanted])


@kernel(f"int64({MEMORY}, int64, int64)")
def behind_path(mem, scratch, path, terminal):
    """The configuration behind a terminal behind a path, at level scratch[0] then; 0 if there is none, or a code.

    At the path's own level it is known to be DEEP.
    """
    level = np.int64(scratch[SCRATCH_PATHS + PATH_SIZE * path + PATH_LEVEL] + 1)
    while True:
        found = np.int64(configuration_at(mem, scratch, path, level))
        if found > 0:
            found = np.int64(after_match(mem, scratch, found, terminal, 0))
        if found > 0:
            code = shape_of(mem, scratch, found)
            if code < 0:
                found = np.int64(code)
        if found != DEEP:
            scratch[0] = level
            return found
        level += 1
