"""Building the token trie: one pass over the sorted tokens (see compiler.token_trie for the layout)."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import kernel


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[:, ::1])")
def build_trie(data, starts, order, nodes):  # type: ignore[no-untyped-def]
    """Fill ``nodes`` (info, end, first) in preorder; returns their number, or -1 if a node has too many tokens."""
    stack = np.zeros(4096, np.int32)
    nodes[0, 0] = 0
    nodes[0, 2] = 0
    count = 1
    depth = 0
    previous = -1
    for rank in range(order.size):
        token = order[rank]
        start = starts[token]
        length = starts[token + 1] - start
        common = 0
        if previous >= 0:
            before = starts[previous]
            limit = min(length, starts[previous + 1] - before)
            while common < limit and data[start + common] == data[before + common]:
                common += 1
        while depth > common:
            nodes[stack[depth], 1] = count
            depth -= 1
        while depth < length:
            byte = data[start + depth]
            depth += 1
            stack[depth] = count
            nodes[count, 0] = byte | (depth << 8)
            nodes[count, 2] = rank
            count += 1
        at = stack[depth]
        if (nodes[at, 0] >> 20) >= 2000:
            return -1
        nodes[at, 0] += 1 << 20
        previous = token
    while depth >= 0:
        nodes[stack[depth], 1] = count
        depth -= 1
    return count
