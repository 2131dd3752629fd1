"""Newlines whose matches tell the column behind them: the lexical side of indentation.

    state (q, k)     q: of the newline terminal's automaton; k: the column, or none
    line feed        k' = 0
    space, tab       k' = k + 1, k + tab_len
    form feed, carriage return  k' = k
    other bytes      k' = none: inside a comment, say, nothing is counted until the next line feed
    match of q       at (q, k): match k; at (q, none): match COLUMNS, which outside of parentheses ends the text

So the column is known from the terminal that matched (see kernels.table_parser), and walks and masks need not know of
indentation. The automaton has a few hundred states for each state that reads the blanks behind a line feed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton

COLUMNS = 256
"""Blanks behind a line feed may reach column COLUMNS - 1; a text that is indented deeper is refused."""
_LINE_FEED, _FORM_FEED, _CARRIAGE_RETURN, _TAB, _SPACE = 0x0A, 0x0C, 0x0D, 0x09, 0x20
_SPECIAL = (_TAB, _LINE_FEED, _FORM_FEED, _CARRIAGE_RETURN, _SPACE)
_NONE, _TOO_DEEP = -1, -2


def by_column(newline: ByteAutomaton, tab_len: int) -> ByteAutomaton | None:
    """The automaton of newlines by column: the bound of a match is 1 + k, k at most COLUMNS.

    None if it counts, or where some state has no line feed ahead: a column that does not fit could not be mended.
    """
    if (newline.entries[:, 1] != KEEP).any():
        return None
    numbers: dict[tuple[int, int], int] = {(0, _NONE): 0}
    order = [(0, _NONE)]
    positions: list[tuple[int, int, int]] = []
    lists: list[list[tuple[int, int]]] = []

    def state(q: int, column: int) -> int:
        number = numbers.setdefault((q, column), len(order))
        if number == len(order):
            order.append((q, column))
        return number

    at = 0
    while at < len(order):
        q, column = order[at]
        at += 1
        entries: list[tuple[int, int]] = []
        for index, _, _ in newline.entries[newline.offsets[q] : newline.offsets[q + 1]].tolist():
            if index == MATCH:
                entries.append((MATCH, 1 + (column if column >= 0 else COLUMNS)))
                continue
            low, high, target = newline.positions[index].tolist()
            for first, last, after in _parts(low, high, column, tab_len):
                entries.append((len(positions), 0))
                positions.append((first, last, state(target, after)))
        lists.append(entries)
    if not _may_begin_anew(positions, lists):
        return None
    return ByteAutomaton(
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int32),
        entries=np.array([(index, KEEP, label) for one in lists for index, label in one], np.int32).reshape(-1, 3),
    )


def _may_begin_anew(positions: list[tuple[int, int, int]], lists: list[list[tuple[int, int]]]) -> bool:
    """Is there a line feed ahead in every state?"""
    before: list[list[int]] = [[] for _ in lists]
    good: set[int] = set()
    for number, entries in enumerate(lists):
        for index, _ in entries:
            if index != MATCH:
                low, _, target = positions[index]
                before[target].append(number)
                if low == _LINE_FEED:  # (special bytes have positions of their own)
                    good.add(number)
    todo = list(good)
    while todo:
        fresh = set(before[todo.pop()]) - good
        good |= fresh
        todo += fresh
    return len(good) == len(lists)


def _parts(low: int, high: int, column: int, tab_len: int) -> Iterator[tuple[int, int, int]]:
    """A range of bytes, cut where bytes change the column differently: (lowest, highest, column behind)."""
    first = low
    for byte in _SPECIAL:
        if not low <= byte <= high:
            continue
        if first < byte:
            yield first, byte - 1, _NONE
        yield byte, byte, _after(byte, column, tab_len)
        first = byte + 1
    if first <= high:
        yield first, high, _NONE


def _after(byte: int, column: int, tab_len: int) -> int:
    if byte == _LINE_FEED:
        return 0
    if column < 0 or byte in (_FORM_FEED, _CARRIAGE_RETURN):
        return column
    after = column + (tab_len if byte == _TAB else 1)
    return after if after < COLUMNS else _TOO_DEEP
