"""``unevaluatedProperties`` and ``unevaluatedItems`` against jsonschema and jsonschema-rs: random schemas with every
in-place applicator, and random instances.

The two oracles do not always agree with each other; where they differ the verdict is not compared.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from byte_texts import accepts, byte_compiler
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedSchemaError,
)

from grammar_engine.matcher import Matcher

DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
}
NAMES = ["a", "b", "ab", "c"]
SCALARS: list[Any] = [0, 1, "x", "y", None, True]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return byte_compiler()


def leaf(rng: random.Random) -> Any:
    return rng.choice(
        [True, True, {"type": "integer"}, {"type": "string"}, {"const": 1}, {"enum": ["x", 0]}, False, {"type": "null"}]
    )


def object_schema(rng: random.Random, depth: int, *, top: bool = False) -> Any:
    """A schema about objects; its in-place subschemas are about objects, too."""
    if depth == 0 and rng.random() < 0.1:
        return rng.random() < 0.7

    def sub() -> Any:
        return object_schema(rng, depth - 1)

    def names(most: int = 2) -> list[str]:
        return rng.sample(NAMES, rng.randint(1, most))

    makers: dict[str, Any] = {
        "properties": lambda: {name: leaf(rng) for name in names()},
        "patternProperties": lambda: {rng.choice(["^a", "b$", "c"]): leaf(rng)},
        "required": names,
        "additionalProperties": lambda: leaf(rng),
        "minProperties": lambda: 1,
    }
    inner = {
        "allOf": lambda: [sub() for _ in range(rng.randint(1, 2))],
        "anyOf": lambda: [sub() for _ in range(rng.randint(1, 3))],
        "oneOf": lambda: [sub() for _ in range(rng.randint(1, 3))],
        "not": sub,
        "if": sub,
        "then": sub,
        "else": sub,
        "dependentSchemas": lambda: {rng.choice(NAMES): sub()},
        "unevaluatedProperties": lambda: leaf(rng),
        "$ref": lambda: f"#/$defs/{rng.choice('de')}",
    }
    schema: dict[str, Any] = {}
    chosen = rng.sample(list(makers), rng.choice([0, 1, 1, 2]))
    if depth:
        chosen += rng.sample(list(inner), rng.choice([1, 1, 2]) + top)
    for keyword in chosen:
        if keyword == "additionalProperties" and rng.random() < 0.7:
            continue
        schema[keyword] = {**makers, **inner}[keyword]()
    return schema


def array_schema(rng: random.Random, depth: int, draft: str, *, top: bool = False) -> Any:
    """The same, about arrays."""
    if depth == 0 and rng.random() < 0.1:
        return rng.random() < 0.7
    new = "2020-12" in draft

    def sub() -> Any:
        return array_schema(rng, depth - 1, draft)

    def some() -> list[Any]:
        return [leaf(rng) for _ in range(rng.randint(1, 2))]

    makers: dict[str, Any] = {
        "prefixItems" if new else "items": some,
        "minItems": lambda: rng.randint(1, 2),
        "maxItems": lambda: rng.randint(1, 2),
    }
    if new:  # (in 2019-09 both oracles let ``contains`` evaluate items, which that draft does not say)
        makers["contains"] = lambda: leaf(rng)
        makers["minContains"] = lambda: rng.randint(0, 1)
    inner = {
        "allOf": lambda: [sub() for _ in range(rng.randint(1, 2))],
        "anyOf": lambda: [sub() for _ in range(rng.randint(1, 3))],
        "oneOf": lambda: [sub() for _ in range(rng.randint(1, 3))],
        "not": sub,
        "if": sub,
        "then": sub,
        "else": sub,
        "unevaluatedItems": lambda: leaf(rng),
        "$ref": lambda: f"#/$defs/{rng.choice('de')}",
    }
    schema: dict[str, Any] = {}
    chosen = rng.sample(list(makers), rng.choice([0, 1, 1, 2]))
    if depth:
        chosen += rng.sample(list(inner), rng.choice([1, 1, 2]) + top)
    for keyword in chosen:
        schema[keyword] = {**makers, **inner}[keyword]()
    return schema


def documents(rng: random.Random, kind: str, draft: str) -> Any:
    def make(depth: int, *, top: bool = False) -> Any:
        return object_schema(rng, depth, top=top) if kind == "object" else array_schema(rng, depth, draft, top=top)

    root = {"$schema": draft, **make(rng.randint(1, 2), top=True)}
    root["unevaluatedProperties" if kind == "object" else "unevaluatedItems"] = rng.choice(
        [False, False, False, {"type": "integer"}, {"const": "x"}]
    )
    if rng.random() < 0.2:
        root = {"$schema": draft, rng.choice(["not", "if", "anyOf"]): {**root}}
        root = {"then": False, "else": True, **root} if "if" in root else root
        if "anyOf" in root:
            root["anyOf"] = [root["anyOf"], make(1)]
    # References go down only: a loop without a property between is no schema.
    root["$defs"] = {"d": {**without_refs(make(1)), "$ref": "#/$defs/e"}, "e": without_refs(make(1))}
    return root


def without_refs(schema: Any) -> Any:
    if isinstance(schema, list):
        return [without_refs(member) for member in schema]
    if not isinstance(schema, dict):
        return schema if not isinstance(schema, bool) else {} if schema else {"not": {}}
    return {
        keyword: value
        if keyword in ("required", "enum", "const", "type") or isinstance(value, bool)
        else {n: v if isinstance(v, bool) else without_refs(v) for n, v in value.items()}
        if keyword in ("properties", "patternProperties", "dependentSchemas")
        else [v if isinstance(v, bool) else without_refs(v) for v in value]
        if isinstance(value, list)
        else without_refs(value)
        for keyword, value in schema.items()
        if keyword != "$ref"
    }


def instances(rng: random.Random, kind: str) -> list[Any]:
    if kind == "object":
        some = [{name: rng.choice(SCALARS) for name in rng.sample(NAMES, rng.randint(0, 3))} for _ in range(12)]
        return [*some, 1, "x"]
    return [*([rng.choice(SCALARS) for _ in range(rng.randint(0, 3))] for _ in range(12)), 1, "x"]


def compare(compiler: GrammarCompiler, schema: Any, values: list[Any], seen: Counter[str]) -> None:
    python = DRAFTS[schema["$schema"]](schema)
    rust = jsonschema_rs.validator_for(schema)
    matcher: Matcher | None = None
    try:
        matcher = Matcher(compiler.compile_json_schema(schema, property_order="any"))
    except UnsatisfiableGrammarError:
        pass
    except (UnsupportedSchemaError, LimitExceededError):
        seen["refused"] += 1
        return
    for instance in values:
        expected = python.is_valid(instance)
        if rust.is_valid(instance) != expected:
            seen["oracles differ"] += 1
            continue
        if matcher is None:
            accepted = False
        else:
            matcher.reset()
            try:
                accepted = matcher.accept_bytes(json.dumps(instance).encode()) and matcher.is_accepting()
            except GrammarEngineError:
                seen["refused late"] += 1
                break
        assert accepted == expected, json.dumps([schema, instance])
        seen[f"{expected}"] += 1


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("kind", ["object", "array"])
def test_verdicts_agree(compiler: GrammarCompiler, kind: str, draft: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(250):
        rng = random.Random(seed)
        compare(compiler, documents(rng, kind, draft), instances(rng, kind), seen)
    total = sum(seen.values())
    assert seen["oracles differ"] < total / 10, seen
    assert not seen["refused"] + seen["refused late"], seen
    assert seen["True"] > total / 8, seen
    assert seen["False"] > total / 8, seen


# -- everything at once: nested, objects and arrays beside each other -------------------------------------------------

NESTED_LEAVES: list[Any] = [
    True,
    False,
    {"type": "integer"},
    {"type": ["string", "null"]},
    {"const": 1},
    {"enum": ["x", 0, None]},
    {"not": {"type": "null"}},
    {"minimum": 1},
    {"type": "string", "minLength": 2},
]


def nested_schema(rng: random.Random, depth: int, draft: str) -> Any:
    if depth <= 0 or rng.random() < 0.15:
        return rng.choice(NESTED_LEAVES)
    new = "2020-12" in draft

    def sub() -> Any:
        return nested_schema(rng, depth - 1, draft)

    def simple() -> Any:
        return rng.choice(NESTED_LEAVES)

    in_place = {
        "allOf": lambda: [sub() for _ in range(rng.randint(1, 2))],
        "anyOf": lambda: [sub() for _ in range(rng.randint(1, 3))],
        "oneOf": lambda: [sub() for _ in range(rng.randint(1, 2))],
        "not": sub,
        "if": sub,
        "then": sub,
        "else": sub,
        "dependentSchemas": lambda: {rng.choice(NAMES): sub()},
        "$ref": lambda: f"#/$defs/{rng.choice('de')}",
    }
    of_objects = {
        "properties": lambda: {name: sub() for name in rng.sample(NAMES, rng.randint(1, 2))},
        "patternProperties": lambda: {rng.choice(["^a", "b$", "c"]): simple()},
        "required": lambda: rng.sample(NAMES, 1),
        "propertyNames": lambda: rng.choice([{"maxLength": 1}, {"pattern": "a"}, {"enum": ["a", "c"]}]),
        "minProperties": lambda: rng.randint(1, 2),
        "maxProperties": lambda: rng.randint(1, 2),
        "dependentRequired": lambda: {rng.choice(NAMES): [rng.choice(NAMES)]},
        "unevaluatedProperties": lambda: rng.choice([False, sub()]),
        "type": lambda: rng.choice(["object", ["object", "array"], "array"]),
    }
    of_arrays = {
        "items": sub if new else lambda: [simple()],
        "maxItems": lambda: rng.randint(1, 3),
        "minItems": lambda: 1,
        "unevaluatedItems": lambda: rng.choice([False, simple()]),
    }
    if new:
        of_arrays["contains"] = simple
        of_arrays["prefixItems"] = lambda: [simple() for _ in range(rng.randint(1, 2))]
        of_arrays["minContains"] = lambda: rng.randint(0, 2)
        of_arrays["maxContains"] = lambda: rng.randint(1, 2)
    chosen = rng.sample(list(in_place), rng.choice([0, 1, 1, 2])) + rng.sample(list(of_objects), rng.choice([0, 1, 2]))
    chosen += rng.sample(list(of_arrays), rng.choice([0, 0, 1, 2]))
    return {keyword: {**in_place, **of_objects, **of_arrays}[keyword]() for keyword in chosen}


def nested_document(rng: random.Random, draft: str) -> Any:
    def resolved(schema: Any) -> dict[str, Any]:
        found: dict[str, Any] = without_refs(schema)
        return found

    root = nested_schema(rng, 3, draft)
    root = {"$schema": draft, **(root if isinstance(root, dict) else {})}
    root[rng.choice(["unevaluatedProperties", "unevaluatedItems"])] = False
    below = resolved(nested_schema(rng, 2, draft))
    root["$defs"] = {"d": {**below, "$ref": "#/$defs/e"}, "e": resolved(nested_schema(rng, 2, draft))}
    return root


def nested_value(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        return rng.choice([*SCALARS, 2.5, "ab", [], {}])
    if kind < 0.75:
        return {name: nested_value(rng, depth - 1) for name in rng.sample(NAMES, rng.randint(0, 3))}
    return [nested_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]


@pytest.mark.parametrize("draft", DRAFTS)
def test_nested_verdicts_agree(compiler: GrammarCompiler, draft: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(700):
        rng = random.Random(seed)
        compare(compiler, nested_document(rng, draft), [nested_value(rng) for _ in range(12)], seen)
    total = sum(seen.values())
    assert seen["oracles differ"] < total / 10, seen
    assert seen["refused"] + seen["refused late"] < 10, seen
    assert min(seen["True"], seen["False"]) > total / 8, seen


# -- cases of their own ------------------------------------------------------------------------------------------------


def holds(compiler: GrammarCompiler, schema: Any, instance: Any) -> bool:
    return accepts(compiler.compile_json_schema(schema, property_order="any"), json.dumps(instance).encode())


def test_contains_evaluates_since_2020(compiler: GrammarCompiler) -> None:
    """2019-09 names items and additionalItems only (JSON Schema 2019-09 core, section 9.3.1.3)."""
    schema = {"contains": {"type": "string"}, "unevaluatedItems": {"type": "integer"}}
    assert holds(compiler, schema, ["x", 1])
    assert not holds(compiler, schema, ["x", None])
    old = {"$schema": "https://json-schema.org/draft/2019-09/schema", **schema}
    assert not holds(compiler, old, ["x", 1])


def test_recursive_schema(compiler: GrammarCompiler) -> None:
    """A tree whose nodes are extended in place, closed at every level."""
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "allOf": [{"properties": {"value": {"type": "integer"}}}],
                "anyOf": [{"properties": {"left": {"$ref": "#/$defs/node"}}, "required": ["left"]}, True],
                "unevaluatedProperties": False,
            }
        },
    }
    assert holds(compiler, schema, {"value": 1, "left": {"left": {"value": 2}}})
    assert not holds(compiler, schema, {"value": 1, "left": {"left": {"other": 2}}})


def test_discriminated_union_stays_small(compiler: GrammarCompiler) -> None:
    """Branches that exclude each other are never combined, whichever keyword lists them."""
    branches = [
        {"properties": {"kind": {"const": f"k{i}"}, f"p{i}": {"type": "integer"}}, "required": ["kind"]}
        for i in range(200)
    ]
    for keyword in ("anyOf", "oneOf"):
        schema = {"type": "object", keyword: branches, "unevaluatedProperties": False}
        assert holds(compiler, schema, {"kind": "k7", "p7": 1})
        assert not holds(compiler, schema, {"kind": "k7", "p8": 1})


def test_too_many_cases(compiler: GrammarCompiler) -> None:
    branches = [{"properties": {f"p{i}": True}} for i in range(13)]
    with pytest.raises(LimitExceededError) as caught:
        compiler.compile_json_schema({"anyOf": branches, "unevaluatedProperties": False})
    assert caught.value.limit == "4096"


def test_too_many_patterns_to_negate(compiler: GrammarCompiler) -> None:
    """The limit is met at compile time, wherever the negation stands."""
    closed = {"anyOf": [{"patternProperties": {f"^p{i}": True}} for i in range(11)], "unevaluatedProperties": False}
    with pytest.raises(LimitExceededError) as caught:
        compiler.compile_json_schema({"properties": {"a": {"not": closed}}})
    assert caught.value.limit == "10"
