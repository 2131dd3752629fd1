"""Schemas made to break things: a grammar or an error of ours, at compile and while matching; and the deadline."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError, InvalidSchemaError, LimitExceededError
from grammar_engine.compiler.limits import Deadline
from grammar_engine.compiler.reading import MAX_CONTAINERS, read_json
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

NULL = {"type": "null"}


def nested(depth: int, around: Callable[[Any], Any]) -> Any:
    schema: Any = NULL
    for _ in range(depth):
        schema = around(schema)
    return schema


def tower(height: int, level: Callable[[dict[str, Any], int], dict[str, Any]]) -> dict[str, Any]:
    """Definitions of which each refers to the next one twice or more."""
    levels = {f"d{i}": level({"$ref": f"#/$defs/d{i + 1}"}, i) for i in range(height)}
    return {"$ref": "#/$defs/d0", "$defs": {**levels, f"d{height}": {"type": ["string", "null"]}}}


HOSTILE: dict[str, Any] = {
    "a required loop": {"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"},
    "a long required loop": {
        "$ref": "#/$defs/d0",
        "$defs": {
            f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{(i + 1) % 100}"}}, "required": ["a"]}
            for i in range(100)
        },
    },
    "a long chain": {
        "$ref": "#/$defs/d0",
        "$defs": {**{f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(3000)}, "d3000": NULL},
    },
    "text, deep": '{"items":' * 10_000 + "true" + "}" * 10_000,
    "arrays, deep": nested(1000, lambda s: {"type": "array", "items": s, "minItems": 1}),
    "if, deep": nested(300, lambda s: {"if": s, "then": {"minLength": 1}}),
    "a value, deep": {"const": nested(700, lambda s: [s])},
    "shared 2^30 times": nested(30, lambda s: {"anyOf": [{"allOf": [s]}, {"allOf": [s, {"maxLength": 3}]}]}),
    "tower of anyOf": tower(30, lambda s, i: {"anyOf": [{**s, "minLength": i}, {**s, "maxLength": 99 - i}]}),
    "tower of allOf": tower(40, lambda s, _: {"allOf": [s, dict(s)]}),
    "tower of oneOf": tower(30, lambda s, i: {"oneOf": [{**s, "minLength": i}, {**s, "maxLength": 99 - i}]}),
    "tower of not": tower(30, lambda s, _: {"not": {"allOf": [s, {"not": dict(s)}]}}),
    "tower of objects": tower(
        60, lambda s, _: {"type": "object", "properties": {"a": s, "b": dict(s)}, "required": ["a", "b"]}
    ),
    "choices": {"type": "object", "allOf": [{"anyOf": [{"required": ["a", f"b{i}"]}, NULL]} for i in range(300)]},
    "many choices": {
        "type": "object",
        "allOf": [{"anyOf": [{"required": [f"a{i}", "x"]}, {"required": [f"b{i}", "y"]}]} for i in range(300)],
    },
    "dependencies": {"type": "object", "dependentRequired": {f"a{i}": [f"b{i}"] for i in range(100)}},
    "wide oneOf": {"oneOf": [{"properties": {f"p{i}": {"type": "string"}}} for i in range(400)]},
    "patterns": {"type": "string", "allOf": [{"pattern": f"a.{{{n}}}b.*c"} for n in range(10, 18)]},
    "nested loops": {"type": "string", "pattern": "^((((a{1,100}){1,100}){1,100}){1,100})$"},
    "a catastrophic pattern": {"type": "string", "pattern": "^(a|aa)+(a+)+b(.*)*$"},
    "parentheses": {"type": "string", "pattern": "(" * 5000 + "a" + ")" * 5000},
    "look-aheads": {"type": "string", "pattern": "(?=(a|b)*a(a|b){20})(?!.*b.{15}a)(?=.*x.{15}y)"},
    "patterns of names": {"type": "object", "patternProperties": {f"a.{{{i}}}b": NULL for i in range(12)}},
    "many patterns of names": {"type": "object", "patternProperties": {f"^x{i}": NULL for i in range(500)}},
    "names": {"properties": {'q"': NULL, "\n\x00": NULL, "\ud800": NULL, "\udfff\ud800": NULL}, "required": ['q"']},
    "half a surrogate": {"type": "object", "required": ["\ud800"]},
    "half a surrogate given": {"enum": ["\ud800", "a\udc00", "b"]},
    "counts": {"type": ["array", "string"], "minItems": 10**30, "maxItems": 10**40, "minLength": 10**30},
    "numbers": {"type": "integer", "minimum": -(10**2000), "maximum": 10**2000, "multipleOf": 10**30},
    "an endless number": '{"minimum":' + "9" * 10_000 + "}",
    "an infinite number": '{"minimum": 1e999999999}',
    "negated enum of objects": {"not": {"enum": [{"a": i} for i in range(300)]}},
    "unevaluated": {
        "unevaluatedProperties": False,
        "allOf": [{"anyOf": [{"properties": {f"a{i}": {}}}, {"properties": {f"b{i}": {}}}]} for i in range(20)],
    },
}


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=0, cache_dir="")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("order", ["declared", "any"])
def test_a_grammar_or_an_error_of_ours(compiler: GrammarCompiler, name: str, order: str) -> None:
    try:
        compiled = compiler.compile_json_schema(HOSTILE[name], property_order=order)
        for seed in range(2):
            rng = random.Random(seed)
            matcher = Matcher(compiled)
            for _ in range(40):
                allowed = [int(token) for token in matcher.allowed_token_ids()]
                assert allowed, "a dead end"
                assert matcher.accept_token(rng.choice([t for t in allowed if t > 32] or allowed))
                if matcher.is_terminated():
                    break
    except GrammarEngineError:
        pass


def test_a_deadline_stops_the_compile(compiler: GrammarCompiler) -> None:
    with pytest.raises(LimitExceededError, match="deadline="):
        compiler.compile_json_schema(HOSTILE["many choices"], deadline=0.01)
    with pytest.raises(ValueError, match="deadline"):
        compiler.compile_json_schema({}, deadline=0)
    assert compiler.compile_json_schema({"type": "null"}, deadline=None)


def test_a_deadline_starts_anew() -> None:
    deadline = Deadline(0.02)
    with pytest.raises(LimitExceededError):
        _tick_forever(deadline)
    deadline.restart()
    deadline.check()


def _tick_forever(deadline: Deadline) -> None:
    while True:
        deadline.tick()


def test_what_is_read_is_measured(compiler: GrammarCompiler) -> None:
    with pytest.raises(LimitExceededError) as caught:
        compiler.compile_json_schema(HOSTILE["shared 2^30 times"])
    assert caught.value.limit == str(MAX_CONTAINERS)
    deep = "[" * 3000 + "1, [2.5e1, null], {}" + "]" * 3000
    value = read_json(deep)
    for _ in range(2999):
        (value,) = value
    assert value == [1, [25.0, None], {}]
    for broken in ("[" * 300, "[" * 300 + "]" * 301, "[" * 300 + "1 2" + "]" * 300, "[" * 300 + '{"a"}' + "]" * 300):
        with pytest.raises(InvalidSchemaError):
            read_json(broken)
