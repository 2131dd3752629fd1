"""All questions to one grammar, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.gbnf.grammar import read_gbnf
from grammar_engine.compiler.frontends.gbnf.parser import parse_gbnf
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar, load_unused
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, read_source
from grammar_engine.compiler.ir import Lexing
from grammar_engine.compiler.lalr import automaton_of
from grammar_engine.compiler.lint.ambiguity import Ambiguity, Verdict, find_ambiguities
from grammar_engine.compiler.lint.findings import Finding, Kind, Report
from grammar_engine.compiler.lint.gbnf_source import plain_gbnf
from grammar_engine.compiler.lint.lark_source import plain_lark, unused_terminals
from grammar_engine.compiler.lint.plain import PlainGrammar
from grammar_engine.compiler.lint.structure import Rules, structure_findings, trimmed
from grammar_engine.compiler.lint.terminals import Comparison, Meetings, terminal_findings
from grammar_engine.compiler.lint.yields import Contexts, Yields, sentence_through

_CYCLIC_NOTE = "rules that derive themselves are ambiguous; no other ambiguity was looked for"

_MAX_TERMINALS = 1_000

Speller = Callable[[Sequence[str]], str | None]
"""A text that the terminals of these names make, in this order; None if none was found."""


Reacher = Callable[[Sequence[str]], frozenset[str] | None]
"""The terminals that may begin behind terminals of these names; None if those could not be spelled."""


def lint_lark(
    source: str | os.PathLike[str],
    *,
    start: str = "start",
    compiled: LarkGrammar | None = None,
    spell: Speller | None = None,
    reach: Reacher | None = None,
) -> Report:
    """Lint a Lark grammar: text, path or shipped name.

    compiled: what the grammar compiled to; without it only rules are looked at. spell: writes out the witnesses of
    ambiguities. reach: tells which terminals really may follow, where LALR(1) look-aheads are only an upper bound.
    """
    text, path, _ = read_source(source)
    loaded = load_unused(text, start=start, source_path=path)
    plain = plain_lark(loaded)
    kept = () if compiled is None or compiled.table is None else tuple(t.name for t in compiled.terminals)
    findings = [*structure_findings(plain), *unused_terminals(loaded, kept)]
    notes: list[str] = []
    rules = trimmed(plain.rules, plain.start)
    if compiled is None or rules is None:
        return _report(findings, ["ambiguity and terminals were not looked at: the grammar has no text"])
    automaton = automaton_of(rules, plain.start, len(plain.terminals))
    if automaton is None:
        return _report(findings, ["the grammar is too large to look for ambiguity and colliding terminals"])
    names = _names(loaded, plain)
    overlaps: Sequence[int] = ()
    if len(names) > _MAX_TERMINALS:
        notes.append(f"terminals were not compared: there are more than {_MAX_TERMINALS}")
    elif compiled.lexing is Lexing.LEFTMOST:
        tried = compiled.tried if compiled.table is None else compiled.table.everywhere
        everywhere = {*loaded.ignore, *(compiled.terminals[terminal].name for terminal in tried)}
        confirm = None
        if reach is not None and compiled.table is None:
            confirm = _confirming(Contexts(automaton, Yields(rules)), Yields(rules), names, reach)
        meetings = Meetings(automaton, names, everywhere, confirm)
        findings += terminal_findings(loaded, compiled.terminals, meetings)
    else:
        overlaps = _overlaps(loaded, names)

    def spelled(sentence: Sequence[int]) -> str | None:
        return None if spell is None else spell([names[terminal] for terminal in sentence])

    if any(finding.kind is Kind.CYCLIC for finding in findings):
        return _report(_with_witnesses(findings, plain, rules, spelled), [_CYCLIC_NOTE])
    verdict = find_ambiguities(rules, automaton, overlaps)
    resolved = "; the table of parser='lalr' decides for reading on" if compiled.parser == "lalr" else ""
    for ambiguity in verdict.found:
        findings.append(_ambiguity_finding(plain, ambiguity, spelled(ambiguity.sentence), resolved))
    notes.append(_note(verdict, "terminals"))
    if compiled.lexing is not Lexing.LEFTMOST:
        notes.append("texts that can be cut into terminals in two ways were not looked for")
    return _report(findings, notes)


def lint_gbnf(source: str | os.PathLike[str], *, root: str = "root") -> Report:
    """Lint a GBNF grammar: text, path or shipped name."""
    text = read_gbnf(source)
    parsed = parse_gbnf(text, root=root)
    try:
        plain = plain_gbnf(parsed, text)
    except LimitExceededError as error:
        return Report(notes=(f"not linted: {error}",))
    findings = list(structure_findings(plain))
    rules = trimmed(plain.rules, plain.start)
    if rules is None:
        return _report(findings, ["ambiguity was not looked for: the grammar has no text"])
    if not plain.exact:
        return _report(findings, ["ambiguity was not looked for: the grammar has long counted loops"])
    automaton = automaton_of(rules, plain.start, len(plain.terminals))
    if automaton is None:
        return _report(findings, ["the grammar is too large to look for ambiguity"])
    if any(finding.kind is Kind.CYCLIC for finding in findings):
        return _report(_with_witnesses(findings, plain, rules, lambda s: plain.spell(s, s)), [_CYCLIC_NOTE])
    verdict = find_ambiguities(rules, automaton, plain.overlaps)
    findings += (
        _ambiguity_finding(plain, ambiguity, plain.spell(ambiguity.sentence, ambiguity.other), "")
        for ambiguity in verdict.found
    )
    return _report(findings, [_note(verdict, "characters")])


def _with_witnesses(
    findings: Sequence[Finding], plain: PlainGrammar, rules: Rules, spell: Callable[[Sequence[int]], str | None]
) -> list[Finding]:
    """Cyclic rules with a sentence that they take part in."""
    yields = Yields(rules)
    found: list[Finding] = []
    for finding in findings:
        sentence = None
        if finding.kind is Kind.CYCLIC:
            number = plain.owners.index(finding.subject)
            sentence = sentence_through(rules, yields, plain.start, number)
        if sentence is not None:
            labels = tuple(plain.terminals[terminal] for terminal in sentence)
            finding = replace(finding, witness=spell(sentence), sentence=labels)
        found.append(finding)
    return found


def _confirming(
    contexts: Contexts, yields: Yields, names: Sequence[str], reach: Reacher
) -> Callable[[int], frozenset[str] | None]:
    """Ask ``reach`` behind a shortest way to a state, once for each state."""
    known: dict[int, frozenset[str] | None] = {}

    def confirm(state: int) -> frozenset[str] | None:
        if state not in known:
            sentence = yields.sentence(contexts.symbols(contexts.path(state)))
            known[state] = reach([names[terminal] for terminal in sentence])
        return known[state]

    return confirm


def _names(loaded: LoadedGrammar, plain: PlainGrammar) -> list[str]:
    """Lark's names of the terminals of the plain grammar; those that nobody defines are called as they are."""
    names = [terminal.name for terminal in loaded.terminals]
    return [*names, *plain.terminals[len(names) :]]


