"""A short ambiguous sentence, or how far there is none.

An LR parser of an ambiguous sentence has to do two different things in some state with the same terminal ahead: every
ambiguity goes through a conflict of the LALR(1) automaton. So two stacks part in a conflict and read on in step; they
are equal again if, and only if, what was read has two derivations.

    pair      (base, over, over'): two stacks that share a base, of which only the state on top is known
    reduce    pops its right-hand side; where that reaches below the base, each state that may lie below becomes the
              new base, with the symbol between them as read before
    shift     both stacks shift one terminal (or two that a text matches both, where that is a matter of the parser)
    over = over'  found: the symbols below, what was read, and any completion make the sentence

The cheapest pairs first, by the terminals in them. This is the search of Isradisaikul and Myers (Finding
Counterexamples from Parsing Conflicts, 2015), on states instead of items. When no pair is left the grammar is
unambiguous; when the search is cut, every ambiguous phrase has at least as many terminals as the cheapest pair left.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grammar_engine.compiler.ir import Symbol
from grammar_engine.compiler.lalr import Automaton, members
from grammar_engine.compiler.lint.structure import Rules
from grammar_engine.compiler.lint.yields import Contexts, Yields

MAX_PAIRS = 120_000
"""Pairs of stacks that are looked at, over all conflicts."""
MAX_LENGTH = 60
"""Terminals of a phrase beyond which nothing is looked for: stacks grow with it."""
MAX_WITNESSES = 5

_NONE, _SHIFT = -1, -2
_ACCEPTED = -1  # the "state" behind the end of the text


@dataclass(frozen=True, kw_only=True)
class Ambiguity:
    """sentence: terminals of a sentence with two derivations; phrase: where it becomes ambiguous. other: the same
    terminal by terminal in the second derivation, which differs only where terminals overlap.
    nonterminals: the left-hand sides of the two productions that can be reduced where the derivations part (one, if
    the other goes on reading).
    """

    sentence: tuple[int, ...]
    other: tuple[int, ...]
    phrase: tuple[int, ...]
    nonterminals: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """found: ambiguities, at most a few. proved: there is none. length: no ambiguous phrase has fewer terminals."""

    found: tuple[Ambiguity, ...]
    proved: bool
    length: int


class _Pair(NamedTuple):
    base: int
    first: tuple[int, ...]
    second: tuple[int, ...]
    ahead: tuple[int, int]  # the terminals that may be read next, by each, as bits
    shifted: tuple[bool, bool]  # the first one goes first
    forced: tuple[int, int]  # what each has to do first: a production, _SHIFT, or _NONE when done


class _Trace(NamedTuple):
    """How a pair came about, backwards. below: a symbol found below the base; read: terminals that were shifted."""

    earlier: _Trace | None
    below: Symbol | None
    read: tuple[int, int] | None


def find_ambiguities(
    rules: Rules, automaton: Automaton, overlaps: Sequence[int] = (), *, max_pairs: int = MAX_PAIRS
) -> Verdict:
    """Search. rules: reachable and productive, those of the automaton. overlaps: see ``PlainGrammar``."""
    return _Search(automaton, Yields(rules), overlaps).run(max_pairs)


class _Search:
    def __init__(self, automaton: Automaton, yields: Yields, overlaps: Sequence[int]) -> None:
        self._automaton = automaton
        self._yields = yields
        self._overlaps = overlaps
        self._heap: list[tuple[int, int, int, _Pair, _Trace | None, tuple[int, int]]] = []
        self._seen: set[_Pair] = set()
        self._count = 0
        self._shifts: dict[int, int] = {}
        self._cut: int | None = None  # the least cost at which a stack was too long to be followed

    def run(self, max_pairs: int) -> Verdict:
        for state in range(len(self._automaton.kernels)):
            for pair in self._conflicts(state):
                self._push(0, pair, None, pair.forced)
        found: dict[tuple[int, ...], Ambiguity] = {}
        looked_at, cost = 0, 0
        contexts: Contexts | None = None
        while self._heap and len(found) < MAX_WITNESSES:
            cost, _, _, pair, trace, roots = heapq.heappop(self._heap)
            left = self._left_hand_sides(roots)
            if left in found:
                continue
            looked_at += 1
            if looked_at > max_pairs or cost > MAX_LENGTH:
                break
            if pair.shifted != (True, True):
                self._expand(cost, pair, trace, roots)
            elif pair.first == pair.second and pair.forced == (_NONE, _NONE):
                contexts = contexts or Contexts(self._automaton, self._yields)
                found[left] = self._ambiguity(pair, trace, contexts, left)
            else:
                self._read_on(cost, pair, trace, roots)
        complete = not self._heap and looked_at <= max_pairs and cost <= MAX_LENGTH and self._cut is None
        length = cost if self._cut is None else min(cost, self._cut)
        return Verdict(found=tuple(found.values()), proved=complete and not found, length=max(length - 1, 0))

    def _left_hand_sides(self, roots: tuple[int, int]) -> tuple[int, ...]:
        return tuple(sorted({self._automaton.productions[root][0] for root in roots if root >= 0}))

    def _conflicts(self, state: int) -> Iterator[_Pair]:
        """The pairs of things that a state can do next, with all that they may read."""
        automaton = self._automaton
        actions = [(_SHIFT, automaton.shiftable(state)), *automaton.complete[state].items()]
        for index, (action, bits) in enumerate(actions):
            for other, other_bits in actions[index + 1 :]:
                ahead = self._common(bits, other_bits)
                if ahead[0]:
                    yield _Pair(state, (), (), ahead, (False, False), (action, other))
            if self._overlaps and action == _SHIFT:
                for terminal in members(bits):
                    others = bits & self._partners(terminal) & -(2 << terminal)
                    if others:
                        yield _Pair(state, (), (), (1 << terminal, others), (False, False), (_SHIFT, _SHIFT))

    def _partners(self, terminal: int) -> int:
        """The terminals that some text of a terminal matches, as bits; the end is only itself."""
        return self._overlaps[terminal] if terminal < len(self._overlaps) else 1 << terminal

    def _common(self, bits: int, other: int) -> tuple[int, int]:
        """The terminals of each set that the other one has a partner for."""
        if not self._overlaps:
            return bits & other, bits & other
        mine = yours = 0
        for terminal in members(bits):
            partners = self._partners(terminal) & other
            if partners:
                mine |= 1 << terminal
                yours |= partners
        return mine, yours

    def _push(self, cost: int, pair: _Pair, trace: _Trace | None, roots: tuple[int, int]) -> None:
        size = len(pair.first) + len(pair.second)
        if size > 3 * MAX_LENGTH:
            self._cut = cost if self._cut is None else min(cost, self._cut)
        elif pair not in self._seen:
            self._seen.add(pair)
            self._count += 1
            heapq.heappush(self._heap, (cost, size, self._count, pair, trace, roots))

    def _read_on(self, cost: int, pair: _Pair, trace: _Trace | None, roots: tuple[int, int]) -> None:
        """Both have read a terminal: what may come next?"""
        if pair.first[-1] == _ACCEPTED:
            return
        ahead = self._common(*(self._automaton.offered(stack[-1]) for stack in (pair.first, pair.second)))
        if ahead[0]:
            self._push(cost, pair._replace(ahead=ahead, shifted=(False, False)), trace, roots)

    def _expand(self, cost: int, pair: _Pair, trace: _Trace | None, roots: tuple[int, int]) -> None:
        """One thing that one of the stacks can do."""
        mine = 1 if pair.shifted[0] else 0
        needs_more = False
        for following in self._moves(pair, mine):
            if following is None:
                needs_more = True
            elif following.shifted == (True, True):
                (read,) = members(following.ahead[0])
                (other,) = members(following.ahead[1])
                self._push(cost + 1, following, _Trace(trace, None, (read, other)), roots)
            else:
                self._push(cost, following, trace, roots)
        if needs_more:
            symbol = self._automaton.access[pair.base]
            longer = _Trace(trace, symbol, None)
            further = cost + self._yields.of_symbol(symbol)
            for state in self._automaton.before[pair.base]:
                extended = pair._replace(base=state, first=(pair.base, *pair.first), second=(pair.base, *pair.second))
                self._push(further, extended, longer, roots)

    def _moves(self, pair: _Pair, mine: int) -> Iterator[_Pair | None]:
        """What one of the stacks can do; None: something that needs to know what lies below the base."""
        automaton = self._automaton
        stack, bits, forced = (pair.first, pair.second)[mine], pair.ahead[mine], pair.forced[mine]
        top = stack[-1] if stack else pair.base
        if forced in (_NONE, _SHIFT):
            for terminal in members(bits & self._shiftable(top)):
                target = automaton.transitions[top].get(terminal, _ACCEPTED)
                ahead = self._common(1 << terminal, pair.ahead[1]) if mine == 0 else (pair.ahead[0], 1 << terminal)
                yield self._after(pair, mine, (*stack, target), ahead)._replace(shifted=(True, mine == 1))
        if forced == _SHIFT:
            return
        for production, looked in automaton.complete[top].items():
            if not looked & bits or forced not in (_NONE, production):
                continue
            left, rhs = automaton.productions[production]
            if production == len(automaton.productions) - 1:
                continue  # shifting the end stands for it
            if len(rhs) > len(stack):
                yield None
                continue
            rest = stack[: len(stack) - len(rhs)]
            after = automaton.transitions[rest[-1] if rest else pair.base].get(~left)
            if after is not None:
                ahead = self._common(looked & bits, pair.ahead[1]) if mine == 0 else (pair.ahead[0], looked & bits)
                if ahead[0] and ahead[1]:
                    yield self._after(pair, mine, (*rest, after), ahead)

    def _shiftable(self, state: int) -> int:
        """The terminals that a state shifts; the end where the start has been read."""
        known = self._shifts.get(state)
        if known is None:
            automaton = self._automaton
            known = automaton.shiftable(state)
            if len(automaton.productions) - 1 in automaton.complete[state]:
                known |= 1 << automaton.end
            self._shifts[state] = known
        return known

    @staticmethod
    def _after(pair: _Pair, mine: int, stack: tuple[int, ...], ahead: tuple[int, int]) -> _Pair:
        if mine == 0:
            return pair._replace(first=stack, ahead=ahead, forced=(_NONE, pair.forced[1]))
        return pair._replace(second=stack, ahead=ahead, forced=(pair.forced[0], _NONE))

    def _ambiguity(self, pair: _Pair, trace: _Trace | None, contexts: Contexts, left: tuple[int, ...]) -> Ambiguity:
        below: list[Symbol] = []
        read: list[tuple[int, int]] = []
        stack = pair.first[:-1]  # equal stacks after a terminal were equal before it
        assert trace is not None
        if trace.read is not None and trace.read[0] == trace.read[1]:
            trace = trace.earlier
        else:
            stack = pair.first
        while trace is not None:
            if trace.below is not None:
                below.append(trace.below)
            if trace.read is not None:
                read.append(trace.read)
            trace = trace.earlier
        below.reverse()  # the trace runs backwards, and each symbol was found below those before it
        path = contexts.path(pair.base)
        yields = self._yields
        begun = yields.sentence(contexts.symbols(path))
        middle = yields.sentence(below[::-1])
        ends = yields.sentence(contexts.completion([*path, *stack]))
        first = [terminal for terminal, _ in reversed(read)]
        second = [terminal for _, terminal in reversed(read)]
        return Ambiguity(
            sentence=(*begun, *middle, *first, *ends),
            other=(*begun, *middle, *second, *ends),
            phrase=(*middle, *first),
            nonterminals=left,
        )
