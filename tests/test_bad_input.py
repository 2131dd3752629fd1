"""Bad input: an error of the right class that says what, where and what to do, soon; and nothing is left behind.

What ``generate`` makes of it is in test_api.py, broken tokenizer files are in test_tokenizers.py.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    GrammarSyntaxError,
    InvalidSchemaError,
    LimitExceededError,
    TokenizerError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.dead_end import dead_end
from grammar_engine.matcher import Matcher

BYTES: list[bytes | None] = [bytes([byte]) for byte in range(256)]
STOP = 256
PATIENCE = 2.0  # seconds of CPU time within which anything must be refused


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(Vocabulary([*BYTES, None], stop_token_ids=[STOP]), cache_dir="")


@pytest.fixture
def healthy(compiler: GrammarCompiler) -> Any:
    """A matcher in the middle of a text; afterwards it, its grammar and the compiler must be as they were."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}, "required": ["a"]}
    matcher = Matcher(compiler.compile_json_schema(schema))
    assert matcher.accept_bytes(b'{"a": "b')
    before = matcher.allowed_token_ids().tolist()
    cached = list(compiler._cache)
    yield matcher
    assert list(compiler._cache) == cached, "what was refused is not kept"
    assert matcher.allowed_token_ids().tolist() == before
    assert matcher.accept_bytes(b'c"}')
    assert matcher.is_accepting()
    again = Matcher(compiler.compile_regex(f"x{time.monotonic_ns()}"))
    assert again.allowed_token_ids().tolist() == [ord("x")]


def refused(make: Callable[[], object], kind: type[Exception]) -> Any:
    """The error, which must be of exactly this class, readable, and there in time."""
    began = time.thread_time()
    with pytest.raises(kind) as caught:
        make()
    assert time.thread_time() - began < PATIENCE
    error = caught.value
    assert type(error) is kind
    message = str(error)
    assert message.isprintable() or "\n" in message
    assert 10 < len(message) < 1000
    assert max(map(len, message.splitlines())) < 400
    assert "Traceback" not in message
    assert "0x" not in message, "no object addresses"
    return error


def nested(schema: Any, keyword: str, depth: int) -> Any:
    for _ in range(depth):
        schema = {keyword: [schema] if keyword == "allOf" else schema}
    return schema


ENDLESS = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]}


# -- JSON Schema ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "pointer", "words"),
    [
        ({"type": "strin"}, "/type", "'strin'"),
        ({"properties": {"a/b": {"items": {"type": ["string", "x"]}}}}, "/properties/a~1b/items/type", "x"),
        ({"type": 3}, "/type", "3"),
        ({"properties": ["a"]}, "/properties", "object of schemas"),
        ({"properties": {"a": 1}}, "/properties/a", "schema"),
        ({"required": "a"}, "/required", "required"),
        ({"enum": 1}, "/enum", "enum"),
        ({"minLength": -1}, "/minLength", "not negative"),
        ({"maxItems": 1.5}, "/maxItems", "whole number"),
        ({"minimum": "1"}, "/minimum", "number"),
        ({"multipleOf": 0}, "/multipleOf", "greater than zero"),
        ({"pattern": "a("}, "/pattern", "missing )"),
        ({"items": {"pattern": 3}}, "/items/pattern", "string"),
        ({"patternProperties": {"[": {}}}, "/patternProperties/[", "unterminated"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "/properties/a/$ref", "#/$defs/missing"),
        ({"$ref": 3}, "/$ref", "string"),
        ({"allOf": []}, "/allOf", "allOf"),
        ({"anyOf": {}}, "/anyOf", "anyOf"),
        (3, "", "int"),
        ([], "", "list"),
        ("{", "", "not JSON"),
        ("[1]", "", "list"),
        (b"{}", "", "bytes"),
        ({"enum": {1}}, "", "set"),
        ({"maximum": float("nan")}, "", "JSON"),
        ({"const": float("inf")}, "", "JSON"),
        ('{"minimum": 1e999}', "", "1e999"),
        ('{"const": NaN}', "", "NaN"),
    ],
)
def test_malformed_schemas(compiler: GrammarCompiler, healthy: Matcher, schema: Any, pointer: str, words: str) -> None:
    error = refused(lambda: compiler.compile_json_schema(schema), InvalidSchemaError)
    assert error.pointer == pointer
    assert words in error.reason


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "string"}]}}},
        {"not": {"$ref": "#"}},
        {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
    ],
)
def test_a_schema_that_refers_to_itself_without_reading(
    compiler: GrammarCompiler, healthy: Matcher, schema: Any
) -> None:
    error = refused(lambda: compiler.compile_json_schema(schema), InvalidSchemaError)
    assert "refers to itself" in error.reason


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"not": {}},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "string", "minLength": 5, "maxLength": 3},
        {"type": "string", "pattern": r"^[^\s\S]$"},
        {"type": "string", "pattern": "^a+$", "enum": ["b", "ab"]},
        {"type": "integer", "minimum": 2, "exclusiveMaximum": 3, "multipleOf": 5},
        {"type": "array", "items": False, "minItems": 1},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "object", "required": ["b"], "properties": {"a": {}}, "additionalProperties": False},
        {"type": "object", "properties": {"a": {}}, "required": ["a"], "maxProperties": 0},
        {"$ref": "#/$defs/a", "$defs": {"a": ENDLESS}},
        {"oneOf": [{"type": "integer"}, {"type": "integer"}]},
        {"const": 3, "type": "string"},
    ],
    ids=json.dumps,
)
def test_schemas_that_nothing_satisfies(compiler: GrammarCompiler, healthy: Matcher, schema: Any) -> None:
    error = refused(lambda: compiler.compile_json_schema(schema), UnsatisfiableGrammarError)
    assert error.why
    assert error.place


