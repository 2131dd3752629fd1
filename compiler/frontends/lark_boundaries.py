"""Where one lexeme ends and the next begins: what a lexer that prefers longer or earlier matches makes of it.

    t in T directly before u in U, and a rival X (T itself, or a terminal that is tried before it):
    after t the rival stands in some states; it reads the first character of u from there

    no state is left      safe      X is no match beyond t
    one of them matches   surely    X matches beyond t: the lexer never makes T of t here
    else                  it depends on more than a character, which is not looked at

Counters and conditions are taken as always passing, so a "surely" that rests on them counts as "it depends".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from grammar_engine.compiler.automaton import KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.frontends.lark_lexing import TerminalView

_MAX_PAIRS = 4000
"""Pairs of a state and a set of states that are looked at before a question about two terminals is given up."""
_LEADS = (0x80, 0xC0, 0xE0, 0xF0)

States = frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Within:
    """What a rival does inside of the words of a terminal. matches: it matches some beginning of one, or one.

    behind: the sets of states in which it can be behind a word. reads: the bytes that those can read, as a set of bits.
    known: these are all.
    """

    matches: bool
    behind: frozenset[States]
    reads: int
    known: bool = True


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """First bytes of a following lexeme, as sets of bits. barred: the boundary before them is never seen by the lexer;
    open: it may or may not be.
    """

    barred: int = 0
    open: int = 0


def within(terminal: TerminalView, rival: TerminalView) -> Within:
    """Follow a rival through all words of a terminal."""
    start = (0, frozenset({0}))
    seen, todo = {start}, [start]
    behind: set[States] = set()
    matches = False
    while todo:
        state, states = todo.pop()
        for low, high, target in terminal.moves(state):
            for first, _ in _segments(low, high, rival, states):
                after = _step(rival, states, first)
                matches = matches or any(map(rival.accepts, after))
                if terminal.accepts(target):
                    behind.add(after)
                pair = (target, after)
                if pair not in seen:
                    if len(seen) >= _MAX_PAIRS:
                        return Within(matches=True, behind=frozenset(behind), reads=(1 << 256) - 1, known=False)
                    seen.add(pair)
                    todo.append(pair)
    reads = 0
    for state in {state for states in behind for state in states}:
        for low, high, _ in rival.moves(state):
            reads |= (1 << high + 1) - (1 << low)
    return Within(matches=matches, behind=frozenset(behind), reads=reads)


def boundary(found: Within, rival: TerminalView, following: TerminalView) -> Boundary:
    """What the rival makes of the boundary between the terminal and a following one."""
    if not found.known:
        return Boundary(open=following.first_bytes)
    if not found.reads & following.first_bytes:
        return Boundary()
    sure = safe = unsure = 0
    for states in found.behind:
        for low, high, target in following.moves(0):
            for first, last in _segments(low, high, rival, states, *_LEADS):
                bits = (1 << last + 1) - (1 << first)
                outcomes = _outcomes(rival, _step(rival, states, first), following, target, _further_bytes(first))
                sure |= bits * (True in outcomes and not rival.counts)
                safe |= bits * (False in outcomes)
                unsure |= bits * (None in outcomes or (True in outcomes and rival.counts))
    barred = sure & ~safe & ~unsure
    return Boundary(barred=barred, open=(sure | unsure) & ~barred)


def _outcomes(
    rival: TerminalView, states: States, following: TerminalView, state: int, further: int
) -> set[bool | None]:
    """Behind the first character: does the rival match (True), is it gone (False), or neither?"""
    pairs = {(states, state)}
    for _ in range(further):
        pairs = {
            (_step(rival, before, first), target)
            for before, at in pairs
            for low, high, target in following.moves(at)
            for first, _ in _segments(low, high, rival, before)
        }
    return {True if any(map(rival.accepts, after)) else None if after else False for after, _ in pairs}


def _further_bytes(lead: int) -> int:
    return 0 if lead < 0xC0 else 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3


def _step(view: TerminalView, states: States, byte: int) -> States:
    return frozenset(target for state in states for low, high, target in view.moves(state) if low <= byte <= high)


def _segments(low: int, high: int, view: TerminalView, states: States, *further: int) -> list[tuple[int, int]]:
    """A range of bytes cut where the states of a terminal tell bytes apart."""
    cuts = {low, *(cut for cut in further if low < cut <= high)}
    for state in states:
        for first, last, _ in view.moves(state):
            cuts.update(cut for cut in (first, last + 1) if low < cut <= high)
    ordered = [*sorted(cuts), high + 1]
    return [(begin, end - 1) for begin, end in pairwise(ordered)]


def first_matches(automaton: ByteAutomaton) -> ByteAutomaton | None:
    """The automaton of the words that are the first match in backtracking order whatever follows them, if that is the
    shortest one for every text; None if it is not, or not for sure.

    The ordered threads, one state per list of them (Pike's simulation as a subset construction).
    """
    if automaton.conditions or automaton.starts or (automaton.entries[:, 1] != KEEP).any():
        return None
    entries = automaton.entries[:, 0].tolist()
    offsets = automaton.offsets.tolist()
    listed = [entries[offsets[state] : offsets[state + 1]] for state in range(len(offsets) - 1)]
    positions = automaton.positions.tolist()
    numbers: dict[tuple[int, ...], int] = {tuple(listed[0]): 0}
    todo = [tuple(listed[0])]
    moves: dict[int, list[tuple[int, int, int]]] = {}
    accepting: set[int] = set()
    while todo:
        threads = todo.pop()
        number = numbers[threads]
        moves[number] = []
        if MATCH in threads:
            if threads[0] != MATCH:
                return None  # a longer match may be preferred
            accepting.add(number)
            continue
        cuts = {cut for index in threads for cut in (positions[index][0], positions[index][1] + 1)}
        ordered = sorted(cut for cut in cuts if cut < 256)
        for low, above in zip(ordered, [*ordered[1:], 256], strict=True):
            after: dict[int, None] = {}
            for index in threads:
                first, last, state = positions[index]
                if first <= low <= last:
                    after.update(dict.fromkeys(listed[state]))
            if after:
                key = tuple(after)
                if key not in numbers:
                    if len(numbers) >= _MAX_PAIRS:
                        return None
                    numbers[key] = len(numbers)
                    todo.append(key)
                moves[number].append((low, above - 1, numbers[key]))
    return written([moves[number] for number in range(len(numbers))], accepting)


def without_first(automaton: ByteAutomaton, barred: int) -> ByteAutomaton | None:
    """The words whose first byte is none of a set of bits; None if there are none. The automaton has no starts."""
    begins: list[list[int]] = []
    first_entries: list[tuple[int, int, int]] = []
    count = len(automaton.positions)
    for index, operation, bound in automaton.entries[: automaton.offsets[1]].tolist():
        low, high, target = automaton.positions[index].tolist()
        kept = [byte for byte in range(low, high + 1) if not barred >> byte & 1]
        while kept:
            end = next((at for at, byte in enumerate(kept) if byte != kept[0] + at), len(kept))
            first_entries.append((count + len(begins), operation, bound))
            begins.append([kept[0], kept[end - 1], target + 1])
            del kept[:end]
    if not begins:
        return None
    moved = automaton.positions + np.array([0, 0, 1], np.int32)
    head = np.array(first_entries, np.int32)
    whole = ByteAutomaton(
        positions=np.concatenate([moved, np.array(begins, np.int32)]).astype(np.int32),
        offsets=np.concatenate([[0], automaton.offsets + len(head)]).astype(np.int32),
        entries=np.concatenate([head, automaton.entries]).astype(np.int32),
    )
    return _reachable(whole)


def written(moves: list[list[tuple[int, int, int]]], accepting: set[int]) -> ByteAutomaton:
    """An automaton from the moves of its states: lowest byte, highest byte, state behind."""
    positions: list[tuple[int, int, int]] = []
    offsets, entries = [0], []
    for state, listed in enumerate(moves):
        if state in accepting:
            entries.append((MATCH, KEEP, 0))
        for move in listed:
            entries.append((len(positions), KEEP, 0))
            positions.append(move)
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(positions, np.int32).reshape(-1, 3),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32).reshape(-1, 3),
    )


def _reachable(automaton: ByteAutomaton) -> ByteAutomaton:
    """Without the states that are reached no more."""
    offsets, positions = automaton.offsets.tolist(), automaton.positions.tolist()
    entries = automaton.entries.tolist()
    order: dict[int, int] = {0: 0}
    todo = [0]
    while todo:
        state = todo.pop()
        for index, _, _ in entries[offsets[state] : offsets[state + 1]]:
            if index >= 0 and positions[index][2] not in order:
                order[positions[index][2]] = len(order)
                todo.append(positions[index][2])
    kept_positions: list[tuple[int, int, int]] = []
    kept_entries: list[tuple[int, int, int]] = []
    kept_offsets = [0]
    for state in order:
        for index, operation, bound in entries[offsets[state] : offsets[state + 1]]:
            if index >= 0:
                low, high, target = positions[index]
                kept_entries.append((len(kept_positions), operation, bound))
                kept_positions.append((low, high, order[target]))
            else:
                kept_entries.append((index, operation, bound))
        kept_offsets.append(len(kept_entries))
    return ByteAutomaton(
        positions=np.array(kept_positions, np.int32).reshape(-1, 3),
        offsets=np.array(kept_offsets, np.int32),
        entries=np.array(kept_entries, np.int32).reshape(-1, 3),
    )
