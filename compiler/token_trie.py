"""The vocabulary as a trie in flat arrays, in preorder, so that a walk is one forward scan with skips.

Node i carries its byte, its depth and the end of its subtree: nodes ``i + 1 .. end[i] - 1`` are below it, and a walk
that can't take node i's byte continues at ``end[i]``. Tokens are sorted by their bytes first; then the trie is one pass
over common prefixes, and the tokens that end at a node are a slice of the sorted ids (several may spell the same).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.kernels.trie import (
    NODE_SIZE,
    V_CHILDREN,
    V_END,
    V_FIRST,
    V_INFO,
    V_RUNS,
    build_trie,
    count_children,
    list_children,
    mark_runs,
    mark_texts,
)

Int32Array = npt.NDArray[np.int32]

MAX_TOKEN_BYTES = 4000  # depth has 12 bits; the walk's stack has 4096 entries
MAX_TOKENS_PER_NODE = 2000  # 11 bits
MANY_CHILDREN = 8  # from so many on a node has a table of them (of 128,000 tokens, 2,500 nodes)


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenTrie:
    """Node arrays are int32 ``(N,)`` in preorder; node 0 is the root.

    info:      byte | depth << 8 | number of tokens << 20.
    end:       one past the last node of the subtree.
    first:     where the node's tokens start in ``token_ids``.
    runs:      classes of bytes (see kernels.trie) that hold every byte below the node | height of its subtree << 16.
    token_ids: ids sorted by bytes.
    packed:    the same in one array, and tables of children, as kernels read it (see kernels.trie).
    data:      all tokens' bytes, one int32 each, token t at ``starts[t] : starts[t + 1]``.
    """

    info: Int32Array
    end: Int32Array
    first: Int32Array
    runs: Int32Array
    token_ids: Int32Array
    packed: Int32Array
    data: Int32Array
    starts: Int32Array

    @property
    def num_nodes(self) -> int:
        """How many nodes there are, root included."""
        return len(self.info)

    def path(self, address: int) -> bytes:
        """The bytes from the root to a node, named as in ``packed``: the beginning of the first token from it on."""
        node = address // NODE_SIZE
        depth = (int(self.info[node]) >> 8) & 0xFFF
        start = int(self.starts[self.token_ids[self.first[node]]])
        return self.data[start : start + depth].astype(np.uint8).tobytes()


def make_token_trie(tokens: Sequence[bytes | None]) -> TokenTrie:
    """The trie of all tokens that have bytes. Raises LimitExceededError for tokens longer than MAX_TOKEN_BYTES."""
    order = sorted((t for t, data in enumerate(tokens) if data), key=lambda t: tokens[t] or b"")
    lengths = np.fromiter((len(data) if data else 0 for data in tokens), np.int32, len(tokens))
    if len(lengths) and int(lengths.max()) > MAX_TOKEN_BYTES:
        raise LimitExceededError("a token is too long", limit=f"{MAX_TOKEN_BYTES} bytes", given=int(lengths.max()))
    starts = np.zeros(len(tokens) + 1, np.int32)
    np.cumsum(lengths, out=starts[1:])
    data = np.frombuffer(b"".join(token or b"" for token in tokens), np.uint8).astype(np.int32)
    token_ids = np.array(order, np.int32)
    nodes = np.empty((int(lengths.sum()) + 1, 3), np.int32)
    path = np.zeros(4096, np.int32)
    count = build_trie(data, starts, token_ids, nodes, path)
    if count < 0:
        raise LimitExceededError("too many tokens spell the same bytes", limit=str(MAX_TOKENS_PER_NODE), given="more")
    info, end, first = (np.ascontiguousarray(nodes[:count, i]) for i in range(3))
    runs = np.empty(count, np.int32)
    mark_runs(info, runs, path)
    both = np.concatenate([info, runs])
    mark_texts(end, both, np.zeros(count, np.int32), np.zeros(count, np.int32))
    runs = both[count:].copy()
    return TokenTrie(
        info=info,
        end=end,
        first=first,
        runs=runs,
        token_ids=token_ids,
        packed=_packed(info, end, first, runs, token_ids),
        data=data,
        starts=starts,
    )


def _packed(
    info: Int32Array, end: Int32Array, first: Int32Array, runs: Int32Array, token_ids: Int32Array
) -> Int32Array:
    count = len(end)
    counts = np.empty(count, np.int32)
    count_children(end, counts)
    many = np.flatnonzero(counts >= MANY_CHILDREN)
    tables = NODE_SIZE * (count + 1)
    ids = tables + 256 * len(many)
    packed = np.zeros(ids + len(token_ids), np.int32)
    nodes = packed[:tables].reshape(count + 1, NODE_SIZE)
    nodes[:count, V_INFO] = info
    nodes[:count, V_END] = NODE_SIZE * end
    nodes[:count, V_FIRST] = ids + first
    nodes[count, V_FIRST] = len(packed)
    nodes[:count, V_RUNS] = runs
    nodes[many, V_CHILDREN] = tables + 256 * np.arange(len(many))
    packed[ids:] = token_ids
    list_children(packed)
    return packed
