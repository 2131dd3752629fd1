"""Arrays whose items must differ: masks and verdicts against enumerating the language.

The oracle: all texts that the rules allow, repetitions included, byte by byte, of which ``jsonschema`` keeps those that
are valid. A token is allowed behind a beginning exactly if some text that is kept goes on with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from byte_texts import accepts, byte_compiler, check_masks, has_distinct_names, texts_of
from grammar_engine.compiler import json_values
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError, UnsupportedSchemaError
from grammar_engine.compiler.frontends.json_schema import arrays, extras
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar_engine.matcher import Matcher

Schema = dict[str, Any]

NASTY = [
    b"0,", b",0", b"0,0", b"0,1", b"1,1", b"1,10", b"10", b"11", b"12", b",1,", b"[0", b"[1,1", b"[0,0]", b"0]", b"1]",
    b"],[", b"],[0", b"]]", b"[[", b"],[]", b"[]", b"[],[]", b'"a"', b'"a","a"', b'a","a', b'a","', b'","a"', b'","b',
    b'"aa', b'aa"', b'"]', b'""', b'"","', b"\\u0061", b'\\u0061"', b"u0061", b"\\u00", b"6", b"true", b",true", b"e",
    b"null,null", b"null", b",n", b"{}", b'{"a":0}', b'{"a":', b'},{"a":0', b'"b":0}', b'0,"b":', b"0}", b"1}", b"}]",
    b'0},{"a":0}', b'[{"a":0},{"a":1}', b"1.0", b".0", b"1.", b"e0", b"1e0", b"0.", b"-0", b"-", b'"x":[1,1', b'":[1,1',
    b" ", b"\n\n", b"1 ", b"1, 1", b" ]", b"null ", b', "a"', b" 1",
]  # fmt: skip


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return byte_compiler(NASTY, cache_size=0)


def distinct(items: Any = True, **rest: Any) -> Schema:
    return {"type": "array", "items": items, "uniqueItems": True, **rest}


BIT: Schema = {"type": "integer", "minimum": 0, "maximum": 1}
SMALL: Schema = {"type": "integer", "minimum": 1, "maximum": 2}
ONE: Schema = {"type": "integer", "minimum": 1, "maximum": 1}
PAIR = {
    "type": "object",
    "properties": {"a": SMALL, "b": SMALL},
    "required": ["a"],
    "additionalProperties": False,
}
LETTERS = {"type": "string", "pattern": "^[ab]{1,2}$"}
FINITE: dict[str, Schema] = {
    "integers": distinct({"type": "integer", "minimum": 0, "maximum": 12}, maxItems=3),
    "as many as there are": distinct({"type": "integer", "minimum": -1, "maximum": 1}, minItems=3, maxItems=3),
    "used up": distinct({"type": "integer", "minimum": 1, "maximum": 2}, maxItems=4),
    "strings": distinct(LETTERS, maxItems=2),
    "a string that begins another": distinct({"type": "string", "pattern": "^(a|aa|b)$"}, maxItems=2),
    "kinds": distinct({"enum": [0, 1, "a", "", None, True, False]}, maxItems=3),
    "objects": distinct(PAIR, maxItems=2),
    "arrays": distinct({"type": "array", "items": SMALL, "maxItems": 2}, maxItems=2),
    "nested": distinct(distinct(SMALL, maxItems=2), maxItems=3),
    "in objects": distinct({"type": "object", "properties": {"x": distinct(SMALL, maxItems=2)},
                            "additionalProperties": False}, maxItems=2),
    "in one object": {"type": "object", "properties": {"x": distinct(SMALL, maxItems=2)}, "required": ["x"],
                      "additionalProperties": False},
    "prefix": distinct(SMALL, prefixItems=[{"type": "integer", "minimum": 2, "maximum": 3}, SMALL], maxItems=3),
    "contains": distinct({"type": "integer", "minimum": 0, "maximum": 3}, contains={"const": 2}, maxItems=2),
    "counted": distinct({"type": "integer", "minimum": 0, "maximum": 4}, contains={"maximum": 1}, minContains=2,
                        maxItems=3),
    "another branch repeats": {"anyOf": [
        distinct({"type": "integer", "minimum": 0, "maximum": 2}, maxItems=3),
        {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 2}, "maxItems": 3},
    ]},
    "deep branches": {"anyOf": [
        {"type": "object", "properties": {"x": distinct(SMALL, maxItems=3), "y": SMALL},
         "additionalProperties": False, "required": ["x"]},
        {"type": "object", "properties": {"x": {"type": "array", "items": ONE, "maxItems": 3}, "z": BIT},
         "additionalProperties": False, "required": ["x"]},
    ]},
    "branches inside": distinct({"anyOf": [distinct(SMALL, maxItems=2), {"type": "array", "items": ONE,
                                                                          "maxItems": 2}]}, maxItems=2),
    "names beside": distinct({"type": "object", "patternProperties": {"^[ab]$": SMALL}, "maxProperties": 2,
                              "additionalProperties": False}, maxItems=2),
    "both orders": distinct({"type": "object", "properties": {"a": BIT, "b": BIT}, "minProperties": 1,
                             "additionalProperties": False}, maxItems=2),
}  # fmt: skip


@pytest.mark.parametrize("order", ["declared", "any"])
@pytest.mark.parametrize("name", FINITE)
def test_masks_equal_the_enumerated_language(
    compiler: GrammarCompiler, name: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "FEW", 0)
    monkeypatch.setattr(arrays, "MAX_DISTINCT_VALUES", 0)
    schema = FINITE[name]
    options: dict[str, Any] = {"any_whitespace": False, "separators": (",", ":"), "plain_integers": True}
    compiled = compiler.compile_json_schema(schema, property_order=order, **options)
    judge = jsonschema.Draft202012Validator(schema)
    texts = [text for text in texts_of(compiled, 80) if has_distinct_names(text) and judge.is_valid(json.loads(text))]
    assert compiled.guard is not None
    assert compiled.guard.asked.distinct
    check_masks(compiled, texts, most=150, seed=name)


ENDLESS: dict[str, tuple[Schema, bytes]] = {
    "strings": (distinct({"type": "string"}), b'["a","b","","aa", "\\u0061a'),
    "strings of one end": (distinct({"type": "string", "pattern": "^[ab]+x$"}), b'["ax","bx","aax","b'),
    "objects": (distinct({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}),
                b'[{"a":"a"},{"a":"b"},{},{"a":"'),
    "two may be equal": ({"anyOf": [distinct({"type": "string"}),
                                    {"type": "array", "items": {"type": "string"}, "maxItems": 2}]}, b'["a","b","aa'),
}  # fmt: skip
STRINGS = [
    b'x","ax"', b'x","ax', b'","b","b"', b'"a","b"', b'"a","a', b'"c","c"', b'"c","b"', b'","c","c"', b'"a",', b'a",',
    b'a"},{"a":"a"}', b'"},{"a":"b"}', b'c"},{"a":"a"', b'c"},{"a":"', b'"},{}', b'},{"a":"a"}', b'"]', b'a"]',
]  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_masks_say_what_is_taken(name: str) -> None:
    """Where the language is endless, the mask is compared with taking each token."""
    schema, text = ENDLESS[name]
    compiled = byte_compiler(NASTY + STRINGS).compile_json_schema(schema)
    matcher = Matcher(compiled)
    for index, byte in enumerate(text):
        allowed = set(matcher.allowed_token_ids().tolist())
        for token, data in enumerate(compiled.vocabulary.tokens):
            taken = matcher.accept_token(token)
            assert taken == (token in allowed), (text[:index], data)
            if taken:
                matcher.rollback(1)
        assert matcher.accept_token(byte)


def step_by_step(compiled: CompiledGrammar, text: bytes, looked_at: set[int]) -> bool:
    """Accepted byte by byte, with forks? At some places the mask must say the same of the byte and of every token."""
    matcher = Matcher(compiled)
    for index, byte in enumerate(text):
        if index in looked_at:
            allowed = set(matcher.allowed_token_ids().tolist())
            for token, data in enumerate(compiled.vocabulary.tokens):
                if data and matcher.fork().accept_bytes(data) != (token in allowed):
                    raise AssertionError((text[:index], data, token in allowed))
        matcher = matcher.fork()
        if not matcher.accept_token(byte):
            return False
    return matcher.is_accepting()


VALUES = st.recursive(
    st.sampled_from([0, 1, -1, 10, 0.5, 1.0, "", "a", "b", "ab", None, True, False]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=2),
    max_leaves=3,
)
OPEN: dict[str, Schema] = {
    "anything": distinct(),
    "strings": distinct({"type": "string"}),
    "short strings": distinct({"type": "string", "maxLength": 2}),
    "numbers": distinct({"type": "number"}),
    "objects": distinct({"type": "object", "properties": {"a": {}}}),
    "arrays": distinct(distinct()),
    "at least two": distinct(minItems=2),
    "in an object": {"type": "object", "properties": {"a": distinct(), "b": {"type": "array"}}},
    "one of two": {
        "anyOf": [distinct({"type": ["string", "integer"]}), {"type": "array", "items": {"type": "string"}}]
    },
}


def respelled(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    """Some JSON text of a value."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{respelled(v, draw)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(respelled(item, draw) for item in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(draw(st.sampled_from([c, f"\\u{ord(c):04x}"])) for c in value) + '"'
    return json.dumps(value)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_open_arrays(compiler: GrammarCompiler, data: st.DataObject) -> None:
    schema = OPEN[data.draw(st.sampled_from(sorted(OPEN)))]
    items = data.draw(st.lists(VALUES, max_size=3))
    if items and data.draw(st.booleans()):
        items.append(data.draw(st.sampled_from(items)))
    value: Any = data.draw(st.sampled_from([items, [items], {"a": items}, {"a": [], "b": items}]))
    compiled = compiler.compile_json_schema(schema, property_order="any")
    text = respelled(value, data.draw)
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert accepts(compiled, text.encode()) == valid, text
    looked_at = data.draw(st.sets(st.integers(0, len(text)), max_size=2))
    assert step_by_step(compiled, text.encode(), looked_at) == valid, text


