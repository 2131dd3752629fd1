"""Trees to productions over large terminals.

Every symbol stands for the *non-empty* texts of a node; whether the empty one is among them too is known apart, so no
empty production is ever written. What ``Node.is_terminal`` allows becomes one terminal, as much of a sequence or of a
choice at a time as goes into one. The rest is the parser's:

    x*              S → S x | x                                 to the left: the stack is the same after each round
    x{n}            Eₙ → Eₕ Eₙ₋ₕ    h the greatest power of 2 below n
    x up to n       Uₙ → Uₕ₋₁ | Eₕ | Eₕ Uₙ₋ₕ    h the greatest power of 2 up to n (each count has one derivation)

so a count of n costs O(log n) rules and a stack of O(log n), whatever x is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grammar_engine.compiler.frontends.gbnf.tree import (
    EMPTY,
    Choice,
    Forest,
    Literal,
    Node,
    Reference,
    Repeat,
    Seq,
    parts_of,
)
from grammar_engine.compiler.ir import Production, Symbol

_MANY_WORDS = 32
"""Literals in a choice from which on they become an automaton of their own, a tree of common beginnings."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A terminal: one of many literals."""

    texts: tuple[str, ...]


Lexeme = Node | Words


@dataclass(frozen=True, kw_only=True)
class LoweredRules:
    """rules: productions per nonterminal. owners: the rule each comes from. terminals: what each one is.

    accepts_empty: the empty text is in the language of the start, nonterminal 0.
    """

    rules: list[list[Production]]
    owners: list[int]
    terminals: list[Lexeme]
    accepts_empty: bool


def lower(forest: Forest, rules: Sequence[Node], root: int) -> LoweredRules:
    """The productions of what the root reaches. Nonterminals may be unproductive: ``normalize`` removes those."""
    return _Lowering(forest, rules).run(root)


