"""Terminals as automata over bytes: the form in which every front end hands its lexical rules to the engine.

A terminal's automaton is ε-free and *ordered*. Reading a byte moves a thread along a **position** (a byte range and
the state behind it, as in Glushkov's construction); arriving in a state expands it to the state's **entries**: the
positions that may read next, and MATCH where the lexeme may end. Order is priority (leftmost-first, as in
backtracking engines; Pike's virtual machine keeps it the same way); grammars whose lexing is unordered ignore it.

    thread (position p, counter c) reads b:
        if lo(p) <= b <= hi(p):
            for (q, op, bound) in entries(state(p)):
                op applied to c says whether q is entered, and with which counter

**Counters** keep `x{0,5000}` from being unrolled: one counter per thread, changed and tested when a state is expanded.
At most one counted loop is active in a thread at any time, and loops are never nested in one another.

    KEEP            c stays
    ENTER  bound    c := 1             the first round of a loop begins     (bound unused)
    AGAIN  bound    needs c < bound    the next round begins, c := c + 1    (bound < 0: no upper bound, c saturates)
    EXIT   bound    needs c >= bound   the loop is left, c := 0

With an unbounded loop ``{min,}``, ``AGAIN`` carries ``-min`` so that c stops growing at min (min ≥ 1).

**Conditions** (``compiler.conditions``): an entry may be a match on condition that the text behind the lexeme is of
some form. Two states of the same automaton, from which nothing leads back, read that text and decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

KEEP, ENTER, AGAIN, EXIT = 0, 1, 2, 3
MATCH = -1
DECIDED = -2  # an entry of a state that decides a condition: it is decided, in the sense of that state
CONDITION = -3  # an entry CONDITION - c: a match under condition c
END = (256, 255)  # the bytes of a position that reads none: there the end of the text decides

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class ByteAutomaton:
    """An ε-free, ordered automaton over bytes; state 0 is the start.

    positions: int32 ``(P, 3)``: lowest byte, highest byte, state behind.
    offsets:   int32 ``(S + 1,)``: the entries of state s are ``entries[offsets[s]:offsets[s + 1]]``, best first.
    entries:   int32 ``(E, 3)``: index of a position or MATCH, counter operation, bound.
    key:       equal keys mean equal automata (used to share mask rows between grammars); "" = never shared.
    settled:   states from this one on take whatever a thread of the automaton could take that has read the same: once a
               thread is there, all others are superfluous. -1: none is known.
    spelling:  how characters are spelled in them: from where any text may follow, equal spelling means equal language.
    conditions: per condition the states that read on: DECIDED in the first as soon as it holds, in the second as soon
                as it fails.
    starts:    the states to start from instead of 0, by the class of the character before (``ir.Grammar.behind``), -1
               where nothing matches; () if it does not matter.

    Where nothing is counted, the bound of a match may tell more of it: ``layout.py``, ``last_character.py``.

    Invariants (checked by ``validate``): state 0 has no MATCH entry (a terminal is never empty), every state is
    reachable and a MATCH is reachable from every state.
    """

    positions: Int32Array
    offsets: Int32Array
    entries: Int32Array
    key: str = ""
    settled: int = -1
    spelling: str = ""
    conditions: tuple[tuple[int, int], ...] = ()
    starts: tuple[int, ...] = ()

    @property
    def num_states(self) -> int:
        """How many states there are."""
        return len(self.offsets) - 1

    def validate(self) -> None:
        """Raise ValueError if an invariant does not hold (counters are taken as always passing)."""
        states = self.num_states
        successors: list[set[int]] = []
        accepting: set[int] = set()
        for state in range(states):
            targets: set[int] = set()
            for index, op, _ in self.entries[self.offsets[state] : self.offsets[state + 1]].tolist():
                if op not in (KEEP, ENTER, AGAIN, EXIT):
                    raise ValueError(f"state {state}: unknown counter operation {op}")
                if index in (MATCH, DECIDED):
                    accepting.add(state)
                elif index <= CONDITION:
                    accepting.add(state)
                    targets.update(self.conditions[CONDITION - index])
                else:
                    low, high, target = self.positions[index].tolist()
                    if not ((0 <= low <= high <= 255 or (low, high) == END) and 0 <= target < states):
                        raise ValueError(f"position {index} is out of range")
                    targets.add(target)
            successors.append(targets)
        if 0 in accepting:
            raise ValueError("the start state matches the empty string")
        reached = {0, *(state for state in self.starts if state >= 0)}
        todo = list(reached)
        while todo:
            for target in successors[todo.pop()]:
                if target not in reached:
                    reached.add(target)
                    todo.append(target)
        if len(reached) != states:
            raise ValueError(f"{states - len(reached)} states are unreachable")
        live = set(accepting)
        changed = True
        while changed:
            changed = False
            for state in range(states):
                if state not in live and successors[state] & live:
                    live.add(state)
                    changed = True
        if len(live) != states:
            raise ValueError(f"{states - len(live)} states cannot reach a match")


def preferring(first: ByteAutomaton, second: ByteAutomaton) -> ByteAutomaton:
    """The texts of both, those of ``first`` before those of ``second``; neither has conditions."""
    shifted = second.positions + np.array([0, 0, first.num_states], np.int32)
    begin = np.concatenate([first.entries[: first.offsets[1]], _behind(second.entries[: second.offsets[1]], first)])
    entries = np.concatenate([first.entries, _behind(second.entries, first)])
    offsets = np.concatenate([first.offsets[:-1], second.offsets + len(first.entries)])
    return ByteAutomaton(
        positions=np.concatenate([first.positions, shifted]).astype(np.int32) + np.array([0, 0, 1], np.int32),
        offsets=np.concatenate([[0], offsets + len(begin)]).astype(np.int32),
        entries=np.concatenate([begin, entries]).astype(np.int32),
    )


def side_by_side(automata: Sequence[ByteAutomaton | None]) -> ByteAutomaton:
    """One automaton with a start for each of some, of which there is at least one."""
    states = positions = conditions = entries = 0
    parts: list[ByteAutomaton] = []
    starts: list[int] = []
    for automaton in automata:
        if automaton is None:
            starts.append(-1)
            continue
        starts.append(states)
        moved = automaton.entries.copy()
        moved[:, 0] += np.where(moved[:, 0] >= 0, positions, np.where(moved[:, 0] <= CONDITION, -conditions, 0))
        shift = np.array([0, 0, states], np.int32)
        pairs = tuple((holds + states, fails + states) for holds, fails in automaton.conditions)
        offsets = automaton.offsets + entries
        parts.append(
            ByteAutomaton(positions=automaton.positions + shift, offsets=offsets, entries=moved, conditions=pairs)
        )
        states += automaton.num_states
        positions += len(automaton.positions)
        conditions += len(pairs)
        entries += len(moved)
    return ByteAutomaton(
        positions=np.concatenate([part.positions for part in parts]),
        offsets=np.concatenate([[0], *(part.offsets[1:] for part in parts)]).astype(np.int32),
        entries=np.concatenate([part.entries for part in parts]),
        conditions=tuple(pair for part in parts for pair in part.conditions),
        starts=tuple(starts),
    )


def deciding_states(automaton: ByteAutomaton) -> npt.NDArray[np.bool_]:
    """Which states decide conditions."""
    found = np.zeros(automaton.num_states, bool)
    if not automaton.conditions:
        return found
    reads = automaton.entries[:, 0] >= 0
    sources = np.repeat(np.arange(automaton.num_states), np.diff(automaton.offsets))[reads]
    targets = automaton.positions[automaton.entries[reads, 0], 2]
    fresh = np.unique(np.array(automaton.conditions, np.int32))
    while len(fresh):
        found[fresh] = True
        is_fresh = np.zeros(len(found), bool)
        is_fresh[fresh] = True
        behind = np.unique(targets[is_fresh[sources]])
        fresh = behind[~found[behind]]
    return found


def _behind(entries: Int32Array, first: ByteAutomaton) -> Int32Array:
    shifted: Int32Array = entries.copy()
    shifted[entries[:, 0] >= 0, 0] += len(first.positions)
    return shifted


def literal(text: bytes) -> ByteAutomaton:
    """The automaton of one non-empty byte string: a chain."""
    if not text:
        raise ValueError("a terminal is never empty")
    count = len(text)
    positions = np.empty((count, 3), np.int32)
    positions[:, 0] = positions[:, 1] = np.frombuffer(text, np.uint8)
    positions[:, 2] = np.arange(1, count + 1)
    entries = np.zeros((count + 1, 3), np.int32)
    entries[:count, 0] = np.arange(count)
    entries[count, 0] = MATCH
    return ByteAutomaton(positions=positions, offsets=np.arange(count + 2, dtype=np.int32), entries=entries)
