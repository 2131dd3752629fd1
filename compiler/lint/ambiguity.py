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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from grammar_engine.compiler.ir import Symbol
from grammar_engine.compiler.lint.lr import Automaton, automaton_of
from grammar_engine.compiler.lint.plain import PlainGrammar
from grammar_engine.compiler.lint.structure import derivable, reachable
from grammar_engine.compiler.lint.yields import Contexts, Yields

MAX_PAIRS = 60_000
"""Pairs of stacks that are looked at, over all conflicts."""
MAX_LENGTH = 60
"""Terminals of a phrase beyond which nothing is looked for: stacks grow with it."""
MAX_WITNESSES = 5

_NONE, _SHIFT = -1, -2


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
    ahead: tuple[int, int] | None  # the terminals to be read next, by each
    shifted: tuple[bool, bool]
    forced: tuple[int, int]  # what each has to do first: a production, _SHIFT, or _NONE when done


class _Trace(NamedTuple):
    """How a pair came about, backwards. below: a symbol found below the base; read: terminals that were shifted."""

    earlier: _Trace | None
    below: Symbol | None
    read: tuple[int, int] | None


def find_ambiguities(grammar: PlainGrammar, *, max_pairs: int = MAX_PAIRS) -> Verdict | None:
    """Search; None if the grammar is too large for its automaton, or has no text."""
    productive = derivable(grammar.rules, terminals=True)
    if not productive[grammar.start]:
        return None
    kept = reachable(grammar.rules, grammar.start)
    rules = [
        [
            rhs
            for rhs in dict.fromkeys(alternatives)
            if all(symbol >= 0 or productive[~symbol] for symbol in rhs)
        ]
        if number in kept
        else []
        for number, alternatives in enumerate(grammar.rules)
    ]
    automaton = automaton_of(rules, grammar.start, len(grammar.terminals))
    if automaton is None:
        return None
    return _Search(automaton, Yields(rules), grammar.overlaps).run(max_pairs)


