"""Building the token trie: one pass over the sorted tokens (see compiler.token_trie for the layout).

**Runs.** Most of a vocabulary is words: subtrees in which every byte belongs to one small class. A lexer state that
every byte of such a class leads back to itself (the inside of a string, ``[a-z0-9]+``) takes the whole subtree at once,
without looking at its nodes. The classes reach from the digits to the printable ASCII of a JSON string. Where a loop
is counted, the height of the subtree says whether the count can run out in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from grammar_engine.kernels.arena import kernel

_DIGITS, _LOWER, _UPPER = b"0123456789", b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CLASSES = (
    _DIGITS,
    _LOWER,
    _UPPER,
    _LOWER + _UPPER,
    _LOWER + _DIGITS,
    _LOWER + _UPPER + _DIGITS,
    _LOWER + _UPPER + _DIGITS + b"_",
    _LOWER + _UPPER + _DIGITS + b"_-",
    _LOWER + _UPPER + _DIGITS + b"_-. ",
    bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\'),
)
ALL_RUNS = (1 << len(_CLASSES)) - 1
HEIGHT = 16  # the height of a node's subtree stands above so many bits


def _runs_of_bytes() -> npt.NDArray[np.int32]:
    table = np.zeros(256, np.int32)
    for number, members in enumerate(_CLASSES):
        table[list(members)] |= 1 << number
    return table


RUNS_OF_BYTE = _runs_of_bytes()  # bit c: the byte is in class c


@kernel("int64(int32[::1], int32[::1])", entry=True)
def mark_runs(info, runs):
    """runs[i] := the classes that hold every byte below node i, and the height of what is below it."""
    path = np.zeros(4096, np.int64)
    for i in range(info.size):
        runs[i] = ALL_RUNS
        depth = (info[i] >> 8) & 0xFFF
        path[depth] = i
        classes = RUNS_OF_BYTE[info[i] & 0xFF]
        d = depth - 1
        while d >= 0 and (runs[path[d]] & ALL_RUNS & ~classes) != 0:
            runs[path[d]] &= classes | ~ALL_RUNS
            d -= 1
        d = depth - 1
        while d >= 0 and (runs[path[d]] >> HEIGHT) < depth - d:
            runs[path[d]] = (runs[path[d]] & ALL_RUNS) | ((depth - d) << HEIGHT)
            d -= 1
    return 0


@kernel("int64(int32[::1], int32[::1])", entry=True)
def count_children(end, counts):
    """counts[i] := number of children of node i."""
    counts[:] = 0
    for i in range(end.size):
        child = i + 1
        while child < end[i]:
            counts[i] += 1
            child = end[child]
    return 0


@kernel("int64(int32[::1], int32[::1], int32[::1])", entry=True)
def list_children(info, end, children):
    """For each node i whose children[i] is the place of a table there: table[byte] := the child that reads the byte."""
    for i in range(end.size):
        table = children[i]
        if table != 0:
            child = i + 1
            while child < end[i]:
                children[table + (info[child] & 0xFF)] = child
                child = end[child]
    return 0


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[:, ::1])", entry=True)
def build_trie(data, starts, order, nodes):
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