@pytest.mark.parametrize(
    ("schema", "keyword", "pointer"),
    [
        ({"$ref": "https://example.com/a.json"}, "$ref", "/$ref"),
        ({"$schema": "https://example.com/draft"}, "$schema", "/$schema"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "pattern", "/properties/a/pattern"),
    ],
)
def test_keywords_that_are_not_enforced(
    compiler: GrammarCompiler, healthy: Matcher, schema: Any, keyword: str, pointer: str
) -> None:
    error = refused(lambda: compiler.compile_json_schema(schema), UnsupportedSchemaError)
    assert keyword in error.keyword
    assert error.pointer == pointer
    assert error.advice


@pytest.mark.parametrize("keyword", ["items", "allOf", "not", "additionalProperties", "const"])
def test_a_schema_that_is_too_deep(compiler: GrammarCompiler, healthy: Matcher, keyword: str) -> None:
    schema = nested(True, keyword, 10_000)
    error = refused(lambda: compiler.compile_json_schema(schema), LimitExceededError)
    assert "nested too deeply" in str(error)
    assert error.limit


@pytest.mark.parametrize("keyword", ["items", "allOf", "not", "additionalProperties", "anyOf", "oneOf"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_deep_schema(compiler: GrammarCompiler, keyword: str, as_text: bool) -> None:
    schema: Any = {"type": "null"}
    for _ in range(1000):
        schema = {keyword: [schema] if keyword.endswith("Of") else schema}
    matcher = Matcher(compiler.compile_json_schema(_written(schema) if as_text else schema))
    wrong = keyword not in ("items", "additionalProperties")
    assert matcher.accept_bytes(b'"a"') != wrong


def test_a_deep_schema_of_required_parts(compiler: GrammarCompiler) -> None:
    schema: Any = {"type": "null"}
    for _ in range(1000):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    matcher = Matcher(compiler.compile_json_schema(schema))
    assert matcher.accept_bytes(b'{"a":' * 1000 + b"null" + b"}" * 1000)
    assert matcher.is_accepting()


def _written(schema: Any) -> str:
    """JSON text of schemas that hold one other; ``json`` cannot write them."""
    parts: list[str] = []
    ends: list[str] = []
    while schema != {"type": "null"}:
        ((keyword, schema),) = schema.items()
        parts.append(f'{{"{keyword}": ')
        ends.append("}")
        if isinstance(schema, list):
            (schema,) = schema
            parts.append("[")
            ends.append("]}")
            ends.pop(-2)
    return "".join(parts) + '{"type": "null"}' + "".join(reversed(ends))


def test_a_deep_schema_as_text(compiler: GrammarCompiler, healthy: Matcher) -> None:
    text = '{"items":' * 10_000 + "true" + "}" * 10_000
    refused(lambda: compiler.compile_json_schema(text), LimitExceededError)


def test_a_schema_of_a_sensible_depth(compiler: GrammarCompiler) -> None:
    schema = nested({"type": "null"}, "items", 100)
    matcher = Matcher(compiler.compile_json_schema(schema | {"type": "array"}))
    assert matcher.accept_bytes(b"[" * 100 + b"null" + b"]" * 100)
    assert matcher.is_accepting()


def test_a_data_structure_that_holds_itself(compiler: GrammarCompiler, healthy: Matcher) -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"a": schema}
    refused(lambda: compiler.compile_json_schema(schema), InvalidSchemaError)


def test_a_schema_that_is_changed_later(compiler: GrammarCompiler) -> None:
    """Rules are expanded on demand; they are those of the schema as it was given."""
    schema: dict[str, Any] = {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "null"}}}}
    matcher = Matcher(compiler.compile_json_schema(schema))
    schema["items"]["properties"]["a"]["type"] = "string"
    assert matcher.accept_bytes(b'[{"a": n')


