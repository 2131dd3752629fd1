"""No object has two properties of one name: masks and verdicts against enumerating the language.

The oracle: all texts of the unguarded grammar, byte by byte, of which ``json.loads`` with a hook keeps those without a
repeated name. A token is allowed behind a beginning exactly if some text that is kept goes on with it; so dead ends,
tokens cleared wrongly and repeats let through all show.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from byte_texts import accepts, byte_compiler, check_masks, has_distinct_names, texts_of
from grammar_engine.compiler import json_text
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.json_schema import extras
from grammar_engine.compiler.guard_tokens import spellings
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar_engine.matcher import Matcher

Schema = dict[str, Any]

NASTY = [
    b'"a"', b'"a":', b'"a":0', b'{"a":0', b',"a"', b',"a":0', b'0,"', b'0,"a', b'0,"b":0', b'a":0,"a"', b'a":0,"b',
    b'"a":0,"a"', b'"b":0,"a":0', b'a"', b'ab"', b"ab", b"aa", b'b":0,"', b'":0,"', b'":0,"a', b'":0,"a"', b'","',
    b'""', b'"":0', b'{"', b'{"a', b'{"":0,"', b"\\u", b"\\u006", b"1", b'1"', b"\\u0061", b'\\u0061"', b"u0062",
    b"0061", b'u0061":0,"a',
    b'"a', b'"ab', b' "a', b'"a":0,', b'{"a":0,', b'"a":0,"b":0,',
    b'{"a":0,"a":0', b'{"a":0,"a":', b'{"b":{"a":0,"a":0', b'":{"a":0,"a"',
    b"0,", b":0,", b"0}", b'":0}', b'"a":0}', b'],"a', b'}},"a"', b'}]},"a":0', b'{"a":{"a":0}',
]  # fmt: skip


def closed(text: bytes) -> bytes:
    """A text that ended behind a value, with its brackets closed. (No bracket stands in a string here.)"""
    closers = {"{": "}", "[": "]"}
    opened: list[str] = []
    for char in text.decode():
        if char in closers:
            opened.append(closers[char])
        elif char in "}]":
            opened.pop()
    return text + "".join(reversed(opened)).encode()


def repeats_a_name(text: bytes) -> bool:
    """Has a name stood twice already? Seen where a value has ended."""
    return text[-1:] in (b"0", b"}", b"]") and text.count(b'"') % 2 == 0 and not has_distinct_names(closed(text))


ZERO: Schema = {"type": "integer", "minimum": 0, "maximum": 0}
EVEN: Schema = {"type": "integer", "minimum": -1, "exclusiveMaximum": 1, "multipleOf": 2}
OPTIONS: dict[str, Any] = {"any_whitespace": False, "separators": (",", ":"), "plain_integers": True}


def named(pattern: str, **rest: Any) -> Schema:
    """An object whose names match a pattern and whose values are zeros."""
    return {"type": "object", "patternProperties": {pattern: ZERO}, "additionalProperties": False, **rest}


FINITE: dict[str, Schema] = {
    "two names": named("^[ab]$"),
    "two lengths": named("^[ab]{1,2}$", maxProperties=2),
    "behind one beginning": named("^(a|ba|bb)$"),
    "all must come": named("^(aa?|b)$", minProperties=3),
    "two classes": {"type": "object", "patternProperties": {"^[ab]$": ZERO, "^[bc]$": EVEN},
                    "additionalProperties": False, "maxProperties": 2},
    "declared beside": named("^(a|ab|b)$", properties={"ab": ZERO, "a": ZERO}, required=["a"]),
    "nested": named("^[ab]$") | {"patternProperties": {"^[ab]$": {"anyOf": [ZERO, named("^a$")]}}},
    "in a list": {"type": "array", "items": named("^[ab]$", maxProperties=1), "maxItems": 2},
}  # fmt: skip


@pytest.mark.parametrize("order", ["declared", "any"])
@pytest.mark.parametrize("name", FINITE)
def test_masks_equal_the_enumerated_language(name: str, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "FEW", 0)
    compiled = byte_compiler(NASTY).compile_json_schema(FINITE[name], property_order=order, **OPTIONS)
    texts = texts_of(compiled, 72, repeats_a_name)
    assert compiled.guard is not None
    assert compiled.guard.asked.thin
    check_masks(compiled, texts, most=400, seed=name)


OPEN: dict[str, Schema] = {
    "anything": {},
    "an object": {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]},
    "patterns": {
        "type": "object",
        "patternProperties": {"^a": {"type": "object"}, "b$": {"type": "array"}},
        "propertyNames": {"pattern": "^[^c]"},
    },
    "alternatives": {
        "anyOf": [
            {"type": "object", "properties": {"a": ZERO}, "additionalProperties": False},
            {"type": "object", "properties": {"b": {}}, "additionalProperties": {"type": ["integer", "object"]}},
        ]
    },
}


def is_refused(text: bytes) -> bool:
    """Does a name end in ``text`` that its object has had? Read character by character."""
    frames: list[set[str] | None] = [None]
    before_name, start, escaped = False, -1, False
    for at, byte in enumerate(text):
        char = chr(byte)
        if start >= 0:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                names = frames[-1]
                if before_name and names is not None:
                    name = json.loads(text[start : at + 1])
                    if name in names:
                        return True
                    names.add(name)
                before_name, start = False, -1
        elif char == '"':
            start = at
        elif char in "{[":
            frames.append(set() if char == "{" else None)
            before_name = char == "{"
        elif char in "}]":
            frames.pop()
            before_name = False
        elif char == ",":
            before_name = frames[-1] is not None
    return False


@pytest.fixture(scope="module")
def nasty() -> GrammarCompiler:
    return byte_compiler(NASTY, cache_size=8)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_open_objects(nasty: GrammarCompiler, data: st.DataObject) -> None:
    """Random walks that like to repeat names: each mask against the engine's own less what repeats a name."""
    vocabulary = nasty.vocabulary
    schema = OPEN[data.draw(st.sampled_from(sorted(OPEN)))]
    order = data.draw(st.sampled_from(["declared", "any"]))
    compiled = nasty.compile_json_schema(schema, property_order=order)
    free = Matcher(CompiledGrammar(compiled.grammar, vocabulary, compiled.stop_ids, lambda _: (compiled.engine, None)))
    matcher = Matcher(compiled)
    text = b""
    likely = [t for t, token in enumerate(vocabulary.tokens) if token and (len(token) > 1 or token in b'"{},:0ab[]\\u')]
    for _ in range(data.draw(st.integers(1, 25))):
        allowed = set(matcher.allowed_token_ids().tolist())
        unguarded = set(free.allowed_token_ids().tolist())
        expected = {t for t in unguarded if not is_refused(text + (vocabulary.tokens[t] or b""))}
        wrong = [vocabulary.tokens[t] for t in allowed ^ expected]
        assert not wrong, (text, wrong)
        assert matcher.validate_tokens([*sorted(allowed)[:1], -1][:1]) == bool(allowed)
        refused = unguarded - expected
        assert not any(matcher.accept_token(t) for t in refused)
        choices = [t for t in likely if t in allowed] or sorted(allowed)
        token = data.draw(st.sampled_from(choices))
        if not vocabulary.tokens[token]:
            break
        if data.draw(st.booleans()):
            other = matcher.fork()
            assert other.accept_token(token)
            other.rollback(1)
            matcher = other
        assert matcher.accept_token(token)
        assert free.accept_token(token)
        text += vocabulary.tokens[token] or b""


