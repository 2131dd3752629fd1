"""Random walks under the mask: never a dead end, and finished texts are accepted by an oracle that we did not write.

A walk takes a number of random tokens, then the known short completion, each of its tokens checked against the mask.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema.validators
import lark
import numpy as np
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import (
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedSchemaError,
)
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.matcher import Matcher


class Walker:
    """A vocabulary, its compiler, and random ways through a grammar."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.compiler = GrammarCompiler(vocabulary, cache_dir="", cache_size=0)
        self._spelling = SpellingTable(vocabulary)
        self._first_byte = np.array([data[0] if data else -1 for data in vocabulary.tokens])
        self._length = np.array([len(data) if data else 1 for data in vocabulary.tokens])

    def texts(self, compiled: CompiledGrammar, seed: object, *, walks: int, steps: int) -> list[str]:
        """Finished texts of so many walks; a walk whose completion is not found is left out."""
        search = CompletionSearch(self._spelling)
        found = (self._walk(Matcher(compiled), search, random.Random(f"{seed} {i}"), steps) for i in range(walks))
        return [text for text in found if text is not None]

    def _walk(self, matcher: Matcher, search: CompletionSearch, rng: random.Random, steps: int) -> str | None:
        text = b""
        for _ in range(rng.randrange(steps)):
            token = self._choose(matcher, rng, text)
            assert matcher.accept_token(token), f"{text!r}: {self.vocabulary.tokens[token]!r} is in the mask only"
            if matcher.is_terminated():
                return text.decode()
            text += self.vocabulary.tokens[token] or b""
        rest = search.quick(matcher)
        if rest is None:
            rest = search.thorough(matcher)
        for token in (None if rest is None else self._spelling.split(rest)) or []:
            assert token in matcher.allowed_token_ids(), f"{text!r}: {self.vocabulary.tokens[token]!r} is masked"
            assert matcher.accept_token(token)
        if rest is None:
            assert len(matcher.allowed_token_ids()), f"dead end after {text!r}"
            return None
        assert matcher.is_accepting()
        assert matcher.accept_token(self.vocabulary.stop_token_ids[0])
        return (text + rest).decode()

    def _choose(self, matcher: Matcher, rng: random.Random, text: bytes) -> int:
        """A stop id half of the times that it is allowed; else a first byte, then a token, long ones more rarely."""
        allowed = matcher.allowed_token_ids()
        assert len(allowed), f"dead end after {text!r}"
        if matcher.is_accepting() and rng.random() < 0.5:
            return self.vocabulary.stop_token_ids[0]
        first = self._first_byte[allowed]
        firsts = sorted({int(value) for value in first if value >= 0})
        if not firsts:
            return self.vocabulary.stop_token_ids[0]
        mine = allowed[first == rng.choice(firsts)]
        (token,) = rng.choices(mine.tolist(), weights=(1 / self._length[mine]).tolist())
        return int(token)


@pytest.fixture(scope="module")
def walker(shared_data: Path) -> Walker:
    return Walker(Vocabulary.from_huggingface(shared_data / "tokenizers" / "smollm2_tokenizer.json.gz"))


