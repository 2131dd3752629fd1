"""One flat int32 arena per compiled grammar: the memory of every automaton that is built on demand.

Why one array: a compiled function pays ~35 ns per array argument and reference counts for every array that a helper
unpacks, and a table that grows must be replaced while others point into it. So all tables live in ``mem``, a record is
named by its address, and growth is one copy into a longer array: addresses stay valid.

    mem = [ header | records, lists and hash tables, in order of creation ... TOP | free ... ]

An **interned record** is `[hash, length, fields..., payload...]`: its payload is what it *is* (two records with equal
payloads are one record), its fields are what is known about it (memoized results). Interning is hash-consing
(Ershov 1958; Goto 1974); it turns equality of whole parser stacks into equality of integers.

Functions return an address (> 0), 0 for "none", or a negative code; on a code the caller returns it upwards, the
Python driver (``compiler.engine``) does what is asked (grow, expand a nonterminal, load a terminal) and calls again.
Everything done before the code is memoized, so a repeated call goes straight to where it stopped.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler import automaton
from numba import njit

Int32Array = npt.NDArray[np.int32]


def sources_fingerprint(folder: Path, *others: Path) -> str:
    """A hash of all sources of a folder, and of others."""
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob("*.py")), *others):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def kernel(
    signature: str, *, entry: bool = False, inline: bool = False, sources: str = ""
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a hot function for one signature, releasing the GIL, kept in numba's on-disk cache.

    One explicit signature each: left to itself numba compiles a helper anew for every mix of int32, int64 and literal
    arguments (measured: 85 specializations of 25 functions in 22 s, against 11 s with signatures).

    entry: Python calls it. inline: it becomes part of its one caller instead of a function of its own: LLVM works on a
    function together with all that it calls, so what stands high in the call tree is what it costs most to do twice.

    Numba's cache looks at the file of the function alone, so an entry point would go on calling the old machine code
    of a helper that was edited elsewhere. But closure cells are part of its key: each kernel gets one that holds the
    fingerprint of all sources (of this folder, and ``sources``: that of a subfolder whose kernels call each other).
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if inline:
            return njit(nogil=True, inline="always", _nrt=False)(function)
        code = function.__code__.replace(co_freevars=("sources",))
        keyed = types.FunctionType(
            code, function.__globals__, function.__name__, None, (types.CellType(FINGERPRINT + sources),)
        )
        keyed.__doc__, keyed.__module__, keyed.__qualname__ = (
            function.__doc__,
            function.__module__,
            function.__qualname__,
        )
        # Wrappers are compiled code too: only what Python calls has one. Nothing is allocated, so nothing is counted:
        # without reference counts a call costs half.
        wrappers = {"no_cfunc_wrapper": True, "no_cpython_wrapper": not entry}
        return njit(signature, cache=True, nogil=True, _nrt=False, **wrappers)(keyed)

    return decorate


def entry_point(kernel: Any) -> Callable[..., Any]:
    """The machine code of a kernel with ``entry``, without numba's look at the types of the arguments.

    That look is most of what a call costs (0.2 µs of 0.36). The caller vouches for the types. (Where numba's compiler
    is switched off, a kernel is its source.)
    """
    if isinstance(kernel, types.FunctionType):
        return kernel
    (signature,) = kernel.signatures
    code: Callable[..., Any] = kernel.overloads[signature].entry_point
    return code


# (with the constants that kernels take from compiler.automaton)
FINGERPRINT = sources_fingerprint(Path(__file__).parent, Path(automaton.__file__))

# Parts of signatures: mem and scratch; the token trie; rows and bitmasks.
MEMORY = "int32[::1], int32[::1]"
TRIE = "int32[::1]"
ROWS = "uint32[:, ::1]"

# Codes. Only what Python must do is a code; "impossible" is 0.
FULL = -1  # the arena or one of its hash tables must grow
MISS_NONTERMINAL = -2  # mem[H_MISS] is a nonterminal without productions
MISS_TERMINAL = -3  # mem[H_MISS] is a terminal without automaton
MISS_ROW = -4  # mem[H_MISS] is a lexer state whose row may be known to the vocabulary's store
FULL_ROWS = -5  # the pool of mask rows must grow or be emptied
LIMIT = -6  # scratch space exhausted: the grammar is too ambiguous at this place
MISS_BLOCKER = -7  # mem[H_MISS] is a terminal whose blocker is needed
DEEP = -8  # between kernels: what was asked looks below where stacks are cut (kernels.stack_tops)

# Header.
H_TOP = 0  # first free address
H_PRESSURE = 1  # 1: some hash table is more than half full
H_MISS = 2  # what a MISS code is about
H_EPOCH = 3  # stamps "seen" marks
H_ORDERED = 4  # the value of ir.Lexing: 0, LEFTMOST_FIRST or ONE_BY_ONE
H_START = 5  # the augmented start nonterminal
H_IGNORED = 6  # list of ignored terminals
H_ROWS_USED = 7  # rows handed out
H_VISITS = 8  # trie nodes visited, for benchmarks
H_NO_ROW_MISS = 9  # 1: compute rows without asking the store
H_TABLE = 10  # an LR table to follow (kernels.table_parser), or 0
H_LAYOUT = 11  # what indentation is made of, or 0
H_BEHIND = 13  # 1: terminals ask for the character before the lexeme
H_TRIED = 12  # list of terminals that the lexer tries whether the parser expects them or not, or 0

LEFTMOST_FIRST, ONE_BY_ONE = 1, 2

# Tables: [address of slots, capacity - 1, number of entries]; a slot of an interned table is (address, hash), one of a
# memo (a, b, value). Records lie far apart: the hash in the slot tells most that are not equal without a look at them.
T_LEXER, T_STATE, T_NODE, T_CONFIG, T_PAIR, T_POSITION = 16, 20, 24, 28, 32, 36
M_GOTO, M_SHIFT, M_WALK, M_START, M_BEHIND, M_TAKES, M_EXPANSION = 40, 44, 48, 52, 56, 60, 64
INTERN_TABLES = (T_LEXER, T_STATE, T_NODE, T_CONFIG, T_PAIR, T_POSITION)
MEMO_TABLES = (M_GOTO, M_SHIFT, M_WALK, M_START, M_BEHIND, M_TAKES, M_EXPANSION)
INTERN_SLOT, MEMO_SLOT = 2, 3  # ints
H_ROOT_GROUP, H_ROOT_NODE = 68, 71  # a group of exits whose one node is the root of the trie
HEADER_SIZE = 72

# Interned records: every one starts with hash and payload length.
R_HASH, R_LENGTH = 0, 1

# Free space that must be there before a miss is worked on; also what a single step may use up without checking.
SLACK = 4096

UNKNOWN = -1
SHARED = 1 << 20  # ids of rows from here on name rows of the vocabulary's pool


@kernel("int64(int64, int64)")
def mix(h, x):
    """One round of a multiplicative hash (as in FxHash), kept to 32 bits."""
    return ((((h << 5) & 0xFFFFFFFF) | (h >> 27)) ^ (x & 0xFFFFFFFF)) * 0x9E3779B1 & 0xFFFFFFFF


@kernel("int64(int32[::1], int64, int64, int64)", entry=True)
def intern(mem, table, fields, length):
    """The record whose payload of ``length`` ints stands at TOP + fields: an older one if there is one, else that one.

    ``fields`` counts the ints before the payload, hash and length included; the caller initializes them when the
    returned address is the old TOP.
    """
    top = mem[H_TOP]
    payload = top + fields
    h = np.int64(length)
    for i in range(payload, payload + length):
        h = mix(h, mem[i])
    h = (h ^ (h >> 15)) & 0x7FFFFFFF
    slots = mem[table]
    mask = mem[table + 1]
    slot = h & mask
    while True:
        at = slots + 2 * slot
        other = mem[at]
        if other == 0:
            break
        if mem[at + 1] == h and mem[other + R_LENGTH] == length:
            same = True
            other_payload = other + fields
            for i in range(length):
                if mem[other_payload + i] != mem[payload + i]:
                    same = False
                    break
            if same:
                return other
        slot = (slot + 1) & mask
    mem[at] = top
    mem[at + 1] = h
    mem[table + 2] += 1
    if mem[table + 2] * 2 > mask:
        mem[H_PRESSURE] = 1
    mem[top] = h
    mem[top + R_LENGTH] = length
    mem[H_TOP] = payload + length
    return top


@kernel("int64(int32[::1], int64, int64, int64)", entry=True)
def memo_get(mem, table, a, b):
    """The value remembered for (a, b), or UNKNOWN."""
    slots = mem[table]
    mask = mem[table + 1]
    h = mix(mix(np.int64(17), a), b)
    slot = (h ^ (h >> 15)) & mask
    while True:
        at = slots + 3 * slot
        if mem[at] == 0:
            return UNKNOWN
        if mem[at] == a and mem[at + 1] == b:
            return mem[at + 2]
        slot = (slot + 1) & mask


@kernel("void(int32[::1], int64, int64, int64, int64)", entry=True)
def memo_put(mem, table, a, b, value):
    """Remember ``value`` for (a, b); a > 0, and (a, b) is not yet there."""
    slots = mem[table]
    mask = mem[table + 1]
    h = mix(mix(np.int64(17), a), b)
    slot = (h ^ (h >> 15)) & mask
    while mem[slots + 3 * slot] != 0:
        slot = (slot + 1) & mask
    at = slots + 3 * slot
    mem[at] = a
    mem[at + 1] = b
    mem[at + 2] = value
    mem[table + 2] += 1
    if mem[table + 2] * 2 > mask:
        mem[H_PRESSURE] = 1


@kernel("void(int32[::1], int64, int64, int64)", entry=True)
def grow_table(mem, table, is_memo, capacity):
    """Move a hash table to ``capacity`` (a power of two) fresh slots at TOP; the caller has made room."""
    old, old_mask = mem[table], mem[table + 1]
    width = MEMO_SLOT if is_memo else INTERN_SLOT
    top = mem[H_TOP]
    for i in range(top, top + capacity * width):
        mem[i] = 0
    mem[H_TOP] = top + capacity * width
    mem[table] = top
    mem[table + 1] = capacity - 1
    mem[table + 2] = 0
    if old != 0:
        for slot in range(old_mask + 1):
            at = old + slot * width
            if mem[at] != 0:
                if is_memo:
                    memo_put(mem, table, mem[at], mem[at + 1], mem[at + 2])
                else:
                    new = mem[at + 1] & (capacity - 1)
                    while mem[top + 2 * new] != 0:
                        new = (new + 1) & (capacity - 1)
                    mem[top + 2 * new] = mem[at]
                    mem[top + 2 * new + 1] = mem[at + 1]
                    mem[table + 2] += 1


@kernel("boolean(int32[::1])")
def must_grow(mem):
    """True if a miss must not be worked on before the arena has grown."""
    return mem[H_PRESSURE] != 0 or mem[H_TOP] + SLACK > mem.size