def test_every_spelling_of_a_string_is_the_same_item(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_json_schema(distinct({"type": "string"})))
    assert matcher.accept_bytes(b'["a\\n\\u00e9/", "a')
    for rest in (b'\n\xc3\xa9/"', b'\\u000a\\u00E9\\/"', b'\\n\\u00e9/"'):
        assert not matcher.accept_bytes(rest)
    assert matcher.accept_bytes(b'\\n\xc3\xa9/.", "b"]')
    assert matcher.is_accepting()


@pytest.mark.parametrize(
    "text", ["1", "-0", "1.50", "12e3", "1E-7", "0.000", "-10.0e+2", "123456789012345678901", "0e9"]
)
def test_numbers_are_equal_by_value(text: str) -> None:
    from decimal import Decimal

    value = json_values.number(text)
    sign = -1 if value.negative else 1
    assert Decimal(sign * int(value.digits or "0")).scaleb(value.exponent) == Decimal(text)
    assert json_values.number(text) == json_values.number(str(Decimal(text) * Decimal("1.00")))


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True), st.data())
def test_the_ways_to_spell_a_number_again(text: str, data: st.DataObject) -> None:
    """Each byte of a spelling is one of those that may come next, and a value that cannot come is not waited for."""
    value = json_values.number(text)
    for end in range(len(text)):
        assert ord(text[end]) in json_values.alike(text[:end].encode(), [value])[1]
    assert ord(",") in json_values.alike(text.encode(), [value])[1]
    other = json_values.number(data.draw(st.sampled_from(["1", "-1", "10", "0", "0.5", "123e45"])))
    if other != value:
        assert ord(",") not in json_values.alike(text.encode(), [other])[1]


