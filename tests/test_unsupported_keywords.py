"""``on_unsupported="warn"``: what is left out is listed, and the language only grows."""

from __future__ import annotations

import json
import random
import warnings
from typing import Any

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import (
    LimitExceededError,
    SchemaNotEnforcedWarning,
    UnsatisfiableGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.vocabulary import Vocabulary
from schema_fuzzing.instances import Instances
from schema_fuzzing.numbers import plain_text
from schema_fuzzing.oracles import Oracles
from schema_fuzzing.schemas import DRAFTS, SchemaGenerator

from grammar_engine.matcher import Matcher

BAD: dict[str, Any] = {"pattern": "(a)\\1"}


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=8, cache_dir="")


def relaxed(compiler: GrammarCompiler, schema: Any) -> tuple[Any, list[tuple[str, str]]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = compiler.compile_json_schema(schema, on_unsupported="warn", property_order="any")
    found = [(item.keyword, item.pointer) for item in compiled.not_enforced]
    told = [one.message for one in caught if isinstance(one.message, SchemaNotEnforcedWarning)]
    assert len(told) == bool(found)
    assert not told or told[0].left_out == compiled.not_enforced
    return compiled, found


def accepts(compiled: Any, value: Any) -> bool:
    matcher = Matcher(compiled)
    return matcher.accept_bytes(plain_text(value).encode()) and matcher.is_accepting()


def test_an_error_is_the_default(compiler: GrammarCompiler) -> None:
    with pytest.raises(UnsupportedSchemaError):
        compiler.compile_json_schema(BAD)
    with pytest.raises(ValueError, match="on_unsupported"):
        compiler.compile_json_schema(BAD, on_unsupported="ignore")


def test_what_is_supported_is_enforced_as_ever(compiler: GrammarCompiler) -> None:
    compiled, found = relaxed(compiler, {"type": "string", "maxLength": 2, **BAD})
    assert found == [("pattern with the back-reference \\1", "/pattern")]
    assert accepts(compiled, "ab")
    assert not accepts(compiled, "abc")
    assert relaxed(compiler, {"type": "string"})[1] == []


def test_the_warning_comes_again_from_the_cache(compiler: GrammarCompiler) -> None:
    for _ in range(2):
        with pytest.warns(SchemaNotEnforcedWarning, match="/properties/a~1b/pattern"):
            compiler.compile_json_schema({"properties": {"a/b": BAD}}, on_unsupported="warn")


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "string", "not": BAD}, ["aa", "b"], [1]),
        ({"not": {"type": "string", **BAD}}, ["aa", 1], []),
        ({"type": "string", "oneOf": [BAD, {"minLength": 1}]}, ["aa", "b", ""], [1]),
        ({"type": "string", "if": BAD, "then": {"maxLength": 2}, "else": {"maxLength": 3}}, ["aab", "b"], [1]),
        ({"type": "string", "not": {"not": {"minLength": 1, **BAD}}}, ["aa", "b"], [1]),
        ({"not": {"$ref": "#/$defs/x"}, "$defs": {"x": {"type": "string", **BAD}}}, ["aa", "b", 1], []),
        (
            {"type": "array", "contains": BAD, "maxContains": 1, "$schema": DRAFTS[-1].uri},
            [["aa"], ["aa", "bb"]],
            [1, []],
        ),
        ({"$ref": "http://example.com/x", "unevaluatedProperties": False, "type": "object"}, [{"a": 1}], [1]),
        ({"type": "object", "patternProperties": {"(a)\\1": {}}, "additionalProperties": False}, [{"aa": 1}], [1]),
    ],
)
def test_negations_are_weakened(compiler: GrammarCompiler, schema: Any, valid: list[Any], invalid: list[Any]) -> None:
    with pytest.raises(UnsupportedSchemaError):
        compiler.compile_json_schema(schema)
    compiled, found = relaxed(compiler, schema)
    assert found
    assert [value for value in valid if not accepts(compiled, value)] == []
    assert [value for value in invalid if accepts(compiled, value)] == []


def test_the_callers_schema_is_not_changed(compiler: GrammarCompiler) -> None:
    schema = {"not": {"anyOf": [BAD]}}
    before = json.dumps(schema)
    relaxed(compiler, schema)
    assert json.dumps(schema) == before


def test_what_cannot_be_left_out_is_refused(compiler: GrammarCompiler) -> None:
    with pytest.raises(UnsupportedSchemaError):
        compiler.compile_json_schema({"$schema": "http://json-schema.org/draft-03/schema#"}, on_unsupported="warn")
    dynamic = {"$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}, "b": BAD}}
    with pytest.raises(UnsupportedSchemaError):
        compiler.compile_json_schema(dynamic, on_unsupported="warn")


@pytest.mark.parametrize("seed", range(3))
def test_random_schemas_only_grow(compiler: GrammarCompiler, seed: int) -> None:
    """Keywords are made unsupported at random; every value that satisfies the schema stays in the language."""
    rng = random.Random(seed)
    draft = DRAFTS[-1]
    relaxed_schemas = valid = 0
    for _ in range(150):
        schema = SchemaGenerator(draft, rng).generate()
        if isinstance(schema, bool):
            continue
        text = json.dumps(schema).replace('"uniqueItems": false', '"uniqueItems": true')
        schema = json.loads(_with_bad_patterns(text, rng))
        try:
            compiled, found = relaxed(compiler, schema)
        except (UnsupportedSchemaError, UnsatisfiableGrammarError, LimitExceededError):
            continue
        except Exception as error:
            if "refers to itself" in str(error):
                continue
            raise
        relaxed_schemas += bool(found)
        source = Instances(json.loads(text), rng)
        judge = Oracles(schema, draft)
        for _ in range(10):
            value = rng.choice([source.constructed, source.random])()
            if _is_valid(judge, value):
                valid += 1
                if not accepts(compiled, value):  # then a validator deviates
                    assert judge.explanation(value, plain_text(value), ours=False), (schema, value, found)
    assert relaxed_schemas >= 10
    assert valid >= 100


def _is_valid(judge: Oracles, value: Any) -> bool:
    try:
        return judge.verdicts(value) == (True, True)
    except RecursionError:  # a loop through what was left out
        return False


def _with_bad_patterns(text: str, rng: random.Random) -> str:
    """Some lengths become patterns with a back-reference."""
    for keyword in ("minLength", "minItems", "required", "maximum"):
        if rng.random() < 0.4:
            parts = text.split(f'"{keyword}": ')
            text = f'"pattern": "^(.?)\\\\1", "{keyword}": '.join(parts)
    return text
