"""Small deterministic automata over ASCII: explored from a step function and minimized.

For terminals whose states are comparisons, remainders or counts rather than text (numbers, addresses), and which would
be long as patterns. A *machine* is given as in any on-the-fly construction: a start state, the moves of a state, and
whether the text may end in it; states are any hashable values.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.errors import LimitExceededError

MAX_STATES = 20_000
"""States that ``minimal_table`` may explore before minimizing (about a third of a second)."""

S = TypeVar("S", bound=Hashable)
Moves = list[tuple[str, S]]
"""pairs of the characters of a move and the state behind it; the characters of a state's moves are disjoint"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A minimal, partial, deterministic automaton; state 0 is the start, states are numbered breadth-first.

    rows: for each state the state behind each character that it can read. accepting: the text may end there.
    """

    rows: tuple[dict[str, int], ...]
    accepting: tuple[bool, ...]


def minimal_table(start: S, moves: Callable[[S], Moves[S]], accepts: Callable[[S], bool], *, what: str) -> Table | None:
    """The minimal automaton of a machine, or None if it accepts no text. ``what`` names it in LimitExceededError."""
    numbers: dict[S, int] = {start: 0}
    order: list[S] = [start]
    table: list[list[tuple[str, int]]] = []
    accepting: list[bool] = []
    for state in order:  # grows while we walk it
        row: list[tuple[str, int]] = []
        for characters, target in moves(state):
            number = numbers.setdefault(target, len(order))
            if number == len(order):
                if number >= MAX_STATES:
                    raise LimitExceededError(
                        f"{what} needs too many automaton states", limit=f"{MAX_STATES} states", given=what
                    )
                order.append(target)
            row.append((characters, number))
        table.append(row)
        accepting.append(accepts(state))
    live = _live(table, accepting)
    if not live[0]:
        return None
    rows = [
        {character: target for characters, target in row if live[target] for character in characters} for row in table
    ]
    return _quotient(rows, accepting, _minimal_blocks(rows, accepting, live))


def _live(table: Sequence[Sequence[tuple[str, int]]], accepting: Sequence[bool]) -> list[bool]:
    """The states from which the text can be completed."""
    sources: list[list[int]] = [[] for _ in table]
    for state, row in enumerate(table):
        for _, target in row:
            sources[target].append(state)
    live = list(accepting)
    todo = [state for state, flag in enumerate(accepting) if flag]
    while todo:
        for source in sources[todo.pop()]:
            if not live[source]:
                live[source] = True
                todo.append(source)
    return live


def _minimal_blocks(rows: Sequence[dict[str, int]], accepting: Sequence[bool], live: Sequence[bool]) -> list[int]:
    """State → block of equivalent states, by Hopcroft's partition refinement (1971).

    The missing transitions of the partial table are no obstacle: every state is live, so a missing transition
    differs from any present one, and the initial partition separates states by the characters that they can read.
    """
    shapes: dict[tuple[bool, str], int] = {}
    blocks: list[set[int]] = []
    block_of = [-1] * len(rows)
    sources: list[dict[str, list[int]]] = [{} for _ in rows]
    for state, row in enumerate(rows):
        if not live[state]:
            continue
        number = shapes.setdefault((accepting[state], "".join(sorted(row))), len(blocks))
        if number == len(blocks):
            blocks.append(set())
        blocks[number].add(state)
        block_of[state] = number
        for character, target in row.items():
            sources[target].setdefault(character, []).append(state)
    waiting = set(range(len(blocks)))
    while waiting:
        splitter = tuple(blocks[waiting.pop()])
        into: dict[str, list[int]] = {}
        for target in splitter:
            for character, states in sources[target].items():
                into.setdefault(character, []).extend(states)
        done: set[tuple[int, ...]] = set()
        for states in into.values():
            key = tuple(states)
            if key in done:  # the same states read another character to the same place
                continue
            done.add(key)
            touched: dict[int, list[int]] = {}
            for state in states:
                touched.setdefault(block_of[state], []).append(state)
            for number, part in touched.items():
                members = blocks[number]
                if len(part) == len(members):
                    continue
                members.difference_update(part)
                smaller, other = (set(part), members) if len(part) <= len(members) else (members, set(part))
                blocks[number] = other
                fresh = len(blocks)
                blocks.append(smaller)
                for state in smaller:
                    block_of[state] = fresh
                waiting.add(fresh)  # and if ``number`` is waiting, both parts now are
    return block_of


def _quotient(table: Sequence[dict[str, int]], accepting: Sequence[bool], block_of: Sequence[int]) -> Table:
    numbers = {block_of[0]: 0}
    representatives = [0]
    rows: list[dict[str, int]] = []
    for state in representatives:  # grows while we walk it
        row: dict[str, int] = {}
        for character, target in table[state].items():
            number = numbers.setdefault(block_of[target], len(representatives))
            if number == len(representatives):
                representatives.append(target)
            row[character] = number
        rows.append(row)
    return Table(rows=tuple(rows), accepting=tuple(accepting[state] for state in representatives))


def to_bytes(table: Table, *, key: str) -> ByteAutomaton:
    """The table as a terminal's automaton. Reading on has priority over matching."""
    positions: list[tuple[int, int, int]] = []
    entries: list[tuple[int, int, int]] = []
    offsets = [0]
    for row, accepting in zip(table.rows, table.accepting, strict=True):
        for character in sorted(row):
            byte, target = ord(character), row[character]
            begun = len(entries) > offsets[-1]
            if begun and positions[-1][1:] == (byte - 1, target):
                positions[-1] = (positions[-1][0], byte, target)
            else:
                entries.append((len(positions), KEEP, 0))
                positions.append((byte, byte, target))
        if accepting:
            entries.append((MATCH, KEEP, 0))
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32).reshape(-1, 3),
        key=key,
    )
