"""Structural tags: what is refused and where, special tokens, stop tokens, JSON beside free text, caching."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import MOST_TOKEN_SETS, GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    GrammarSyntaxError,
    InvalidSchemaError,
    LimitExceededError,
    SchemaNotEnforcedWarning,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.frontends.structural_tag.closed_schemas import needs_no_guard
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.integrations.served_matcher import ServedMatcher
from grammar_engine.matcher import Matcher
from grammar_engine.speculation import jump_forward_tokens

CALL, END, STOP, TOOLS = 256, 257, 258, 259
WORDS = [b"<|call|>", b'{"a":', b'":1}', b"[TOOLS]"]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens: list[bytes | None] = [bytes([byte]) for byte in range(256)]
    names = {"<|call|>": CALL, "<|end|>": END, "<|stop|>": STOP, "[TOOLS]": TOOLS}
    vocabulary = Vocabulary([*tokens, None, None, None, None, *WORDS], stop_token_ids=[STOP], special_tokens=names)
    return GrammarCompiler(vocabulary, cache_dir="", prepare=False)


def wrapped(tag: Any) -> dict[str, Any]:
    return {"type": "structural_tag", "format": tag}


def tag(begin: Any, content: Any, end: Any) -> dict[str, Any]:
    return {"type": "tag", "begin": begin, "content": content, "end": end}


ARGUMENT = {"type": "json_schema", "json_schema": {"properties": {"a": {}}}}
INTEGER = {"type": "json_schema", "json_schema": {"type": "integer"}}
OPEN = {"type": "json_schema", "json_schema": {"type": "object"}}
ANY = {"type": "any_text"}
SIMPLE = {"type": "triggered_tags", "triggers": ["<"], "tags": [tag("<a>", INTEGER, "</a>")]}

REFUSED: list[tuple[Any, type[GrammarEngineError], str]] = [
    ({"type": "structural_tag"}, InvalidSchemaError, "(at the root)"),
    ({"type": "other", "format": ANY}, InvalidSchemaError, "(at /type)"),
    ({"type": "structural_tag", "format": ANY, "x": 1}, UnsupportedGrammarError, "/x"),
    ({"type": "structural_tag", "structures": [], "triggers": ["<"]}, InvalidSchemaError, "/structures"),
    ("[", InvalidSchemaError, "not JSON"),
    (wrapped([]), InvalidSchemaError, "(at /format)"),
    (wrapped({}), InvalidSchemaError, "'type' is missing"),
    (wrapped({"type": "text"}), UnsupportedGrammarError, "/format"),
    (wrapped({"type": "exclude_token"}), UnsupportedGrammarError, "exclude the text"),
    (wrapped({"type": "any_text", "max_tokens": 5}), UnsupportedGrammarError, "/format/max_tokens"),
    (wrapped({"type": "any_text", "max_chars": -1}), InvalidSchemaError, "/format/max_chars"),
    (wrapped({"type": "any_text", "excludes": [""]}), InvalidSchemaError, "/format/excludes/0"),
    (wrapped({"type": "any_text", "excludes": "x"}), InvalidSchemaError, "/format/excludes"),
    (wrapped({"type": "const_string", "value": 1}), InvalidSchemaError, "/format/value"),
    (wrapped({"type": "const_string", "value": "\ud800"}), InvalidSchemaError, "/format/value"),
    (wrapped({"type": "const_string", "value": "a", "b": 1}), UnsupportedGrammarError, "/format/b"),
    (wrapped({"type": "sequence", "elements": []}), InvalidSchemaError, "/format/elements"),
    (wrapped({"type": "or", "elements": [ANY, {"type": "x"}]}), UnsupportedGrammarError, "/format/elements/1"),
    (wrapped({"type": "repeat", "min": 2, "max": 1, "content": ANY}), InvalidSchemaError, "/format"),
    (wrapped({"type": "repeat", "min": 0, "max": 1 << 20, "content": ANY}), UnsupportedGrammarError, "/format"),
    (wrapped({**SIMPLE, "triggers": []}), InvalidSchemaError, "/format/triggers"),
    (wrapped({**SIMPLE, "tags": []}), InvalidSchemaError, "/format/tags"),
    (wrapped({**SIMPLE, "triggers": ["x"]}), InvalidSchemaError, "/format/tags/0"),
    (wrapped({**SIMPLE, "triggers": ["<", "x"]}), InvalidSchemaError, "/format/triggers/1"),
    (wrapped({**SIMPLE, "at_least_one": 1}), InvalidSchemaError, "/format/at_least_one"),
    (wrapped({**SIMPLE, "excludes": ["<"]}), UnsatisfiableGrammarError, "/format/triggers/0"),
    (wrapped(tag("<", INTEGER, [])), InvalidSchemaError, "/format/end"),
    (wrapped(tag({"type": "token", "token": "a"}, INTEGER, "")), UnsupportedGrammarError, "/format/begin/token"),
    (wrapped({"type": "token", "token": 65}), UnsupportedGrammarError, "write it as a string"),
    (wrapped({"type": "token", "token": True}), InvalidSchemaError, "/format/token"),
    (wrapped({"type": "regex", "pattern": "("}), GrammarSyntaxError, "/format/pattern"),
    (wrapped({"type": "regex", "pattern": "(?!)"}), UnsatisfiableGrammarError, "/format/pattern"),
    (wrapped({"type": "grammar", "grammar": "start: 'a'"}), GrammarSyntaxError, "/format/grammar"),
    (wrapped({"type": "grammar", "grammar": "'a'"}), UnsupportedGrammarError, "/format/grammar"),
    (wrapped({"type": "grammar", "grammar": "start: /a(?=b)/"}), UnsupportedGrammarError, "/format/grammar"),
    (wrapped({"type": "grammar", "grammar": 'start: "a"', "parser": "ll"}), UnsupportedGrammarError, "/format/grammar"),
    (wrapped({"type": "grammar", "grammar": 'root ::= "a"', "start": "root"}), GrammarSyntaxError, "/format/grammar"),
    (wrapped({"type": "grammar", "grammar": "root ::= ("}), GrammarSyntaxError, "/format/grammar"),
    (wrapped({"type": "json_schema", "json_schema": 1}), InvalidSchemaError, "/format/json_schema"),
    (wrapped({"type": "json_schema", "json_schema": {"type": "x"}}), InvalidSchemaError, "/format/json_schema/type"),
    (wrapped({"type": "json_schema", "json_schema": False}), UnsatisfiableGrammarError, "/format/json_schema"),
    (wrapped({**INTEGER, "style": "toml"}), UnsupportedGrammarError, "/format/style"),
    (wrapped({**INTEGER, "style": "qwen_xml", "any_order": True}), UnsupportedGrammarError, "/format/any_order"),
    (wrapped({**ARGUMENT, "style": "cohere_xml", "excludes": ["a"]}), UnsupportedGrammarError, "/format/excludes"),
    (wrapped({**ARGUMENT, "style": "kimi_k3_xml"}), UnsupportedSchemaError, "writes down the type"),
    (wrapped({**ARGUMENT, "style": "qwen_xml", "excludes": ["x"]}), UnsupportedSchemaError, "without texts in it"),
    (wrapped({**INTEGER, "excludes": ["a"]}), UnsupportedGrammarError, "/format/excludes"),
    (
        wrapped({"type": "json_schema", "json_schema": {"properties": {"a": {"minimum": "x"}}}}),
        InvalidSchemaError,
        "/format/json_schema/properties/a/minimum",
    ),
    (
        wrapped({"type": "json_schema", "style": "qwen_xml", "json_schema": {"type": "object", "minProperties": 1}}),
        UnsupportedSchemaError,
        "/format/json_schema/minProperties",
    ),
    # Where a JSON value that must be guarded begins cannot be told from other text.
    (wrapped({"type": "sequence", "elements": [ANY, OPEN]}), UnsupportedGrammarError, "/format/elements/1/json_schema"),
    (wrapped({"type": "or", "elements": [ANY, OPEN]}), UnsupportedGrammarError, "/format/elements/1/json_schema"),
    (
        wrapped({"type": "or", "elements": [tag("<", OPEN, ">"), tag("<", ANY, ">")]}),
        UnsupportedGrammarError,
        "/format/elements/0/content/json_schema",
    ),
]


@pytest.mark.parametrize(("given", "kind", "said"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_is_refused(given: Any, kind: type[GrammarEngineError], said: str, compiler: GrammarCompiler) -> None:
    with pytest.raises(kind) as caught:
        compiler.compile_structural_tag(given)
    assert said in str(caught.value)


def test_options_that_make_no_sense(compiler: GrammarCompiler) -> None:
    with pytest.raises(ValueError, match="special_tokens"):
        compiler.compile_structural_tag(wrapped(ANY), special_tokens="names")
    deep: Any = ANY
    for _ in range(3000):
        deep = {"type": "optional", "content": deep}
    with pytest.raises(LimitExceededError):
        compiler.compile_structural_tag(wrapped(deep))


def test_a_closed_schema_may_follow_free_text(compiler: GrammarCompiler) -> None:
    closed = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    elements = [ANY, {"type": "json_schema", "json_schema": closed}]
    compiled = compiler.compile_structural_tag(wrapped({"type": "sequence", "elements": elements}))
    for text, expected in ((b'so: {"a": 1}', True), (b'{"a": 1}', True), (b'{{"b": 1}', False), (b"{{}", True)):
        matcher = Matcher(compiled)
        assert matcher.accept_bytes(text)
        assert matcher.is_accepting() == expected


def run(compiled: Any, tokens: list[int | bytes]) -> Matcher | None:
    """A matcher behind tokens, given as ids, or as text, byte by byte; None where one is refused."""
    matcher = Matcher(compiled)
    for token in tokens:
        for token_id in [token] if isinstance(token, int) else token:
            allowed = token_id in matcher.allowed_token_ids()
            assert matcher.validate_tokens([token_id]) == int(allowed)
            if not matcher.accept_token(token_id):
                assert not allowed
                return None
            assert allowed
    return matcher


CALLS = {"type": "triggered_tags", "triggers": ["<|call|>"], "tags": [tag("<|call|>f:", INTEGER, "<|end|>")]}


def test_a_special_token_in_a_literal_is_the_token(compiler: GrammarCompiler) -> None:
    compiled = compiler.compile_structural_tag(wrapped(CALLS))
    good = run(compiled, [b"hello ", CALL, b"f:12", END, b" and", CALL, b"f:3", END])
    assert good is not None
    assert good.is_accepting()
    assert run(compiled, [b"x", CALL, b"g"]) is None
    assert run(compiled, [b"x", END]) is None  # special tokens are not free text
    assert run(compiled, [b"x", CALL, b"f:12", b"<|end|>"]) is None
    # Its letters are no trigger, and would look like one.
    assert run(compiled, [b"x<|call|>"]) is None
    assert run(compiled, [b"x", compiler.vocabulary.tokens.index(b"<|call|>")]) is None
    assert run(compiled, [b"x<|call|"]) is not None
    text = run(compiled, [CALL, b"f:1"])
    assert text is not None
    assert not text.accept_bytes(b"<|end|>")


@pytest.mark.parametrize(
    ("mode", "tokens", "letters"), [("tokens", True, False), ("letters", False, True), ("either", True, True)]
)
def test_modes_of_special_tokens(mode: str, tokens: bool, letters: bool, compiler: GrammarCompiler) -> None:
    compiled = compiler.compile_structural_tag(wrapped(CALLS), special_tokens=mode)
    assert (run(compiled, [b"x", CALL, b"f:1", END]) is not None) == tokens
    assert (run(compiled, [b"x<|call|>f:1<|end|>y"]) is not None) == letters
    assert run(compiled, [b"x<|call|>g"]) is None
    assert (run(compiled, [b"x", CALL, b"f:1<|end|>"]) is not None) == (mode == "either")


def test_tokens_as_formats(compiler: GrammarCompiler) -> None:
    made = {
        "type": "sequence",
        "elements": [{"type": "token", "token": "<|call|>"}, ANY, {"type": "token", "token": END}],
    }
    compiled = compiler.compile_structural_tag(wrapped(made))
    found = run(compiled, [CALL, b"<|call|> x", END])
    assert found is not None
    assert found.is_accepting()
    assert run(compiled, [b"x"]) is None
    by_token = {
        "type": "token_triggered_tags",
        "trigger_tokens": [CALL, "[TOOLS]"],
        "tags": [
            tag({"type": "token", "token": CALL}, INTEGER, {"type": "token", "token": END}),
            tag({"type": "token", "token": TOOLS}, ANY, ""),
        ],
        "exclude_tokens": ["<|end|>"],
    }
    compiled = compiler.compile_structural_tag(wrapped(by_token))
    assert run(compiled, [b"x<|call|>", CALL, b"1", END, b"x", TOOLS, b"anything"]) is not None
    assert run(compiled, [CALL, b"x"]) is None
    dispatch = {"type": "token_dispatch", "rules": [[CALL, INTEGER]], "loop": False}
    compiled = compiler.compile_structural_tag(wrapped(dispatch))
    assert run(compiled, [b"x", CALL, b"1"]) is not None
    assert run(compiled, [b"x", CALL, b"1", b"x"]) is None


def test_text_before_a_special_token_in_a_trigger(compiler: GrammarCompiler) -> None:
    made = {"type": "triggered_tags", "triggers": ["ab<|call|>c"], "tags": [tag("ab<|call|>cd", INTEGER, ".")]}
    compiled = compiler.compile_structural_tag(wrapped(made))
    assert run(compiled, [b"xab", CALL, b"cd1.ab"]) is not None
    assert run(compiled, [b"aab", CALL, b"cd1.ab"]) is not None
    for wrong in ([b"xa", CALL], [CALL], [b"ab", CALL, b"d"], [b"ab", CALL, b"cc"]):
        assert run(compiled, wrong) is None  # type: ignore[arg-type]


def test_a_stop_token_in_a_tag_ends_the_text(compiler: GrammarCompiler) -> None:
    made = {"type": "or", "elements": [tag("f:", INTEGER, "<|stop|>"), tag("t:", ANY, "")]}
    compiled = compiler.compile_structural_tag(wrapped(made))
    matcher = run(compiled, [b"f:1"])
    assert matcher is not None
    assert not matcher.is_accepting()
    assert matcher.accept_token(STOP)
    assert matcher.is_terminated()
    assert matcher.allowed_token_ids().tolist() == [STOP]
    assert not matcher.accept_token(65)
    matcher.rollback(1)
    assert not matcher.is_terminated()
    assert matcher.validate_tokens([*b"2", STOP, 65]) == 2
    # In the other branch it ends the text as it does elsewhere.
    matcher = run(compiled, [b"t:x", STOP])
    assert matcher is not None
    assert matcher.is_terminated()
    assert matcher.allowed_token_ids().tolist() == [STOP]
    matcher.rollback(1)
    assert matcher.validate_tokens([*b"y", STOP, STOP]) == 2


def test_special_tokens_stay_out_of_json_and_of_free_text(compiler: GrammarCompiler) -> None:
    made = {"type": "triggered_tags", "triggers": ["[TOOLS]"], "tags": [tag("[TOOLS]", OPEN, "")]}
    compiled = compiler.compile_structural_tag(wrapped(made), max_whitespace=0)
    matcher = run(compiled, [b"x", TOOLS, b'{"a":"[TOOLS]', b'<|call|>"'])
    assert matcher is not None
    special = {CALL, END, STOP, TOOLS}
    assert special.isdisjoint(matcher.allowed_token_ids().tolist())
    assert matcher.accept_bytes(b"}")
    assert special.intersection(matcher.allowed_token_ids().tolist()) == {STOP, TOOLS}


def test_equal_tags_are_compiled_once(compiler: GrammarCompiler) -> None:
    made = wrapped(SIMPLE)
    first = compiler.compile_structural_tag(made)
    assert compiler.compile_structural_tag(json.loads(json.dumps(made))) is first
    assert compiler.compile_structural_tag(made, special_tokens="letters") is not first


def test_what_is_left_out_is_told_with_its_place(compiler: GrammarCompiler) -> None:
    unsupported = {"type": "object", "properties": {"a": {"pattern": "(a)\\1"}}}
    made = wrapped(tag("<", {"type": "json_schema", "json_schema": unsupported}, ">"))
    place = "/format/content/json_schema/properties/a/pattern"
    with pytest.raises(UnsupportedSchemaError, match=place):
        compiler.compile_structural_tag(made)
    with pytest.warns(SchemaNotEnforcedWarning, match=place):
        compiled = compiler.compile_structural_tag(made, on_unsupported="warn")
    assert [left_out.pointer for left_out in compiled.not_enforced] == [place]


def test_forced_text_ends_before_a_special_token(compiler: GrammarCompiler) -> None:
    compiled = compiler.compile_structural_tag(wrapped(CALLS))
    matcher = run(compiled, [b"x", CALL])
    assert matcher is not None
    assert matcher.jump_forward_bytes() == b"f:"
    only = {"type": "sequence", "elements": [{"type": "const_string", "value": "ab<|call|>cd"}, INTEGER]}
    matcher = Matcher(compiler.compile_structural_tag(wrapped(only)))
    assert matcher.jump_forward_bytes() == b"ab"
    assert jump_forward_tokens(matcher, [], str.encode) == (0, [*b"ab"])
    for token in [*b"ab", CALL]:
        assert matcher.accept_token(token)
    assert jump_forward_tokens(matcher, [*b"ab", CALL], str.encode) == (3, [*b"cd"])


def test_stop_tokens_of_a_request(compiler: GrammarCompiler) -> None:
    """A host that ends texts at a token which the grammar has itself."""
    made = {"type": "or", "elements": [tag("f:", INTEGER, "<|stop|>"), tag("t:", ANY, "")]}
    compiled = compiler.compile_structural_tag(wrapped(made))
    served = ServedMatcher(compiled, [STOP, END])
    for token in b"f:1":
        assert served.accept(token)
    assert served.validate([STOP, STOP]) == 1
    bitmask = np.zeros((1, 9), np.int32)
    served.fill(bitmask, 0)
    bits = np.unpackbits(bitmask.view(np.uint8), bitorder="little")
    assert bits[STOP]
    assert not bits[END]
    assert not served.accept(END)
    assert served.accept(STOP)
    assert served.is_terminated()
    served.rollback(1)
    assert not served.is_terminated()
    assert served.fork().accept(ord("t"))
    served.reset()
    for token in b"t:x":
        assert served.accept(token)
    for end in (END, STOP):
        served.fill(bitmask, 0)
        assert int(bitmask[0, end >> 5]) >> (end & 31) & 1
        assert served.accept(end)
        assert served.is_terminated()
        served.rollback(1)


OBJECT = {"type": "object", "additionalProperties": False}
CLOSED: list[Any] = [
    {**OBJECT, "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}}},
    {"anyOf": [{**OBJECT, "properties": {"a": {}}}, {**OBJECT, "properties": {"b": {"type": "null"}}}]},
    {
        "oneOf": [
            {**OBJECT, "properties": {"kind": {"const": kind}, "a": {"type": "boolean"}}, "required": ["kind"]}
            for kind in ("x", "y", "z")
        ]
    },
    {
        "$ref": "#/$defs/n",
        "$defs": {"n": {**OBJECT, "properties": {"n": {"$ref": "#/$defs/n"}, "m": {"enum": [1, "b"]}}}},
    },
    {"type": "array", "items": {**OBJECT, "properties": {"a": {"type": "number"}}}, "maxItems": 3},
]


@pytest.mark.parametrize("number", range(len(CLOSED)))
@pytest.mark.parametrize("order", ["declared", "any"])
def test_closed_schemas_never_ask_for_a_guard(number: int, order: str, compiler: GrammarCompiler) -> None:
    schema = CLOSED[number]
    compiled = compiler.compile_json_schema(schema, property_order=order, max_whitespace=0)
    rng = random.Random(number)
    for _ in range(60):
        matcher = Matcher(compiled)
        for _ in range(40):
            allowed = [token for token in matcher.allowed_token_ids().tolist() if token < 128]
            marks = [token for token in allowed if token in b'{["}],:abknmixyz']
            if not allowed or not matcher.accept_token(rng.choice(marks or allowed)):
                break
    asked = compiled.grammar.guarding
    assert asked is not None
    assert needs_no_guard(schema) == (number != 1)  # {} is any value
    assert bool(asked.names or asked.distinct) == (number == 1)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object"},
        {"type": "array"},
        {"type": ["object", "null"]},
        {"properties": {"a": {"type": "null"}}, "additionalProperties": False},
        {"type": "array", "items": {"type": "null"}, "uniqueItems": True},
        {"type": "array", "items": OBJECT, "prefixItems": [{}]},
        {**OBJECT, "patternProperties": {"a": {}}},
        {**OBJECT, "properties": {"a": {"type": "object"}}},
        {"anyOf": [OBJECT, {"type": "object"}]},
        {"enum": [1, {"a": 1}]},
        {"allOf": [OBJECT]},
    ],
)
def test_other_schemas_may_ask_for_one(schema: Any) -> None:
    assert not needs_no_guard(schema)


def test_without_a_guard_free_text_may_look_like_json(compiler: GrammarCompiler) -> None:
    made = {"type": "sequence", "elements": [ANY, {"type": "json_schema", "json_schema": CLOSED[0]}]}
    compiled = compiler.compile_structural_tag(wrapped(made))
    assert compiled.guard is None
    matcher = Matcher(compiled)
    assert matcher.accept_bytes(b'{"a":"x","a":"x"}}]] {"a":"x"}')
    assert matcher.is_accepting()


def test_vocabularies_for_special_tokens_are_bounded() -> None:
    """More sets of special tokens than a compiler keeps; those that went are made again, and mean the same."""
    names = [f"<t{i}>" for i in range(MOST_TOKEN_SETS + 3)]
    vocabulary = Vocabulary(
        [*(bytes([byte]) for byte in range(256)), *[None] * (len(names) + 1)],
        stop_token_ids=[256 + len(names)],
        special_tokens={name: 256 + i for i, name in enumerate(names)},
    )
    compiler = GrammarCompiler(vocabulary, cache_dir="", cache_size=0)
    for i, name in [*enumerate(names), *enumerate(names)]:
        tag = {"type": "structural_tag", "format": {"type": "const_string", "value": name + "a"}}
        matcher = Matcher(compiler.compile_structural_tag(tag))
        assert matcher.allowed_token_ids().tolist() == [256 + i]
        assert len(compiler._beside) <= MOST_TOKEN_SETS


def test_special_tokens_in_the_tags_of_a_style() -> None:
    names = {"<|open|>": 257, "<|close|>": 258, "<|sep|>": 259}
    vocabulary = Vocabulary(
        [*(bytes([byte]) for byte in range(256)), None, None, None, None],
        stop_token_ids=[256],
        special_token_ids=list(names.values()),
        special_tokens=names,
    )
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    style = {"type": "json_schema", "style": "kimi_k3_xml", "json_schema": schema}
    compiled = GrammarCompiler(vocabulary, cache_dir="").compile_structural_tag(wrapped(style))
    opened = [257, b'argument key="a" type="string"', 259]
    found = run(compiled, [*opened, b"x <|close|", 258, b"argument", 259])
    assert found is not None
    assert found.is_accepting()
    assert run(compiled, [b"<|open|>"]) is None
    assert run(compiled, [*opened, b"x<|close|>argument<|sep|>"]) is None
    assert run(compiled, [*opened, b"x", 257]) is None
