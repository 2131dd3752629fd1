"""Lark's LALR(1) table as plain arrays (``ir.ParseTable``), conflicts resolved as Lark resolves them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar
from grammar_engine.compiler.frontends.lark_terminals import TerminalTable
from grammar_engine.compiler.ir import Layout, ParseTable
from lark.common import ParserConf
from lark.exceptions import GrammarError
from lark.grammar import NonTerminal, Rule, Symbol, Terminal
from lark.parsers.lalr_analysis import IntParseTable, LALR_Analyzer, Shift

_END = "$END"


def _analyzed(loaded: LoadedGrammar) -> IntParseTable:
    analyzer = LALR_Analyzer(ParserConf(list(loaded.rules), {}, [loaded.start]))
    try:
        analyzer.compute_lalr()  # type: ignore[no-untyped-call]
    except GrammarError as error:
        raise NotLalrError(f"not LALR(1): {error}", source=loaded.source) from error
    return cast("IntParseTable", analyzer.parse_table)


class NotLalrError(GrammarSyntaxError):
    """Lark cannot build an LALR(1) table for the grammar, even with conflicts resolved."""


def productive(loaded: LoadedGrammar, lost: Collection[str]) -> LoadedGrammar:
    """The grammar without rules that derive no text, so that no state leads to them only.

    lost: terminals that never reach the parser. Raises UnsatisfiableGrammarError if the start derives nothing.
    """
    found = _fixpoint(loaded, lambda symbol: isinstance(symbol, Terminal) and symbol.name not in lost)
    if loaded.start not in found:
        raise UnsatisfiableGrammarError("no text is derived", place=f"rule {loaded.start}")
    rules = [
        rule
        for rule in loaded.rules
        if rule.origin.name in found
        and all(
            symbol.name not in lost if isinstance(symbol, Terminal) else symbol.name in found
            for symbol in rule.expansion
        )
    ]
    return loaded if len(rules) == len(loaded.rules) else replace(loaded, rules=rules)


def derives_empty(loaded: LoadedGrammar) -> bool:
    """Does the start derive the empty text?"""
    return loaded.start in _fixpoint(loaded, lambda _: False)


def _fixpoint(loaded: LoadedGrammar, good: Callable[[Symbol], bool]) -> set[str]:
    """Rules with an expansion whose symbols are all good, or such rules."""
    found: set[str] = set()
    while True:
        before = len(found)
        for rule in loaded.rules:
            if all(
                symbol.name in found if isinstance(symbol, NonTerminal) else good(symbol) for symbol in rule.expansion
            ):
                found.add(rule.origin.name)
        if len(found) == before:
            return found


def lalr_table(
    loaded: LoadedGrammar, table: TerminalTable, *, basic: bool, layout: Layout | None
) -> tuple[ParseTable, tuple[str, ...]]:
    """Build it with Lark's own analysis; the names of its nonterminals. basic: the lexer tries all terminals in every
    state.

    Rules that derive nothing take part in Lark's verdict on the grammar, but not in the table.

    Raises NotLalrError (reduce/reduce conflicts of equal priority).
    """
    found = _analyzed(loaded)
    lost = {name for name, ids in table.ids.items() if table.lost.issuperset(ids)}
    useful = productive(loaded, lost)
    if useful is not loaded:
        loaded = useful
        found = _analyzed(loaded)
    nonterminals: dict[str, int] = {}
    for rule in loaded.rules:
        nonterminals.setdefault(rule.origin.name, len(nonterminals))
    rules: dict[Rule, int] = {}
    actions: list[tuple[int, int, int]] = []
    gotos: list[tuple[int, int, int]] = []
    for state, row in found.states.items():
        for name, (kind, value) in row.items():
            if name in nonterminals:
                gotos.append((state, nonterminals[name], value))
                continue
            action = value if kind is Shift else ~rules.setdefault(value, len(rules))
            terminals: Sequence[int] = (-1,) if name == _END else table.ids[name]
            actions += ((state, terminal, action) for terminal in terminals)
    silent = set(table.lost)
    everywhere: set[int] = set()
    if basic:
        everywhere.update(range(len(table.terminals)))
    if layout is not None:
        silent.update((layout.indent, layout.dedent))
        everywhere.add(layout.newline)
    found_table = ParseTable(
        actions=np.array(sorted(actions), np.int32).reshape(-1, 3),
        gotos=np.array(sorted(gotos), np.int32).reshape(-1, 3),
        rules=np.array([(nonterminals[rule.origin.name], len(rule.expansion)) for rule in rules], np.int32).reshape(
            -1, 2
        ),
        num_states=len(found.states),
        num_terminals=len(table.terminals),
        start=found.start_states[loaded.start],
        end=found.end_states[loaded.start],
        everywhere=tuple(sorted(everywhere - set(table.ignored))),
        silent=tuple(sorted(silent - set(table.ignored))),
        layout=layout,
    )
    return found_table, tuple(nonterminals)