class _Search:
    def __init__(self, automaton: Automaton, yields: Yields, overlaps: object) -> None:
        self._automaton = automaton
        self._yields = yields
        self._overlaps: list[int] = list(overlaps)  # type: ignore[call-overload]
        self._heap: list[tuple[int, int, _Pair, _Trace | None, tuple[int, int]]] = []
        self._seen: set[tuple[_Pair, tuple[int, int]]] = set()
        self._count = 0
        self._cut: int | None = None  # the least cost at which a stack was too long to be followed

    def run(self, max_pairs: int) -> Verdict:
        for state in range(len(self._automaton.kernels)):
            for pair in self._conflicts(state):
                self._push(0, pair, None, pair.forced)
        found: dict[tuple[int, ...], Ambiguity] = {}
        looked_at, cost = 0, 0
        contexts: Contexts | None = None
        while self._heap:
            cost, _, pair, trace, roots = heapq.heappop(self._heap)
            left = self._left_hand_sides(roots)
            if left in found:
                continue
            if pair.first == pair.second and pair.shifted[0] == pair.shifted[1] and pair.forced == (_NONE, _NONE):
                contexts = contexts or Contexts(self._automaton, self._yields)
                found[left] = self._ambiguity(pair, trace, contexts, left)
                if len(found) >= MAX_WITNESSES:
                    break
                continue
            looked_at += 1
            if looked_at > max_pairs or cost > MAX_LENGTH:
                break
            self._expand(cost, pair, trace, roots)
        complete = not self._heap and looked_at <= max_pairs and cost <= MAX_LENGTH and self._cut is None
        length = cost if self._cut is None else min(cost, self._cut)
        return Verdict(found=tuple(found.values()), proved=complete and not found, length=length)

    def _left_hand_sides(self, roots: tuple[int, int]) -> tuple[int, ...]:
        return tuple(sorted({self._automaton.productions[root][0] for root in roots if root >= 0}))

    def _conflicts(self, state: int) -> Iterator[_Pair]:
        """The pairs of things that a state can do next, with all that they may read."""
        automaton = self._automaton
        actions = [(_SHIFT, automaton.shiftable(state)), *automaton.complete[state].items()]
        for index, (action, bits) in enumerate(actions):
            for other, other_bits in actions[index:] if self._overlaps else actions[index + 1 :]:
                for ahead in self._common(bits, other_bits):
                    if (action, ahead[0]) != (other, ahead[1]) and not (action == other != _SHIFT):
                        yield _Pair(state, (), (), ahead, (False, False), (action, other))

    def _common(self, bits: int, other: int) -> Iterator[tuple[int, int]]:
        """Terminals of both sets, or of one each that a text matches both."""
        overlaps = self._overlaps
        while bits:
            low = bits & -bits
            bits ^= low
            terminal = low.bit_length() - 1
            partners = other & (overlaps[terminal] if terminal < len(overlaps) else low)
            while partners:
                partner = partners & -partners
                partners ^= partner
                yield terminal, partner.bit_length() - 1

    def _push(self, cost: int, pair: _Pair, trace: _Trace | None, roots: tuple[int, int]) -> None:
        if len(pair.first) + len(pair.second) > 3 * MAX_LENGTH:
            self._cut = cost if self._cut is None else min(cost, self._cut)
        elif (pair, roots) not in self._seen:
            self._seen.add((pair, roots))
            self._count += 1
            heapq.heappush(self._heap, (cost, self._count, pair, trace, roots))

    def _expand(self, cost: int, pair: _Pair, trace: _Trace | None, roots: tuple[int, int]) -> None:
        if pair.ahead is None:
            bits, other = (
                self._automaton.offered(stack[-1] if stack else pair.base) for stack in (pair.first, pair.second)
            )
            for ahead in self._common(bits, other):
                self._push(cost, pair._replace(ahead=ahead, shifted=(False, False)), trace, roots)
            return
        if pair.shifted == (True, True):
            read = _Trace(trace, None, pair.ahead)
            self._push(cost + 1, pair._replace(ahead=None), read, roots)
            return
        needs_more = False
        for mine in (0, 1):
            if pair.shifted[mine]:
                continue
            for following in self._moves(pair, mine):
                if following is None:
                    needs_more = True
                elif mine == 0 or pair.shifted[0] or not following.shifted[1]:  # the first one shifts first
                    self._push(cost, following, trace, roots)
        if needs_more:
            symbol = self._automaton.access[pair.base]
            longer = _Trace(trace, symbol, None)
            further = cost + self._yields.of_symbol(symbol)
            for state in self._automaton.before[pair.base]:
                extended = pair._replace(
                    base=state, first=(pair.base, *pair.first), second=(pair.base, *pair.second)
                )
                self._push(further, extended, longer, roots)

    def _moves(self, pair: _Pair, mine: int) -> Iterator[_Pair | None]:
        """What one of the stacks can do; None: something that needs to know what lies below the base."""
        assert pair.ahead is not None
        automaton = self._automaton
        stack, terminal, forced = (pair.first, pair.second)[mine], pair.ahead[mine], pair.forced[mine]
        top = stack[-1] if stack else pair.base
        done = (_NONE, pair.forced[1]) if mine == 0 else (pair.forced[0], _NONE)
        if forced in (_NONE, _SHIFT):
            target = automaton.transitions[top].get(terminal)
            if target is not None:
                shifted = (True, pair.shifted[1]) if mine == 0 else (pair.shifted[0], True)
                yield self._with(pair, mine, (*stack, target))._replace(shifted=shifted, forced=done)
        if forced == _SHIFT:
            return
        for production, looked in automaton.complete[top].items():
            if not looked >> terminal & 1 or forced not in (_NONE, production):
                continue
            left, rhs = automaton.productions[production]
            if left == automaton.productions[-1][0]:
                continue  # the end of the text is not read
            if len(rhs) > len(stack):
                yield None
                continue
            rest = stack[: len(stack) - len(rhs)]
            target = automaton.transitions[rest[-1] if rest else pair.base].get(~left)
            if target is not None:
                yield self._with(pair, mine, (*rest, target))._replace(forced=done)

    @staticmethod
    def _with(pair: _Pair, mine: int, stack: tuple[int, ...]) -> _Pair:
        return pair._replace(first=stack) if mine == 0 else pair._replace(second=stack)

    def _ambiguity(
        self, pair: _Pair, trace: _Trace | None, contexts: Contexts, left: tuple[int, ...]
    ) -> Ambiguity:
        below: list[Symbol] = []
        read: list[tuple[int, int]] = []
        if pair.shifted == (True, True) and pair.ahead is not None:
            read.append(pair.ahead)
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
        ends = yields.sentence(contexts.completion([*path, *pair.first]))
        first = [terminal for terminal, _ in reversed(read)]
        second = [terminal for _, terminal in reversed(read)]
        return Ambiguity(
            sentence=tuple([*begun, *middle, *first, *ends]),
            other=tuple([*begun, *middle, *second, *ends]),
            phrase=tuple([*middle, *first]),
            nonterminals=left,
        )