def _overlaps(loaded: LoadedGrammar, names: Sequence[str]) -> list[int]:
    """Per terminal those that some text matches too, as bits."""
    used = {symbol.name for rule in loaded.rules for symbol in rule.expansion}
    comparison = Comparison(loaded)
    found = [1 << number for number in range(len(names))]
    defined = [number for number, name in enumerate(names[: len(loaded.terminals)]) if name in used]
    for place, number in enumerate(defined):
        for other in defined[:place]:
            if comparison.common(names[number], names[other]) is not None:
                found[number] |= 1 << other
                found[other] |= 1 << number
    return found


def _ambiguity_finding(plain: PlainGrammar, ambiguity: Ambiguity, witness: str | None, resolved: str) -> Finding:
    owners = list(dict.fromkeys(plain.owners[left] for left in ambiguity.nonterminals if left < len(plain.owners)))
    subject = owners[0] if owners else plain.owners[plain.start]
    line, column = plain.places.get(subject, (0, 0))
    phrase = " ".join(plain.terminals[terminal] for terminal in ambiguity.phrase)
    what = f"ambiguous at {' and '.join(f'rule {owner}' for owner in owners or [subject])}"
    how = f"two derivations of {phrase}" if phrase else "two derivations of the empty text"
    return Finding(
        kind=Kind.AMBIGUOUS,
        subject=subject,
        message=f"{what}: {how}{resolved}",
        line=line,
        column=column,
        witness=witness,
        sentence=tuple(plain.terminals[terminal] for terminal in ambiguity.sentence),
    )


def _note(verdict: Verdict, unit: str) -> str:
    if verdict.proved:
        return "the rules are unambiguous"
    if verdict.found:
        return "there may be more ambiguities than are shown"
    if verdict.length < 2:
        return "no ambiguity found, but the search ended early: too much can be read in several ways at first sight"
    return f"no ambiguity found: none in phrases of fewer than {verdict.length} {unit}, the search ended there"


def _report(findings: Sequence[Finding], notes: Sequence[str]) -> Report:
    unique = {(finding.kind, finding.subject, finding.message): finding for finding in reversed(findings)}
    return Report(findings=tuple(_sorted(list(unique.values()))), notes=tuple(notes))


def _sorted(findings: Sequence[Finding]) -> Iterator[Finding]:
    order = list(Kind)
    yield from sorted(findings, key=lambda finding: (finding.line, finding.column, order.index(finding.kind)))
