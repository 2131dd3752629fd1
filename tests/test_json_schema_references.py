"""References: documents passed in, resources with ids and drafts of their own, dynamic references.

The oracles are jsonschema (with the documents in a registry) and jsonschema-rs. Documents for dynamic references are
random, because what these are bound to depends on every resource on the way.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import jsonschema
import jsonschema_rs
import jsonschema_specifications
import pytest
import referencing
import referencing.jsonschema
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    InvalidSchemaError,
    UnsatisfiableGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

NEW = "https://json-schema.org/draft/2020-12/schema"
OLD = "https://json-schema.org/draft/2019-09/schema"
SEVEN = "http://json-schema.org/draft-07/schema#"
FOUR = "http://json-schema.org/draft-04/schema#"


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=8, cache_dir="")


def verdicts(compiler: GrammarCompiler, schema: Any, instances: list[Any], **options: Any) -> list[bool]:
    try:
        matcher = Matcher(compiler.compile_json_schema(schema, property_order="any", **options))
    except UnsatisfiableGrammarError:
        return [False] * len(instances)
    found: list[bool] = []
    for instance in instances:
        matcher.reset()
        found.append(matcher.accept_bytes(json.dumps(instance).encode()) and matcher.is_accepting())
    return found


def oracle(schema: Any, instances: list[Any], documents: dict[str, Any] | None = None) -> list[bool]:
    specification = referencing.jsonschema.DRAFT202012
    resources = [
        (uri, referencing.Resource.from_contents(document, default_specification=specification))
        for uri, document in (documents or {}).items()
    ]
    registry = jsonschema_specifications.REGISTRY.with_resources(resources)
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return [cls(schema, registry=registry).is_valid(instance) for instance in instances]


BASE = "http://example.com/schemas/"
DOCUMENTS: dict[str, Any] = {
    BASE + "integer.json": {"type": "integer"},
    BASE + "folder/list.json": {"type": "array", "items": {"$ref": "../integer.json"}},
    BASE + "defs.json": {
        "$defs": {
            "a/b": {"const": "slash"},
            "c~d": {"const": "tilde"},
            "e%f": {"const": "percent"},
            "anchored": {"$anchor": "here", "const": "anchor"},
            "": {"const": "empty"},
        }
    },
    BASE + "renamed.json": {"$id": "http://other.example/name", "$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}},
    "urn:example:tree": {
        "type": "object",
        "properties": {"next": {"$ref": "urn:example:tree"}, "leaf": {"$ref": "#leaf"}},
        "$defs": {"leaf": {"$anchor": "leaf", "type": "boolean"}},
        "additionalProperties": False,
    },
    BASE + "embedding.json": {"$defs": {"inner": {"$id": "inside/inner.json", "$defs": {"s": {"type": "string"}}}}},
    BASE + "number.json": True,
}
INSTANCES: list[Any] = [
    1,
    "x",
    None,
    [1, 2],
    ["x"],
    "slash",
    "tilde",
    "percent",
    "anchor",
    "empty",
    {"next": {"next": {"leaf": True}}},
    {"next": {"leaf": 1}},
    {"other": 1},
]


@pytest.mark.parametrize(
    "reference",
    [
        BASE + "integer.json",
        BASE + "folder/list.json",
        BASE + "folder/list.json#/items",
        BASE + "defs.json#/$defs/a~1b",
        BASE + "defs.json#/$defs/c~0d",
        BASE + "defs.json#/$defs/e%25f",
        BASE + "defs.json#/%24defs/a~1b",
        BASE + "defs.json#/$defs/",
        BASE + "defs.json#here",
        BASE + "renamed.json",
        "urn:example:tree",
        "urn:example:tree#leaf",
        BASE + "embedding.json#/$defs/inner/$defs/s",
        BASE + "number.json",
    ],
)
def test_documents(compiler: GrammarCompiler, reference: str) -> None:
    schema = {"$ref": reference}
    assert verdicts(compiler, schema, INSTANCES, documents=DOCUMENTS) == oracle(schema, INSTANCES, DOCUMENTS)
    relative = {"$id": BASE + "folder/root.json", "$ref": reference.replace(BASE, "../")}
    assert verdicts(compiler, relative, INSTANCES, documents=DOCUMENTS) == oracle(schema, INSTANCES, DOCUMENTS)


def test_ids_inside_documents(compiler: GrammarCompiler) -> None:
    """A document is known by its own $id, too, and so are the resources embedded in it."""
    assert verdicts(compiler, {"$ref": "http://other.example/name"}, [None, 1], documents=DOCUMENTS) == [True, False]
    schema = {"$ref": BASE + "inside/inner.json#/$defs/s"}
    assert verdicts(compiler, schema, ["x", 1], documents=DOCUMENTS) == [True, False]


def test_own_resources_come_first(compiler: GrammarCompiler) -> None:
    own = {"$ref": BASE + "integer.json", "$defs": {"i": {"$id": BASE + "integer.json", "type": "string"}}}
    assert verdicts(compiler, own, [1, "x"], documents=DOCUMENTS) == [False, True]
    assert verdicts(compiler, own, [1, "x"]) == [False, True]


def test_documents_are_part_of_the_cache_key(compiler: GrammarCompiler) -> None:
    schema = {"$ref": "urn:x"}
    assert verdicts(compiler, schema, [1, "x"], documents={"urn:x": {"type": "integer"}}) == [True, False]
    assert verdicts(compiler, schema, [1, "x"], documents={"urn:x": {"type": "string"}}) == [False, True]
    with pytest.raises(UnsupportedSchemaError) as caught:
        compiler.compile_json_schema(schema)
    assert caught.value.pointer == "/$ref"
    assert "documents=" in caught.value.advice


def test_what_a_reference_misses(compiler: GrammarCompiler) -> None:
    for reference in ("urn:example:tree#nothing", "urn:example:tree#/a/b", BASE + "defs.json#/$defs/a%2Fb"):
        with pytest.raises(InvalidSchemaError):
            compiler.compile_json_schema({"$ref": reference}, documents=DOCUMENTS)
    with pytest.raises(InvalidSchemaError, match="a document"):
        compiler.compile_json_schema(True, documents={"urn:x": {1, 2}})


def test_an_id_in_a_value_is_none(compiler: GrammarCompiler) -> None:
    schema = {
        "$ref": "urn:x",
        "$defs": {
            "enum": {"$id": "urn:x", "type": "integer"},
            "a": {"const": {"$id": "urn:x", "type": "string"}},
            "b": {"unknown": {"$id": "urn:x", "type": "string"}},
        },
    }
    assert verdicts(compiler, schema, [1, "x"]) == [True, False] == oracle(schema, [1, "x"])


METASCHEMAS = {uri: jsonschema_specifications.REGISTRY.contents(uri) for uri in jsonschema_specifications.REGISTRY}


@pytest.mark.parametrize("draft", [FOUR, "http://json-schema.org/draft-06/schema#", SEVEN, OLD, NEW])
def test_metaschemas(compiler: GrammarCompiler, draft: str) -> None:
    """Schemas that the drafts' own metaschemas accept, with every kind of resolution in one document."""
    schema = {"$schema": draft, "$ref": draft}
    instances: list[Any] = [
        {},
        {"type": "integer"},
        {"type": "nothing"},
        {"properties": {"a": {"minLength": 1}}},
        {"properties": {"a": {"minLength": -1}}},
        {"properties": {"a": {"anyOf": [{"not": {"maximum": "x"}}]}}},
        {"allOf": [{"additionalProperties": {"maxItems": 3}}]},
        True,
        1,
    ]
    try:
        found = verdicts(compiler, schema, instances, documents=METASCHEMAS)
    except UnsupportedSchemaError as error:
        pytest.skip(f"{error.keyword} is refused")
    assert found == oracle(schema, instances)


