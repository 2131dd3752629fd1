"""Texts are followed ahead of time, so that the masks which they need are known when they are needed.

Which tokens a model would choose is not known here, so a text is cut into the longest tokens that the grammar allows,
which is close to what tokenizers do; a text may be given as token ids as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.kernels.trie import NODE_SIZE, V_CHILDREN, V_END, V_FIRST, V_INFO

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

WARM = 0.75
"""The share of what is kept of an engine where warming it up ends: what comes next could double one of its tables."""
NO_STOPS = np.zeros(0, np.int32)


def follow(engine: Engine, text: str | bytes | Sequence[int]) -> int:
    """Ask for the mask at the start of a text and behind each of its tokens; how many masks these were.

    It ends where the grammar allows no token of the text, or the engine has grown so large that no image of it is kept.
    """
    data = text.encode() if isinstance(text, str) else text
    bitmask = np.zeros((1, engine.context.words), np.uint32)
    trie = engine.context.trie
    position = engine.start_position
    count = at = 0
    while position and engine.leaves_room(WARM):
        engine.fill(position, bitmask, 0, NO_STOPS)
        count += 1
        if at >= len(data):
            break
        if isinstance(data, bytes):
            token = _longest(engine, bitmask, data, at)
        else:
            token = data[at] if 0 <= data[at] < len(trie.starts) - 1 else -1
        if token < 0 or trie.starts[token] == trie.starts[token + 1]:
            break
        first, last = int(trie.starts[token]), int(trie.starts[token + 1])
        position = engine.advance(position, trie.data, first, last)
        at += last - first if isinstance(data, bytes) else 1
    return count


def _longest(engine: Engine, bitmask: npt.NDArray[np.uint32], data: bytes, at: int) -> int:
    """The longest token of a row that the data goes on with; -1 if there is none."""
    packed = engine.context.trie.packed
    found = -1
    node, end = 0, int(packed[V_END])
    for byte in data[at:]:
        table = int(packed[node + V_CHILDREN])
        child = int(packed[table + byte]) if table else node + NODE_SIZE
        while not table and child < end and packed[child + V_INFO] & 0xFF != byte:
            child = int(packed[child + V_END])
        if not 0 < child < end:
            break
        node, end = child, int(packed[child + V_END])
        for place in range(int(packed[node + V_FIRST]), int(packed[node + NODE_SIZE + V_FIRST])):
            token = int(packed[place])
            if bitmask[0, token >> 5] >> np.uint32(token & 31) & 1:
                found = token
                break
    return found
