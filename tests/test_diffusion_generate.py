"""``ge.generate`` and ``ge.stream`` with a diffusion model: values, events, errors and refusals as with others."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Literal

import pytest
from pydantic import BaseModel

torch = pytest.importorskip("torch", reason="needs the extra hf")

from random_diffusion import RandomDiffusion

import grammar_engine as ge
from grammar_engine.diffusion import Fill, Remasking, Schedule

TOKENS = [
    b'{"',
    b"ok",
    b'":',
    b"true",
    b"false",
    b"}",
    b'","',
    b"n",
    b"1",
    b"2",
    b"[",
    b"]",
    b",",
    b"\xc3",
    b"\xa9",
    b'"',
]
STOP, MASK = len(TOKENS), len(TOKENS) + 1
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


class Answer(BaseModel):
    ok: Literal[True, False]


@pytest.fixture(scope="module")
def compiler() -> ge.GrammarCompiler:
    return ge.GrammarCompiler(ge.Vocabulary([*TOKENS, None, None], stop_token_ids=[STOP]), cache_dir="", prepare=False)


@pytest.fixture
def speaker(compiler: ge.GrammarCompiler) -> RandomDiffusion:
    return RandomDiffusion(compiler, mask_token_id=MASK, context_length=24)


def test_values(speaker: RandomDiffusion) -> None:
    answer = ge.generate("x", schema=Answer, model=speaker)
    assert isinstance(answer, Answer)
    value = ge.generate("x", schema=SCHEMA, model=speaker, max_tokens=12)
    assert isinstance(value, dict)
    assert isinstance(value["ok"], bool)
    assert ge.generate("x", regex="(1|2){3}", model=speaker) in {a + b + c for a in "12" for b in "12" for c in "12"}
    assert ge.generate("x", choices=["ok", "n1"], model=speaker) in ("ok", "n1")
    assert len(ge.generate("x", regex="[12é]*", model=speaker, max_tokens=5)) <= 5


def test_batches_and_details(speaker: RandomDiffusion) -> None:
    found = ge.generate(["", "abc"], schema=SCHEMA, model=speaker, details=True, max_tokens=10, seed=3)
    assert len(found) == 2
    for i, one in enumerate(found):
        assert isinstance(one, ge.Generation)
        assert one.text == b"".join(TOKENS[token] for token in one.token_ids).decode()
        assert one.logprob < 0
        assert math.isnan(one.log_weight)
        assert one.stats.prompt_tokens == 3 * i
        assert one.stats.tokens == len(one.token_ids) + (one.finish_reason == "stop")
        assert one.stats.passes > 0
    assert ge.generate(["a", "b"], schema=SCHEMA, model=speaker) == asyncio.run(
        ge.agenerate(["a", "b"], schema=SCHEMA, model=speaker)
    )


def test_streams(speaker: RandomDiffusion) -> None:
    """Pieces join to the text, none ends inside a character; events come in the order of the text."""
    for seed in range(4):
        events: list[ge.TokenEvent] = []
        options: dict[str, Any] = {"regex": "[12é]*1", "model": speaker, "max_tokens": 9, "seed": seed}
        *pieces, last = ge.stream("x", **options, sampler=ge.Sample(2.0), details=True, on_token=events.append)
        assert "".join(pieces) == last.text == last.value
        assert all(pieces)
        assert tuple(event.token_id for event in events if event.token_id != STOP) == last.token_ids
        assert last == ge.generate("x", **options, sampler=ge.Sample(2.0), details=True) or math.isnan(last.log_weight)


def test_fill(speaker: RandomDiffusion) -> None:
    fill = Fill(schedule=Schedule(order="random", block=4), steps=8, sampler=ge.Sample(1.0))
    assert ge.generate("x", schema=Answer, model=speaker, sampler=fill, seed=1, max_tokens=8).ok in (True, False)
    # A model that opens brackets for as long as it may: the published method does not count slots.
    opening = RandomDiffusion(speaker.compiler, mask_token_id=MASK, favoured={TOKENS.index(b"["): 50.0})
    left = {"schedule": "left-to-right", "sampler": ge.Greedy()}
    options: dict[str, Any] = {"grammar": 'root ::= "[" root? "]"', "model": opening, "max_tokens": 6}
    assert ge.generate("", **options, sampler=Fill(**left)) == "[[[]]]"
    with pytest.raises(ge.IncompleteGenerationError, match="max_tokens") as caught:
        ge.generate("", **options, sampler=Fill(method="lave", **left))
    assert caught.value.partial_text == "[[[[[["


def test_too_few_slots(speaker: RandomDiffusion) -> None:
    with pytest.raises(ge.LimitExceededError, match="takes 5 slots"):
        ge.generate("x", schema=SCHEMA, model=speaker, max_tokens=3)
    with pytest.raises(ge.LimitExceededError):
        ge.generate("x", schema=SCHEMA, model=speaker, max_tokens=0)
    assert speaker.calls == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"drafts": 4}, "drafts"),
        ({"steer": False}, "steer"),
        ({"sampler": ge.AWRS()}, "AWRS"),
        ({"sampler": ge.SMC(particles=2)}, "SMC"),
        ({"sampler": ge.Beam()}, "Beam"),
        ({"sampler": ge.Greedy(repetition=ge.StructuralRepetition(1.5))}, "repetition"),
    ],
)
def test_refused_by_name(speaker: RandomDiffusion, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ge.GrammarEngineError, match=said):
        ge.generate("x", schema=SCHEMA, model=speaker, **options)
    assert speaker.calls == []


@pytest.mark.parametrize(
    "options",
    [{"method": "none"}, {"schedule": "fast"}, {"schedule": Schedule(remasking=Remasking())}, {"sampler": ge.AWRS()}],
)
def test_fills_without_meaning(options: dict[str, Any]) -> None:
    with pytest.raises(ge.GrammarEngineError):
        Fill(**options)


def test_fill_is_for_diffusion_models(tiny_model: Any) -> None:
    with pytest.raises(ge.GrammarEngineError, match="diffusion"):
        ge.generate("x", regex="a", model=tiny_model, sampler=Fill())