# -- several drafts in one document ------------------------------------------------------------------------------------

ITEMS: list[Any] = [[1, "x"], ["x"], [1], [1, "x", 2], {"a": 1}, {"a": 1, "b": 2}, {"b": 1}, 1, 2, 3, "x", []]

EMBEDDED = [
    {"items": [{"type": "integer"}], "additionalItems": {"type": "string"}},
    {"items": {"type": "integer"}, "additionalItems": False},
    {"items": [{"type": "integer"}]},
    {"items": []},
    {"additionalItems": False},
    {"dependencies": {"a": ["b"]}},
    {"dependencies": {"a": {"maxProperties": 1}, "b": ["b"]}},
    {"allOf": [{"$ref": "#/definitions/i", "type": "string"}], "definitions": {"i": {"type": "integer"}}},
    {"allOf": [{"$ref": "#i"}], "definitions": {"x": {"$id": "#i", "id": "#i", "type": "integer"}}},
    {"prefixItems": [False]},
    {"dependentRequired": {"a": ["b"]}},
    {"const": 1},
    {"if": {"type": "integer"}, "then": {"maximum": 1}},
    {"minimum": 1, "exclusiveMinimum": True, "maximum": 3, "exclusiveMaximum": True},
    {"minimum": 1, "exclusiveMinimum": False},
    {"contains": {"type": "integer"}, "minContains": 2},
    {"unevaluatedItems": False, "items": [True]},
    {"unevaluatedProperties": False, "properties": {"a": True}},
]


