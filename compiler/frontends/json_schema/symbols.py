"""Terminals and nonterminals interned under what they mean, so that equal ones are one wherever they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar_engine.compiler.ir import Guarding, Members, Production, Symbol

_MOST_AHEAD = 3  # openings of containers behind one another that are expanded together
Rule = Callable[..., list[Production]]
Block = Callable[..., Members | Sequence[Production]]


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
        self._blocks: dict[int, tuple[Block, tuple[int, ...]]] = {}
        self._expanded: set[int] = set()

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
        """Note that a nonterminal will surely be asked for behind the one that is being expanded."""
        self._soon.append(~nonterminal)

    def in_blocks(self, nonterminal: Symbol, block: Block, *arguments: int) -> None:
        """Have ``block(*arguments)`` answer for a nonterminal in ``expand_with_soon``."""
        self._blocks[~nonterminal] = block, arguments

    def expand_with_soon(self, nonterminal: int) -> list[tuple[int, Sequence[Production] | Members]]:
        """The productions of a nonterminal, of those that they begin with, and of those that rules noted."""
        out: list[tuple[int, Sequence[Production] | Members]] = []
        done = self._expanded
        todo = [(nonterminal, 0)]
        while todo:
            number, ahead = todo.pop()
            if number in done and out:
                continue
            done.add(number)
            block, arguments = self._blocks.get(number, (self.expand, (number,)))
            productions = block(*arguments)
            if isinstance(productions, Members):
                begin = list(productions.last[:1]) if productions.stops[0] > len(productions.heads) else []
            else:
                begin = [production[0] for production in productions]
            out.append((number, productions))
            todo += [(~symbol, ahead) for symbol in begin if symbol < 0 and ~symbol not in done]
            if self._soon:
                if ahead < _MOST_AHEAD:
                    todo += [(other, ahead + 1) for other in self._soon if other not in done]
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