class _Lowering:
    def __init__(self, forest: Forest, rules: Sequence[Node]) -> None:
        self._forest = forest
        self._bodies = rules
        self._nullable_rules = _nullable_rules(rules)
        self._rules: list[list[Production]] = []
        self._owners: list[int] = []
        self._terminals: list[Lexeme] = []
        self._owner = 0
        self._of_rule: dict[int, int] = {}
        self._of_node: dict[Node, Symbol] = {}
        self._of_words: dict[tuple[str, ...], Symbol] = {}
        self._of_count: dict[tuple[Symbol, str, int], Symbol] = {}
        self._of_prefix: dict[Production, Symbol] = {}

    def run(self, root: int) -> LoweredRules:
        order = [root]
        self._rule(root, order)
        for number in order:  # grows while it is read
            self._owner = number
            self._rules[self._of_rule[number]] = self._productions(self._bodies[number], order)
        return LoweredRules(
            rules=self._rules,
            owners=self._owners,
            terminals=self._terminals,
            accepts_empty=self._nullable_rules[root],
        )

    # -- symbols --------------------------------------------------------------------------------------------------

    def _new(self) -> int:
        self._rules.append([])
        self._owners.append(self._owner)
        return len(self._rules) - 1

    def _rule(self, number: int, order: list[int]) -> Symbol:
        if number not in self._of_rule:
            self._of_rule[number] = len(self._rules)
            self._rules.append([])
            self._owners.append(number)
            if number != order[0]:
                order.append(number)
        return ~self._of_rule[number]

    def _terminal(self, lexeme: Lexeme) -> Symbol:
        self._terminals.append(lexeme)
        return len(self._terminals) - 1

    def _symbol(self, node: Node, order: list[int]) -> Symbol:
        """The symbol of a node's non-empty texts; the node is neither EMPTY nor FAIL."""
        if isinstance(node, Reference):
            return self._rule(node.rule, order)
        symbol = self._of_node.get(node)
        if symbol is None:
            if isinstance(node, Literal) or node.is_terminal:
                symbol = self._terminal(node)
            else:
                number = self._new()
                symbol = ~number
                self._rules[number] = self._productions(node, order)
            self._of_node[node] = symbol
        return symbol

    def _is_nullable(self, node: Node) -> bool:
        return _is_nullable(node, self._nullable_rules)

    # -- productions ----------------------------------------------------------------------------------------------

    def _productions(self, node: Node, order: list[int]) -> list[Production]:
        """Right-hand sides for the non-empty texts of a node."""
        if isinstance(node, (Reference, Literal)) or (node.is_terminal and parts_of(node)):
            return [(self._symbol(node, order),)]
        if isinstance(node, Choice):
            return self._choice(node, order)
        if isinstance(node, Seq):
            return self._sequence(node, order)
        if isinstance(node, Repeat):
            return self._repeat(node, order)
        return [(self._symbol(node, order),)]

    def _choice(self, node: Choice, order: list[int]) -> list[Production]:
        found: list[Production] = []
        words = [part.text for part in node.parts if isinstance(part, Literal)]
        if len(words) > _MANY_WORDS:
            found.append((self._words(tuple(words)),))
        lexical: list[Node] = []
        for part in node.parts:
            if isinstance(part, Literal) and len(words) > _MANY_WORDS:
                continue
            if not part.is_terminal:
                found.extend(self._productions(part, order))
                continue
            if lexical and not self._forest.choice([*lexical, part]).is_terminal:
                found.append((self._symbol(self._forest.choice(lexical), order),))
                lexical.clear()
            if part is not EMPTY:
                lexical.append(part)
        if lexical:
            found.append((self._symbol(self._forest.choice(lexical), order),))
        return found

    def _words(self, words: tuple[str, ...]) -> Symbol:
        if words not in self._of_words:
            self._of_words[words] = self._terminal(Words(texts=words))
        return self._of_words[words]

    def _sequence(self, node: Seq, order: list[int]) -> list[Production]:
        pieces = self._grouped(node)
        folded: list[tuple[Symbol, bool]] = [(self._symbol(piece, order), self._is_nullable(piece)) for piece in pieces]
        # As in ``normalize``: with many optional parts the beginning is folded, two of them at a time.
        while sum(optional for _, optional in folded) > 2:
            places = [place for place, (_, optional) in enumerate(folded) if optional]
            cut = places[1] + 1
            head = folded[:cut]
            folded = [(self._prefix(head), all(optional for _, optional in head)), *folded[cut:]]
        return _variants(folded)

    def _prefix(self, head: list[tuple[Symbol, bool]]) -> Symbol:
        key = tuple(symbol for symbol, _ in head)
        if key not in self._of_prefix:
            number = self._new()
            self._rules[number] = _variants(head)
            self._of_prefix[key] = ~number
        return self._of_prefix[key]

    def _grouped(self, node: Seq) -> list[Node]:
        """The parts of a sequence, neighbours joined where they are one terminal together."""
        pieces: list[Node] = []
        todo = list(reversed(node.parts))
        while todo:
            part = todo.pop()
            if isinstance(part, Seq) and not part.is_terminal:
                todo.extend(reversed(part.parts))
                continue
            if pieces and pieces[-1].is_terminal and part.is_terminal:
                joined = self._forest.seq([pieces[-1], part])
                if joined.is_terminal:
                    pieces[-1] = joined
                    continue
            pieces.append(part)
        return pieces

    def _repeat(self, node: Repeat, order: list[int]) -> list[Production]:
        low = 0 if self._is_nullable(node.part) else node.low
        one = self._symbol(node.part, order)
        if node.high is None:
            number = self._new()
            self._rules[number] = [(~number, one), (one,)]
            return [(~number,)] if low < 2 else [(self._exactly(one, low - 1), ~number)]
        if low == 0:
            return [(self._up_to(one, node.high),)]
        exactly = self._exactly(one, low)
        return [(exactly,)] + ([(exactly, self._up_to(one, node.high - low))] if node.high > low else [])

    def _exactly(self, one: Symbol, rounds: int) -> Symbol:
        """So many rounds."""
        if rounds == 1:
            return one
        key = (one, "exactly", rounds)
        if key not in self._of_count:
            number = self._new()
            self._of_count[key] = ~number
            half = 1 << (rounds - 1).bit_length() - 1
            self._rules[number] = [(self._exactly(one, half), self._exactly(one, rounds - half))]
        return self._of_count[key]

    def _up_to(self, one: Symbol, rounds: int) -> Symbol:
        """One round to so many."""
        if rounds == 1:
            return one
        key = (one, "up to", rounds)
        if key not in self._of_count:
            number = self._new()
            self._of_count[key] = ~number
            half = 1 << rounds.bit_length() - 1
            exactly = self._exactly(one, half)
            self._rules[number] = [(self._up_to(one, half - 1),), (exactly,)]
            if rounds > half:
                self._rules[number].append((exactly, self._up_to(one, rounds - half)))
        return self._of_count[key]


def _variants(parts: Sequence[tuple[Symbol, bool]]) -> list[Production]:
    """Every choice of optional parts left out, but for leaving out all."""
    variants: list[Production] = [()]
    for symbol, optional in parts:
        longer = [(*variant, symbol) for variant in variants]
        variants = longer + variants if optional else longer
    return [variant for variant in dict.fromkeys(variants) if variant]


def _nullable_rules(rules: Sequence[Node]) -> list[bool]:
    """Which rules derive the empty text: a least fixpoint, by worklist."""
    users: list[list[int]] = [[] for _ in rules]
    for number, body in enumerate(rules):
        for ref in body.refs:
            users[ref].append(number)
    nullable = [False] * len(rules)
    todo = list(range(len(rules)))
    while todo:
        number = todo.pop()
        if not nullable[number] and _is_nullable(rules[number], nullable):
            nullable[number] = True
            todo.extend(users[number])
    return nullable


def _is_nullable(node: Node, nullable: Sequence[bool]) -> bool:
    if isinstance(node, Reference):
        return nullable[node.rule]
    if not node.refs:
        return node.size.plain.nullable
    if isinstance(node, Choice):
        return any(_is_nullable(part, nullable) for part in node.parts)
    if isinstance(node, Repeat):
        return node.low == 0 or _is_nullable(node.part, nullable)
    return all(_is_nullable(part, nullable) for part in parts_of(node))
