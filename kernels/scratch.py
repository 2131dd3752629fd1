"""Scratch space: one int32 array per thread, shared by all grammars, divided once for all.

Nothing in it outlives an operation, but for the stamps of the visited set, which only grow.
"""

from __future__ import annotations

SCRATCH_SHIFT = 1 << 16  # edges and frontiers of the parser, lists of terminals
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
