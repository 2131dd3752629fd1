"""Given values in every spelling, against ``json`` as the reader of texts."""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from grammar_engine.compiler.automaton import MATCH, ByteAutomaton
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.frontends.json_schema import JsonSchemaOptions, json_schema_grammar
from grammar_engine.compiler.frontends.json_schema.literals import (
    MAX_ESCAPED_CHARACTERS,
    scalars_automaton,
    scalars_of,
)
from grammar_engine.compiler.given_strings import given_json_strings, plain_texts
from grammar_engine.compiler.ir import EagerGrammar, JsonStrings, Terminal
from grammar_engine.compiler.reference import ReferenceRecognizer
from grammar_engine.compiler.vocabulary import Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar_engine.matcher import Matcher

TEXT = st.text(st.sampled_from('ab/"\\\n\té€😀\x00\x7f'), max_size=5)
SHORT = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


def says(automaton: bytes | ByteAutomaton, text: str) -> bool:
    return text.encode() == automaton if isinstance(automaton, bytes) else accepts(automaton, text.encode())


def spell(text: str, rng: random.Random) -> str:
    """One of the JSON strings of a text."""
    out = []
    for char in text:
        ways = ["".join(f"\\u{unit:04x}" for unit in _units(char)), "".join(f"\\u{unit:04X}" for unit in _units(char))]
        if char in SHORT:
            ways.append("\\" + SHORT[char])
        if char >= " " and char not in '"\\':
            ways.append(char)
        out.append(rng.choice(ways))
    return f'"{"".join(out)}"'


BYTES = GrammarCompiler(
    Vocabulary([*(bytes([byte]) for byte in range(256)), b""], stop_token_ids=[256]), cache_dir="", prepare=False
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_strings_are_written_as_their_automaton_says(members: list[str], rng: random.Random) -> None:
    both = []
    for automaton in (JsonStrings(frozenset(members)), given_json_strings(members)):
        terminals = [Terminal(name="value", automaton=automaton)]
        grammar = EagerGrammar(start=0, rules=[[(0,)]], terminals=terminals)
        both.append(Matcher(BYTES.compile_grammar(grammar)))
    for _ in range(20):
        for matcher in both:
            matcher.reset()
        while True:
            allowed = [matcher.allowed_token_ids().tolist() for matcher in both]
            assert allowed[0] == allowed[1]
            token = rng.choice(allowed[0])
            if token == 256:
                break
            assert all(matcher.accept_token(token) for matcher in both)


def _units(char: str) -> list[int]:
    data = char.encode("utf-16-be")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


@settings(max_examples=250, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), st.lists(TEXT, max_size=4), st.randoms(use_true_random=False))
def test_strings_have_every_spelling_and_no_other(members: list[str], others: list[str], rng: random.Random) -> None:
    automaton = scalars_automaton(scalars_of(members), plain_integers=False)
    assert not isinstance(automaton, bytes)
    automaton.validate()
    for text in [*members, *others]:
        for _ in range(4):
            spelled = spell(text, rng)
            assert json.loads(spelled) == text
            assert says(automaton, spelled) == (text in members), spelled
            cut = rng.randrange(len(spelled))
            broken = spelled[:cut] + spelled[cut + 1 :]
            assert says(automaton, broken) == (_read(broken) in members), broken


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


@settings(max_examples=200, deadline=None)
@given(st.sets(st.binary(min_size=1, max_size=6), min_size=1, max_size=12), st.lists(st.binary(max_size=6), max_size=6))
def test_plain_texts(members: set[bytes], others: list[bytes]) -> None:
    automaton = plain_texts(sorted(members, reverse=True))
    automaton.validate()
    for text in [*members, *others, *(member[:-1] for member in members)]:
        assert accepts(automaton, text) == (text in members)


NUMBERS = [0, -0.0, 1, -1, 7, 10, 120, 1.5, -0.25, 0.001, 1e21, 2.5e-7, 123456789, 1.0, 65000, 99.99, 1.05, 100]
WHOLES = ["0", "1", "2", "7", "10", "12", "100", "120", "65", "99", "123456789", "65000", "1000000000000000000000"]
FRACTIONS = ["", ".0", ".00", ".5", ".50", ".25", ".05", ".050", ".001", ".2", ".23456789", ".99", ".999", "."]
EXPONENTS = ["", "e0", "E+00", "e-0", "e1", "e2", "e02", "E+2", "e-1", "e-2", "e21", "e-7", "e8", "e4", "e+"]
SPELLINGS = [
    sign + whole + fraction + exponent
    for sign in ("", "-")
    for whole, fraction, exponent in itertools.product(WHOLES, FRACTIONS, EXPONENTS)
]
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
OFFERED = re.compile(r"-?(?:[1-9](?:\.[0-9]+)?|0(?:\.0+)?)[eE][+-]?[0-9]+")


