"""A grammar as it was written, less its notation: productions (empty ones too), terminals, names and places.

``ir.Grammar`` is no help here: it has lost what cannot be reached or completed, and the empty productions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grammar_engine.compiler.charset import CharSet, nicest
from grammar_engine.compiler.ir import Production

Place = tuple[int, int]
"""line and column, from 1"""


@dataclass(frozen=True, kw_only=True)
class PlainGrammar:
    """Symbols are those of ``ir.py``: ``t >= 0`` is terminal t, ``~n`` is nonterminal n.

    rules: the right-hand sides of each nonterminal. owners: the rule of the source that each nonterminal comes from.
    written: the nonterminals that stand for a rule of the source as a whole. terminals: what each one is called.
    overlaps: for each terminal the others (as a set of bits, itself included) that some text matches too, where that
    is a matter of the parser; empty: each only itself. places: where rules are defined. charsets: of the terminals, if
    those are single characters. exact: the rules derive what the grammar does, not more.
    """

    names: Sequence[str]
    rules: Sequence[Sequence[Production]]
    owners: Sequence[str]
    terminals: Sequence[str]
    start: int
    written: frozenset[int]
    overlaps: Sequence[int] = ()
    charsets: Sequence[CharSet] = ()
    exact: bool = True
    places: Mapping[str, Place] = field(default_factory=dict)

    def place(self, nonterminal: int) -> Place:
        """Where the rule of a nonterminal is defined; (0, 0) if that is not in the source."""
        return self.places.get(self.owners[nonterminal], (0, 0))

    def label(self, symbol: int) -> str:
        """A symbol for people."""
        return self.terminals[symbol] if symbol >= 0 else self.owners[~symbol]

    def spell(self, sentence: Sequence[int], other: Sequence[int]) -> str | None:
        """The text of a sentence whose terminals are single characters: one of both terminals at each place."""
        if not self.charsets:
            return None
        pairs = zip(sentence, other, strict=True)
        return "".join(nicest(self.charsets[first].intersect(self.charsets[second])) for first, second in pairs)
