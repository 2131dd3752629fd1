"""Objects whose alternatives are not multiplied out: from derivatives to productions.

As in ``objects.py``, the rest of an object is one nonterminal, AFTER(what may still come, what is asked of it), and
each production names one property that may come next. Where its value decides between several ways to go on, or
much is asked of the object, the ways are productions of a nonterminal of their own, WAYS, so that only those of names
that stand in the text are looked at:

    AFTER(state) = separator name colon WAYS(state, name) | … | closer        WAYS = value AFTER(behind it) | …
"""

from __future__ import annotations

from collections.abc import Callable

from grammar_engine.compiler.frontends.json_schema.conjunction import Formula
from grammar_engine.compiler.frontends.json_schema.derivatives import Derivatives, State
from grammar_engine.compiler.frontends.json_schema.names import spelling_of
from grammar_engine.compiler.frontends.json_schema.symbols import Symbols
from grammar_engine.compiler.ir import Production, Symbol


class AlternativesWriter:
    """Writes the productions of one conjunct's objects."""

    def __init__(self, derivatives: Derivatives, symbols: Symbols, value: Callable[[Formula, int], Symbol]) -> None:
        self._derivatives = derivatives
        self._symbols = symbols
        self._value = value
        self._colon = symbols.mark(":", 0)

    def whole(self, depth: int) -> list[Production]:
        """All objects, from brace to brace; ``depth`` counts the containers around their members."""
        return self._written(self._derivatives.start, depth, "{", "{}")

    def after(self, state: State, depth: int) -> list[Production]:
        """The rest of an object behind some properties."""
        return self._written(state, depth, ",", "}")

    def _written(self, state: State, depth: int, opener: str, closer: str) -> list[Production]:
        derivatives, symbols = self._derivatives, self._symbols
        before = symbols.mark(opener, depth)
        out: list[Production] = []
        for at, takes_work in derivatives.following(state):
            if takes_work and at < len(derivatives.names):
                ways = symbols.nonterminal(self._ways, state, at, depth)
                out.append((before, self._name(at), self._colon, ways))
                continue
            out += [
                (before, self._name(at, way[1]), self._colon, *self._way(way, depth))
                for way in derivatives.ways(state, at)
            ]
        if derivatives.may_close(state):
            out.append((symbols.mark(closer, depth),))
        return out

    def _ways(self, state: State, at: int, depth: int) -> list[Production]:
        """A declared property's value, and the rest of the object behind it."""
        return [self._way(way, depth) for way in self._derivatives.ways(state, at)]

    def _way(self, way: tuple[Formula, State], depth: int) -> tuple[Symbol, Symbol]:
        formula, behind = way
        return self._value(formula, depth), self._symbols.nonterminal(self.after, behind, depth)

    def _name(self, at: int, behind: State | None = None) -> Symbol:
        """The terminal of a declared name, or of any name of a class; that this has not stood is guarded."""
        derivatives, guarding = self._derivatives, self._symbols.guarding
        if at < len(derivatives.names):
            return self._symbols.terminal("text", spelling_of(derivatives.names[at]))
        names = derivatives.classes[at - len(derivatives.names)]
        guarding.names = True
        guarding.thin |= names.thin
        guarding.counted |= behind is not None and not derivatives.may_close(behind)
        if names.size is not None:
            guarding.fewest = min(guarding.fewest, names.size)
        return self._symbols.terminal(*names.terminal)
