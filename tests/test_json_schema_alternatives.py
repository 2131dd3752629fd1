"""Alternatives of objects that are not multiplied out: the same language, read property by property."""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.json_schema import conjunction
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from schema_fuzzing.campaign import Campaign

COUNTRIES = {"A": ["a", "b", "c"], "B": ["b", "c", "d"], "C": ["e"], "D": ["a", "e"], "E": ["c", "f"], "F": ["x", "y"]}
MANY: dict[str, Any] = {
    "overlapping oneOf": {
        "type": "object",
        "properties": {"street": {"type": "integer"}},
        "oneOf": [
            {
                "properties": {
                    "country": {"enum": [country]},
                    "state": {"enum": states},
                    "code": {"maxLength": len(states)},
                }
            }
            for country, states in COUNTRIES.items()
        ],
    },
    "dependencies": {"type": "object", "dependentRequired": {f"a{i}": [f"b{i}"] for i in range(20)}},
    "many dependencies": {"type": "object", "dependentRequired": {f"a{i}": [f"b{i}"] for i in range(100)}},
    "named by an option or by none": {
        "type": "object",
        "oneOf": [
            {"properties": {"a": {"const": "abcd"[i]}, "b": {"type": ["string", "null"], "maxLength": i}}}
            if i % 2
            else {"properties": {"a": {"const": "abcd"[i]}, "b": {"minimum": i}, "a0": {"type": "integer"}}}
            for i in range(4)
        ]
        + [{"properties": {"a": {"not": {"enum": ["a", "b", "c", "d"]}}, "b": {"type": "integer"}}, "required": ["a"]}],
    },
    "never both": {
        "type": "object",
        "properties": {f"{c}{i}": {"enum": [1, None]} for i in range(8) for c in "ab"},
        "allOf": [{"not": {"required": [f"a{i}", f"b{i}"]}} for i in range(8)],
        "additionalProperties": False,
    },
    "either name": {
        "type": "object",
        "allOf": [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(10)],
        "maxProperties": 11,
    },
    "conditions": {
        "type": "object",
        "allOf": [
            {"if": {"properties": {f"a{i}": {"const": 1}}, "required": [f"a{i}"]}, "then": {"required": [f"b{i}"]}}
            for i in range(12)
        ],
    },
    "closed branches": {
        "oneOf": [
            {"type": "object", "properties": {f"a{i}": {}, "a": {"minimum": i}}, "additionalProperties": False}
            for i in range(8)
        ]
    },
    "patterns": {
        "type": "object",
        "allOf": [
            {"anyOf": [{"patternProperties": {f"^{c}": {"type": "null"}}}, {"minProperties": 2, "required": [c]}]}
            for c in "abcdefg"
        ],
    },
}
NAMES = ["a", "b", "a0", "b0", "a1", "b1", "a2", "b2", "a7", "country", "state", "code", "street"]
VALUES: list[Any] = [1, 3, None, "A", "B", "a", "c", "e", "abcd"]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=0, cache_dir="")


def accepts(matcher: Matcher, text: str) -> bool:
    matcher.reset()
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize("name", MANY)
def test_random_objects(compiler: GrammarCompiler, name: str) -> None:
    rng = random.Random(0)
    schema = MANY[name]
    validator = jsonschema.Draft202012Validator(schema)
    matcher = Matcher(compiler.compile_json_schema(schema, property_order="any"))
    verdicts = {True: 0, False: 0}
    for _ in range(300):
        names = rng.sample(NAMES, rng.randrange(6))
        if name == "either name":
            names += [rng.choice("ab") + str(i) for i in range(10) if rng.random() < 0.96]
        value = {key: rng.choice(VALUES) for key in names}
        expected = validator.is_valid(value)
        verdicts[expected] += 1
        assert accepts(matcher, json.dumps(value)) == expected, value
    assert min(verdicts.values()) > 5


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("order", ["declared", "any"])
def test_random_walks_end_in_valid_objects(compiler: GrammarCompiler, name: str, order: str) -> None:
    validator = jsonschema.Draft202012Validator(MANY[name])
    matcher = Matcher(compiler.compile_json_schema(MANY[name], property_order=order, any_whitespace=False))
    for seed in range(6):
        rng = random.Random(seed)
        matcher.reset()
        text = bytearray()
        for _ in range(700):
            allowed = [int(token) for token in matcher.allowed_token_ids()]
            assert allowed, bytes(text)
            closing = [token for token in allowed if token in (*b'"}],:', 256)]
            token = rng.choice(closing if closing and rng.random() < 0.7 else allowed)
            assert matcher.accept_token(token)
            if token == 256:
                break
            text.append(token)
        if matcher.is_terminated():
            assert validator.is_valid(json.loads(bytes(text))), bytes(text)


def test_declared_order_is_that_of_every_branch(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_json_schema(MANY["overlapping oneOf"]))
    good = {"street": 1, "country": "C", "state": "e", "code": "x"}
    for order in itertools.permutations(good):
        text = json.dumps({name: good[name] for name in order})
        assert accepts(matcher, text) == (list(order) == list(good))


def test_no_alternative_is_left(compiler: GrammarCompiler) -> None:
    clauses = [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(20)]
    with pytest.raises(UnsatisfiableGrammarError):
        compiler.compile_json_schema({"type": "object", "allOf": clauses, "maxProperties": 19})
    with pytest.raises(UnsatisfiableGrammarError):
        compiler.compile_json_schema(
            {"type": "object", "allOf": clauses, "propertyNames": {"pattern": "a"}, "maxProperties": 19}
        )


@pytest.mark.parametrize("seed", [3, 4])
def test_all_choices_kept(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(conjunction, "FEW_DISJUNCTS", -(1 << 30))
    report = Campaign(seed, max_differences=1).run(1500)
    assert not report.differences