def oracle(schema: Any) -> Any:
    """The validator of jsonschema, formats included. RFC 3339 has a year 0000, Python's datetime has not."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    formats = jsonschema.FormatChecker(kind.FORMAT_CHECKER.checkers)
    formats.checkers = dict(kind.FORMAT_CHECKER.checkers)
    for name in {"date", "date-time"} & set(formats.checkers):
        check, raises = formats.checkers[name]
        formats.checkers[name] = (_year_0000_as_2000(check), raises)
    return kind(schema, format_checker=formats)


def _year_0000_as_2000(check: Any) -> Any:
    return lambda value: check(re.sub("^0000", "2000", value) if isinstance(value, str) else value)


def problems(schema: Any, text: str) -> list[str]:
    """What jsonschema says against a text."""
    value = json.loads(text, object_pairs_hook=_distinct)
    return [error.message for error in oracle(schema).iter_errors(value)]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), f"a name is repeated: {pairs}"
    return dict(pairs)


SCHEMAS: dict[str, Any] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "height": {"type": "number", "exclusiveMinimum": 0, "maximum": 2.72},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 4},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "open": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "ab": {}},
        "additionalProperties": {"type": "integer"},
    },
    "patterns": {
        "type": "object",
        "patternProperties": {"^x": {"type": "integer"}, "y$": {"multipleOf": 3}},
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 4,
    },
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "l": {"$ref": "#/$defs/node"}},
                           "required": ["v"]}},
    },
    "branches": {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "string"}}, "required": ["kind"]},
            {"type": "object", "properties": {"kind": {"const": "b"}, "y": {"minimum": 1}}, "required": ["kind", "y"]},
            {"type": "array", "contains": {"const": 1}},
        ]
    },
    "conditions": {
        "type": "object",
        "properties": {"a": {"enum": [1, 2, "x"]}, "b": {"type": ["integer", "string"]}},
        "required": ["a", "b"],
        "if": {"properties": {"a": {"type": "integer"}}},
        "then": {"properties": {"b": {"type": "integer", "multipleOf": 5}}},
        "else": {"properties": {"b": {"type": "string", "pattern": "^[a-f]{2,6}$"}}},
    },
    "formats": {
        "type": "array",
        "prefixItems": [{"type": "string", "format": name} for name in (
            "date-time", "date", "time", "email", "uuid", "ipv4", "ipv6", "uri", "hostname")],
        "minItems": 9,
        "items": False,
    },
    "strings": {
        "type": "array",
        "items": {"type": "string", "pattern": "^(foo|ba+r)+$|q", "minLength": 2, "maxLength": 9},
        "minItems": 2,
        "maxItems": 3,
    },
    "numbers": {
        "type": "array",
        "items": {
            "anyOf": [{"type": "integer", "minimum": -1000, "exclusiveMaximum": 7}, {"multipleOf": 0.25, "minimum": 10}]
        },
        "minItems": 1,
    },
    "not": {
        "type": ["string", "integer", "object"],
        "not": {"anyOf": [{"maxLength": 2, "type": "string"}, {"minimum": 3}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_walks_through_schemas(walker: Walker, name: str) -> None:
    schema = SCHEMAS[name]
    finished = 0
    for options in ({}, {"any_whitespace": False}, {"property_order": "any"}):
        compiled = walker.compiler.compile_json_schema(schema, **options)
        texts = walker.texts(compiled, name, walks=6, steps=40)
        finished += len(texts)
        for text in texts:
            assert problems(schema, text) == [], text
    assert finished >= 9


def maskbench(path: Path, seed: int, count: int) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = list(lines)
    return [json.loads(line) for line in random.Random(seed).sample(records, count)]


@pytest.mark.parametrize("seed", range(4))
def test_walks_through_schemas_from_the_wild(walker: Walker, shared_data: Path, seed: int) -> None:
    outcomes: Counter[str] = Counter()
    for record in maskbench(shared_data / "maskbench_open.jsonl.gz", seed, 40):
        schema = record["schema"]
        try:
            compiled = walker.compiler.compile_json_schema(schema)
        except (UnsupportedSchemaError, UnsatisfiableGrammarError, LimitExceededError):
            outcomes["refused"] += 1
            continue
        texts = walker.texts(compiled, record["id"], walks=2, steps=25)
        outcomes["finished"] += len(texts)
        outcomes["unfinished"] += 2 - len(texts)
        for text in texts:
            assert problems(schema, text) == [], f"{record['id']}: {text}"
    assert outcomes["refused"] <= 4
    assert outcomes["unfinished"] <= 6
    assert outcomes["finished"] >= 60


PATTERNS = [
    r"[a-z ,]{150,250}",
    r"(foo|bar)*baz",
    r"(a|ab)(c|bcd)(d*)",
    r"\w+@\w+\.(com|org)",
    r"[^\W\d_]{3,}\s\d{2,4}",
    r"(?i:yes|no|maybe)[.!?]{1,3}",
    r"(?s:.{3,9})",
    r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?",
    r"[α-ω]+|[а-я]{2,5}|日本語?|🎉{2}",
    r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}",
    r"x*?y+?z??",
    r"(?m:^a$)|b\Z",
    r"\x00?[\x01-\x08]+\x7f",
    r"",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_walks_through_patterns(walker: Walker, pattern: str) -> None:
    texts = walker.texts(walker.compiler.compile_regex(pattern), pattern, walks=12, steps=30)
    assert len(texts) == 12
    for text in texts:
        assert re.fullmatch(pattern, text), text


GRAMMARS = {
    "calculator": (r"""
        start: sum
        sum: product | sum ("+" | "-") product
        product: atom | product ("*" | "/") atom
        atom: NUMBER | "-" atom | "(" sum ")"
        %import common.NUMBER
        %import common.WS_INLINE
        %ignore WS_INLINE
    """, "lalr"),
    "keywords": (r"""
        start: statement+
        statement: "if" NAME "then" statement | "return" NAME ";" | NAME "=" (NAME | STRING) ";"
        NAME: /[^\W\d]\w*/
        STRING: /"[^"\n]*"|'[^'\n]*'/
        COMMENT: /#[^\n]*/
        %ignore /\s+/
        %ignore COMMENT
    """, "lalr"),
    "priorities": (r"""
        start: (A | B | C)+
        A.2: "a"
        B: "ab"
        C: /[bc]+/
    """, "lalr"),
    "lists": (r"""
        start: "[" [item ("," item)*] "]"
        item: /[a-z]+/ "=" /[0-9]+/~2..3 | start
        %ignore " "
    """, "lalr"),
    "ambiguous": (r"""
        start: start start | "a" | "(" start? ")"
    """, "earley"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAMMARS)
def test_walks_through_lark_grammars(walker: Walker, name: str) -> None:
    source, parser = GRAMMARS[name]
    judge = lark.Lark(source, parser=parser)
    texts = walker.texts(walker.compiler.compile_lark(source, parser=parser), name, walks=20, steps=15)
    assert len(texts) >= 18
    for text in texts:
        judge.parse(text)


def test_walks_through_choices(walker: Walker) -> None:
    choices = ["yes", "yes!", "no", "", "not at all", "日本", '"quoted"\n', "é"]
    texts = walker.texts(walker.compiler.compile_choices(choices), "choices", walks=200, steps=10)
    assert len(texts) == 200
    assert set(texts) == set(choices)
