"""From a regular expression's tree to a program for a backtracking machine, in Thompson's way (CACM 1968).

An instruction is read, split (with preferred order), assert, count, or match; every one names its successors, so the
program is a graph and ``construct.py`` walks its silent part. Priorities are those of a backtracking engine: a split
lists the preferred way first, a lazy loop lists its exit first.

Long counted loops become counters (``compiler.automaton``), if the tree allows: one at a time, not nested, no
assertion that could tie a round of the loop to its count. All others are unrolled.
"""

from __future__ import annotations

from typing import NamedTuple

from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT
from grammar_engine.compiler.char_states import check_limit
from grammar_engine.compiler.charset import NOTHING, CharSet
from grammar_engine.compiler.regex_ast import (
    TEXT_END,
    TEXT_END_OR_NEWLINE,
    TEXT_START,
    Alternate,
    Assertion,
    Chars,
    Concat,
    Node,
    Repeat,
    has_assertion,
    is_nullable,
)

READ, SPLIT, LOOK, COUNT, STOP = range(5)

#: Loops of at most this many rounds are always unrolled: states of their own serve later steps better.
UNROLLED_ROUNDS = 16


class Instruction(NamedTuple):
    """``kind``; READ: charset and next. SPLIT: next in order. LOOK: index and next. COUNT: op, bound and next.

    leave: of the SPLIT of a greedy loop whose rounds may be empty: where to go on behind an empty round.
    """

    kind: int
    next: tuple[int, ...] = ()
    charset: CharSet = NOTHING
    look: int = -1
    op: int = 0
    bound: int = 0
    leave: int = -1


class Program(NamedTuple):
    """``start``: index of the first instruction. ``looks``: the assertions that LOOK instructions name."""

    code: list[Instruction]
    start: int
    looks: list[Assertion]


class ProgramBuilder:
    """Builds a program back to front, so that the successor of a node is known when the node is compiled.

    ``counters``: whether loops may count. ``peel``: compile the first round of a counted loop apart, which gives the
    loop an entry that does not meet another loop's exit (an edge carries one operation only).
    """

    def __init__(self, *, counters: bool, peel: bool = False) -> None:
        self._counters = counters
        self._peel = peel
        self._code: list[Instruction] = []
        self._looks: dict[Assertion, int] = {}

    def build(self, node: Node) -> Program:
        """The program of a tree; LimitExceededError if it unrolls too far."""
        counters = self._counters
        self._counters = counters and _counters_are_safe(node, at_end=True)
        stop = self._emit(Instruction(STOP))
        start = self._node(node, stop, self._counters)
        self._counters = counters
        return Program(self._code, start, list(self._looks))

    def _emit(self, instruction: Instruction) -> int:
        check_limit(len(self._code))
        self._code.append(instruction)
        return len(self._code) - 1

    def _node(self, node: Node, after: int, counters: bool) -> int:
        """Compile ``node`` followed by instruction ``after``; returns the entry."""
        if isinstance(node, Chars):
            return self._emit(Instruction(READ, (after,), node.charset))
        if isinstance(node, Concat):
            for part in reversed(node.nodes):
                after = self._node(part, after, counters)
            return after
        if isinstance(node, Alternate):
            return self._emit(Instruction(SPLIT, tuple(self._node(part, after, counters) for part in node.nodes)))
        if isinstance(node, Repeat):
            return self._repeat(node, after, counters)
        if isinstance(node, Assertion):
            index = self._looks.setdefault(node, len(self._looks))
            return self._emit(Instruction(LOOK, (after,), look=index))
        return after

    def _repeat(self, node: Repeat, after: int, counters: bool) -> int:
        body, low, high = node.node, node.min, node.max
        if counters and _worth_counting(node):
            return self._counted(node, after)
        if high is None:
            entry = self._loop(node, after, counters)
            copies = max(low - 1, 0)
        else:
            entry = after
            for _ in range(high - low):
                entry = self._split(self._node(body, entry, counters), after, node.greedy)
            copies = low
        for _ in range(copies):
            entry = self._node(body, entry, counters)
        return entry

    def _loop(self, node: Repeat, after: int, counters: bool) -> int:
        """x* or, where at least one round is due, x+ whose entry is the body.

        An empty round ends the loop, so that it comes before the rounds that read something where the body prefers it:
        ``(x*?)*`` reads nothing. (A lazy loop has been left before its rounds are tried.)
        """
        again = self._emit(Instruction(SPLIT))
        body = self._node(node.node, again, counters)
        leave = after if node.greedy and is_nullable(node.node) else -1
        self._code[again] = Instruction(SPLIT, (body, after) if node.greedy else (after, body), leave=leave)
        return body if node.min else again

    def _counted(self, node: Repeat, after: int) -> int:
        body, low, high = node.node, node.min, node.max
        if self._peel:
            rest = self._rounds(body, max(low - 1, 0), None if high is None else high - 1, node.greedy, after)
            entry = self._node(body, rest, False)
        else:
            return self._rounds(body, low, high, node.greedy, after)
        return entry if low else self._split(entry, after, node.greedy)

    def _rounds(self, body: Node, low: int, high: int | None, greedy: bool, after: int) -> int:
        turn = self._emit(Instruction(SPLIT))
        start = self._node(body, turn, False)
        bound = -max(low, 1) if high is None else high
        again = self._emit(Instruction(COUNT, (start,), op=AGAIN, bound=bound))
        leave = self._emit(Instruction(COUNT, (after,), op=EXIT, bound=max(low, 1)))
        self._code[turn] = Instruction(SPLIT, (again, leave) if greedy else (leave, again))
        enter = self._emit(Instruction(COUNT, (start,), op=ENTER))
        return enter if low else self._split(enter, after, greedy)

    def _split(self, more: int, after: int, greedy: bool) -> int:
        return self._emit(Instruction(SPLIT, (more, after) if greedy else (after, more)))


def _worth_counting(node: Repeat) -> bool:
    """A long loop whose body reads something, and whose inner loops are cheaper to unroll than its own rounds."""
    rounds = node.min if node.max is None else node.max
    if rounds <= UNROLLED_ROUNDS or is_nullable(node.node):
        return False
    return _size(node.node, counted=False) <= rounds * _size(node.node, counted=True)


def _size(node: Node, *, counted: bool) -> int:
    """About how many instructions a node takes, its own long loops counted or unrolled."""
    if isinstance(node, (Concat, Alternate)):
        return sum(_size(part, counted=counted) for part in node.nodes)
    if isinstance(node, Repeat):
        if counted and _worth_counting(node):
            return _size(node.node, counted=False)
        rounds = max(node.min, 1) if node.max is None else node.max
        return rounds * _size(node.node, counted=counted)
    return 1


def _counters_are_safe(node: Node, *, at_end: bool) -> bool:
    """Whether no assertion can make a counted loop's last round depend on what follows.

    The start of the text is safe anywhere outside loops, its end where nothing follows; any other assertion may leave
    a thread that has used up its rounds with no way on, although the state has one for other threads.
    """
    if isinstance(node, Assertion):
        return node == TEXT_START or (at_end and node in (TEXT_END, TEXT_END_OR_NEWLINE))
    if isinstance(node, Alternate):
        return all(_counters_are_safe(part, at_end=at_end) for part in node.nodes)
    if isinstance(node, Concat):
        last = len(node.nodes) - 1
        while last > 0 and isinstance(node.nodes[last], Assertion):
            last -= 1
        return all(_counters_are_safe(part, at_end=at_end and index >= last) for index, part in enumerate(node.nodes))
    return not has_assertion(node)
