"""Samples, expectations and rule stacks: Lark, ``re`` and jsonschema judge them."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import lark
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary
from lark.indenter import Indenter

from grammar_engine import grammars
from grammar_engine.inspection.json_pointer import pointer_at
from grammar_engine.inspection.outlook import Outlook
from grammar_engine.inspection.sampler import NoSampleError, Sampler
from grammar_engine.matcher import Matcher


def compiler() -> GrammarCompiler:
    bytes_alone = Vocabulary([*(bytes([byte]) for byte in range(256)), None], stop_token_ids=[256])
    return GrammarCompiler(bytes_alone, cache_dir="", prepare=False)


class Indentation(Indenter):
    NL_type = "_NL"
    OPEN_PAREN_types = ["LPAR"]  # noqa: RUF012 - as Lark's class has it
    CLOSE_PAREN_types = ["RPAR"]  # noqa: RUF012
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 8


INDENTED = r"""
start: (_NL | stmt)*
stmt: "if" NAME ":" suite ["else" ":" suite] | simple
simple: NAME "=" expr _NL
suite: _NL _INDENT stmt+ _DEDENT
expr: NAME | "(" expr ("," expr)* ")"
NAME: /[a-z]+/
_NL: /(\r?\n[\t ]*)+/
%declare _INDENT _DEDENT
%ignore / +/
"""
KEYWORDS = """
start: stmt+
stmt: "let" NAME "=" value ";" | "if" value "{" stmt* "}" -> branch | "print" value ";"
value: NAME | NUMBER | "not" value | "(" value ")" | value "in" value
NAME: /[a-z]+/
NUMBER: /[0-9]+/
%ignore / +/
"""


def draw(compiled: CompiledGrammar, source: Any, count: int, **options: int) -> tuple[list[str], Sampler]:
    sampler = Sampler(Outlook(compiled, source), **options)
    texts = [sampler.draw() for _ in range(count)]
    for text in texts:
        matcher = Matcher(compiled)
        assert matcher.accept_bytes(text.encode())
        assert matcher.is_accepting()
        assert len(text.encode()) <= options.get("length", 200)
    return texts, sampler


@pytest.mark.parametrize(
    ("source", "postlex", "parser"),
    [
        (KEYWORDS, None, "auto"),
        (INDENTED, Indentation, "auto"),
        (grammars.source("calc"), None, "auto"),
        (grammars.source("json"), None, "auto"),
        ('start: ("a" | B)~2..3 ["c"] start?\nB: "b" | "bb"', None, "earley"),
    ],
    ids=["keywords", "indentation", "calc", "json", "earley"],
)
def test_lark_accepts_samples_and_they_cover_the_grammar(source: str, postlex: Any, parser: str) -> None:
    compiled = compiler().compile_lark(source, postlex=postlex, parser=parser)
    texts, sampler = draw(compiled, source, 40, length=120)
    judge = lark.Lark(source, parser="earley" if parser == "earley" else "lalr", postlex=postlex and postlex())
    for text in texts:
        judge.parse(text)
    coverage = sampler.coverage
    assert coverage.alternatives == coverage.of_alternatives
    assert coverage.terminals == coverage.of_terminals > 1
    assert len(set(texts)) > 10


def test_covering_is_quick() -> None:
    """Far quicker than drawing at random: all of json's alternatives within a few texts."""
    _, sampler = draw(compiler().compile_lark("json"), "json", 4, length=200)
    assert sampler.coverage.alternatives == sampler.coverage.of_alternatives


def test_equal_seeds_draw_equal_texts() -> None:
    compiled = compiler().compile_lark("calc")
    assert draw(compiled, "calc", 10, seed=3)[0] == draw(compiled, "calc", 10, seed=3)[0]
    assert draw(compiled, "calc", 10, seed=3)[0] != draw(compiled, "calc", 10, seed=4)[0]


def test_lengths() -> None:
    compiled = compiler().compile_lark('start: "begin" start? "end"')
    assert draw(compiled, 'start: "begin" start? "end"', 2, length=10)[0] == ["beginend", "beginend"]
    with pytest.raises(NoSampleError, match="shortest"):
        draw(compiled, 'start: "begin" start? "end"', 1, length=7)


