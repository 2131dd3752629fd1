"""The rules of a compiled grammar as samples and reports see them: productions, and names for people.

Lark grammars are taken as they were written (``compiler.lint.plain``); all others as they were compiled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grammar_engine.compiler.frontends.gbnf.grammar import GbnfGrammar
from grammar_engine.compiler.frontends.json_schema.grammar import JsonSchemaGrammar
from grammar_engine.compiler.frontends.lark_loading import load_unused
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, read_source
from grammar_engine.compiler.ir import Grammar, Production
from grammar_engine.compiler.lint.lark_source import plain_lark
from grammar_engine.compiler.lint.plain import PlainGrammar
from grammar_engine.compiler.lint.structure import trimmed
from grammar_engine.compiler.rule_stack import kernels_along, offer, rules_around, stack_of_rules, stack_of_symbols
from grammar_engine.inspection.json_pointer import pointer_at

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar


class Outlook:
    """The rules of one grammar. Terminals are numbered as in the compiled grammar, nonterminals in a way of its own."""

    def __init__(
        self, compiled: CompiledGrammar, source: str | os.PathLike[str] | None = None, *, start: str = "start"
    ) -> None:
        self.compiled = compiled
        self.grammar: Grammar = compiled.grammar
        self._plain: PlainGrammar | None = None
        self._rules: Sequence[Sequence[Production]] = ()
        self._by_name: dict[str, int] = {}
        self._labels: dict[int, str] = {}
        self.start = self.grammar.start
        if isinstance(self.grammar, LarkGrammar) and source is not None:
            self._read_lark(self.grammar, source, start)

    def _read_lark(self, grammar: LarkGrammar, source: str | os.PathLike[str], start: str) -> None:
        text, path, _ = read_source(source)
        loaded = load_unused(text, start=start, source_path=path)
        plain = plain_lark(loaded)
        numbers = [terminal.name for terminal in loaded.terminals]
        numbers += plain.terminals[len(numbers) :]
        for number, terminal in enumerate(grammar.terminals):
            self._by_name.setdefault(terminal.name, number)
        kept: list[list[Production]] = []
        for alternatives in trimmed(plain.rules, plain.start) or []:
            kept.append([])
            for rhs in alternatives:
                if all(symbol < 0 or numbers[symbol] in self._by_name for symbol in rhs):
                    kept[-1].append(tuple(self._by_name[numbers[s]] if s >= 0 else s for s in rhs))
        self._labels = {
            self._by_name[name]: plain.terminals[number] for number, name in enumerate(numbers) if name in self._by_name
        }
        self._plain = plain
        self._rules = trimmed(kept, plain.start) or []
        self.start = plain.start

    def productions(self, nonterminal: int) -> Sequence[Production]:
        """The right-hand sides of a nonterminal; empty ones too in a Lark grammar."""
        return self.grammar.productions(nonterminal) if self._plain is None else self._rules[nonterminal]

    @property
    def accepts_empty(self) -> bool:
        """The empty text is in the language, and no production says so."""
        return self._plain is None and self.grammar.accepts_empty

    def place(self, position: int, data: bytes) -> tuple[str, ...]:
        """What a text so far, which led to a position, is inside of: rules; of a schema's text the JSON pointer."""
        if isinstance(self.grammar, JsonSchemaGrammar):
            return (pointer_at(data.decode("utf-8", "replace")),)
        return self.rules_at(position)

    def rule_name(self, nonterminal: int) -> str:
        """The rule that a nonterminal comes from; "" if it has no name."""
        if self._plain is not None:
            return self._plain.owners[nonterminal]
        if isinstance(self.grammar, GbnfGrammar):
            return self.grammar.rule_names[nonterminal]
        return ""

    def terminal_number(self, name: str) -> int | None:
        """The terminal of a name in a Lark grammar."""
        return self._by_name.get(name)

    def terminal_label(self, terminal: int) -> str:
        """A terminal for people; "" where only its texts say what it is."""
        if self._plain is not None and terminal in self._labels:
            return self._labels[terminal]
        found = self.grammar.terminal(terminal)
        if isinstance(found.automaton, bytes):
            return repr(found.automaton.decode("utf-8", "replace"))
        return "" if isinstance(self.grammar, GbnfGrammar) else found.name

    def expected(self, position: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the terminals that may begin at a position, and of those that may go on."""
        found = offer(self.compiled.engine, position)
        begins = dict.fromkeys(self.terminal_label(terminal) for terminal in found.begins)
        goes_on = dict.fromkeys(self.terminal_label(terminal) for terminal in found.goes_on)
        return tuple(filter(None, begins)), tuple(filter(None, goes_on))

    def rules_at(self, position: int) -> tuple[str, ...]:
        """The rules that a position is inside of, the outermost first; of one parse where there are several."""
        engine, grammar = self.compiled.engine, self.grammar
        if grammar.table is None:
            numbers = stack_of_rules(engine, position)
            names = [self._compiled_name(number) for number in numbers]
        elif self._plain is not None and isinstance(grammar, LarkGrammar):
            number_of = {name: number for number, name in enumerate(self._plain.names)}
            symbols = [
                symbol if symbol >= 0 else ~number_of[grammar.rule_names[~symbol]]
                for symbol in stack_of_symbols(engine, position, grammar.table)
            ]
            kernels = kernels_along(self.productions, self.start, symbols)
            names = [self._plain.names[number] for number in rules_around(kernels, self.productions)]
        else:
            names = []
        return tuple(name.split("{", maxsplit=1)[0] for name in names if name and not name.startswith("__"))

    def _compiled_name(self, nonterminal: int) -> str:
        if isinstance(self.grammar, LarkGrammar):
            return self.grammar.rule_names[nonterminal]
        return self.rule_name(nonterminal)