@pytest.mark.parametrize("maximum", [2**31 - 1, 2**31, 2**32 - 1, 10**12, 10**30])
def test_a_length_that_means_no_limit(compiler: GrammarCompiler, maximum: int) -> None:
    matcher = Matcher(compiler.compile_json_schema({"type": "string", "maxLength": maximum}))
    assert matcher.accept_bytes(b'"' + b"a" * 1000 + b'"')
    assert matcher.is_accepting()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**12},
        {"type": "string", "pattern": "^((a{0,1000}b){0,1000}c){0,1000}$"},
        {"type": "string", "pattern": "^a{3000000000}$"},
    ],
)
def test_counts_beyond_reason_in_schemas(compiler: GrammarCompiler, healthy: Matcher, schema: Any) -> None:
    error = refused(lambda: compiler.compile_json_schema(schema), LimitExceededError)
    assert error.limit


@pytest.mark.parametrize(
    "options",
    [{"property_order": "sorted"}, {"indent": -1}, {"separators": ("a", "b")}, {"separators": (",",)}],
)
def test_options_that_make_no_sense(compiler: GrammarCompiler, healthy: Matcher, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        compiler.compile_json_schema({}, **options)


# -- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "line", "column"),
    [
        ("a(b", 1, 2),
        ("ab\ncd[", 2, 3),
        ("*a", 1, 1),
        ("a{3,2}", 1, 3),
        (r"ab\q", 1, 3),
        ("(?P<a>x)(?P<a>y)", 1, 13),
        ("a" * 5_000 + "(", 1, 5_001),
        ("(?<=a+)b", 1, 1),
        ("a{99999999999}", 1, 1),
    ],
)
def test_malformed_patterns(compiler: GrammarCompiler, healthy: Matcher, pattern: str, line: int, column: int) -> None:
    error = refused(lambda: compiler.compile_regex(pattern), GrammarSyntaxError)
    assert (error.line, error.column) == (line, column)
    assert error.source == pattern
    *_, shown, caret = str(error).splitlines()
    assert caret.strip() == "^"
    assert shown[len(caret) - 1] == pattern.splitlines()[line - 1][column - 1], "the caret points at the character"


@pytest.mark.parametrize(
    ("pattern", "construct"),
    [
        (r"(a)\1", "back-reference"),
        (r"(?P<x>a)(?P=x)", "back-reference"),
        (r"(a)?(?(1)b|c)", "conditional"),
        (r"(?>a|ab)c", "atomic"),
        (r"a++b", "possessive"),
    ],
)
def test_unsupported_patterns(compiler: GrammarCompiler, healthy: Matcher, pattern: str, construct: str) -> None:
    if construct in ("atomic", "possessive") and not hasattr(__import__("re"), "NOFLAG"):
        pytest.skip("this Python's patterns do not know it")
    error = refused(lambda: compiler.compile_regex(pattern), UnsupportedGrammarError)
    assert construct in error.construct
    assert repr(pattern) in error.place
    assert error.advice


@pytest.mark.parametrize("pattern", [r"[^\s\S]", r"a[^\W\w]b|[^\d\D]", r"(?=b)a", r"(?<=a)b", r"a(?!)", "\ud800"])
def test_patterns_that_match_nothing(compiler: GrammarCompiler, healthy: Matcher, pattern: str) -> None:
    error = refused(lambda: compiler.compile_regex(pattern), UnsatisfiableGrammarError)
    assert repr(pattern) in error.place


@pytest.mark.parametrize("pattern", ["(" * 5_000 + "a" + ")" * 5_000, "(a{0,100000}b?){0,100000}", "a{3000000000}"])
def test_patterns_beyond_reason(compiler: GrammarCompiler, healthy: Matcher, pattern: str) -> None:
    error = refused(lambda: compiler.compile_regex(pattern), LimitExceededError)
    assert error.limit


@pytest.mark.parametrize("pattern", ["a{0,100000}", "(ab|c){100000}", "x[a-z]{50000,}y", r"(\w{1,30} ){0,2000}"])
def test_large_counts_are_no_trouble(compiler: GrammarCompiler, pattern: str) -> None:
    began = time.thread_time()
    matcher = Matcher(compiler.compile_regex(pattern))
    assert len(matcher.allowed_token_ids())
    assert time.thread_time() - began < PATIENCE


