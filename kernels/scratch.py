"""Scratch space: one int32 array per thread, shared by all grammars, divided once for all.

Nothing in it outlives an operation, but for the stamps of the visited set, which only grow, and what a counted walk
found, which the driver reads before it does anything else.
"""

from __future__ import annotations

SCRATCH_SHIFT = 1 << 16  # edges and frontiers of the parser, lists of terminals
VISITED_SLOTS = 1 << 14
SCRATCH_WORK = SCRATCH_SHIFT  # todo triples
SCRATCH_WORK_SIZE = 3 << 14
SCRATCH_VISITED = SCRATCH_WORK + SCRATCH_WORK_SIZE
SCRATCH_ROUND = SCRATCH_VISITED + 4 * VISITED_SLOTS  # stamps the visited set; grammars share scratch, so it lives here
SEEN_SLOTS = 1 << 18
SCRATCH_SEEN = SCRATCH_ROUND + 1  # exits of the walk that is being done: (stamp, node, lexer state)
SCRATCH_ROWS = SCRATCH_SEEN + 3 * SEEN_SLOTS  # rows of the mask being built
SCRATCH_MASK = SCRATCH_ROWS + 12  # and how many of what it has
SCRATCH_IDS = SCRATCH_ROWS + 16  # walks of the mask being built
SCRATCH_IDS_SIZE = 1 << 14
SCRATCH_CHILDREN = SCRATCH_IDS + SCRATCH_IDS_SIZE  # children of the expansion being built; from the middle, open ones
SCRATCH_CHILDREN_SIZE = 1 << 15
SCRATCH_TOKENS = SCRATCH_CHILDREN + SCRATCH_CHILDREN_SIZE  # its tokens: how many, and which
SCRATCH_TOKENS_SIZE = 1 << 9
# Paths of the mask being built (kernels.stack_tops): [path before, terminal, level, expansion or 0, configuration by
# level or 0...].
PATH_PARENT, PATH_TERMINAL, PATH_LEVEL, PATH_EXPANSION, PATH_CONFIGURATIONS = 0, 1, 2, 3, 4
WHOLE = 4  # the level where nothing is cut
PATH_SIZE = PATH_CONFIGURATIONS + WHOLE + 1
SCRATCH_PATHS = SCRATCH_TOKENS + SCRATCH_TOKENS_SIZE
MOST_PATHS = SCRATCH_WORK_SIZE // 2
SCRATCH_WALK = SCRATCH_PATHS + PATH_SIZE * MOST_PATHS  # stack of lexer states, by depth in the trie
SCRATCH_PATH = SCRATCH_WALK + (1 << 12)  # the nodes above, by depth
MOST_ALIVE = 1024
SCRATCH_ALIVE = SCRATCH_PATH + (1 << 12)  # lexer states that are looked at to see whether a lexeme stays alive
MOST_MIDDLE = 128
SCRATCH_MIDDLE = SCRATCH_ALIVE + 4 * MOST_ALIVE  # the same in the middle of a character
SCRATCH_BOUNDS = SCRATCH_MIDDLE + 2 * MOST_MIDDLE  # by byte, whether threads tell it from the one before
SCRATCH_FIRST = SCRATCH_BOUNDS + 257  # behind each first byte: node, lexer state; then walks
# Exits of a walk, at most six ints for each node of the trie; then token ids.
SCRATCH_EXITS = SCRATCH_FIRST + 3 * 256


def scratch_size(num_nodes: int, num_tokens: int) -> int:
    """How many ints are enough for a trie of so many nodes and tokens."""
    return SCRATCH_EXITS + 6 * num_nodes + 3 * num_tokens + 8192
