"""Objects in declared order, every subset of their members: what is written in blocks accepts what the rules say."""

from __future__ import annotations

import itertools
import json

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

COMPILER = GrammarCompiler(
    Vocabulary([*(bytes([byte]) for byte in range(256)), b""], stop_token_ids=[256]), cache_dir="", prepare=False
)
NAMES = [f"n{index}" for index in range(10)]  # more than a block


def accepts(matcher: Matcher, text: str) -> bool:
    matcher.reset()
    return all(matcher.accept_token(byte) for byte in text.encode()) and matcher.accept_token(256)


@pytest.mark.parametrize("required", [(), (0,), (7,), (8,), (9,), (2, 3, 8), tuple(range(10))])
@pytest.mark.parametrize("impossible", [(), (0,), (1, 7), (4, 5, 6)])
@pytest.mark.parametrize("additional", [False, True])
def test_every_subset(required: tuple[int, ...], impossible: tuple[int, ...], additional: bool) -> None:
    schema = {
        "type": "object",
        "properties": {name: int(name[1:]) not in impossible for name in NAMES},
        "required": [NAMES[index] for index in required],
        "additionalProperties": additional,
    }
    if set(required) & set(impossible):
        pytest.skip("no object satisfies it")
    matcher = Matcher(COMPILER.compile_json_schema(schema, any_whitespace=False, separators=(",", ":")))
    for flags in itertools.product((False, True), repeat=len(NAMES)):
        value = {name: 1 for name, flag in zip(NAMES, flags, strict=True) if flag}
        wanted = all(flags[index] for index in required) and not any(flags[index] for index in impossible)
        assert accepts(matcher, json.dumps(value, separators=(",", ":"))) == wanted, value
        if wanted and sum(flags) % 4 == 0:
            more = json.dumps({**value, "x": 2}, separators=(",", ":"))
            assert accepts(matcher, more) == additional
            assert not accepts(matcher, json.dumps(value, separators=(",", ":"))[:-1] + ',"n0":1}')


def test_declared_order() -> None:
    matcher = Matcher(COMPILER.compile_json_schema({"properties": {name: {"type": "integer"} for name in NAMES}}))
    for one, other in itertools.product(range(10), repeat=2):
        assert accepts(matcher, f'{{"n{one}": 1, "n{other}": 1}}') == (one < other)
