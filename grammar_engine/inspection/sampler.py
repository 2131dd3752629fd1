"""Texts of a grammar: derived from its rules, covering them as fast as they can be, accepted by the matcher.

    while symbols are left to derive:
        the leftmost nonterminal takes
            an alternative that no sample has yet, if there is one that still fits
            else the way to the nearest nonterminal that has one
            else, everything being covered, a random one
    fits: at its shortest it stays within the nonterminal's share of the budget; the way gets the larger share

Least costs are Knuth's shortest derivations, worked out for what the start reaches within a few thousand nonterminals
(schemas make theirs on demand, without end). A derivation counts as covered when its text is accepted: words can run
into each other, and some rules hold beside the grammar (property names are distinct).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grammar_engine.compiler.ir import Production, Symbol
from grammar_engine.compiler.lint.yields import INFINITE, Yields
from grammar_engine.errors import GrammarEngineError
from grammar_engine.inspection.outlook import Outlook
from grammar_engine.inspection.spelling import Speller

_MAX_NONTERMINALS = 3000
_TRIES = 40
_LONGEST_WORD = 24


class NoSampleError(GrammarEngineError):
    """No text was found within the length that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many of the alternatives and terminals that the start reaches stand in some sample so far."""

    alternatives: int
    of_alternatives: int
    terminals: int
    of_terminals: int


class Sampler:
    """Draws texts of one grammar, at most ``length`` bytes long; equal seeds draw equal texts."""

    def __init__(self, outlook: Outlook, *, seed: int = 0, length: int = 200) -> None:
        self._outlook = outlook
        self._rng = random.Random(seed)  # noqa: S311 - samples, no secrets
        self._length = length
        self._speller = Speller(outlook.compiled)
        self._rules: list[Sequence[Production]] = []
        self._number: dict[int, int] = {}  # nonterminals are numbered anew, as they are reached
        self._explore()
        self._yields = Yields(self._rules, self._cost)
        self._users = self._find_users()
        self._open = set(self._all_alternatives())
        self._all_terminals = {
            symbol for left, index in self._open for symbol in self._rules[left][index] if symbol >= 0
        }
        self._total = len(self._open)
        self._terminals: set[int] = set()

    @property
    def coverage(self) -> Coverage:
        """What the samples so far have covered."""
        return Coverage(
            alternatives=self._total - len(self._open),
            of_alternatives=self._total,
            terminals=len(self._terminals),
            of_terminals=len(self._all_terminals),
        )

    def draw(self) -> str:
        """The next sample; NoSampleError if none was found that is short enough."""
        least = self._yields.least[0] if self._rules else INFINITE
        if self._outlook.accepts_empty and (least > self._length or (self._open and not self._rng.randrange(20))):
            return ""
        if least > self._length:
            raise NoSampleError(f"the shortest text has about {least} bytes, more than {self._length}")
        for attempt in range(_TRIES):
            budget = max(least, self._length * (_TRIES - attempt) // _TRIES)
            used, sentence = self._derive(budget, guided=attempt < _TRIES // 2)
            longest = min(_LONGEST_WORD, self._length // max(1, len(sentence)))
            text = self._speller.spell(sentence, self._rng, length=self._rng.randint(0, longest))
            if text is None:
                text = self._speller.spell(sentence, self._rng)
            if text is not None and len(text) <= self._length:
                self._open -= used
                self._terminals.update(sentence)
                return text.decode("utf-8", "replace")
        raise NoSampleError(f"no text of at most {self._length} bytes was found in {_TRIES} tries")

    def _explore(self) -> None:
        """Ask for productions breadth first; those beyond the limit count as not completable."""
        self._number[self._outlook.start] = 0
        order = [self._outlook.start]
        for nonterminal in order:  # grows while it is read
            if len(self._rules) >= _MAX_NONTERMINALS:
                break
            found = self._outlook.productions(nonterminal)
            self._rules.append([tuple(self._renumbered(symbol, order) for symbol in rhs) for rhs in found])
        self._rules += [()] * (len(order) - len(self._rules))

    def _renumbered(self, symbol: Symbol, order: list[int]) -> Symbol:
        if symbol >= 0:
            return symbol
        number = self._number.get(~symbol)
        if number is None:
            number = self._number[~symbol] = len(order)
            order.append(~symbol)
        return ~number

    def _cost(self, terminal: int) -> int:
        """Bytes of a shortest word, and one that may have to separate it; terminals without text cost nothing."""
        return len(self._speller.words(terminal).shortest) + 1

    def _derive(self, budget: int, *, guided: bool) -> tuple[set[tuple[int, int]], list[int]]:
        """A random sentence that costs at most about ``budget``, and the alternatives in it."""
        yields, rng = self._yields, self._rng
        far = self._distances(self._open) if guided else []
        used: set[tuple[int, int]] = set()
        sentence: list[int] = []
        todo: list[tuple[Symbol, int, bool]] = [(~0, budget - yields.least[0], guided)]  # symbol, what is left, guided
        while todo:
            symbol, left_over, leads = todo.pop()
            if symbol >= 0:
                sentence.append(symbol)
                continue
            here = ~symbol
            extra = {index: yields.of(rhs) - yields.least[here] for index, rhs in enumerate(self._rules[here])}
            fitting = [index for index, more in extra.items() if more <= left_over]
            choice = self._choose(here, fitting, used, far if leads else [], roomy=2 * left_over > budget)
            if far and (here, choice) in self._open and (here, choice) not in used:
                used.add((here, choice))
                far = self._distances(self._open - used)
            used.add((here, choice))
            right = self._rules[here][choice]
            leading = self._leading(right, far) if leads else frozenset()
            shares = [
                0 if child >= 0 else 8 if place in leading else rng.randint(1, 3) for place, child in enumerate(right)
            ]
            left_over -= extra[choice]
            whole = sum(shares) or 1
            children = [
                (child, left_over * share // whole, place in leading)
                for place, (child, share) in enumerate(zip(right, shares, strict=True))
            ]
            todo += reversed(children)
        return used, sentence

    def _leading(self, right: Production, far: Sequence[int]) -> frozenset[int]:
        """Where in an alternative the nearest that is wanted is, and whatever else is wanted right there."""
        ways = {place: far[~symbol] for place, symbol in enumerate(right) if symbol < 0}
        nearest = min(ways.values(), default=INFINITE)
        return frozenset(place for place, way in ways.items() if way < INFINITE and way <= max(nearest, 1))

    def _choose(
        self, here: int, fitting: Sequence[int], used: set[tuple[int, int]], far: Sequence[int], *, roomy: bool
    ) -> int:
        """An alternative of a nonterminal; far: see ``_distances``, empty for what nothing wanted is looked for in."""
        rng = self._rng
        fresh = [index for index in fitting if (here, index) in self._open and (here, index) not in used]
        if not far:
            return rng.choice(fresh or fitting)
        ways = {
            index: min((far[~symbol] for symbol in self._rules[here][index] if symbol < 0), default=INFINITE)
            for index in fitting
        }
        leading = [index for index in fresh if ways[index] < INFINITE]
        if leading:  # covers something, and more to come
            return rng.choice(leading)
        nearest = min(ways.values())
        if nearest < INFINITE and rng.random() < (0.9 if not fresh else 0.5 if roomy else 0.0):
            return rng.choice([index for index, way in ways.items() if way == nearest])
        return rng.choice(fresh or fitting)

    def _distances(self, wanted: set[tuple[int, int]]) -> list[int]:
        """Per nonterminal, how many steps down the nearest of some alternatives is."""
        far = [INFINITE] * len(self._rules)
        layer = sorted({left for left, _ in wanted})
        for left in layer:
            far[left] = 0
        for left in layer:  # grows while it is read
            for user in self._users[left]:
                if far[user] == INFINITE:
                    far[user] = far[left] + 1
                    layer.append(user)
        return far

    def _find_users(self) -> list[list[int]]:
        """Per nonterminal those that have it in an alternative."""
        users: list[list[int]] = [[] for _ in self._rules]
        for left, index in self._all_alternatives():
            for symbol in self._rules[left][index]:
                if symbol < 0:
                    users[~symbol].append(left)
        return users

    def _all_alternatives(self) -> Iterator[tuple[int, int]]:
        for left, alternatives in enumerate(self._rules):
            for index, rhs in enumerate(alternatives):
                if self._yields.of(rhs) < INFINITE:
                    yield left, index