@pytest.mark.parametrize("pattern", [None, 3, b"a"])
def test_a_pattern_is_a_str(compiler: GrammarCompiler, healthy: Matcher, pattern: Any) -> None:
    with pytest.raises(TypeError, match="str"):
        compiler.compile_regex(pattern)


# -- Lark grammars, choices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("start: (", 1),
        ('start: "a"\nb: c ]\n', 2),
        ("start: foo", 1),
        ('foo: "a"', 1),
        ("", 1),
        ("start: /a(/", 1),
        ("start: A\n\nA: /a*/", 3),
        ("start: X\n%import nowhere.X", 2),
        ('start: A\nA: A "a"', 2),
    ],
)
def test_malformed_lark_grammars(compiler: GrammarCompiler, healthy: Matcher, source: str, line: int) -> None:
    error = refused(lambda: compiler.compile_lark(source), GrammarSyntaxError)
    assert error.line == line
    assert error.column >= 1


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ('start: "a"', {"parser": "x"}),
        ('start: "a"', {"lexer": "x"}),
        ("start: A\nA: /(a)\\1/", {}),
        ('start: "a" B\nB: /(?<=aa)b/', {}),
        ('start: "a"', {"postlex": object}),
    ],
)
def test_unsupported_lark_grammars(
    compiler: GrammarCompiler, healthy: Matcher, source: str, options: dict[str, Any]
) -> None:
    error = refused(lambda: compiler.compile_lark(source, **options), UnsupportedGrammarError)
    assert error.place
    assert error.advice


@pytest.mark.parametrize("source", ['start: "a" start', 'start: a b\na: "x"\nb: b "y" | "z" b'])
def test_lark_grammars_without_a_text(compiler: GrammarCompiler, healthy: Matcher, source: str) -> None:
    refused(lambda: compiler.compile_lark(source), UnsatisfiableGrammarError)


def test_a_deep_lark_grammar(compiler: GrammarCompiler, healthy: Matcher) -> None:
    source = "start: " + "(" * 3_000 + '"a"' + ")" * 3_000
    refused(lambda: compiler.compile_lark(source), LimitExceededError)


def test_choices(compiler: GrammarCompiler, healthy: Matcher) -> None:
    assert refused(lambda: compiler.compile_choices([]), UnsatisfiableGrammarError).place == "choices"
    refused(lambda: compiler.compile_choices(["a", "\ud800"]), GrammarSyntaxError)
    wrong: list[Any] = ["abc", [1], ["a", None], None]
    for choices in wrong:
        with pytest.raises(TypeError):
            compiler.compile_choices(choices)


# -- vocabularies -----------------------------------------------------------------------------------------------------


def test_files_that_are_no_tokenizers(tmp_path: Path) -> None:
    contents = {
        "object.json": b'{"a": 1}',
        "cut.json": b'{"model": {"vocab": {',
        "list.json": b"[]",
        "cut.json.gz": gzip.compress(b'{"a": 1}')[:12],
        "noise": bytes(range(256)),
        "empty": b"",
        "prose.txt": b"Once upon a time\nthere was\n",
    }
    readers = (Vocabulary.from_huggingface, Vocabulary.from_tiktoken, Vocabulary.from_sentencepiece)
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        for read in readers:
            with pytest.raises(TokenizerError, match=str(path)):
                read(path)
    for read in readers:
        with pytest.raises(TokenizerError, match="nowhere"):
            read(tmp_path / "nowhere")
        with pytest.raises(TokenizerError, match="NoneType"):
            read(None)


def test_vocabularies_beyond_reason() -> None:
    for tokens in ([b"a" * 5_000, b"b"], [b"a"] * 3_000):
        error = refused(lambda tokens=tokens: GrammarCompiler(Vocabulary(tokens), cache_dir=""), LimitExceededError)
        assert error.limit


def without(*missing: bytes) -> GrammarCompiler:
    """A compiler for single bytes, without those that are missing."""
    return GrammarCompiler(
        Vocabulary([None if token in missing else token for token in BYTES] + [None], stop_token_ids=[STOP]),
        cache_dir="",
    )


def test_a_vocabulary_that_lacks_a_byte_allows_the_rest() -> None:
    """The mask holds what is possible, and never anything else; where nothing is, it is empty."""
    matcher = Matcher(without(b"q").compile_regex("aq|ab|q|c"))
    assert [chr(token) for token in matcher.allowed_token_ids()] == ["a", "c"]
    assert matcher.accept_token(ord("a"))
    assert matcher.allowed_token_ids().tolist() == [ord("b")]
    stuck = Matcher(without(b"q").compile_regex("aqb"))
    assert stuck.accept_token(ord("a"))
    assert stuck.allowed_token_ids().tolist() == []
    assert stuck.jump_forward_bytes() == b"qb"


