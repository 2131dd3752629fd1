"""Building the token trie: one pass over the sorted tokens (see compiler.token_trie for the layout).

**Runs.** Most of a vocabulary is words: subtrees in which every byte belongs to one small class. A lexer state that
every byte of such a class leads back to itself (the inside of a string, ``[a-z0-9]+``) takes the whole subtree at once,
without looking at its nodes. The classes reach from the digits to the printable ASCII of a JSON string; the last one
is not of bytes: TEXT_RUN says that every path below the node begins some text of such characters and others beyond
ASCII, in UTF-8. Where a loop is counted, the height of the subtree says whether the count can run out in it.
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
BYTE_RUNS = (1 << len(_CLASSES)) - 1
PRINTABLE_RUN = 1 << (len(_CLASSES) - 1)  # holds all the classes before it
TEXT_RUN = 1 << len(_CLASSES)
ALL_RUNS = BYTE_RUNS | TEXT_RUN
HEIGHT = 16  # the height of a node's subtree stands above so many bits

# The trie as kernels read it is one array, [nodes, in preorder..., tables of children..., token ids...]. A node is
# named by its address; what is asked of it lies together, and its subtree behind it, up to V_END. The root is at 0. A
# last node is below nothing, and has the end of the token ids.
V_INFO = 0  # byte | depth << NODE_DEPTH | number of tokens << NODE_TOKENS
V_END = 1  # the node behind the subtree
V_FIRST = 2  # the address of the node's tokens
V_RUNS = 3  # classes that hold every byte below | height of the subtree << HEIGHT
V_CHILDREN = 4  # 0, or the address of its table: for each byte the child that reads it, or 0
NODE_SIZE = 5
NODE_DEPTH, NODE_TOKENS = 8, 20


def _runs_of_bytes() -> npt.NDArray[np.int32]:
    table = np.zeros(256, np.int32)
    for number, members in enumerate(_CLASSES):
        table[list(members)] |= 1 << number
    return table


RUNS_OF_BYTE = _runs_of_bytes()  # bit c: the byte is in class c


# Where a text in UTF-8 is (Unicode 16, table 3-7): between characters, before one, two or three more bytes of any
# kind, or behind E0, ED, F0, F4, which leave less room.
NUM_UTF8_STATES = 8


@kernel("int64(int64, int64)")
def utf8_step(state, byte):
    """Where a text is after a byte: a state, or -1. ASCII: the printable characters of a JSON string."""
    if state == 0:
        if byte < 0x80:
            return 0 if (RUNS_OF_BYTE[byte] & PRINTABLE_RUN) != 0 else -1
        if byte == 0xE0:
            return 4
        if byte == 0xED:
            return 5
        if byte == 0xF0:
            return 6
        if byte == 0xF4:
            return 7
        if 0xC2 <= byte <= 0xDF:
            return 1
        if 0xE1 <= byte <= 0xEF:
            return 2
        return 3 if 0xF1 <= byte <= 0xF3 else -1
    low = 0xA0 if state == 4 else 0x90 if state == 6 else 0x80
    high = 0x9F if state == 5 else 0x8F if state == 7 else 0xBF
    if byte < low or byte > high:
        return -1
    if state >= 6:
        return 2
    return 1 if state >= 4 else state - 1


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1])", entry=True)
def mark_texts(end, info_and_runs, possible, above):
    """Set TEXT_RUN for the nodes below which there is only text.

    info_and_runs: info of all nodes, then runs. possible, above: room for one int each per node.
    """
    count = end.size
    for i in range(count):
        possible[i] = (1 << NUM_UTF8_STATES) - 1  # the states from which what is below is text
    for i in range(count):
        child = i + 1
        while child < end[i]:
            above[child] = i
            child = end[child]
    for i in range(count - 1, 0, -1):  # what is below a node has a greater number
        byte = info_and_runs[i] & 0xFF
        for state in range(NUM_UTF8_STATES):
            after = utf8_step(state, byte)
            if after < 0 or not possible[i] >> after & 1:
                possible[above[i]] &= ~(1 << state)
    for i in range(count):
        if possible[i] & 1:
            info_and_runs[count + i] |= TEXT_RUN
    return 0


@kernel("int64(int32[::1], int32[::1], int32[::1])", entry=True)
def mark_runs(info, runs, path):
    """runs[i] := the classes that hold every byte below node i, and the height of what is below it.

    path: room for 4096 ints.
    """
    for i in range(info.size):
        runs[i] = BYTE_RUNS
        depth = (info[i] >> 8) & 0xFFF
        path[depth] = i
        classes = RUNS_OF_BYTE[info[i] & 0xFF]
        d = depth - 1
        while d >= 0 and (runs[path[d]] & BYTE_RUNS & ~classes) != 0:
            runs[path[d]] &= classes | ~BYTE_RUNS
            d -= 1
        d = depth - 1
        while d >= 0 and (runs[path[d]] >> HEIGHT) < depth - d:
            runs[path[d]] = (runs[path[d]] & BYTE_RUNS) | ((depth - d) << HEIGHT)
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


@kernel("int64(int32[::1])", entry=True)
def list_children(trie):
    """Fill in the tables of children, which are zeros."""
    for i in range(0, trie[V_END], NODE_SIZE):
        table = trie[i + V_CHILDREN]
        if table != 0:
            child = i + NODE_SIZE
            while child < trie[i + V_END]:
                trie[table + (trie[child + V_INFO] & 0xFF)] = child
                child = trie[child + V_END]
    return 0


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[:, ::1], int32[::1])", entry=True)
def build_trie(data, starts, order, nodes, stack):
    """Fill ``nodes`` (info, end, first) in preorder; returns their number, or -1 if a node has too many tokens.

    stack: 4096 zeros.
    """
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


@kernel("int64(uint32[::1], int32[::1])", entry=True)
def set_bits(row, tokens):
    """Set the bits of tokens in a row."""
    for k in range(tokens.size):
        row[tokens[k] >> 5] |= np.uint32(1) << np.uint32(tokens[k] & 31)
    return 0


@kernel("boolean(uint32[::1], int32[::1])", entry=True)
def any_set(row, tokens):
    """Is the bit of some token set?"""
    for k in range(tokens.size):  # noqa: SIM110 (compiled code knows no generators)
        if (row[tokens[k] >> 5] >> np.uint32(tokens[k] & 31)) & np.uint32(1):
            return True
    return False


@kernel("int64(uint32[::1], int32[::1])", entry=True)
def clear_bits(row, tokens):
    """Clear the bits of tokens in a row."""
    for k in range(tokens.size):
        row[tokens[k] >> 5] &= ~(np.uint32(1) << np.uint32(tokens[k] & 31))
    return 0
