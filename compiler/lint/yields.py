"""Shortest sentences: of nonterminals, on the way to a parser state, and from a stack to the end of the text."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from grammar_engine.compiler.ir import Production, Symbol
from grammar_engine.compiler.lalr import Automaton
from grammar_engine.compiler.lint.structure import Rules

INFINITE = 1 << 60


class Yields:
    """The least cost of each nonterminal's texts, and the production that leads there.

    Knuth's generalization of Dijkstra's algorithm (1977). ``cost``: of a terminal; 1 for each by default.
    """

    def __init__(self, rules: Rules, cost: Callable[[int], int] | None = None) -> None:
        self._cost = cost or (lambda _: 1)
        self.least = [INFINITE] * len(rules)
        self.best: list[Production] = [()] * len(rules)
        self._settle(rules)

    def _settle(self, rules: Rules) -> None:
        users: list[list[int]] = [[] for _ in rules]
        productions: list[tuple[int, Production]] = []
        missing: list[int] = []
        sums: list[int] = []
        heap: list[tuple[int, int, int]] = []
        for left, alternatives in enumerate(rules):
            for rhs in alternatives:
                number = len(productions)
                productions.append((left, rhs))
                missing.append(0)
                sums.append(0)
                for symbol in rhs:
                    if symbol >= 0:
                        sums[number] += self._cost(symbol)
                    else:
                        missing[number] += 1
                        users[~symbol].append(number)
                if not missing[number]:
                    heap.append((sums[number], len(rhs), number))
        heapq.heapify(heap)
        while heap:
            cost, _, number = heapq.heappop(heap)
            left, rhs = productions[number]
            if self.least[left] != INFINITE:
                continue
            self.least[left], self.best[left] = cost, rhs
            for user in users[left]:
                missing[user] -= 1
                sums[user] += cost
                if not missing[user]:
                    heapq.heappush(heap, (sums[user], len(productions[user][1]), user))

    def of_symbol(self, symbol: Symbol) -> int:
        """The least cost of a symbol."""
        return self._cost(symbol) if symbol >= 0 else self.least[~symbol]

    def of(self, symbols: Sequence[Symbol]) -> int:
        """The least cost of symbols in a row."""
        return sum(map(self.of_symbol, symbols))

    def sentence(self, symbols: Sequence[Symbol]) -> list[int]:
        """A cheapest sentence of symbols in a row."""
        found: list[int] = []
        todo = list(reversed(symbols))
        while todo:
            symbol = todo.pop()
            if symbol >= 0:
                found.append(symbol)
            else:
                todo += reversed(self.best[~symbol])
        return found


def sentence_through(rules: Rules, yields: Yields, start: int, goal: int) -> list[int] | None:
    """A shortest sentence with a given nonterminal in its derivation; None if there is none. ``rules``: productive."""
    came: dict[int, tuple[int, Production, int]] = {}
    heap, done = [(0, start)], set[int]()
    least = {start: 0}
    while heap:
        cost, here = heapq.heappop(heap)
        if here in done:
            continue
        done.add(here)
        for rhs in rules[here]:
            whole = cost + yields.of(rhs)
            for place, symbol in enumerate(rhs):
                further = whole - yields.of_symbol(symbol)
                if symbol < 0 and further < least.get(~symbol, INFINITE):
                    least[~symbol] = further
                    came[~symbol] = (here, rhs, place)
                    heapq.heappush(heap, (further, ~symbol))
    if goal not in least:
        return None
    symbols: list[Symbol] = [~goal]
    while goal != start:
        goal, rhs, place = came[goal]
        symbols = [*rhs[:place], *symbols, *rhs[place + 1 :]]
    return yields.sentence(symbols)


class Contexts:
    """Shortest ways through an automaton: from the start to a state, and from a stack to the end."""

    def __init__(self, automaton: Automaton, yields: Yields) -> None:
        self._automaton = automaton
        self._yields = yields
        self._came: dict[int, int] = {}
        least = {0: 0}
        heap = [(0, 0)]
        done: set[int] = set()
        while heap:
            cost, state = heapq.heappop(heap)
            if state in done:
                continue
            done.add(state)
            for symbol, target in automaton.transitions[state].items():
                further = cost + yields.of_symbol(symbol)
                if further < least.get(target, INFINITE):
                    least[target] = further
                    self._came[target] = state
                    heapq.heappush(heap, (further, target))

    def path(self, state: int) -> list[int]:
        """The states of a stack with ``state`` on top, the first state at the bottom."""
        found = [state]
        while found[-1]:
            found.append(self._came[found[-1]])
        return found[::-1]

    def symbols(self, path: Sequence[int]) -> list[Symbol]:
        """What is on a stack of states."""
        return [self._automaton.access[state] for state in path[1:]]

    def completion(self, path: Sequence[int]) -> list[Symbol]:
        """Symbols with which a stack can be completed, of least cost.

        A kernel item A → α·β of the state on top asks for β, and then for what A asks for where it began: α states
        further down, from any item B → γ·Aδ there. Dijkstra over (depth, symbols still to come behind A).
        """
        automaton = self._automaton
        heap: list[tuple[int, int, int, int, tuple[Symbol, ...]]] = []
        count = 0
        bounds = self._bounds()
        for item in automaton.kernels[path[-1]]:
            production, dot = bounds[item]
            left, rhs = automaton.productions[production]
            heap.append((self._yields.of(rhs[dot:]), count, len(path) - 1 - dot, left, rhs[dot:]))
            count += 1
        heapq.heapify(heap)
        done: set[tuple[int, int]] = set()
        goal = automaton.productions[-1][0]
        while heap:
            cost, _, depth, left, symbols = heapq.heappop(heap)
            if left == goal:
                return list(symbols)
            if (depth, left) in done:
                continue
            done.add((depth, left))
            state = path[depth]
            for item in automaton.kernels[automaton.transitions[state][~left]]:
                # (the items behind A in the state that A leads to: each has its A before the dot)
                production, dot = bounds[item]
                owner, rhs = automaton.productions[production]
                further = cost + self._yields.of(rhs[dot:])
                heapq.heappush(heap, (further, count, depth + 1 - dot, owner, (*symbols, *rhs[dot:])))
                count += 1
        raise ValueError("no completion: the grammar has rules that can never be completed")

    def _bounds(self) -> list[tuple[int, int]]:
        """Per item its production and the place of its dot."""
        found: list[tuple[int, int]] = []
        for number, (_, rhs) in enumerate(self._automaton.productions):
            found += ((number, dot) for dot in range(len(rhs) + 1))
        return found