def test_a_name_behind_the_end_of_a_string() -> None:
    tokens = [b'","a"', b'","b"', b'x","a":']
    matcher = Matcher(byte_compiler(tokens).compile_json_schema({"type": "object"}))
    vocabulary = matcher.compiled.vocabulary.tokens
    for text, free in ((b'{"a":"', {b'","b"'}), (b'x","b":"', set()), (b'","c":{"x":"', set(tokens))):
        assert matcher.accept_bytes(text)
        offered = {vocabulary[token] for token in matcher.allowed_token_ids()}
        assert offered.intersection(tokens) == free
        assert {token for token in tokens if matcher.fork().accept_bytes(token)} == free


def test_forced_names_are_jumped_over(nasty: GrammarCompiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "FEW", 0)
    matcher = Matcher(nasty.compile_json_schema(named("^a[cd]$", minProperties=2), **OPTIONS))
    assert matcher.accept_bytes(b'{"ac":0')
    assert matcher.jump_forward_bytes() == b',"ad":'
    assert matcher.accept_bytes(b',"ad":0')
    assert matcher.jump_forward_bytes() == b"}"


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "object", "minProperties": 2}, ['{"a":1,"b":2}'], ["{}", '{"a":1}', '{"a":1,"a":1}']),
        ({"type": "object", "not": {"maxProperties": 1}}, ['{"a":1,"b":2}'], ['{"a":1}', '{"a":1,"a":1}']),
        (
            {"type": "object", "not": {"additionalProperties": {"type": "integer"}}},
            ['{"a":1,"b":"x"}', '{"a":null}'],
            ["{}", '{"a":1}', '{"a":"x","a":1}'],
        ),
        (
            {"type": "object", "not": {"patternProperties": {"^x": {"maximum": 3}}}},
            ['{"x":4}', '{"x1":1,"x2":7}'],
            ["{}", '{"y":9}', '{"x":1}', '{"x":9,"x":1}'],
        ),
    ],
)
def test_what_distinct_names_allow(schema: Schema, valid: list[str], invalid: list[str]) -> None:
    compiled = byte_compiler().compile_json_schema(schema, property_order="any")
    for text in [*valid, *invalid]:
        assert accepts(compiled, text.encode()) == (text in valid), text


