"""From bytes to tokens: where each token leads in an automaton over bytes, and which tokens always lead to the same."""

from __future__ import annotations

import numpy as np
from grammar_engine.kernels.arena import kernel

# The number of tokens of a node stands above its byte and depth, see compiler.token_trie.
_DEPTH, _TOKENS = 8, 20


@kernel(
    "int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[:, ::1], int64, int32[::1], int32[::1], int32[::1])",
    entry=True,
)
def tokens_from(info, end, first, token_ids, steps, state, path, tokens, targets):
    """List the tokens that can be read from a state, and the state behind each; their number.

    info, end, first, token_ids: the trie (compiler.token_trie). steps: state and byte to state, -1 for none. path: room
    for 4096 states. tokens, targets: room for all tokens.
    """
    count = 0
    node = 1
    path[0] = state
    while node < info.size:
        depth = (info[node] >> _DEPTH) & 0xFFF
        after = steps[path[depth - 1], info[node] & 0xFF]
        if after < 0:
            node = end[node]
            continue
        path[depth] = after
        for k in range(first[node], first[node] + (info[node] >> _TOKENS)):
            tokens[count] = token_ids[k]
            targets[count] = after
            count += 1
        node += 1
    return count


@kernel("int64(int32[::1], int32[::1], int64, int32[::1], int32[::1], int64, int64[:, ::1])", entry=True)
def refine(class_of, sizes, num_classes, tokens, targets, count, table):
    """Split classes of tokens so that those of one class lead to one state (or to none); the number of classes.

    class_of: of each token. sizes: of each class, room for all tokens. tokens, targets: as from ``tokens_from``. table:
    (slots, 3), slots a power of two above 2 · count; its content does not matter.
    """
    mask = table.shape[0] - 1
    for slot in range(mask + 1):
        table[slot, 1] = 0
    for i in range(count):
        key = (np.int64(class_of[tokens[i]]) << 32) | np.int64(targets[i])
        slot = ((key * 0x9E3779B1) >> 15) & mask
        while table[slot, 1] != 0 and table[slot, 0] != key:
            slot = (slot + 1) & mask
        table[slot, 0] = key
        table[slot, 1] += 1
    # What remains of a class when all others have left keeps its number.
    for slot in range(mask + 1):
        if table[slot, 1] == 0:
            continue
        old = table[slot, 0] >> 32
        if sizes[old] == table[slot, 1]:
            table[slot, 2] = old
            continue
        sizes[old] -= table[slot, 1]
        sizes[num_classes] = table[slot, 1]
        table[slot, 2] = num_classes
        num_classes += 1
    for i in range(count):
        key = (np.int64(class_of[tokens[i]]) << 32) | np.int64(targets[i])
        slot = ((key * 0x9E3779B1) >> 15) & mask
        while table[slot, 0] != key or table[slot, 1] == 0:
            slot = (slot + 1) & mask
        class_of[tokens[i]] = table[slot, 2]
    return num_classes
