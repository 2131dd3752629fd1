"""Building the token trie: one pass over the sorted tokens (see compiler.token_trie for the layout).

**Runs.** Most of a vocabulary is words: subtrees in which every byte belongs to one small class. A lexer state that
every byte of such a class leads back to itself (the inside of a string, ``[a-z0-9]+``) takes the whole subtree at once,
without looking at its nodes. The classes reach from the digits to the printable ASCII of a JSON string, with and
without the space.

Above them stand classes that are not of bytes: TEXT_RUN says that every path below the node begins some text of such
characters and others beyond ASCII, in UTF-8, VISIBLE_TEXT_RUN the same without the space. White space beyond ASCII
(U+00A0, U+2028, U+3000 and the like) is not in them: half of all patterns exclude it (``.``, ``\\S``), and few tokens
hold it. Below a node in the middle of a character what follows is text only if so many bytes of that character are to
come: hence a bit for each number of them.
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
    bytes(byte for byte in range(0x21, 0x7F) if byte not in b'"\\'),
    bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\'),
)
BYTE_RUNS = (1 << len(_CLASSES)) - 1
VISIBLE_RUN, PRINTABLE_RUN = 1 << (len(_CLASSES) - 2), 1 << (len(_CLASSES) - 1)
TEXT_RUN = 1 << len(_CLASSES)  # between two characters; the next three bits: before so many bytes of a character
TEXT_RUNS = 15 * TEXT_RUN
VISIBLE_TEXT_RUN = 16 * TEXT_RUN
ALL_RUNS = BYTE_RUNS | TEXT_RUNS | VISIBLE_TEXT_RUN
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


def _text_steps() -> npt.NDArray[np.int8]:
    """The deterministic automaton of such texts (Unicode 16, table 3-7, less white space): state and byte to state.

    States 0 to 3: so many bytes of a character are to come, of any kind. Behind other lead bytes the next byte has
    less choice: those states come after.
    """
    steps = np.full((NUM_TEXT_STATES, 256), -1, np.int8)
    steps[0, RUNS_OF_BYTE & PRINTABLE_RUN != 0] = 0
    steps[0, 0xC2:0xE0] = 1
    steps[0, 0xE0:0xF0] = 2
    steps[0, 0xF0:0xF5] = 3
    for state in (1, 2, 3):
        steps[state, 0x80:0xC0] = state - 1
    narrow = (  # the state before, the byte, what the next byte may not be, bytes of the character to come
        (0, 0xC2, range(0x80, 0xA1), 1),
        (0, 0xE0, range(0x80, 0xA0), 2),
        (0, 0xE1, (), 2),
        (0, 0xE2, (), 2),
        (0, 0xE3, (), 2),
        (0, 0xED, range(0xA0, 0xC0), 2),
        (0, 0xEF, (), 2),
        (0, 0xF0, range(0x80, 0x90), 3),
        (0, 0xF4, range(0x90, 0xC0), 3),
        (6, 0x9A, (0x80,), 1),
        (7, 0x80, (*range(0x80, 0x8B), 0xA8, 0xA9, 0xAF), 1),
        (7, 0x81, (0x9F,), 1),
        (8, 0x80, (0x80,), 1),
        (10, 0xBB, (0xBF,), 1),
    )
    for state, (before, byte, forbidden, to_come) in enumerate(narrow, start=4):
        steps[state] = steps[to_come]
        steps[state, list(forbidden)] = -1
        steps[before, byte] = state
    return steps


NUM_TEXT_STATES = 18
TEXT_STEPS = _text_steps()


@kernel("int64(int32[::1], int32[::1], int32[::1], int32[::1])", entry=True)
def mark_texts(end, info_and_runs, possible, above):
    """Set the bits of texts for the nodes below which there is nothing else.

    info_and_runs: info of all nodes, then runs. possible, above: room for one int each per node.
    """
    count = end.size
    for i in range(count):
        child = i + 1
        while child < end[i]:
            above[child] = i
            child = end[child]
    for spaces in (1, 0):
        for i in range(count):
            possible[i] = (1 << NUM_TEXT_STATES) - 1  # the states from which what is below is text
        for i in range(count - 1, 0, -1):  # what is below a node has a greater number
            byte = info_and_runs[i] & 0xFF
            for state in range(NUM_TEXT_STATES):
                after = TEXT_STEPS[state, byte]
                if after < 0 or not possible[i] >> after & 1 or (byte == 0x20 and not spaces):
                    possible[above[i]] &= ~(1 << state)
        for i in range(count):
            if spaces:
                info_and_runs[count + i] |= (possible[i] & 15) * TEXT_RUN
            elif possible[i] & 1:
                info_and_runs[count + i] |= VISIBLE_TEXT_RUN
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