def test_more_properties_than_there_are_names_is_unsatisfiable() -> None:
    compiler = byte_compiler()
    schema = named("^[a-z]{2}$")
    compiler.compile_json_schema(schema | {"minProperties": 676})
    with pytest.raises(UnsatisfiableGrammarError):
        compiler.compile_json_schema(schema | {"minProperties": 677})


def test_a_class_of_names_is_used_up() -> None:
    """676 names, then the object must end; before that, beginnings of names that are used up are not offered."""
    compiler = byte_compiler([b',"', b',"a'])
    matcher = Matcher(compiler.compile_json_schema(named("^[a-z]{2}$"), **OPTIONS))
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [a + b for a in letters for b in letters]
    tokens = compiler.vocabulary.tokens

    def offered() -> set[bytes | None]:
        return {tokens[token] for token in matcher.allowed_token_ids()}

    assert matcher.accept_bytes(b"{" + b",".join(b'"%s":0' % name.encode() for name in names[:26]))
    assert offered() == {b",", b',"', b"}"}
    assert matcher.accept_bytes(b',"')
    assert b"a" not in offered()
    assert b"b" in offered()
    matcher.rollback(1)
    assert matcher.accept_bytes(b"," + b",".join(b'"%s":0' % name.encode() for name in names[26:]))
    assert offered() == {b"}"}
    assert not matcher.accept_bytes(b",")


@given(st.text(min_size=1), st.data())
def test_reading_the_beginning_of_a_string(text: str, data: st.DataObject) -> None:
    """However a string is spelled, and wherever its spelling is cut, its value begins with what has been read."""
    raw = b"".join(data.draw(st.sampled_from(spellings(char))) for char in text)
    assert json_text.text_of(raw) == text.encode()
    value, tail = json_text.split(raw[: data.draw(st.integers(0, len(raw)))])
    assert text.encode().startswith(value)
    if tail:
        following = text.encode()[len(value) :].decode()[0]
        assert any(way.startswith(tail) and way != tail for way in spellings(following))
