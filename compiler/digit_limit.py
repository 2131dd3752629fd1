"""Numbers of at most so many digits: the numbers that a reader holds, where JSON knows no limit.

Python reads integers of at most 4,300 digits, and a float beyond 1.8e308 is infinite. An automaton of numbers reads
unbounded runs of digits in states that lead back to themselves; here those loops become counted ones, so nothing is
unrolled. Loops through several states (remainders of a multiple) stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH, ByteAutomaton

_DIGITS = (ord("0"), ord("9"))
_EXPONENT = frozenset(b"eE")


@dataclass(frozen=True, kw_only=True)
class DigitLimit:
    """digits: of the whole part, and of the fraction. exponent: of the exponent."""

    digits: int
    exponent: int


def limit_digits(automaton: ByteAutomaton, limit: DigitLimit) -> ByteAutomaton:
    """The texts of a deterministic automaton of numbers that keep to the limit, in plain spelling.

    Digits that are read before a loop begins count as if the automaton had no cycle: a few fewer than the limit may
    be offered, never more.
    """
    positions = [tuple(position) for position in automaton.positions.tolist()]
    entries: list[tuple[int, int, int]] = []
    offsets = [0]
    loops: dict[int, int] = {}  # state → its copy, in which the loop goes on
    for state in range(automaton.num_states):
        for index, _, _ in _entries(automaton, state):
            if index != MATCH and positions[index] == (*_DIGITS, state):
                loops[state] = automaton.num_states + len(loops)
    if not loops:
        return automaton
    behind_letter = _behind_exponent(automaton)
    room = max(1, limit.digits - automaton.num_states)
    for state in range(automaton.num_states):
        for index, operation, bound in _entries(automaton, state):
            if index != MATCH and positions[index] == (*_DIGITS, state):
                entries.append((len(positions), ENTER, 0))
                positions.append((*_DIGITS, loops[state]))
            else:
                entries.append((index, operation, bound))
        offsets.append(len(entries))
    for state, copy in loops.items():
        most = max(1, limit.exponent - 1) if state in behind_letter else room
        for index, _, _ in _entries(automaton, state):
            if index != MATCH and positions[index] == (*_DIGITS, state):
                entries.append((len(positions), AGAIN, most))
                positions.append((*_DIGITS, copy))
            else:
                entries.append((index, EXIT, 0))
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32).reshape(-1, 3),
        key=automaton.key and f"{automaton.key}:{limit.digits}d{limit.exponent}",
    )


def _entries(automaton: ByteAutomaton, state: int) -> list[tuple[int, int, int]]:
    rows: list[list[int]] = automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1]].tolist()
    assert all(operation == KEEP for _, operation, _ in rows)
    return [(index, operation, bound) for index, operation, bound in rows]


def _behind_exponent(automaton: ByteAutomaton) -> set[int]:
    positions = automaton.positions.tolist()
    todo = [target for low, high, target in positions if _EXPONENT & set(range(low, high + 1))]
    found: set[int] = set()
    while todo:
        state = todo.pop()
        if state not in found:
            found.add(state)
            todo += [positions[index][2] for index, _, _ in _entries(automaton, state) if index != MATCH]
    return found
