"""A set of pairs in scratch, emptied by a new stamp: what was met before while a list is being built."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import LIMIT, kernel, mix
from grammar_engine.kernels.scratch import SCRATCH_SEEN, SEEN_SLOTS


@kernel("int64(int32[::1], int64, int64, int64)")
def first_pair(scratch, epoch, a, b):
    """1 if (a, b) was not seen in this epoch, 0 if it was, LIMIT if too many were."""
    h = mix(mix(np.int64(11), a), b)
    slot = (h ^ (h >> 15)) & (SEEN_SLOTS - 1)
    for _ in range(64):
        at = SCRATCH_SEEN + 3 * slot
        if scratch[at] != epoch:
            scratch[at] = epoch
            scratch[at + 1] = a
            scratch[at + 2] = b
            return 1
        if scratch[at + 1] == a and scratch[at + 2] == b:
            return 0
        slot = (slot + 1) & (SEEN_SLOTS - 1)
    return LIMIT
