"""Choices that meet other constraints, against ``jsonschema``; and what must not be multiplied out."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import jsonschema
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import LimitExceededError, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.json_schema import json_schema_grammar
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

_TEXTS = ["".join(chars) for length in range(5) for chars in itertools.product("ab1", repeat=length)]
_PATTERNS = ["a", "^a", "b$", "ab", "^[ab]*$", r"\d", "^.{2}$", "a.*b", "1{2}", "^(ab|1)+$"]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(Vocabulary([bytes([byte]) for byte in range(256)], stop_token_ids=[]), cache_dir="")


def accepted(compiler: GrammarCompiler, schema: Any, values: list[Any]) -> list[Any]:
    matcher = Matcher(compiler.compile_json_schema(schema))
    found: list[Any] = []
    for value in values:
        matcher.reset()
        if all(map(matcher.accept_token, json.dumps(value).encode())) and matcher.is_accepting():
            found.append(value)
    return found


def string_schema(rng: random.Random, depth: int) -> dict[str, Any]:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(
            [
                {"pattern": rng.choice(_PATTERNS)},
                {"minLength": rng.randrange(4)},
                {"maxLength": rng.randrange(1, 5)},
                {"enum": rng.sample(_TEXTS, 5)},
                {"type": rng.choice(["string", "integer"])},
            ]
        )
    parts = [string_schema(rng, depth - 1) for _ in range(rng.randrange(2, 4))]
    kind = rng.choice(["anyOf", "anyOf", "allOf", "oneOf", "not", "if"])
    if kind == "not":
        return {"not": parts[0]}
    if kind == "if":
        return {"if": parts[0], "then": parts[1], "else": parts[-1]}
    return {kind: parts}


@pytest.mark.parametrize("seed", range(60))
def test_choices_between_strings(compiler: GrammarCompiler, seed: int) -> None:
    rng = random.Random(seed)
    schema = {"type": "string", "allOf": [string_schema(rng, 3) for _ in range(3)]}
    validator = jsonschema.Draft202012Validator(schema)
    expected = [text for text in _TEXTS if validator.is_valid(text)]
    try:
        assert accepted(compiler, schema, _TEXTS) == expected
    except UnsatisfiableGrammarError:
        assert not expected


def object_schema(rng: random.Random, depth: int) -> dict[str, Any]:
    if depth == 0 or rng.random() < 0.2:
        member: Any = rng.choice(
            [{"enum": rng.sample(["x", "y", 1], 2)}, {"type": "string"}, {"const": "x"}, False, {"not": {"const": "x"}}]
        )
        return rng.choice(
            [
                {"required": [rng.choice("kl")]},
                {"properties": {rng.choice("kl"): member}},
                {"properties": {"k": member}, "required": ["k"]},
                {"properties": {"k": member}, "additionalProperties": False},
            ]
        )
    parts = [object_schema(rng, depth - 1) for _ in range(rng.randrange(2, 4))]
    kind = rng.choice(["anyOf", "oneOf", "oneOf", "allOf", "not", "if"])
    if kind == "not":
        return {"not": parts[0]}
    if kind == "if":
        return {"if": parts[0], "then": parts[1], "else": parts[-1]}
    return {kind: parts}


@pytest.mark.parametrize("seed", range(60))
def test_choices_between_objects(compiler: GrammarCompiler, seed: int) -> None:
    rng = random.Random(seed)
    schema = {
        "type": "object",
        "properties": {"k": True, "l": True},
        "additionalProperties": False,
        "allOf": [object_schema(rng, 2) for _ in range(2)],
    }
    members = [None, "x", "y", "z", 1]
    values = [
        {name: value for name, value in (("k", k), ("l", l_)) if value is not None} for k in members for l_ in members
    ]
    validator = jsonschema.Draft202012Validator(schema)
    expected = [value for value in values if validator.is_valid(value)]
    try:
        assert accepted(compiler, schema, values) == expected
    except UnsatisfiableGrammarError:
        assert not expected


def test_a_union_discriminated_from_outside_is_not_multiplied_out(compiler: GrammarCompiler) -> None:
    """Twenty branches that overlap only where ``kind`` is absent, which it may not be."""
    branches = [{"properties": {"kind": {"enum": [f"k{i}"]}, "size": {"type": "integer"}}} for i in range(20)]
    schema = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}, "oneOf": branches}
    values = [{"kind": "k7", "size": 1}, {"kind": "k7", "size": "1"}, {"kind": "other"}, {"size": 1}]
    assert accepted(compiler, schema, values) == values[:1]


def test_what_would_take_too_long_ends_early() -> None:
    """Each pattern may have matched or not: 2^20 states."""
    schema = {"type": "string", "allOf": [{"pattern": f"{a}{b}"} for a in "abcde" for b in "wxyz"], "maxLength": 300}
    with pytest.raises(LimitExceededError) as caught:
        json_schema_grammar(schema)
    assert "states" in caught.value.limit


def test_long_texts_with_a_pattern_are_counted(compiler: GrammarCompiler) -> None:
    schema = {"type": "string", "pattern": "^([a-z][0-9])+$", "minLength": 100_000}
    texts = ["a1" * 50_000, "a1" * 49_999]
    assert accepted(compiler, schema, texts) == texts[:1]
