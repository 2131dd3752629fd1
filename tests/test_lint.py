"""Lint findings: witnesses are judged by Lark's Earley parser and by ``re``, absence by counting derivations."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import lark
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.lark_loading import load
from grammar_engine.compiler.ir import Production
from grammar_engine.compiler.lalr import automaton_of
from grammar_engine.compiler.lint.ambiguity import Verdict, find_ambiguities
from grammar_engine.compiler.lint.findings import Finding, Kind, Report
from grammar_engine.compiler.lint.structure import cycles, trimmed
from grammar_engine.compiler.lint.terminals import Comparison
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.inspection.linting import lint
from grammar_engine.matcher import Matcher


def compiler() -> GrammarCompiler:
    bytes_alone = Vocabulary([*(bytes([byte]) for byte in range(256)), None], stop_token_ids=[256])
    return GrammarCompiler(bytes_alone, cache_dir="", prepare=False)


def lint_lark(source: str, parser: str = "auto", start: str = "start") -> Report:
    try:
        compiled = compiler().compile_lark(source, parser=parser, start=start)
    except UnsatisfiableGrammarError:
        compiled = None
    return lint(source, gbnf=False, start=start, compiled=compiled)


def of_kind(report: Report, kind: Kind) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind is kind]


def is_ambiguous_for_lark(source: str, text: str) -> bool:
    parser = lark.Lark(source, parser="earley", lexer="dynamic", ambiguity="explicit", maybe_placeholders=False)
    return any(node.data == "_ambig" for node in parser.parse(text).iter_subtrees())


# -- structure --------------------------------------------------------------------------------------------------------


def test_useless_rules_have_places() -> None:
    report = lint_lark(
        'start: a\na: "x" a2?\n\nlost: "y" also\nalso: "z"\na2: a2 "x" | b2\nb2: a2\nW: /w/\nV: "v"\n%ignore V\n'
    )
    found = {(finding.kind, finding.subject, finding.line, finding.column) for finding in report.findings}
    assert found >= {
        (Kind.UNREACHABLE, "lost", 4, 1),
        (Kind.UNREACHABLE, "also", 5, 1),
        (Kind.UNPRODUCTIVE, "a2", 6, 1),
        (Kind.UNPRODUCTIVE, "b2", 7, 1),
        (Kind.UNUSED_TERMINAL, "W", 8, 1),
    }
    assert not of_kind(report, Kind.EMPTY_LANGUAGE)
    assert "V" not in {finding.subject for finding in report.findings}


def test_an_empty_language() -> None:
    report = lint_lark('start: "a" b\nb: "b" start\n')
    assert of_kind(report, Kind.EMPTY_LANGUAGE)[0].line == 1
    assert {finding.subject for finding in of_kind(report, Kind.UNPRODUCTIVE)} == {"start", "b"}


@pytest.mark.parametrize(
    ("source", "cyclic"),
    [
        ('start: a\na: b | "x"\nb: a | "y"', {"a"}),
        ('start: start | "x"', {"start"}),
        ('start: n start n | "x"\nn: "y" |', {"start"}),
        ('start: start start | "x" |', {"start"}),
        ('start: ("x"?)*', {"start"}),
        ('start: start "x" | "x"', set()),
        ('start: n start "x" | "y"\nn: "z" |', set()),
        ('start: a a\na: b\nb: "x" |', set()),
    ],
)
def test_cycles(source: str, cyclic: set[str]) -> None:
    report = lint_lark(source, "glr")
    found = of_kind(report, Kind.CYCLIC)
    assert {finding.subject for finding in found} == cyclic
    for finding in found:
        assert finding.witness is not None
        assert accepts(source, finding.witness)


def accepts(source: str, text: str) -> bool:
    matcher = Matcher(compiler().compile_lark(source, parser="glr"))
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


def test_recursion_is_no_finding() -> None:
    report = lint_lark('start: start "a" | b\nb: "b" b | "b"\n')
    assert not report.findings
    assert report.notes == ("the rules are unambiguous",)


# -- ambiguity --------------------------------------------------------------------------------------------------------

AMBIGUOUS = {
    "an operator": ('start: e\ne: e "+" e | "x"', 5),
    "dangling else": ('start: s\ns: "i" s | "i" s "l" s | "x"', 5),
    "one text, two rules": ('start: a | b\na: "x" "y"\nb: "x" y\ny: "y"', 2),
    "where to cut": ('start: p q\np: "a" | "a" "b"\nq: "b" "c" | "c"', 3),
    "loops in loops": ('start: ("a" | "b" "a"*)+ "."', 3),
    "two ways to be short": ('start: a? a "b"\na: "x" | "y" | a "z"\n', None),
    "far apart": ('start: "(" l ")" | "(" r ")"\nl: "a" l "b" | "a" "b"\nr: "a" "b" | "c"', 4),
    "a call": ('start: s+\ns: n | n "(" s ")" | "(" s ")"\nn: "f"', 4),
}
UNAMBIGUOUS = {
    "operators": 'start: start "+" t | t\nt: t "*" f | f\nf: "(" start ")" | "x"',
    "not LALR(1)": 'start: "a" e "a" | "b" e "b" | "a" f "b" | "b" f "a"\ne: "e"\nf: "e"',
    "two tokens ahead": 'start: a "x" "y" | b "x" "z"\na: "c"\nb: "c"',
    "lists": 'start: "[" [x ("," x)*] "]"\nx: "1" | start',
}


@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.parametrize("parser", ["glr", "earley"])
def test_ambiguous_grammars_have_a_witness_that_lark_finds_ambiguous(name: str, parser: str) -> None:
    source, length = AMBIGUOUS[name]
    found = of_kind(lint_lark(source, parser), Kind.AMBIGUOUS)
    if name == "two ways to be short":
        assert not found
        return
    assert found
    for finding in found:
        assert finding.witness is not None
        assert is_ambiguous_for_lark(source, finding.witness)
    assert min(len(finding.sentence) for finding in found) == length


@pytest.mark.parametrize("name", UNAMBIGUOUS)
def test_unambiguous_grammars_are_proved(name: str) -> None:
    report = lint_lark(UNAMBIGUOUS[name], "glr")
    assert not report.findings
    assert report.notes == ("the rules are unambiguous",)


def test_what_cannot_be_proved_is_not_claimed() -> None:
    report = lint_lark('start: "a" start "a" | "b" start "b" | "c"?', "glr")  # palindromes: unambiguous, not LR(k)
    assert not report.findings
    (note,) = report.notes
    length = re.fullmatch(
        r"no ambiguity found: none in phrases of fewer than (\d+) terminals, the search ended there", note
    )
    assert length
    assert int(length[1]) >= 8


def test_overlapping_terminals_of_the_dynamic_lexer() -> None:
    source = "start: A | B\nA: /a[bc]/\nB: /[ax]c/"
    (finding,) = of_kind(lint_lark(source, "earley"), Kind.AMBIGUOUS)
    assert finding.witness == "ac" or finding.sentence in (("A",), ("B",))
    assert is_ambiguous_for_lark(source, "ac")


def test_lalr_says_who_decides() -> None:
    (finding,) = of_kind(lint_lark('start: s\ns: "i" s | "i" s "l" s | "x"', "lalr"), Kind.AMBIGUOUS)
    assert "lalr" in finding.message


def derivations(rules: Sequence[Sequence[Production]], sentence: tuple[int, ...]) -> int:
    """How many derivations a sentence has from nonterminal 0 of an ε-free grammar without cycles, at most 2."""

    @cache
    def of_symbol(symbol: int, begin: int, end: int) -> int:
        if symbol >= 0:
            return int(end - begin == 1 and sentence[begin] == symbol)
        return min(2, sum(of_row(rhs, begin, end) for rhs in rules[~symbol]))

    @cache
    def of_row(row: Production, begin: int, end: int) -> int:
        if not row:
            return int(begin == end)
        if len(row) == 1:
            return of_symbol(row[0], begin, end)
        cuts = range(begin + 1, end - len(row) + 2)
        return min(
            2,
            sum(
                of_symbol(row[0], begin, cut) and of_symbol(row[0], begin, cut) * of_row(row[1:], cut, end)
                for cut in cuts
            ),
        )

    return of_symbol(~0, 0, len(sentence))


def search(rules: Sequence[Sequence[Production]], terminals: int) -> Verdict | None:
    kept = trimmed(rules, 0)
    if kept is None:
        return None
    automaton = automaton_of(kept, 0, terminals)
    assert automaton is not None
    return find_ambiguities(kept, automaton, max_pairs=3_000)


def test_random_grammars_against_counting() -> None:
    """Witnesses have two derivations; below the length that is claimed nothing has."""
    rng = random.Random(11)
    verdicts = {"found": 0, "proved": 0, "open": 0}
    for _ in range(500):
        count = rng.randint(1, 4)
        symbols = [*range(-count, 0), 0, 1, 0, 1]
        rules = [
            list(
                {tuple(rng.choice(symbols) for _ in range(rng.choice((1, 2, 2, 3)))) for _ in range(rng.randint(1, 3))}
            )
            for _ in range(count)
        ]
        if cycles(rules):
            continue
        verdict = search(rules, 2)
        if verdict is None:
            continue
        for ambiguity in verdict.found:
            if len(ambiguity.sentence) <= 24:
                assert derivations(rules, ambiguity.sentence) == 2, rules
        longest = 7 if verdict.proved else min(7, verdict.length - 1)
        if verdict.found:
            longest = min(len(ambiguity.phrase) for ambiguity in verdict.found) - 1
        for length in range(1, min(longest, 7) + 1):
            for sentence in itertools.product((0, 1), repeat=length):
                assert derivations(rules, sentence) < 2, (rules, sentence, verdict)
        verdicts["found" if verdict.found else "proved" if verdict.proved else "open"] += 1
    assert verdicts["found"] > 50
    assert verdicts["proved"] > 50


# -- terminals --------------------------------------------------------------------------------------------------------


def test_a_terminal_that_never_matches() -> None:
    source = 'start: (NUMBER | DATE)+\nNUMBER: /[0-9]+/\nDATE: /[0-9]{4}-[0-9]{2}/\n%ignore " "'
    (finding,) = lint_lark(source, "lalr").findings
    assert (finding.kind, finding.subject, finding.line) == (Kind.SHADOWED, "DATE", 3)
    assert finding.witness is not None
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}", finding.witness)
    with pytest.raises(lark.exceptions.UnexpectedInput):
        lark.Lark(source, parser="lalr").parse(finding.witness)


def test_a_terminal_that_is_taken_by_a_priority_in_one_place_only() -> None:
    source = 'start: "x" (P | Q) | "y" Q\nP.2: /[a-z]+/\nQ: /[a-c]/'
    assert not lint_lark(source, "lalr").findings
    (finding,) = lint_lark(source.replace(' | "y" Q', ""), "lalr").findings
    assert (finding.kind, finding.subject) == (Kind.SHADOWED, "Q")
    assert "priority" in finding.message


def test_names_in_patterns_and_comments_are_no_uses() -> None:
    source = 'start: A B\nA: /"_X/ _Y  // _X\nB: "_X"\n_Y: "y"\n_X: "x"\n'
    assert [finding.subject for finding in lint_lark(source).findings] == ["_X"]


def test_places_are_tried_out_where_look_aheads_say_too_much() -> None:
    """In LALR(1) automata the contexts of e are one; the parser of parser="glr" knows better."""
    source = 'start: "(" e ")" P | "[" e "]" Q | "{" e (P | R)\ne: "e"\nP: /[a-c]+/\nQ: /[b-d]+/\nR: /[c-e]+x/'
    for parser in ("lalr", "glr"):
        assert not [finding for finding in lint_lark(source, parser).findings if finding.subject == "Q"]


def test_terminals_that_match_one_text() -> None:
    source = "start: HEX | WORD\nHEX: /0?[0-9a-f]+/\nWORD: /[a-z]+/"
    (finding,) = lint_lark(source, "lalr").findings
    assert (finding.kind, finding.subject) == (Kind.COLLISION, "WORD")
    assert finding.witness == "a"
    (token,) = lark.Lark(source, parser="lalr").parse("a").children
    assert isinstance(token, lark.Token)
    assert token.type == "HEX"


@pytest.mark.parametrize(
    "source",
    [
        'start: ("if" | NAME)+\nNAME: /[a-z]+/\n%ignore " "',  # Lark's keyword rule
        "start: P | Q\nP.2: /[a-c]+/\nQ: /[b-z]+/",  # a priority
        'start: "a" P | "b" Q\nP: /[a-c]+/\nQ: /[b-z]+/',  # never at one place
        'start: ("<" | "<=" | "=")+',  # the longer one is tried first
        'start: "." | "..." | NUMBER\nNUMBER: /[0-9]+/',
    ],
)
def test_what_is_meant_is_no_finding(source: str) -> None:
    assert not lint_lark(source, "lalr").findings


PATTERNS = [
    "a", "ab", "a+", "[ab]+", "(ab)*c", "a?b?c", "[a-c]{2}", "a(b|c)*", "b+a?", "(a|bb)+", "c", "(a|b)*abb", "a*b*c+",
]  # fmt: skip


def test_overlaps_against_interegular_and_re() -> None:
    interegular = pytest.importorskip("interegular")
    for first, second in itertools.combinations(PATTERNS, 2):
        source = f"start: A B\nA: /{first}/\nB: /{second}/"
        mine = Comparison(load(source, start="start")).common("A", "B")
        automata = [interegular.parse_pattern(pattern).to_fsm() for pattern in (first, second)]
        assert (mine is None) == automata[0].isdisjoint(automata[1])
        texts = ("".join(chars) for length in range(1, 5) for chars in itertools.product("abc", repeat=length))
        shortest = next((text for text in texts if re.fullmatch(first, text) and re.fullmatch(second, text)), None)
        if shortest is not None:
            assert mine is not None
            assert len(mine) == len(shortest)
            assert re.fullmatch(first, mine)
            assert re.fullmatch(second, mine)


# -- GBNF, shipped grammars -------------------------------------------------------------------------------------------


def test_gbnf(tmp_path: Path) -> None:
    path = tmp_path / "g.gbnf"
    path.write_text('root ::= ws item ws\nitem ::= "a" ws | [a-c] "b"?\nws ::= " "*\n\nlost ::= "x"\n')
    report = lint(path, gbnf=True, start="root", compiled=None)
    assert [(f.kind, f.subject, f.line) for f in report.findings if f.kind is Kind.UNREACHABLE] == [
        (Kind.UNREACHABLE, "lost", 5)
    ]
    witnesses = {finding.witness for finding in of_kind(report, Kind.AMBIGUOUS)}
    assert witnesses
    matcher = Matcher(compiler().compile_gbnf(path))
    for witness in witnesses:
        assert witness is not None
        assert matcher.fork().accept_bytes(witness.encode())
        assert re.fullmatch(r" *a *", witness)  # "a" or [a-c]; the blanks of item or of root


def test_gbnf_proof() -> None:
    report = lint(
        'root ::= item ("," item)*\nitem ::= [a-z]+ "=" [0-9]+ | "(" root ")"\n', gbnf=True, start="root", compiled=None
    )
    assert not report.findings
    assert report.notes == ("the rules are unambiguous",)


@pytest.mark.parametrize("name", ["json", "calc"])
def test_shipped_grammars_are_clean(name: str) -> None:
    report = lint_lark(name)
    assert not report.findings
    assert report.notes == ("the rules are unambiguous",)