def test_a_dead_end_is_named() -> None:
    error = dead_end(without(b"q", b"\x00").vocabulary, [ord("a"), ord("\n")])
    assert r"b'a\n'" in error.place
    assert "00 71" in error.why


def test_decoding_stops_at_a_dead_end(tiny_model: Any) -> None:
    from grammar_engine.runtime import DecodingRun, Request
    from grammar_engine.sampling import Greedy

    known = tiny_model.vocabulary
    poor = Vocabulary(
        [None if token and b"q" in token else token for token in known.tokens], stop_token_ids=known.stop_token_ids
    )
    for pattern in ("(ab){2}q", "q", "ab(q|q+)"):
        compiled = GrammarCompiler(poor, cache_dir="").compile_regex(pattern)
        for steer in (True, False):
            request = Request(
                prompt_ids=tiny_model.encode("The"), matcher=Matcher(compiled), max_tokens=20, steer=steer
            )
            run = DecodingRun(tiny_model.network, poor, [request], Greedy())
            list(run)
            error = run.outcomes[0].error
            assert isinstance(error, UnsatisfiableGrammarError)
            assert "71" in str(error)


def test_the_logits_processor_stops_at_a_dead_end() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    from grammar_engine.integrations.hf import GrammarLogitsProcessor

    processor = GrammarLogitsProcessor(without(b"q").compile_regex("aqb"))
    prompt = torch.tensor([[1, 2]])
    scores = torch.zeros(1, STOP + 1)
    assert processor(prompt, scores).isfinite().nonzero()[:, 1].tolist() == [ord("a")]
    with pytest.raises(UnsatisfiableGrammarError, match="71"):
        processor(torch.tensor([[1, 2, ord("a")]]), scores)


def test_smollm2_spells_json_but_not_every_character(shared_data: Path) -> None:
    """Its tokens lack some control characters and the first bytes of planes that Unicode has not assigned."""
    vocabulary = Vocabulary.from_huggingface(shared_data / "tokenizers" / "smollm2_tokenizer.json.gz")
    compiler = GrammarCompiler(vocabulary, cache_dir="")
    assert Matcher(compiler.compile_regex("\x04")).allowed_token_ids().tolist() == []
    two = Matcher(compiler.compile_regex("[\x04x]")).allowed_token_ids()
    assert [vocabulary.tokens[token] for token in two] == [b"x"]
    string = Matcher(compiler.compile_json_schema({"type": "string", "pattern": "^\x04\U00050000$"}))
    assert string.accept_bytes(b'"'), "JSON has another way to say it"
    while not string.is_accepting():
        allowed = string.allowed_token_ids()
        assert len(allowed)
        assert string.accept_token(int(allowed[0]))


# -- matchers ---------------------------------------------------------------------------------------------------------


def test_a_matcher_refuses_what_it_cannot_do(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_regex("ab*"))
    assert matcher.accept_bytes(b"a")
    before = matcher.allowed_token_ids().tolist()
    for token in (-1, STOP + 1, 10**9):
        with pytest.raises(IndexError):
            matcher.accept_token(token)
        with pytest.raises(IndexError):
            matcher.validate_tokens([ord("b"), token])
    for count in (-1, 2):
        with pytest.raises(ValueError, match="cannot take back"):
            matcher.rollback(count)
    bitmasks: list[Any] = [np.zeros((1, 8), np.int32), np.zeros((1, 9), np.int64), np.zeros(9, np.int32), None, [0] * 9]
    for bitmask in bitmasks:
        with pytest.raises((ValueError, TypeError)):
            matcher.fill_next_token_bitmask(bitmask)
    with pytest.raises(IndexError):
        matcher.fill_next_token_bitmask(np.zeros((2, 9), np.int32), 2)
    assert not matcher.accept_token(ord("c"))
    assert not matcher.accept_bytes(b"bbc")
    assert matcher.allowed_token_ids().tolist() == before
    assert matcher.num_tokens == 1


def test_every_error_has_one_root() -> None:
    kinds = [GrammarSyntaxError, InvalidSchemaError, LimitExceededError, TokenizerError, UnsatisfiableGrammarError]
    for kind in (*kinds, UnsupportedGrammarError, UnsupportedSchemaError):
        assert issubclass(kind, GrammarEngineError)
