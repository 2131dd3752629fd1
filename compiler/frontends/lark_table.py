"""Lark's LALR(1) table as plain arrays (``ir.ParseTable``), conflicts resolved as Lark resolves them.

The automaton is ``compiler.lalr``'s; ``tests/test_lark_lalr.py`` compares with Lark's own tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar
from grammar_engine.compiler.frontends.lark_terminals import TerminalTable
from grammar_engine.compiler.ir import Layout, ParseTable, Production
from grammar_engine.compiler.lalr import MAX_STATES, Automaton, automaton_of, members
from grammar_engine.compiler.normalize import derives
from lark.grammar import NonTerminal, Rule, Symbol, Terminal

_END = "$END"


class NotLalrError(GrammarSyntaxError):
    """Lark cannot build an LALR(1) table for the grammar, even with conflicts resolved."""


def productive(loaded: LoadedGrammar, lost: Collection[str]) -> LoadedGrammar:
    """The grammar without rules that derive no text, so that no state leads to them only.

    lost: terminals that never reach the parser. Raises UnsatisfiableGrammarError if the start derives nothing.
    """
    found = _deriving(loaded, lambda symbol: isinstance(symbol, Terminal) and symbol.name not in lost)
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
    return loaded.start in _deriving(loaded, lambda _: False)


def _deriving(loaded: LoadedGrammar, good: Callable[[Symbol], bool]) -> set[str]:
    """Rules with an expansion whose symbols are all good, or such rules."""
    number: dict[str, int] = {}
    for rule in loaded.rules:
        number.setdefault(rule.origin.name, len(number))
    rules: list[list[Production]] = [[] for _ in number]
    for rule in loaded.rules:
        if all(isinstance(symbol, NonTerminal) or good(symbol) for symbol in rule.expansion):
            names = (symbol.name for symbol in rule.expansion if isinstance(symbol, NonTerminal))
            rules[number[rule.origin.name]].append(tuple(~number[name] for name in names))
    derived = derives(rules, blocks=True)
    return {name for name, index in number.items() if derived[index]}


@dataclass(frozen=True, kw_only=True)
class _Resolved:
    """nonterminals, terminals: names by number; the last terminal is the end. start: number of the start.

    actions: state, terminal, and ``s >= 0`` to shift to state s or ``~r`` to reduce by production r.
    conflicts: terminals ahead of which more than one action was possible.
    """

    automaton: Automaton
    nonterminals: tuple[str, ...]
    terminals: tuple[str, ...]
    start: int
    actions: list[tuple[int, int, int]]
    conflicts: tuple[str, ...]


def _resolved(loaded: LoadedGrammar) -> _Resolved:
    """The automaton of a grammar, its conflicts resolved as Lark does it: of several reductions the one of the highest
    priority, and shifts before reductions. NotLalrError where two reductions have the same priority.
    """
    nonterminals: dict[str, int] = {}
    for rule in loaded.rules:
        nonterminals.setdefault(rule.origin.name, len(nonterminals))
    terminals: dict[str, int] = {}
    rules: list[list[Production]] = [[] for _ in nonterminals]
    sources: list[list[Rule]] = [[] for _ in nonterminals]
    for rule in loaded.rules:
        left = nonterminals[rule.origin.name]
        sources[left].append(rule)
        rules[left].append(
            tuple(
                ~nonterminals[symbol.name]
                if isinstance(symbol, NonTerminal)
                else terminals.setdefault(symbol.name, len(terminals))
                for symbol in rule.expansion
            )
        )
    start = nonterminals[loaded.start]
    automaton = automaton_of(rules, start, len(terminals))
    if automaton is None:
        raise LimitExceededError(
            "the LALR(1) table grows too large; use parser='glr'", limit=f"{MAX_STATES} states", given="more"
        )
    terminals[_END] = automaton.end
    names = tuple(terminals)
    by_number = [rule for group in sources for rule in group]
    actions: list[tuple[int, int, int]] = []
    conflicts: dict[str, None] = {}
    for state, row in enumerate(automaton.transitions):
        actions += ((state, symbol, target) for symbol, target in row.items() if symbol >= 0)
        shifted = automaton.shiftable(state)
        reduced: dict[int, list[int]] = {}
        for production, looked in automaton.complete[state].items():
            if production < len(by_number):
                for terminal in members(looked):
                    reduced.setdefault(terminal, []).append(production)
        for terminal, productions in reduced.items():
            best = _preferred([by_number[production] for production in productions], names[terminal])
            if len(productions) > 1 or shifted >> terminal & 1:
                conflicts[names[terminal]] = None
            if not shifted >> terminal & 1:
                actions.append((state, terminal, ~productions[best]))
    return _Resolved(
        automaton=automaton,
        nonterminals=tuple(nonterminals),
        terminals=names,
        start=start,
        actions=actions,
        conflicts=tuple(conflicts),
    )


def _preferred(rules: Sequence[Rule], terminal: str) -> int:
    """Which of some rules is reduced: that of the highest priority."""
    if len(rules) == 1:
        return 0
    priorities = [rule.options.priority or 0 for rule in rules]
    best = max(priorities)
    if priorities.count(best) > 1:
        listed = "; ".join(
            f"{rule.origin.name}: {' '.join(symbol.name for symbol in rule.expansion) or 'nothing'}" for rule in rules
        )
        raise NotLalrError(f"not LALR(1): with {terminal} ahead, each of these could be complete: {listed}")
    return priorities.index(best)


def conflicts_of(loaded: LoadedGrammar, lost: Collection[str]) -> tuple[str, ...]:
    """Terminals ahead of which Lark's table has decided between actions: where there are none, its language is that of
    the rules. Errors as for ``lalr_table``.
    """
    return _resolved(productive(loaded, lost)).conflicts


def lalr_table(
    loaded: LoadedGrammar, table: TerminalTable, *, basic: bool, layout: Layout | None
) -> tuple[ParseTable, tuple[str, ...]]:
    """Build it with Lark's own analysis; the names of its nonterminals. basic: the lexer tries all terminals in every
    state.

    Rules that derive nothing take part in Lark's verdict on the grammar, but not in the table.

    Raises NotLalrError (reduce/reduce conflicts of equal priority), LimitExceededError.
    """
    found = _resolved(loaded)
    lost = {name for name, ids in table.ids.items() if table.lost.issuperset(ids)}
    useful = productive(loaded, lost)
    if useful is not loaded:
        loaded = useful
        found = _resolved(loaded)
    terminals_of = [(-1,) if name == _END else table.ids[name] for name in found.terminals]
    actions = [
        (state, terminal, action) for state, number, action in found.actions for terminal in terminals_of[number]
    ]
    gotos = [
        (state, ~symbol, target)
        for state, row in enumerate(found.automaton.transitions)
        for symbol, target in row.items()
        if symbol < 0
    ]
    rules = found.automaton.productions[:-1]
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
        rules=np.array([(left, len(rhs)) for left, rhs in rules], np.int32).reshape(-1, 2),
        num_states=len(found.automaton.transitions),
        num_terminals=len(table.terminals),
        start=0,
        end=found.automaton.transitions[0][~found.start],
        everywhere=tuple(sorted(everywhere - set(table.ignored))),
        silent=tuple(sorted(silent - set(table.ignored))),
        layout=layout,
    )
    return found_table, found.nonterminals
