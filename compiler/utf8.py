"""Sets of code points as tries over bytes, with shared tails.

A trie node is an immutable list of (lowest byte, highest byte, node behind or None at the end). Equal nodes are one
object, so `any continuation byte` exists once however many lead bytes need it; an automaton that spells its labels
with these tries shares states accordingly (the same sharing as in Daciuk and Watson's minimal automata).

All the spellings here are positional numerals: UTF-8 has six-bit digits behind a lead byte, `\\uXXXX` four-bit
digits. ``digit_trie`` builds the trie of a set of numbers once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.charset import CharSet, Range

Branches = tuple[tuple[int, int, "TrieNode | None"], ...]


class TrieNode:
    """A node of a trie; compared by identity, made by ``node`` only."""

    __slots__ = ("_template", "branches")

    def __init__(self, branches: Branches) -> None:
        self.branches = branches
        self._template: Template | None = None

    @property
    def template(self) -> Template:
        """The node with all that is below it as arrays; worked out once."""
        if self._template is None:
            self._template = _template([self])
        return self._template


class Template(NamedTuple):
    """A node and the nodes below it, numbered from 0, as arrays.

    moves: int32 ``(M, 3)``: lowest byte, highest byte, node behind (-1: the end of the trie), by node.
    counts: int32 ``(N,)``, moves of each node.
    """

    moves: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]


def branch_template(branches: Branches) -> tuple[tuple[tuple[int, int, int], ...], Template]:
    """All that is behind some branches as one template, and the branches with the numbers of their nodes in it."""
    order = list(dict.fromkeys(below for _, _, below in branches if below is not None))
    numbers = {below: number for number, below in enumerate(order)}
    heads = tuple((low, high, -1 if below is None else numbers[below]) for low, high, below in branches)
    return heads, _template(order)


def _template(order: list[TrieNode]) -> Template:
    """Of some nodes, numbered as listed, and those below them."""
    numbers = {here: number for number, here in enumerate(order)}
    moves: list[tuple[int, int, int]] = []
    for here in order:  # grows while we walk it
        for low, high, below in here.branches:
            number = -1
            if below is not None:
                number = numbers.setdefault(below, len(order))
                if number == len(order):
                    order.append(below)
            moves.append((low, high, number))
    counts = [len(here.branches) for here in order]
    return Template(np.array(moves, np.int32).reshape(-1, 3), np.array(counts, np.int32))


@lru_cache(maxsize=1 << 16)
def node(branches: Branches) -> TrieNode:
    """The node with these branches: equal branches give the same object (as long as the cache holds it; losing one
    costs sharing, never correctness).
    """
    return TrieNode(branches)


def digit_trie(ranges: Sequence[Range], digits: int, bits: int, spans: tuple[tuple[int, int, int], ...]) -> Branches:
    """The branches that spell the numbers of ``ranges`` with a fixed number of digits of ``bits`` bits each.

    ``ranges``: sorted, disjoint, below ``2 ** (digits * bits)``, the top digit excepted: it may be of any size.
    ``spans``: how a digit is spelled: (lowest digit, highest digit, byte of the lowest); a digit may have several.
    """
    shift = (digits - 1) * bits
    cells: list[tuple[int, int, TrieNode | None]] = []
    if digits == 1:
        cells = [(low, high, None) for low, high in ranges]
    else:
        size = 1 << shift
        pending: list[Range] = []
        pending_digit = -1

        def flush() -> None:
            if pending:
                below = node(digit_trie(tuple(pending), digits - 1, bits, spans))
                cells.append((pending_digit, pending_digit, below))
                pending.clear()

        full = ((0, size - 1),)
        for low, high in ranges:
            while low <= high:
                digit, offset = low >> shift, low & (size - 1)
                last = high >> shift
                if offset == 0 and high - low + 1 >= size:
                    flush()
                    count = (high - low + 1) >> shift
                    cells.append((digit, digit + count - 1, node(digit_trie(full, digits - 1, bits, spans))))
                    low += count << shift
                    continue
                if digit != pending_digit:
                    flush()
                    pending_digit = digit
                end = high if last == digit else ((digit + 1) << shift) - 1
                pending.append((offset, end & (size - 1)))
                low = end + 1
        flush()
    return _spell(cells, spans)


def _spell(cells: list[tuple[int, int, TrieNode | None]], spans: tuple[tuple[int, int, int], ...]) -> Branches:
    spelled: list[tuple[int, int, TrieNode | None]] = []
    for first, last, base in spans:
        for low, high, below in cells:
            bottom, top = max(low, first), min(high, last)
            if bottom > top:
                continue
            start, stop = base + bottom - first, base + top - first
            if spelled and spelled[-1][2] is below and spelled[-1][1] == start - 1:
                spelled[-1] = (spelled[-1][0], stop, below)
            else:
                spelled.append((start, stop, below))
    return tuple(spelled)


_CONTINUATION = ((0, 63, 0x80),)
#: Lowest and highest code point, continuation bytes, lead byte of digit 0.
_LENGTHS = ((0x80, 0x7FF, 1, 0xC0), (0x800, 0xFFFF, 2, 0xE0), (0x10000, 0x10FFFF, 3, 0xF0))


@lru_cache(maxsize=2048)
def utf8_trie(charset: CharSet) -> Branches:
    """The branches that spell exactly the UTF-8 encodings (RFC 3629) of a set's members."""
    ascii_ = tuple((low, min(high, 0x7F), None) for low, high in charset.ranges if low <= 0x7F)
    beyond = tuple((max(low, 0x80), high) for low, high in charset.ranges if high >= 0x80)
    return (*ascii_, *_beyond_ascii(beyond)) if beyond else ascii_


@lru_cache(maxsize=512)  # that of nearly every negated class is the same
def _beyond_ascii(ranges: tuple[Range, ...]) -> Branches:
    branches: list[tuple[int, int, TrieNode | None]] = []
    for first, last, continuations, lead in _LENGTHS:
        inside = [(max(low, first), min(high, last)) for low, high in ranges if low <= last and high >= first]
        if inside:
            branches.extend(_with_lead(inside, continuations, lead))
    return tuple(branches)


def _with_lead(ranges: list[Range], continuations: int, lead: int) -> Branches:
    """The lead byte is one more digit, spelled in its own way; the digits below it are continuation bytes."""
    shift = 6 * continuations
    groups: dict[int, list[Range]] = {}
    for low, high in ranges:
        for digit in range(low >> shift, (high >> shift) + 1):
            base = digit << shift
            groups.setdefault(digit, []).append((max(low, base) - base, min(high, base + (1 << shift) - 1) - base))
    cells: list[tuple[int, int, TrieNode | None]] = [
        (digit, digit, node(digit_trie(tuple(inside), continuations, 6, _CONTINUATION)))
        for digit, inside in sorted(groups.items())
    ]
    return _spell(cells, ((0, 63, lead),))
