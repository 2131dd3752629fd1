"""LALR(1) automata are Lark's own, state by state, look-aheads included; Lark's analysis is the oracle.

With one exception: where nullable symbols read each other in a circle, Lark's relations share sets, which then hold
more than LALR(1) look-aheads, and how much more depends on the order of a set of objects.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar, load, load_unused
from grammar_engine.compiler.ir import Production, Symbol
from grammar_engine.compiler.lalr import Automaton, automaton_of, members
from lark.common import ParserConf
from lark.grammar import NonTerminal, Rule, Terminal
from lark.load_grammar import FromPackageLoader
from lark.parsers.lalr_analysis import LALR_Analyzer, LR0ItemSet

from grammar_engine import grammars


def analyzed_by_lark(rules: Sequence[Rule], start: str) -> LALR_Analyzer:
    analyzer = LALR_Analyzer(ParserConf(list(rules), {}, [start]))
    analyzer.compute_lr0_states()
    analyzer.compute_reads_relations()
    analyzer.compute_includes_lookback()
    analyzer.compute_lookaheads()
    return analyzer


def numbered(rules: Sequence[Rule]) -> tuple[list[list[Production]], dict[str, int], dict[str, int]]:
    names: dict[str, int] = {}
    terminals: dict[str, int] = {}
    for rule in rules:
        names.setdefault(rule.origin.name, len(names))
    found: list[list[Production]] = [[] for _ in names]
    for rule in rules:
        found[names[rule.origin.name]].append(
            tuple(
                terminals.setdefault(symbol.name, len(terminals)) if symbol.is_term else ~names[symbol.name]
                for symbol in rule.expansion
            )
        )
    return found, names, terminals


def compare(rules: Sequence[Rule], start: str) -> int:
    """Walk both automata from their starts; the number of states, which are all equal."""
    plain, names, terminals = numbered(rules)
    mine = automaton_of(plain, names[start], len(terminals))
    assert mine is not None
    theirs = analyzed_by_lark(rules, start)

    def number(symbol: object) -> Symbol:
        assert isinstance(symbol, (Terminal, NonTerminal))
        return terminals[symbol.name] if symbol.is_term else ~names[symbol.name]

    (first,) = theirs.lr0_start_states.values()
    circular = reads_in_a_circle(theirs)
    pairs = {0: first}
    todo = [0]
    while todo:
        here = todo.pop()
        state = pairs[here]
        steps = {number(symbol): target for symbol, target in state.transitions.items()}
        assert mine.transitions[here].keys() == steps.keys()
        for symbol, target in steps.items():
            following = mine.transitions[here][symbol]
            if following not in pairs:
                pairs[following] = target
                todo.append(following)
            assert pairs[following] is target
        ours, of_lark = looked_ahead(mine, here, terminals), looked_ahead_by_lark(state, plain, names, number)
        assert ours == of_lark or (circular and ours < of_lark)
    assert len(pairs) == len(mine.transitions) == len(theirs.lr0_itemsets)
    return len(pairs)


def looked_ahead(automaton: Automaton, state: int, terminals: dict[str, int]) -> set[tuple[int, Production, str]]:
    names = [*terminals, "$END"]
    return {
        (*automaton.productions[production], names[terminal])
        for production, bits in automaton.complete[state].items()
        for terminal in members(bits)
        if production < len(automaton.productions) - 1
    }


def looked_ahead_by_lark(
    state: LR0ItemSet, plain: object, names: dict[str, int], number: object
) -> set[tuple[int, Production, str]]:
    return {
        (names[rule.origin.name], tuple(number(symbol) for symbol in rule.expansion), symbol.name)  # type: ignore[operator]
        for symbol, rules in state.lookaheads.items()
        for rule in rules
    }


def reads_in_a_circle(analyzer: LALR_Analyzer) -> bool:
    edges = analyzer.reads
    return any(_leads_to(edges, first, first) for first in list(edges))


def _leads_to(edges: dict[object, set[object]], source: object, goal: object) -> bool:
    seen: set[object] = set()
    todo = list(edges.get(source, ()))
    while todo:
        here = todo.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            todo += edges.get(here, ())
    return False


@pytest.mark.parametrize("name", ["calc", "json", "lua", "go"])
def test_shipped_grammars(name: str) -> None:
    assert compare(load(grammars.source(name), start="start").rules, "start") > 20


@pytest.mark.parametrize(("name", "start"), [("python", "file_input"), ("lark", "start")])
def test_grammars_that_come_with_lark(name: str, start: str) -> None:
    _, text = FromPackageLoader("lark", ("grammars",))(None, f"{name}.lark")  # type: ignore[no-untyped-call]
    loaded: LoadedGrammar = load_unused(text, start=start)
    reached = {start}
    rules = [rule for rule in loaded.rules if rule.origin.name in _closure(loaded, reached)]
    assert compare(rules, start) > 50


def _closure(loaded: LoadedGrammar, reached: set[str]) -> set[str]:
    while True:
        before = len(reached)
        reached |= {
            symbol.name
            for rule in loaded.rules
            if rule.origin.name in reached
            for symbol in rule.expansion
            if not symbol.is_term
        }
        if len(reached) == before:
            return reached


def test_random_grammars() -> None:
    rng = random.Random(5)
    compared = 0
    for _ in range(400):
        count = rng.randint(1, 5)
        lines = []
        for number in range(count):
            alternatives = {
                " ".join(rng.choice([*(f"r{k}" for k in range(count)), '"a"', '"b"']) for _ in range(rng.randint(0, 3)))
                for _ in range(rng.randint(1, 3))
            }
            lines.append(f"r{number}: " + " | ".join(sorted(alternatives)))
        loaded = load_unused("\n".join([*lines, "start: r0"]) + "\n", start="start")
        rules = list(dict.fromkeys(rule for rule in loaded.rules if rule.origin.name in _closure(loaded, {"start"})))
        try:
            analyzed_by_lark(rules, "start")
        except AssertionError:
            continue  # (a rule that Lark's analysis stumbles over)
        compared += 1
        compare(rules, "start")
    assert compared > 300
