"""Automata over characters: what patterns become before they are spelled in bytes.

Built from a tree or a pattern they are ordered (leftmost-first priorities, ``compiler/automaton.py``) and may count
long loops. The algebra's results are deterministic and count nothing; their order means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH
from grammar_engine.compiler.automaton_algebra import combine, minimize, shortest
from grammar_engine.compiler.automaton_product import All, Formula, Is, Not, Some, expand
from grammar_engine.compiler.char_states import ACCEPT, EMPTY_LANGUAGE, MAX_STATES, Edge, States
from grammar_engine.compiler.charset import ANY, NOTHING, CharSet
from grammar_engine.compiler.construct import construct
from grammar_engine.compiler.regex_ast import Dialect, Node, parse_regex
from grammar_engine.compiler.search import searching
from grammar_engine.compiler.string_set import string_set


@dataclass(frozen=True)
class CharAutomaton:
    """A language of texts. ``states[0]`` is the start; ``deterministic``: labels of a state do not overlap."""

    states: States
    deterministic: bool = False

    @staticmethod
    def from_node(node: Node, *, search: bool = False, limit: int = MAX_STATES) -> CharAutomaton:
        """The texts that a tree matches as a whole; with ``search``, those in which it matches somewhere."""
        return CharAutomaton(construct(searching(node) if search else node, limit=limit))

    @staticmethod
    def from_regex(pattern: str, *, flags: int = 0, search: bool = False, dialect: Dialect = "python") -> CharAutomaton:
        """The texts that a pattern matches (``re.fullmatch``), or in which it matches (``re.search``).

        Errors: see ``regex_ast.parse_regex``; LimitExceededError for a pattern that unrolls too far.
        """
        return CharAutomaton.from_node(parse_regex(pattern, flags=flags, dialect=dialect), search=search)

    @staticmethod
    def from_strings(strings: Iterable[str]) -> CharAutomaton:
        """Exactly these texts: the minimal acyclic automaton."""
        shape = string_set(tuple(map(ord, string)) for string in strings)
        labels = {code: CharSet.from_ranges([(code, code)]) for code in set(shape.symbols.tolist())}
        offsets, symbols, targets = shape.offsets.tolist(), shape.symbols.tolist(), shape.targets.tolist()
        states: list[tuple[Edge, ...]] = []
        for state, accepting in enumerate(shape.accepting.tolist()):
            edges = [Edge(labels[symbols[i]], targets[i]) for i in range(offsets[state], offsets[state + 1])]
            states.append((ACCEPT, *edges) if accepting else tuple(edges))
        return CharAutomaton(tuple(states), deterministic=True)

    @staticmethod
    def any_string(min_length: int = 0, max_length: int | None = None) -> CharAutomaton:
        """Every text of so many characters; the length is counted, so a large one costs nothing."""
        if min_length < 0 or (max_length is not None and max_length < min_length):
            return CharAutomaton(EMPTY_LANGUAGE, deterministic=True)
        if max_length == 0:
            return CharAutomaton(((ACCEPT,),), deterministic=True)
        if max_length is None and min_length <= 1:
            loop = (Edge(ANY, min_length), ACCEPT)
            return CharAutomaton((loop,) if min_length == 0 else ((Edge(ANY, 1),), loop), deterministic=True)
        start = [Edge(ANY, 1, ENTER)]
        if min_length == 0:
            start.append(Edge(NOTHING, MATCH, KEEP))
        again = -min_length if max_length is None else max_length
        inside = (Edge(ANY, 1, AGAIN, again), Edge(NOTHING, MATCH, EXIT, max(min_length, 1)))
        return CharAutomaton((tuple(start), inside), deterministic=True)

    @property
    def num_states(self) -> int:
        """How many states there are, the start included."""
        return len(self.states)

    def accepts(self, text: str) -> bool:
        """Whether the text is in the language; a plain simulation, for tests and small jobs."""
        threads = frozenset([(0, 0)])
        for char in text:
            _, moves = expand(self.states, threads)
            threads = frozenset(thread for label, thread in moves if char in label)
            if not threads:
                return False
        return expand(self.states, threads)[0]

    def accepts_empty(self) -> bool:
        """Whether the empty text is in the language."""
        return expand(self.states, frozenset([(0, 0)]))[0]

    def is_empty(self) -> bool:
        """Whether no text is in the language."""
        return self.states == EMPTY_LANGUAGE

    def shortest(self) -> str | None:
        """A shortest text of the language, or None."""
        return shortest(self.states)

    def has_counters(self) -> bool:
        """Whether a loop is counted rather than unrolled."""
        return any(edge.op != KEEP for edges in self.states for edge in edges)

    def determinize(self, *, limit: int = MAX_STATES) -> CharAutomaton:
        """The same language without overlapping labels, counters or order; LimitExceededError beyond the limit."""
        if self.deterministic and not self.has_counters():
            return self
        return CharAutomaton(combine({0: self.states}, Is(0), limit=limit), deterministic=True)

    def minimize(self, *, limit: int = MAX_STATES) -> CharAutomaton:
        """The smallest deterministic automaton of the language."""
        if self._is_chain():
            return CharAutomaton(self.states, deterministic=True)
        return CharAutomaton(minimize(self.determinize(limit=limit).states), deterministic=True)

    def _is_chain(self) -> bool:
        """Are all texts of one length, whichever characters of some sets they are of? That is minimal as it is."""
        last = len(self.states) - 1
        return self.states[last] == (ACCEPT,) and all(
            len(edges) == 1 and edges[0].target == number + 1 and edges[0].op == KEEP and edges[0].label
            for number, edges in enumerate(self.states[:last])
        )

    def intersect(self, other: CharAutomaton, *, limit: int = MAX_STATES) -> CharAutomaton:
        """The texts in both languages."""
        return self._combine(other, All((Is(0), Is(1))), limit)

    def union(self, other: CharAutomaton, *, limit: int = MAX_STATES) -> CharAutomaton:
        """The texts in either language."""
        return self._combine(other, Some((Is(0), Is(1))), limit)

    def difference(self, other: CharAutomaton, *, limit: int = MAX_STATES) -> CharAutomaton:
        """The texts in this language and not in the other."""
        return self._combine(other, All((Is(0), Not(Is(1)))), limit)

    def complement(self, *, limit: int = MAX_STATES) -> CharAutomaton:
        """All texts that are not in the language."""
        return CharAutomaton(combine({0: self.states}, Not(Is(0)), limit=limit), deterministic=True)

    def _combine(self, other: CharAutomaton, formula: Formula, limit: int) -> CharAutomaton:
        return CharAutomaton(combine({0: self.states, 1: other.states}, formula, limit=limit), deterministic=True)