@pytest.mark.parametrize("members", [[number] for number in NUMBERS] + [NUMBERS, NUMBERS[:4], [1, 1.05], [0, 1]])
@pytest.mark.parametrize("plain", [False, True])
def test_numbers_have_every_plain_and_scientific_spelling(members: list[float], plain: bool) -> None:
    automaton = scalars_automaton(scalars_of(members), plain_integers=plain)
    assert not isinstance(automaton, bytes)
    automaton.validate()
    values = {Decimal(repr(member)) for member in members}
    admitted = 0
    for text in SPELLINGS:
        answer = says(automaton, text)
        member = NUMBER.fullmatch(text) is not None and Decimal(text) in values
        assert member or not answer, text
        admitted += answer
        if member and not answer:
            if plain and Decimal(text) % 1 == 0:
                assert not text.lstrip("-").isdigit(), text
            else:
                assert "e" in text.lower(), text
                assert not OFFERED.fullmatch(text), text
    assert admitted


def test_scalars_of_all_kinds_share_one_terminal() -> None:
    values = ["a", "", 1, 2.5, True, None, "1"]
    automaton = scalars_automaton(scalars_of(values), plain_integers=False)
    assert isinstance(automaton, ByteAutomaton)
    automaton.validate()
    for text in ('"a"', '"\\u0061"', '""', "1", "1.0", "25e-1", "2.5e0", "true", "null", '"1"'):
        assert says(automaton, text) == (text != "25e-1"), text
    for text in ("false", "a", '"', "2", '"2.5"', "", "nul", "1true"):
        assert not says(automaton, text)
    assert scalars_of([1, 1.0]) == scalars_of([1.0]) != scalars_of([True])
    assert scalars_automaton(scalars_of([True]), plain_integers=False) == b"true"


def test_large_enumerations_are_plain_and_quick() -> None:
    rng = random.Random(3)
    texts = list({"".join(rng.choices("abcdefghij", k=rng.randrange(4, 16))) for _ in range(50_000)})
    begun = time.process_time()
    automaton = scalars_automaton(scalars_of(texts), plain_integers=False)
    assert time.process_time() - begun < 1
    assert isinstance(automaton, ByteAutomaton)
    for text in texts[:50]:
        assert says(automaton, f'"{text}"')
        assert not says(automaton, f'"{text}k"')
        assert not says(automaton, f'"\\u{ord(text[0]):04x}{text[1:]}"')
    small = given_json_strings(["a" * MAX_ESCAPED_CHARACTERS])
    assert says(small, '"' + "\\u0061" * MAX_ESCAPED_CHARACTERS + '"')
    assert MATCH in small.entries[:, 0]


GIVEN: list[Any] = [{"a": 1, "b": [True, {"c": "x", "d": None}], "": "y"}, [], {}, [{"e": 0.5}]]


@pytest.mark.parametrize("order", ["declared", "any"])
def test_members_of_given_objects(order: str) -> None:
    grammar = json_schema_grammar({"enum": GIVEN}, JsonSchemaOptions(property_order=order))
    recognizer = ReferenceRecognizer(grammar)
    inner = [{"c": "x", "d": None}, {"d": None, "c": "x"}]
    for names in itertools.permutations(("a", "b", "")):
        for nested in inner:
            value = {name: {"a": 1, "b": [True, nested], "": "y"}[name] for name in names}
            as_written = names == ("a", "b", "") and nested is inner[0]
            assert recognizer.accepts(json.dumps(value).encode()) == (order == "any" or as_written)
    for text in ('{"a":1,"b":[true,{"c":"x","d":null}]}', "{", '{"a":1,"a":1,"":"y"}', '[{"e":0.5},{}]', '[{"e":1}]'):
        assert not recognizer.accepts(text.encode())
    assert recognizer.accepts(b'[{"e":5.0e-1}]')
    assert recognizer.accepts(b'[{"e":0.50}]')


def test_the_engine_offers_them() -> None:
    compiler = GrammarCompiler(Vocabulary([bytes([byte]) for byte in range(256)]), cache_dir="")
    schema = {
        "type": "object",
        "properties": {"k": {"enum": ["é/", 10]}},
        "required": ["k"],
        "additionalProperties": False,
    }
    compiled = compiler.compile_json_schema(schema)
    for text in ('{"k":"é/"}', '{"k":"\\u00E9\\/"}', '{"k":10.0}', '{"k":1e1}', '{"k": "\\u00e9\\u002F"}'):
        matcher = Matcher(compiled)
        assert matcher.accept_bytes(text.encode()), text
        assert matcher.is_accepting()
        assert json.loads(text)["k"] in ("é/", 10)
    for text in ('{"\\u006b":10}', '{"k":100e-1}', '{"k":"e/"}', '{"k":1}'):
        matcher = Matcher(compiled)
        assert not (matcher.accept_bytes(text.encode()) and matcher.is_accepting()), text