@pytest.mark.parametrize("outer", [FOUR, SEVEN, OLD, NEW])
@pytest.mark.parametrize("inner", [FOUR, SEVEN, OLD, NEW])
def test_embedded_resources_have_their_own_draft(compiler: GrammarCompiler, outer: str, inner: str) -> None:
    """A resource means the same alone, embedded in a document of another draft, and as a document passed in."""
    compared = 0
    for keywords in EMBEDDED:
        if inner == NEW and isinstance(keywords.get("items"), list):
            continue
        if inner != FOUR and "exclusiveMinimum" in keywords:
            continue  # a flag in draft 4 only
        resource = {"$schema": inner, ("id" if inner == FOUR else "$id"): "http://example.com/inner", **keywords}
        try:
            expected = oracle(resource, ITEMS)
        except referencing.exceptions.Unresolvable:
            continue  # "$id": "#i" is an anchor in drafts 6 and 7 only, "id" in draft 4
        place = "$defs" if outer in (OLD, NEW) else "definitions"
        holder = {"$schema": outer, "allOf": [{"$ref": "http://example.com/inner"}], place: {"r": resource}}
        assert verdicts(compiler, holder, ITEMS) == expected, (outer, resource)
        remote = {"$schema": outer, "$ref": "http://example.com/inner"}
        found = verdicts(compiler, remote, ITEMS, documents={"http://example.com/inner": resource})
        assert found == expected, (outer, resource)
        alone = verdicts(compiler, resource, ITEMS)
        assert alone == expected, resource
        compared += 1
    assert compared > 10


def test_integers_are_plain_beside_draft_4(compiler: GrammarCompiler) -> None:
    """In draft 4 the number 1.0 is no integer; other resources of the document have to do without that spelling."""
    inner = {"$schema": FOUR, "id": "urn:inner", "type": "integer"}
    for schema in ({"$ref": "urn:inner", "$defs": {"i": inner}}, inner):
        assert verdicts(compiler, schema, [1, 1.0, 1.5]) == [True, False, False]
    assert verdicts(compiler, {"$ref": "urn:inner"}, [1, 1.0], documents={"urn:inner": inner}) == [True, False]


def test_contains_of_2019_evaluates_nothing_in_a_newer_document(compiler: GrammarCompiler) -> None:
    inner = {
        "$schema": OLD,
        "$id": "urn:inner",
        "contains": {"type": "string"},
        "unevaluatedItems": {"type": "integer"},
    }
    assert verdicts(compiler, {"$ref": "urn:inner", "$defs": {"i": inner}}, [["x", 1], [1]]) == [False, False]
    inner = {**inner, "unevaluatedItems": {"type": ["integer", "string"]}}
    assert verdicts(compiler, {"$ref": "urn:inner", "$defs": {"i": inner}}, [["x", 1], [1]]) == [True, False]


def test_metaschema_without_validation(compiler: GrammarCompiler) -> None:
    vocabulary = "https://json-schema.org/draft/2020-12/vocab/"
    metaschema = {
        "$schema": NEW,
        "$id": "http://example.com/meta",
        "$vocabulary": {vocabulary + "core": True, vocabulary + "applicator": True, "urn:unknown": False},
    }
    schema = {"$schema": "http://example.com/meta", "properties": {"a": False, "b": {"type": "integer"}}}
    documents = {"http://example.com/meta": metaschema}
    found = verdicts(compiler, schema, [{"a": 1}, {"b": "x"}, {"c": 1}], documents=documents)
    assert found == [False, True, True]
    with pytest.raises(UnsupportedSchemaError):
        compiler.compile_json_schema(schema)
    metaschema["$vocabulary"]["urn:unknown"] = True  # type: ignore[index]
    with pytest.raises(UnsupportedSchemaError, match="urn:unknown"):
        compiler.compile_json_schema(schema, documents=documents)


def test_unknown_draft_of_a_resource(compiler: GrammarCompiler) -> None:
    schema = {"$ref": "urn:i", "$defs": {"i": {"$id": "urn:i", "$schema": "urn:nothing"}}}
    with pytest.raises(UnsupportedSchemaError) as caught:
        compiler.compile_json_schema(schema)
    assert caught.value.pointer == "/$ref/$schema"
    unreached = {"$defs": schema["$defs"]}
    assert verdicts(compiler, unreached, [1]) == [True]


# -- dynamic references ------------------------------------------------------------------------------------------------

LEAVES = [{"type": "integer"}, {"type": "string"}, {"type": "null"}]
NAMES = ["a", "b"]