def test_numbers_of_any_exponent_are_compared_at_once(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_json_schema(distinct({"type": "number"})))
    assert not matcher.accept_bytes(b"[1e999999999, 10e999999998]")
    assert matcher.accept_bytes(b"[1e999999999, 10e999999999")
    nines = b"9" * 5000
    assert matcher.accept_bytes(b", 1e" + nines + b", 2e" + nines)
    assert not matcher.accept_bytes(b", 10e" + b"9" * 4999 + b"8,")
    assert matcher.accept_bytes(b"]")


def test_items_that_can_not_all_differ(compiler: GrammarCompiler) -> None:
    byte: Schema = {"type": "integer", "minimum": 0, "maximum": 255}
    compiler.compile_json_schema(distinct(byte, minItems=256))
    with pytest.raises(UnsatisfiableGrammarError):
        compiler.compile_json_schema(distinct(byte, minItems=257))
    unknown = distinct({"anyOf": [byte, {"type": "integer", "minimum": 9, "maximum": 99}]}, minItems=300)
    schema = {"properties": {"a": {"$ref": "#/$defs/a~b"}}, "required": ["a"], "$defs": {"a~b": unknown}}
    with pytest.raises(UnsupportedSchemaError, match="uniqueItems") as caught:
        compiler.compile_json_schema({"type": "object", **schema})
    assert caught.value.pointer == "/properties/a/$ref/uniqueItems"
    with pytest.raises(UnsupportedSchemaError, match="uniqueItems"):
        compiler.compile_json_schema({"not": {"uniqueItems": True}})
