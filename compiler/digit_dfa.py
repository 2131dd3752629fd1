"""Small deterministic automata over ASCII: explored from a step function, minimized, written out as ByteAutomata.

Number terminals are built here rather than from patterns, because their states are comparisons and remainders, not
text. A *machine* is given as in any on-the-fly construction: a start state, the moves of a state, and whether the
text may end in it; states are any hashable values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.errors import LimitExceededError

MAX_STATES = 20_000
"""States that ``build`` may explore before minimizing (about a third of a second)."""

S = TypeVar("S", bound=Hashable)
Moves = list[tuple[str, S]]
"""pairs of the characters of a move and the state behind it; the characters of a state's moves are disjoint"""


def build(
    start: S, moves: Callable[[S], Moves[S]], accepts: Callable[[S], bool], *, key: str, what: str
) -> ByteAutomaton | None:
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
    return _emit(table, accepting, _minimal_blocks(table, accepting, live), key)


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


def _emit(
    table: Sequence[dict[str, int]], accepting: Sequence[bool], block_of: dict[int, int], key: str
) -> ByteAutomaton:
    """The quotient automaton, its states numbered breadth-first. Reading on has priority over matching."""
    numbers = {block_of[0]: 0}
    representatives = [0]
    positions: list[tuple[int, int, int]] = []
    entries: list[tuple[int, int, int]] = []
    offsets = [0]
    for state in representatives:  # grows while we walk it
        for character in sorted(table[state]):
            target = table[state][character]
            number = numbers.setdefault(block_of[target], len(representatives))
            if number == len(representatives):
                representatives.append(target)
            byte = ord(character)
            first_of_state = len(entries) == offsets[-1]
            if not first_of_state and positions[-1][1:] == (byte - 1, number):
                positions[-1] = (positions[-1][0], byte, number)
            else:
                entries.append((len(positions), KEEP, 0))
                positions.append((byte, byte, number))
        if accepting[state]:
            entries.append((MATCH, KEEP, 0))
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32).reshape(-1, 3),
        key=key,
    )
