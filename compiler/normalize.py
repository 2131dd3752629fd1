"""From a plain context-free grammar to what ``ir.Grammar`` demands: ε-free, productive and reachable throughout.

Front ends write grammars with empty productions because that is how people write them; the parser wants none, because
without them a completed rule always spans text and closures need no fixpoints. The steps, each linear in the size of
the grammar (except where said):

    1  which nonterminals derive some text, the empty text, some non-empty text: least fixpoints by worklist
    2  productions that name an unproductive nonterminal go; symbols that derive only the empty text go
    3  a right-hand side with more than two nullable symbols is cut into a chain of prefixes, so that it costs O(k)
       variants instead of 2^k:     A → x? y? z?    becomes    A → P z | P | z,    P → x y | x | y
       (the idea: binarize before removing ε, Lange and Leiß, "To CNF or not to CNF?", 2009; here only where it pays,
       because every added nonterminal is one more reduction for the parser)
    4  every variant without its nullable symbols is written down, except the empty one
    5  what cannot be reached from the start goes; nonterminals are numbered anew, breadth-first

The prefixes of step 3 are shared between right-hand sides that begin alike. They nest to the left: the stack of a
parser then returns to the same state after each of them. Unit productions and unit cycles stay (the parser does not
mind), except A → A, which says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.ir import Production

_MAX_NULLABLE = 2
"""Nullable symbols per right-hand side that are expanded in place: 2^2 variants, one of them often empty."""

Rules = Sequence[Sequence[Production]]


@dataclass(frozen=True, kw_only=True)
class NormalizedRules:
    """An ε-free grammar with the language of the given one, less the empty text.

    start: always 0.
    rules: the productions of each nonterminal, in the order of the given ones. The start has none if, and only if,
        the empty text is the whole language; every other nonterminal has at least one.
    accepts_empty: the empty text is in the given grammar's language.
    origins: per nonterminal, its id in the given grammar, or None for a prefix that was added.
    """

    start: int
    rules: tuple[tuple[Production, ...], ...]
    accepts_empty: bool
    origins: tuple[int | None, ...]


def normalize(rules: Rules, start: int, *, describe: Callable[[int], str] = str) -> NormalizedRules:
    """Remove empty productions, unproductive and unreachable nonterminals.

    rules: per nonterminal its right-hand sides, symbols as in ``ir.py`` (``t >= 0`` terminal, ``~n`` nonterminal);
        empty right-hand sides are welcome, a nonterminal without any is unproductive.
    start: id of the start nonterminal.
    describe: the name of a nonterminal, for the error.

    Raises UnsatisfiableGrammarError if the start derives no text at all.
    """
    productive = derives(rules, blocks=False)
    if not productive[start]:
        raise UnsatisfiableGrammarError(
            "none of its alternatives can ever be completed", place=f"rule {describe(start)}"
        )
    kept = [[rhs for rhs in alternatives if _all_productive(rhs, productive)] for alternatives in rules]
    nullable = _nullable(kept)
    visible = _visible(kept)
    writer = _Writer(nullable=nullable, visible=visible)
    written = [
        [variant for rhs in alternatives for variant in writer.variants(rhs) if variant != (~nonterminal,)]
        if visible[nonterminal]
        else []
        for nonterminal, alternatives in enumerate(kept)
    ]
    written.extend(writer.added)
    return _renumber(written, start, accepts_empty=nullable[start], given=len(rules))


def _all_productive(rhs: Production, productive: Sequence[bool]) -> bool:
    return all(symbol >= 0 or productive[~symbol] for symbol in rhs)


def derives(rules: Rules, *, blocks: bool) -> list[bool]:
    """Per nonterminal: has it a production all of whose symbols hold? Terminals hold unless ``blocks``.

    The worklist of Dowling and Gallier's Horn-clause algorithm: per production a count of symbols still in doubt.
    """
    holds = [False] * len(rules)
    waiting: list[list[int]] = [[] for _ in rules]  # nonterminal -> productions, once per occurrence
    missing: list[int] = []
    head: list[int] = []
    todo: list[int] = []
    for nonterminal, alternatives in enumerate(rules):
        for rhs in alternatives:
            count = 0
            for symbol in rhs:
                if symbol < 0:
                    waiting[~symbol].append(len(head))
                    count += 1
                elif blocks:
                    count += 1
            if count == 0 and not holds[nonterminal]:
                holds[nonterminal] = True
                todo.append(nonterminal)
            missing.append(count)
            head.append(nonterminal)
    while todo:
        for production in waiting[todo.pop()]:
            missing[production] -= 1
            if missing[production] == 0 and not holds[head[production]]:
                holds[head[production]] = True
                todo.append(head[production])
    return holds


def _nullable(rules: Rules) -> list[bool]:
    """Per nonterminal: does it derive the empty text? (every terminal blocks its production)"""
    return derives(rules, blocks=True)


def _visible(rules: Rules) -> list[bool]:
    """Per nonterminal: does it derive some non-empty text? ``rules`` are productive throughout."""
    users: list[list[int]] = [[] for _ in rules]
    visible = [False] * len(rules)
    todo: list[int] = []
    for nonterminal, alternatives in enumerate(rules):
        for rhs in alternatives:
            for symbol in rhs:
                if symbol < 0:
                    users[~symbol].append(nonterminal)
                elif not visible[nonterminal]:
                    visible[nonterminal] = True
                    todo.append(nonterminal)
    while todo:
        for user in users[todo.pop()]:
            if not visible[user]:
                visible[user] = True
                todo.append(user)
    return visible


class _Writer:
    """Writes right-hand sides without ε; hands out the shared prefixes of step 3."""

    def __init__(self, *, nullable: list[bool], visible: list[bool]) -> None:
        self._nullable = list(nullable)  # grows with the prefixes
        self._visible = visible
        self._first_added = len(nullable)
        self._prefixes: dict[Production, int] = {}
        self.added: list[list[Production]] = []

    def variants(self, rhs: Production) -> list[Production]:
        """The non-empty right-hand sides that together derive what ``rhs`` derives, less the empty text."""
        shown = tuple(symbol for symbol in rhs if symbol >= 0 or self._visible[~symbol])
        return self._expanded(self._shortened(shown))

    def _is_nullable(self, symbol: int) -> bool:
        return symbol < 0 and self._nullable[~symbol]

    def _shortened(self, rhs: Production) -> Production:
        """``rhs`` with its beginning folded into prefixes until at most ``_MAX_NULLABLE`` nullable symbols are left."""
        places = [place for place, symbol in enumerate(rhs) if self._is_nullable(symbol)]
        if len(places) <= _MAX_NULLABLE:
            return rhs
        cut = places[1] + 1
        folded = ~self._prefix(rhs[:cut])
        for place in places[2:-1]:
            folded = ~self._prefix((folded, *rhs[cut : place + 1]))
            cut = place + 1
        return (folded, *rhs[cut:])

    def _prefix(self, rhs: Production) -> int:
        """The nonterminal that derives exactly ``rhs``."""
        known = self._prefixes.get(rhs)
        if known is not None:
            return known
        nonterminal = self._first_added + len(self.added)
        self._prefixes[rhs] = nonterminal
        self._nullable.append(all(self._is_nullable(symbol) for symbol in rhs))
        self.added.append(self._expanded(rhs))
        return nonterminal

    def _expanded(self, rhs: Production) -> list[Production]:
        """Every choice of nullable symbols left out, the longest first, the empty choice excepted."""
        variants: list[Production] = [()]
        for symbol in rhs:
            longer = [(*variant, symbol) for variant in variants]
            variants = longer + variants if self._is_nullable(symbol) else longer
        return [variant for variant in dict.fromkeys(variants) if variant]


def _renumber(rules: list[list[Production]], start: int, *, accepts_empty: bool, given: int) -> NormalizedRules:
    """Keep what the start reaches, breadth-first; drop repeated productions."""
    number = {start: 0}
    order = [start]
    result: list[tuple[Production, ...]] = []
    for nonterminal in order:  # grows while it is read
        unique = dict.fromkeys(rules[nonterminal])
        for rhs in unique:
            for symbol in rhs:
                if symbol < 0 and ~symbol not in number:
                    number[~symbol] = len(order)
                    order.append(~symbol)
        result.append(tuple(tuple(symbol if symbol >= 0 else ~number[~symbol] for symbol in rhs) for rhs in unique))
    return NormalizedRules(
        start=0,
        rules=tuple(result),
        accepts_empty=accepts_empty,
        origins=tuple(nonterminal if nonterminal < given else None for nonterminal in order),
    )
