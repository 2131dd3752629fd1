"""Terminals and nonterminals interned under what they mean, so that equal ones are one wherever they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar_engine.compiler.ir import Guarding, Production, Symbol

Rule = Callable[..., list[Production]]


class Symbols:
    """The symbol tables of one grammar. A nonterminal is a rule with arguments, applied when it is expanded."""

    def __init__(
        self, step: int, *, terminals: Sequence[tuple[object, ...]] = (), rules: Sequence[Sequence[Production]] = ()
    ) -> None:
        """step: 1 if the layout depends on the depth, else 0; see ``deeper``.

        terminals, rules: keys of the first terminals, and the productions of the first nonterminals, by number.
        """
        self._step = step
        self.guarding = Guarding()
        self._nonterminals: dict[tuple[object, ...], int] = {}
        self._rules: list[tuple[Rule, tuple[object, ...]]] = [(list, (productions,)) for productions in rules]
        self._terminals = {key: number for number, key in enumerate(terminals)}
        self.terminal_keys = list(terminals)
        self._soon: list[int] = []

    def deeper(self, depth: int) -> int:
        """The depth inside a container: counted only where it matters, so that nonterminals are shared otherwise."""
        return depth + self._step

    def nonterminal(self, rule: Rule, *arguments: object) -> Symbol:
        """The nonterminal that ``rule(*arguments)`` expands; arguments are hashable."""
        key = (rule, *arguments)
        number = self._nonterminals.get(key)
        if number is None:
            number = self._nonterminals[key] = len(self._rules)
            self._rules.append((rule, arguments))
        return ~number

    def soon(self, nonterminal: Symbol) -> None:
        """Note that a nonterminal will be asked for behind the one that is being expanded, and is cheap."""
        self._soon.append(~nonterminal)

    def expand_with_soon(self, nonterminal: int) -> list[tuple[int, Sequence[Production]]]:
        """The productions of a nonterminal, and of those that its rule noted."""
        out = [(nonterminal, self.expand(nonterminal))]
        if self._soon:
            noted, self._soon = self._soon, []
            out += [(other, self.expand(other)) for other in noted]
            self._soon.clear()
        return out

    def expand(self, nonterminal: int) -> Sequence[Production]:
        """The productions of a nonterminal."""
        rule, arguments = self._rules[nonterminal]
        return rule(*arguments)

    def terminal(self, *key: object) -> Symbol:
        """The terminal of a key: ("text", bytes), ("mark", text, depth), ("string", key) …, see ``grammar.py``."""
        number = self._terminals.get(key)
        if number is None:
            number = self._terminals[key] = len(self.terminal_keys)
            self.terminal_keys.append(key)
        return number

    def mark(self, mark: str, depth: int) -> Symbol:
        """Punctuation."""
        return self.terminal("mark", mark, depth)
