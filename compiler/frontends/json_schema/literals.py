"""Values that are given: ``enum`` and ``const``, spelled out.

Scalars of one enumeration become a single terminal (a trie of their spellings), because the lexer then keeps one
thread and not one per member. Objects and arrays become sequences of terminals, so that whitespace stays free in them;
their properties stand in the order in which the schema wrote them.

An integral float is also spelled as an integer; other values have their plain spelling only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.automaton import MATCH, ByteAutomaton
from grammar_engine.compiler.frontends.json_schema.names import is_spellable

_LARGEST_EXACT = 1e15
_TABLE = 1 << 22  # bytes of a table of all words
_ENCODER = json.JSONEncoder(ensure_ascii=False)

Int64Array = npt.NDArray[np.int64]


def is_scalar(value: object) -> bool:
    """Is the value no object and no array?"""
    return not isinstance(value, dict | list)


def is_writable(value: object) -> bool:
    """Can the value be written as JSON text in UTF-8 (no lone surrogate, no infinity)?"""
    if isinstance(value, str):
        return is_spellable(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_writable, value))
    if isinstance(value, dict):
        return all(map(is_writable, value)) and all(map(is_writable, value.values()))
    return True


def spellings(value: object) -> list[bytes]:
    """The texts of a scalar."""
    texts = [_ENCODER.encode(value).encode()]
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        texts.append(str(int(value)).encode())
    return texts


def trie(texts: Iterable[bytes]) -> bytes | ByteAutomaton:
    """The automaton of a finite set of non-empty texts; a single one stays a plain literal."""
    words = sorted(set(texts))
    if len(words) == 1:
        return words[0]
    # Nodes are numbered in preorder, as they are met in the sorted words.
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    shared, hung_on = _branches_of_table(words, lengths) if len(words) * max(lengths) <= _TABLE else _branches(words)
    ends_at = np.cumsum(lengths - shared)
    count = int(ends_at[-1]) + 1
    parents = np.arange(-1, count - 1)
    parents[ends_at - (lengths - shared) + 1] = hung_on
    ends = np.zeros(count, np.int32)
    ends[ends_at] = 1
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(parents[1:], minlength=count) + ends, out=offsets[1:])
    entries = np.zeros((int(offsets[-1]), 3), np.int32)
    by_parent = np.argsort(parents[1:], kind="stable")  # the edge to node n is position n - 1
    entries[np.arange(count - 1) + (np.cumsum(ends) - ends)[parents[1:][by_parent]], 0] = by_parent
    entries[offsets[1:][ends == 1] - 1, 0] = MATCH
    positions = np.empty((count - 1, 3), np.int32)
    positions[:, 0] = positions[:, 1] = np.frombuffer(
        b"".join(word[n:] for word, n in zip(words, shared.tolist(), strict=True)), np.uint8
    )
    positions[:, 2] = np.arange(1, count)
    return ByteAutomaton(positions=positions, offsets=offsets, entries=entries)


def _branches(words: list[bytes]) -> tuple[Int64Array, Int64Array]:
    """For each of the sorted words: how many bytes it shares with the one before, and the node that it leaves it at."""
    shared = np.zeros(len(words), np.int64)
    hung_on = np.zeros(len(words), np.int64)
    path, last, count = [0], b"", 1  # path: the nodes of the last word
    for index, word in enumerate(words):
        length = min(len(last), len(word))
        # The difference of two texts as numbers shows the first byte that differs.
        difference = int.from_bytes(last[:length], "big") ^ int.from_bytes(word[:length], "big")
        shared[index] = common = length - (difference.bit_length() + 7) // 8
        hung_on[index] = path[common]
        del path[common + 1 :]
        path.extend(range(count, count + len(word) - common))
        count, last = path[-1] + 1, word
    return shared, hung_on


def _branches_of_table(words: list[bytes], lengths: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The same, all words at once: of the nodes at one depth, the last one made is on the last word's path."""
    width = int(lengths.max())
    table = np.array(words, f"S{width}").view(np.uint8).reshape(len(words), width)
    differ = np.ones((len(words), width + 1), bool)
    differ[0, 0] = True
    differ[1:, :width] = table[1:] != table[:-1]
    shared = np.minimum(differ.argmax(axis=1), lengths)
    shared[1:] = np.minimum(shared[1:], lengths[:-1])
    depth = np.arange(width + 1)
    first = np.cumsum(lengths - shared) - (lengths - shared) + 1
    made = (depth > shared[:, None]) & (depth <= lengths[:, None])
    nodes = np.where(made, (first - shared - 1)[:, None] + depth, 0)
    latest = np.maximum.accumulate(nodes, axis=0)
    hung_on = np.zeros(len(words), np.int64)
    hung_on[1:] = latest[np.arange(len(words) - 1), shared[1:]]
    return shared, hung_on
