"""The plain reference for byte automata: threads stepped one byte at a time, as ``compiler/automaton.py`` defines.

Slow and obvious on purpose; the engine's loops and the front ends' automata are tested against it.
"""

from __future__ import annotations

from grammar_engine.compiler.automaton import MATCH, ByteAutomaton
from grammar_engine.compiler.char_states import apply_counter

#: (position, counter) pairs, highest priority first; position MATCH where the lexeme may end.
Threads = list[tuple[int, int]]


def expand(automaton: ByteAutomaton, state: int, counter: int) -> Threads:
    """The threads that stand in a state's entries, tests of the counter applied."""
    found: Threads = []
    for position, op, bound in automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1]].tolist():
        value = apply_counter(op, bound, counter)
        if value >= 0:
            found.append((position, value))
    return found


def step(automaton: ByteAutomaton, threads: Threads, byte: int) -> Threads:
    """Read a byte with every thread, in order; of equal threads the first is kept."""
    found: dict[tuple[int, int], None] = {}
    for position, counter in threads:
        if position == MATCH:
            continue
        low, high, target = automaton.positions[position].tolist()
        if low <= byte <= high:
            for thread in expand(automaton, target, counter):
                found.setdefault(thread)
    return list(found)


def accepts(automaton: ByteAutomaton, data: bytes) -> bool:
    """Whether the whole of ``data`` is in the language (the order of the threads does not matter)."""
    threads = expand(automaton, 0, 0)
    for byte in data:
        threads = step(automaton, threads, byte)
    return any(position == MATCH for position, _ in threads)


def leftmost_first(automaton: ByteAutomaton, data: bytes) -> int | None:
    """The length of the prefix that a backtracking engine would match, or None.

    Pike's rule: where a thread matches, all threads behind it are given up; the last match seen counts.
    """
    threads = expand(automaton, 0, 0)
    best: int | None = None
    for place in range(len(data) + 1):
        for rank, (position, _) in enumerate(threads):
            if position == MATCH:
                best = place
                threads = threads[:rank]
                break
        if place == len(data) or not threads:
            break
        threads = step(automaton, threads, data[place])
    return best