def random_document(rng: random.Random, draft: str) -> dict[str, Any]:
    """A few resources that refer to each other, some with an anchor for dynamic references."""
    count = rng.randint(2, 4)
    new = draft == NEW

    def reference() -> dict[str, Any]:
        kind = rng.random()
        if kind < 0.45:
            return {"$dynamicRef" if new else "$recursiveRef": "#n" if new else "#"}
        other = rng.randrange(count)
        if new and kind < 0.6:
            return {"$dynamicRef": f"r{other}#n"}
        return {"$ref": f"r{other}"}  # (to rX#n both oracles follow ``$ref`` like ``$dynamicRef``)

    def body(depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {"type": "object", "properties": {}}
        for name in rng.sample(NAMES, rng.randint(1, 2)):
            chosen = rng.random()
            out["properties"][name] = (
                rng.choice(LEAVES)
                if chosen < 0.25
                else body(depth - 1)
                if depth and chosen < 0.4
                else {"anyOf": [rng.choice(LEAVES), reference()]}
            )
        if rng.random() < 0.4:
            out["additionalProperties" if rng.random() < 0.6 else "unevaluatedProperties"] = False
        return out

    resources: dict[str, Any] = {}
    for index in range(count):
        resource = {"$id": f"r{index}", **body(1)}
        if rng.random() < 0.3:
            resource = {"$id": f"r{index}", "$ref": f"r{rng.randrange(index)}"} if index else resource
        if not new:
            if rng.random() < 0.6:
                resource["$recursiveAnchor"] = True
        elif rng.random() < 0.4:
            resource["$dynamicAnchor"] = "n"
        else:
            kind = "$dynamicAnchor" if rng.random() < 0.7 else "$anchor"
            resource["$defs"] = {"x": {kind: "n", **rng.choice([*LEAVES, body(0)])}}
        resources[f"d{index}"] = resource
    root = {"$schema": draft, "$id": "http://example.com/root", **body(1), "$defs": resources}
    root["$ref"] = f"r{rng.randrange(count)}"
    if not new and rng.random() < 0.5:
        root["$recursiveAnchor"] = True
    return root


def random_value(rng: random.Random, depth: int = 3) -> Any:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice([1, "x", None])
    return {name: random_value(rng, depth - 1) for name in rng.sample([*NAMES, "c"], rng.choice([0, 1, 1, 2]))}


def test_ref_to_a_dynamic_anchor_is_static(compiler: GrammarCompiler) -> None:
    """$dynamicAnchor is an extension point "when used with the $dynamicRef keyword" (2020-12 core, section 8.2.2)."""
    inner = {"$id": "inner", "properties": {"a": {"$ref": "#n"}, "b": {"$dynamicRef": "#n"}}}
    inner["$defs"] = {"n": {"$dynamicAnchor": "n", "type": "integer"}}
    schema = {"$id": "http://x.example/root", "$ref": "inner"}
    schema["$defs"] = {"inner": inner, "n": {"$dynamicAnchor": "n", "type": "string"}}  # type: ignore[assignment]
    found = verdicts(compiler, schema, [{"a": 1}, {"a": "x"}, {"b": 1}, {"b": "x"}])
    assert found == [True, False, False, True]


def test_outermost_recursive_anchor_behind_a_gap(compiler: GrammarCompiler) -> None:
    """The outermost schema of the dynamic scope that has $recursiveAnchor (2019-09 core, section 8.2.4.2.2).

    Both oracles stop at a resource in between that has none (here: middle).
    """
    inner = {"$id": "inner", "$recursiveAnchor": True, "properties": {"a": {"$recursiveRef": "#"}}}
    schema: dict[str, Any] = {"$schema": OLD, "$id": "http://x.example/root", "$recursiveAnchor": True}
    schema.update(
        {"maxProperties": 1, "$ref": "middle", "$defs": {"i": inner, "m": {"$id": "middle", "$ref": "inner"}}}
    )
    assert verdicts(compiler, schema, [{"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}]) == [True, False]


@pytest.mark.parametrize("draft", [OLD, NEW])
def test_dynamic_references(compiler: GrammarCompiler, draft: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(400):
        rng = random.Random(seed)
        schema = random_document(rng, draft)
        instances = [random_value(rng) for _ in range(12)]
        try:
            expected = oracle(schema, instances)
            rust = jsonschema_rs.validator_for(schema)
        except (referencing.exceptions.Unresolvable, RecursionError, ValueError):
            seen["no schema"] += 1
            continue
        try:
            found = verdicts(compiler, schema, instances)
        except InvalidSchemaError as error:
            seen["loop" if "refers to itself" in str(error) else str(error)] += 1
            continue
        except GrammarEngineError as error:
            seen[type(error).__name__] += 1
            continue
        for instance, python, ours in zip(instances, expected, found, strict=True):
            if rust.is_valid(instance) != python:
                seen["oracles differ"] += 1
                continue
            assert ours == python, json.dumps([schema, instance])
            seen[f"{ours}"] += 1
    total = sum(seen.values())
    assert seen["oracles differ"] < total / 10, seen
    assert min(seen["True"], seen["False"]) > total / 10, seen
