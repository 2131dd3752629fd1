"""The LR(0) automaton of a plain grammar, with LALR(1) look-aheads; conflicts stay as they are.

Look-aheads by DeRemer and Pennello (Efficient Computation of LALR(1) Look-Ahead Sets, 1982), their relations solved by
a worklist over sets of bits. Items are numbers: ``first[production] + dot``.

Lark's own analysis gives the same automaton, in a time that is quadratic in chains of rules (10,000 rules: minutes) and
by recursion; this one is linear in what it builds, recurses nowhere and stops at a limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from grammar_engine.compiler.ir import Production, Symbol
from grammar_engine.compiler.normalize import Rules, derives

MAX_STATES = 60_000
MAX_ITEMS = 3_000_000
"""States, and items of all closures together, beyond which there is no automaton."""


@dataclass(kw_only=True, eq=False)
class Automaton:
    """productions: (nonterminal, right-hand side); the last is (start') → start. transitions: per state the state
    behind each symbol. access: the symbol that leads to each state. before: the states that lead to it.
    complete: per state the productions that may be reduced there, each with its look-aheads as bits; bit ``end`` is
    the end of the text.
    """

    productions: list[tuple[int, Production]]
    end: int
    transitions: list[dict[Symbol, int]] = field(default_factory=list)
    kernels: list[tuple[int, ...]] = field(default_factory=list)
    complete: list[dict[int, int]] = field(default_factory=list)
    access: list[Symbol] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)

    def shiftable(self, state: int) -> int:
        """The terminals that a state shifts, as bits."""
        bits = 0
        for symbol in self.transitions[state]:
            if symbol >= 0:
                bits |= 1 << symbol
        return bits

    def offered(self, state: int) -> int:
        """The terminals with which a state can do anything, as bits."""
        bits = self.shiftable(state)
        for looked in self.complete[state].values():
            bits |= looked
        return bits


def automaton_of(rules: Rules, start: int, num_terminals: int) -> Automaton | None:
    """The automaton of a grammar whose rules are all productive; None if it is too large."""
    productions = [(left, rhs) for left, alternatives in enumerate(rules) for rhs in alternatives]
    productions.append((len(rules), (~start,)))
    found = Automaton(productions=productions, end=num_terminals)
    builder = _Builder(rules, found)
    if not builder.build_states():
        return None
    builder.look_ahead()
    return found


class _Builder:
    def __init__(self, rules: Rules, automaton: Automaton) -> None:
        self._automaton = automaton
        self._nullable = derives(rules, blocks=True)
        self._of: list[list[int]] = [[] for _ in range(len(rules) + 1)]  # productions of a nonterminal
        self._symbols: list[Symbol | None] = []  # behind the dot of each item; None at the end
        self._production: list[int] = []
        self._first: list[int] = []
        for number, (left, rhs) in enumerate(automaton.productions):
            self._of[left].append(number)
            self._first.append(len(self._symbols))
            self._symbols += [*rhs, None]
            self._production += [number] * (len(rhs) + 1)
        self._predicted: list[tuple[int, ...] | None] = [None] * len(self._of)
        self._closures: list[list[int]] = []  # nonterminals that each state expands

    def build_states(self) -> bool:
        automaton = self._automaton
        kernel: tuple[int, ...] = (self._first[-1],)
        number = {kernel: 0}
        automaton.kernels.append(kernel)
        automaton.access.append(0)
        automaton.before.append([])
        items = 0
        for state, kernel in enumerate(automaton.kernels):  # grows while it is read
            moved: dict[Symbol, list[int]] = {}
            complete: dict[int, int] = {}
            closure = self._closure(kernel)
            self._closures.append(closure)
            for item in kernel:
                self._place(item, moved, complete)
            for nonterminal in closure:
                for production in self._of[nonterminal]:
                    self._place(self._first[production], moved, complete)
                    items += 1
            automaton.complete.append(complete)
            row: dict[Symbol, int] = {}
            for symbol, reached in moved.items():
                key = tuple(sorted(reached))
                target = number.get(key)
                if target is None:
                    target = number[key] = len(automaton.kernels)
                    automaton.kernels.append(key)
                    automaton.access.append(symbol)
                    automaton.before.append([])
                row[symbol] = target
                automaton.before[target].append(state)
            automaton.transitions.append(row)
            if len(automaton.kernels) > MAX_STATES or items > MAX_ITEMS:
                return False
        return True

    def _place(self, item: int, moved: dict[Symbol, list[int]], complete: dict[int, int]) -> None:
        symbol = self._symbols[item]
        if symbol is None:
            complete[self._production[item]] = 0
        else:
            moved.setdefault(symbol, []).append(item + 1)

    def _closure(self, kernel: Iterable[int]) -> list[int]:
        found: dict[int, None] = {}
        for item in kernel:
            symbol = self._symbols[item]
            if symbol is not None and symbol < 0 and ~symbol not in found:
                found.update(dict.fromkeys(self._predict(~symbol)))
        return list(found)

    def _predict(self, nonterminal: int) -> tuple[int, ...]:
        """A nonterminal and those that may begin it."""
        known = self._predicted[nonterminal]
        if known is None:
            found, todo = {nonterminal: None}, [nonterminal]
            while todo:
                for production in self._of[todo.pop()]:
                    symbol = self._symbols[self._first[production]]
                    if symbol is not None and symbol < 0 and ~symbol not in found:
                        found[~symbol] = None
                        todo.append(~symbol)
            known = self._predicted[nonterminal] = tuple(found)
        return known

    def _left_of(self, item: int) -> int:
        """The nonterminal of an item that has begun; -1 where it has not, or has been read to its end."""
        production = self._production[item]
        if item == self._first[production] or self._symbols[item] is None:
            return -1
        return self._automaton.productions[production][0]

    def look_ahead(self) -> None:
        """Fill in the look-aheads of all reductions.

        As in Lark, "includes" begins in items that have begun too, where their nonterminal may begin anew; so some sets
        hold a little more than they should. Lark's lexer offers what is in them.
        """
        automaton = self._automaton
        transitions = automaton.transitions
        sets: dict[tuple[int, int], int] = {}
        reads: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)  # who reads from it
        for state, closure in enumerate(self._closures):
            for nonterminal in closure:
                behind = transitions[state][~nonterminal]
                sets[state, nonterminal] = automaton.shiftable(behind)
                for symbol in transitions[behind]:
                    if symbol < 0 and self._nullable[~symbol]:
                        reads[behind, ~symbol].append((state, nonterminal))
        start = self._symbols[self._first[-1]]
        assert start is not None
        sets[0, ~start] |= 1 << automaton.end
        _spread(sets, reads)
        includes: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        lookback: list[tuple[int, int, tuple[int, int]]] = []
        for state, closure in enumerate(self._closures):
            for nonterminal in closure:
                here = (state, nonterminal)
                items = [(self._first[production], True) for production in self._of[nonterminal]]
                items += ((item, False) for item in automaton.kernels[state] if self._left_of(item) == nonterminal)
                for item, begins in items:
                    production = self._production[item]
                    rhs = automaton.productions[production][1]
                    silent = len(rhs)  # from here on everything may be empty
                    while silent and rhs[silent - 1] < 0 and self._nullable[~rhs[silent - 1]]:
                        silent -= 1
                    at = state
                    for place in range(item - self._first[production], len(rhs)):
                        if rhs[place] < 0 and place + 1 >= silent:
                            includes[here].append((at, ~rhs[place]))
                        at = transitions[at][rhs[place]]
                    if begins:
                        lookback.append((at, production, here))
        _spread(sets, includes)
        for state, production, source in lookback:
            automaton.complete[state][production] |= sets[source]
        last = len(automaton.productions) - 1
        automaton.complete[transitions[0][start]][last] = 1 << automaton.end


def _spread(sets: dict[tuple[int, int], int], edges: dict[tuple[int, int], list[tuple[int, int]]]) -> None:
    """Add each set to those that its edges lead to, until nothing changes."""
    todo = list(edges)
    waiting = set(todo)
    while todo:
        source = todo.pop()
        waiting.discard(source)
        bits = sets[source]
        for target in edges[source]:
            if bits & ~sets[target]:
                sets[target] |= bits
                if target not in waiting and target in edges:
                    waiting.add(target)
                    todo.append(target)


def members(bits: int) -> Iterator[int]:
    """The numbers of the bits of a set."""
    while bits:
        low = bits & -bits
        bits ^= low
        yield low.bit_length() - 1
