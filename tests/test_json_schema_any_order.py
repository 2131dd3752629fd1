"""Objects in any order: the rules forget which names have stood, and the guard does not."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import jsonschema
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.frontends.json_schema import object_writer
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

NAMES = ["a", "ab", "abc", "b", "ba", "\n", "é"]
PIECES = [
    '"a',
    'b":',
    '":0,"',
    'ab":0,"a',
    ',"',
    '":',
    "0}",
    '0,"ab',
    '{"',
    'c":0',
    ',"b":0',
    '":0}',
    '"ab',
    ':0,"a":0',
]
MEMBERS = {name: {"const": 0} for name in NAMES}
SCHEMAS: dict[str, Any] = {
    "open": {"type": "object", "properties": MEMBERS, "required": ["ab", "b"], "additionalProperties": {"const": 0}},
    "open, all optional": {"type": "object", "properties": MEMBERS},
    "closed": {"type": "object", "properties": MEMBERS, "required": ["ab", "ba"], "additionalProperties": False},
    "closed, all optional": {"type": "object", "properties": MEMBERS, "additionalProperties": False},
    "closed, all required": {
        "type": "object",
        "properties": MEMBERS,
        "required": NAMES,
        "additionalProperties": False,
    },
    "nested": {
        "type": "object",
        "properties": {
            "a": {"const": 0},
            "b": {
                "type": "object",
                "properties": {"a": {"const": 0}, "ab": {"const": 0}},
                "additionalProperties": False,
            },
            "ab": {"const": 0},
        },
        "additionalProperties": False,
        "required": ["b"],
    },
}


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> GrammarCompiler:
    monkeypatch.setattr(object_writer, "_MANY", 1)
    tokens = [*(bytes([byte]) for byte in range(256)), *(piece.encode() for piece in PIECES), b""]
    vocabulary = Vocabulary(tokens, stop_token_ids=[len(tokens) - 1])
    return GrammarCompiler(vocabulary, cache_size=0, cache_dir="")


def accepts(matcher: Matcher, text: str) -> bool:
    matcher.reset()
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize("name", SCHEMAS)
def test_texts(compiler: GrammarCompiler, name: str) -> None:
    schema = SCHEMAS[name]
    validator = jsonschema.Draft202012Validator(schema)
    matcher = Matcher(compiler.compile_json_schema(schema, property_order="any"))
    rng = random.Random(0)
    for _ in range(300):
        names = rng.choices([*NAMES, "x"], k=rng.randrange(9)) if rng.random() < 0.5 else rng.sample(NAMES, 7)
        pairs = [(key, {} if key == "b" and name == "nested" else 0) for key in names]
        text = "{" + ", ".join(json.dumps(key, ensure_ascii=False) + ": " + json.dumps(v) for key, v in pairs) + "}"
        expected = len(set(names)) == len(names) and validator.is_valid(dict(pairs))
        assert accepts(matcher, text) == expected, text
    if name.startswith("closed"):
        orders = list(itertools.permutations(NAMES))
        for order in rng.sample(orders, 50):
            assert accepts(matcher, json.dumps(dict.fromkeys(order, 0), ensure_ascii=False))


@pytest.mark.parametrize("name", SCHEMAS)
def test_walks(compiler: GrammarCompiler, name: str) -> None:
    """Masks say what is accepted, never lead to a dead end, and what comes out is valid and has no name twice."""
    validator = jsonschema.Draft202012Validator(SCHEMAS[name])
    compiled = compiler.compile_json_schema(
        SCHEMAS[name], property_order="any", any_whitespace=False, separators=(",", ":")
    )
    matcher = Matcher(compiled)
    tokens = compiler.vocabulary.tokens
    stop = len(tokens) - 1
    finished = 0
    for seed in range(25):
        rng = random.Random(seed)
        matcher.reset()
        text = bytearray()
        for _ in range(120):
            allowed = {int(token) for token in matcher.allowed_token_ids()}
            assert allowed, bytes(text)
            for token in rng.sample(range(stop), 25):
                ahead = matcher.fork()
                assert ahead.accept_token(token) == (token in allowed), (bytes(text), tokens[token])
            token = rng.choice(sorted(allowed - {stop}) or [stop])
            if stop in allowed and rng.random() < 0.3:
                token = stop
            assert matcher.accept_token(token)
            if token == stop:
                break
            text += tokens[token] or b""
        if matcher.is_terminated():
            finished += 1
            pairs = json.loads(bytes(text), object_pairs_hook=list)
            assert len({key for key, _ in pairs}) == len(pairs)
            assert validator.is_valid(json.loads(bytes(text))), bytes(text)
    assert finished or name.startswith("open")