@pytest.mark.parametrize("pattern", ["[0-9]{4}-(ab|c)?x*", "(a|b)*abb", r"\w+@\w+\.(com|org)", "é{3}|日本", "a{40}b?"])
def test_regexes(pattern: str) -> None:
    texts, _ = draw(compiler().compile_regex(pattern), None, 20)
    assert all(re.fullmatch(pattern, text) for text in texts)
    assert len(set(texts)) > 1


def test_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 10},
            "age": {"type": "integer", "minimum": 3, "maximum": 9},
            "tags": {"type": "array", "items": {"enum": ["a", "b", None]}, "uniqueItems": True},
            "self": {"$ref": "#"},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    texts, _ = draw(compiler().compile_json_schema(schema), None, 30)
    for text in texts:
        jsonschema.validate(json.loads(text), schema)
    assert {key for text in texts for key in json.loads(text)} == {"name", "age", "tags", "self"}


def test_gbnf() -> None:
    texts, sampler = draw(compiler().compile_gbnf("arithmetic"), None, 30, length=300)
    assert sampler.coverage.alternatives == sampler.coverage.of_alternatives
    assert all(text.endswith("\n") for text in texts)


# -- what is expected, and where --------------------------------------------------------------------------------------


def outlook_at(source: str, prefix: str, parser: str = "auto") -> tuple[set[str], tuple[str, ...]]:
    compiled = compiler().compile_lark(source, parser=parser)
    matcher = Matcher(compiled)
    assert matcher.accept_bytes(prefix.encode())
    outlook = Outlook(compiled, source)
    begins, begun = outlook.expected(matcher.engine_position)
    return {*begins, *begun}, outlook.rules_at(matcher.engine_position)


@pytest.mark.parametrize("parser", ["lalr", "glr"])
def test_expected_terminals_are_those_of_lark(parser: str) -> None:
    """At ends of tokens that cannot go on; Lark's interactive parser says which terminals its state accepts."""
    pieces = ["let ", "if ", "x ", "= ", "1 ", "not ", "( ", ") ", "; ", "{ ", "} ", "in ", "print "]
    judge = lark.Lark(KEYWORDS, parser="lalr")
    spelled = {terminal.name: terminal.pattern.raw for terminal in judge.terminals}
    compared = 0
    for row in itertools.product(pieces, repeat=3):
        prefix = "".join(row)
        interactive = judge.parse_interactive(prefix)
        try:
            interactive.exhaust_lexer()
        except lark.exceptions.UnexpectedInput:
            continue
        theirs = {
            name if name in ("NAME", "NUMBER") else spelled[name] for name in interactive.accepts() if name != "$END"
        }
        assert outlook_at(KEYWORDS, prefix, parser)[0] == theirs, prefix
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("parser", ["lalr", "glr"])
def test_rule_stacks(parser: str) -> None:
    stacks = {
        "": (),
        "let x =": ("start", "stmt"),
        "if not (": ("start", "stmt", "value", "value"),
        "if x { print (": ("start", "stmt", "stmt", "value"),
        "let x = 1 in ": ("start", "stmt", "value"),
    }
    for prefix, rules in stacks.items():
        assert outlook_at(KEYWORDS, prefix, parser)[1] == rules, prefix


def test_rule_stacks_of_nested_grammars() -> None:
    _, rules = outlook_at(grammars.source("json"), '{"a": [1, {"b": ')
    assert rules == ("start", "value", "object", "pair", "value", "array", "value", "object", "pair")
    _, rules = outlook_at(grammars.source("calc"), "1+f(2, ")
    assert rules == ("start", "sum", "product", "signed", "power", "atom")


def test_rule_stacks_with_indentation(tmp_path: Path) -> None:
    compiled = compiler().compile_lark(INDENTED, postlex=Indentation)
    matcher = Matcher(compiled)
    assert matcher.accept_bytes(b"if x:\n  if y:\n    z = (a,\n")
    rules = Outlook(compiled, INDENTED).rules_at(matcher.engine_position)
    assert rules == ("start", "stmt", "suite", "stmt", "suite", "stmt", "simple", "expr")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("", "the root"),
        ('{"a"', "/a"),
        ('{"a": 1, "b/c": [', "/b~1c/0"),
        ('{"a": [1, {"b": "x', "/a/1/b"),
        ('{"a": {"b": 1}, ', "the root"),
        ('[[], {"\\u0061": tr', "/1/a"),
        ('["a", "b]", ', "/2"),
    ],
)
def test_pointers(text: str, pointer: str) -> None:
    assert pointer_at(text) == pointer
