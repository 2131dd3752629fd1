"""Multiples with many remainders, against exact fractions, and through the engine without a dead end."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.json_schema import json_schema_grammar
from grammar_engine.compiler.reference import ReferenceRecognizer
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.bitmask import allocate_token_bitmask
from grammar_engine.matcher import Matcher

STEP = Fraction("0.123456789")
CASES: list[tuple[Any, Any]] = [
    ({"type": "number", "multipleOf": 0.123456789}, lambda v: v % STEP == 0),
    ({"type": "integer", "multipleOf": 0.123456789}, lambda v: v % 123456789 == 0),
    ({"type": "number", "multipleOf": 0.123456789, "minimum": 0}, lambda v: v >= 0 and v % STEP == 0),
    ({"type": "number", "multipleOf": 1234567, "maximum": 0}, lambda v: v <= 0 and v % 1234567 == 0),
    ({"type": "number", "not": {"multipleOf": 0.123456789}}, lambda v: v % STEP != 0),
    ({"type": "integer", "not": {"multipleOf": 7654321}}, lambda v: v % 1 == 0 and v % 7654321 != 0),
    (
        {"type": "integer", "multipleOf": 12347, "minimum": -50_000, "maximum": 10**6},
        lambda v: v % 12347 == 0 and abs(v - 475_000) <= 525_000,
    ),
]  # fmt: skip


def spellings(value: Fraction) -> list[str]:
    text = format(float(value), ".12f")
    return [text.rstrip("0").rstrip(".")] if Fraction(text) == value else []


@pytest.mark.parametrize(("schema", "holds"), CASES)
def test_members_are_those_of_arithmetic(schema: Any, holds: Any) -> None:
    recognizer = ReferenceRecognizer(json_schema_grammar(schema))
    rng = random.Random(1)
    values = [Fraction(0), Fraction("0.5"), Fraction(1), Fraction(-3)]
    values += [sign * STEP * rng.randrange(10**6) for sign in (1, -1) for _ in range(12)]
    values += [Fraction(sign * step * rng.randrange(100)) for sign in (1, -1) for step in (123456789, 1234567, 7654321)]
    values += [Fraction(12347 * number) for number in (-5, -4, 0, 1, 80, 81)]
    texts = [text for value in values for text in spellings(value)]
    texts += [text + more for text in texts[::3] for more in ("0", "1", ".0", ".00", ".5")]
    checked = [0, 0]
    for text in texts:
        try:
            value = Fraction(text)
        except ValueError:
            continue
        if text in ("-0", "-0.0") or (text.startswith(("0", "-0")) and text.lstrip("-")[1:2].isdigit()):
            continue
        assert recognizer.accepts(text.encode()) == bool(holds(value)), text
        checked[bool(holds(value))] += 1
    assert min(checked) > 3
    assert not recognizer.accepts(b"1e308")


@pytest.mark.parametrize(("schema", "holds"), CASES)
def test_no_dead_end_in_the_engine(schema: Any, holds: Any) -> None:
    tokens = [bytes([byte]) for byte in b"0123456789.-eE+"] + [b"00", b"12", b".0", b"345"]
    compiler = GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[len(tokens)]), cache_dir="")
    matcher = Matcher(compiler.compile_json_schema(schema))
    bitmask = allocate_token_bitmask(1, len(tokens) + 1)
    rng = random.Random(2)
    finished = 0
    for _ in range(8):
        matcher.reset()
        text = b""
        while len(text) < 24:
            matcher.fill_next_token_bitmask(bitmask)
            allowed = np.flatnonzero(np.unpackbits(bitmask.view(np.uint8), bitorder="little")).tolist()
            assert allowed, text
            if len(tokens) in allowed and (rng.random() < 0.3 or len(text) > 16):
                assert holds(Fraction(text.decode())), text
                json.loads(text)
                finished += 1
                break
            choice = rng.choice([token for token in allowed if token < len(tokens)] or [len(tokens)])
            if choice == len(tokens):
                continue
            assert matcher.accept_token(choice)
            text += tokens[choice]
    assert finished or "not" not in schema


def test_what_is_too_large_says_so() -> None:
    schema = {"type": "number", "multipleOf": 0.123456789, "minimum": 5}
    grammar = json_schema_grammar({"type": "object", "properties": {"a": schema}})
    assert not ReferenceRecognizer(grammar).accepts(b'{"b":')
    with pytest.raises(LimitExceededError, match="remainders"):
        ReferenceRecognizer(json_schema_grammar(schema)).accepts(b"7")
