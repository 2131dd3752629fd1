"""Shipped grammars have no dead rules, no cycles and no terminal that another one always takes the text from."""

from __future__ import annotations

import re

import pytest
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.frontends.lark_loading import load_unused
from grammar_engine.compiler.ir import Lexing
from grammar_engine.compiler.lalr import automaton_of
from grammar_engine.compiler.lint.findings import Finding, Kind
from grammar_engine.compiler.lint.lark_source import plain_lark, unused_terminals
from grammar_engine.compiler.lint.structure import structure_findings, trimmed
from grammar_engine.compiler.lint.terminals import Meetings, terminal_findings

from grammar_engine import grammars


def quick_findings(source: str, **options: str) -> list[Finding]:
    """What a lint finds but ambiguities, which take too long for the larger grammars."""
    loaded = load_unused(source, start="start", source_path=None)
    plain = plain_lark(loaded)
    compiled = lark_grammar(source, **options)
    kept = () if compiled.table is None else tuple(terminal.name for terminal in compiled.terminals)
    findings = [*structure_findings(plain), *unused_terminals(loaded, kept)]
    rules = trimmed(plain.rules, plain.start)
    automaton = None if rules is None else automaton_of(rules, plain.start, len(plain.terminals))
    if automaton is not None and compiled.lexing is Lexing.LEFTMOST:
        defined = [terminal.name for terminal in loaded.terminals]
        tried = compiled.tried if compiled.table is None else compiled.table.everywhere
        everywhere = {*loaded.ignore, *(compiled.terminals[number].name for number in tried)}
        meetings = Meetings(automaton, [*defined, *plain.terminals[len(defined) :]], everywhere, None)
        findings += terminal_findings(loaded, compiled.terminals, meetings)
    return findings


def fragments_of(source: str) -> set[str]:
    """The rules that the header of a shipped grammar names as fragments; they need no other rule that uses them."""
    header = re.search(r"^// fragments(.*?)^//?\s*$", source, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"\w+", header[1])) if header else set()


@pytest.mark.parametrize("name", grammars.shipped_names())
def test_no_dead_ends(name: str) -> None:
    source = grammars.source(name)
    fragments = fragments_of(source)
    for finding in quick_findings(source, **grammars.options(name)):
        if finding.kind is Kind.UNREACHABLE:
            assert finding.subject in fragments, finding.message
        else:
            assert finding.kind is Kind.COLLISION, finding.message


def test_dead_ends_are_found() -> None:
    source = 'start: a | c | "x"\na: "y" | a\nb: "z"\nc: c "w"\n'
    kinds = {finding.kind for finding in quick_findings(source, parser="glr")}
    assert kinds == {Kind.UNREACHABLE, Kind.UNPRODUCTIVE, Kind.CYCLIC}
    shadowed = "start: A | B\nA.1: /[a-z]+/\nB: /[a-c]+/\n"
    assert {finding.kind for finding in quick_findings(shadowed, parser="glr")} == {Kind.SHADOWED}
