"""Small deterministic automata over ASCII: explored from a step function and minimized.

For terminals whose states are comparisons, remainders or counts rather than text (numbers, addresses), and which would
be long as patterns. A *machine* is given as in any on-the-fly construction: a start state, the moves of a state, and
whether the text may end in it; states are any hashable values.
"""

from __future__ import annotations

from collections import defaultdict
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
    table: list[dict[str, int]] = []
    accepting: list[bool] = []
    for state in order:  # grows while we walk it
        row: dict[str, int] = {}
        for characters, target in moves(state):
            number = numbers.setdefault(target, len(order))
            if number == len(order):
                if number >= MAX_STATES:
                    raise LimitExceededError(
                        f"{what} needs too many automaton states", limit=f"{MAX_STATES} states", given=what
                    )
                order.append(target)
            row.update(dict.fromkeys(characters, number))
        table.append(row)
        accepting.append(accepts(state))
    live = _live(table, accepting)
    if 0 not in live:
        return None
    table = [{c: target for c, target in row.items() if target in live} for row in table]
    return _quotient(table, accepting, _minimal_blocks(table, accepting, live))


def _live(table: Sequence[dict[str, int]], accepting: Sequence[bool]) -> set[int]:
    """The states from which the text can be completed."""
    sources: dict[int, set[int]] = defaultdict(set)
    for state, row in enumerate(table):
        for target in row.values():
            sources[target].add(state)
    live = {state for state, flag in enumerate(accepting) if flag}
    todo = list(live)
    while todo:
        fresh = sources[todo.pop()] - live
        live |= fresh
        todo.extend(fresh)
    return live


def _minimal_blocks(table: Sequence[dict[str, int]], accepting: Sequence[bool], live: set[int]) -> dict[int, int]:
    """State → block of equivalent states, by Hopcroft's partition refinement (1971).

    The missing transitions of the partial table are no obstacle: every state is live, so a missing transition
    differs from any present one, and the initial partition separates states by the characters that they can read.
    """
    shapes: dict[tuple[bool, frozenset[str]], set[int]] = defaultdict(set)
    sources: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for state in live:
        shapes[accepting[state], frozenset(table[state])].add(state)
        for character, target in table[state].items():
            sources[target][character].add(state)
    blocks = list(shapes.values())
    block_of = {state: number for number, members in enumerate(blocks) for state in members}
    waiting = set(range(len(blocks)))
    while waiting:
        splitter = tuple(blocks[waiting.pop()])
        into: dict[str, set[int]] = defaultdict(set)
        for target in splitter:
            for character, states in sources[target].items():
                into[character] |= states
        for states in into.values():
            touched: dict[int, set[int]] = defaultdict(set)
            for state in states:
                touched[block_of[state]].add(state)
            for number, part in touched.items():
                rest = len(blocks[number]) - len(part)
                if not rest:
                    continue
                blocks[number] -= part
                smaller, other = (part, blocks[number]) if len(part) <= rest else (blocks[number], part)
                blocks[number] = other
                fresh = len(blocks)
                blocks.append(smaller)
                block_of.update(dict.fromkeys(smaller, fresh))
                waiting.add(fresh)  # and if ``number`` is waiting, both parts now are
    return block_of


def _quotient(table: Sequence[dict[str, int]], accepting: Sequence[bool], block_of: dict[int, int]) -> Table:
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
