"""The penalty on repeated structure: places by hand, draws and weights against sums over all tokens, whole runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

import grammar_engine as ge
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.matcher import Matcher
from grammar_engine.runtime import DecodingRun, Request
from grammar_engine.sampling import FusedSampler, Greedy, Sample, StructuralRepetition
from grammar_engine.sampling.repetition import Visits, best_penalized, draw_penalized

NESTED = 'start: "(" start ")" | "x" start | "y"'


@pytest.fixture(scope="module")
def compiler() -> Any:
    return ge.GrammarCompiler(ge.Vocabulary([bytes([i]) for i in range(256)] + [None], stop_token_ids=[256]))


def after(compiled: Any, text: str, **options: Any) -> Visits:
    """The visits behind a text that is read byte by byte."""
    matcher = Matcher(compiled)
    visits = Visits(StructuralRepetition(**options), matcher)
    for byte in text.encode():
        assert matcher.accept_token(byte)
        visits.note()
    return visits


@pytest.mark.parametrize(
    ("text", "token", "by", "visited"),
    [
        ("[1", ",", "terminals", 0),
        ("[1,1,1", ",", "terminals", 2),
        ("[1,2,34,5", ",", "terminals", 3),
        ("[1,2,34,5", ",", "position", 3),
        ("[1,1,1", "]", "terminals", 0),
        ("[[[", "[", "terminals", 4),
        ("[[[", "[", "position", 0),
        ('["aaaaaa', "a", "terminals", 0),
        ('["a", "b"', ",", "terminals", 2),
        ('["a","b","', '"', "terminals", 2),
        ('{"a":"b","c":"d"', ",", "terminals", 1),
    ],
)
def test_places(compiler: Any, text: str, token: str, by: str, visited: int) -> None:
    """How often the place behind a token was visited, counted by hand; the matcher is left as it was."""
    compiled = compiler.compile_json_schema({})
    visits = after(compiled, text, strength=1.0, free=0, most=100, by=by)
    assert visits.penalty(ord(token)) == visited
    assert visits.penalty(ord(token)) == visited
    assert after(compiled, text, strength=0.3, free=1, most=0.5, by=by).penalty(ord(token)) == pytest.approx(
        min(0.5, 0.3 * max(0, visited - 1))
    )


def test_blank_lines_are_places(compiler: Any) -> None:
    compiled = compiler.compile_lark('start: ("a" | NL)*\nNL: "\\n"')
    assert after(compiled, "a\n\n\n\n", strength=1.0, free=0, most=100).penalty(10) >= 4


def test_draws_and_weights_against_the_sum_over_all_tokens() -> None:
    """Distribution ∝ p · exp(−penalty); mean of weight · [token] is p. The most probable tokens are penalized most."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(40, 0.6))
    p[::7] = 0
    p /= p.sum()
    penalties = rng.choice([0.0, 0.5, 2.0, 6.0], size=40)
    penalties[np.argsort(-p)[:4]] = 2.0
    target = p * np.exp(-penalties)
    target /= target.sum()
    count = 20_000
    drawn = np.zeros(40)
    weights: list[list[float]] = [[] for _ in range(40)]
    for _ in range(count):
        token, log_weight = draw_penalized(p * 3, lambda t: float(penalties[t]), rng.random)
        drawn[token] += 1
        weights[token].append(math.exp(log_weight))
    deviations = (drawn / count - target) / np.sqrt(target * (1 - target) / count + 1e-300)
    assert np.abs(deviations[target > 0]).max() < 4.5
    assert drawn[target == 0].sum() == 0
    for token in np.flatnonzero(target * count > 300):
        values = np.zeros(count)
        values[: len(weights[token])] = weights[token]
        assert abs(values.mean() - p[token]) < 4.5 * values.std() / math.sqrt(count)


def test_the_best_against_all_tokens() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        scores = rng.integers(-6, 3, size=200).astype(np.float64)
        scores[rng.random(200) < 0.3] = -math.inf
        penalties = rng.integers(0, 5, size=200)
        assert best_penalized(scores, lambda t, q=penalties: float(q[t])) == int(np.argmax(scores - penalties))


def decode(model: Any, compiled: Any, sampler: Any, seeds: Any, max_tokens: int = 12) -> list[Any]:
    requests = [
        Request(
            prompt_ids=model.encode("The"),
            matcher=Matcher(compiled),
            seed=seed,
            steer=False,
            max_tokens=max_tokens,
        )
        for seed in seeds
    ]
    decoding = DecodingRun(model.network, model.vocabulary, requests, sampler)
    for _ in decoding:
        pass
    return decoding.outcomes


def test_weights_of_texts_stay_proper(tiny_model: Any) -> None:
    """Mean of exp(log_weight) · [text] over draws is the model's own probability of the text."""
    compiled = tiny_model.compiler.compile_lark(NESTED)
    sampler = Sample(repetition=StructuralRepetition(strength=0.7, free=0))
    outcomes = decode(tiny_model, compiled, sampler, range(600))
    plain = decode(tiny_model, compiled, Sample(), range(600))
    assert np.mean([len(o.token_ids) for o in outcomes]) < 0.95 * np.mean([len(o.token_ids) for o in plain])
    texts = {o.token_ids: o for o in outcomes if o.complete}
    assert len(texts) > 5
    checked = 0
    for token_ids, outcome in texts.items():
        values = np.array([math.exp(o.log_weight) if o.token_ids == token_ids else 0.0 for o in outcomes])
        if np.count_nonzero(values) < 15:
            continue
        checked += 1
        assert abs(values.mean() - math.exp(outcome.logprob)) < 4.5 * values.std() / math.sqrt(len(values))
    assert checked > 2


@pytest.mark.parametrize("sampler_type", [Greedy, Sample])
def test_texts_end_sooner_and_rows_stay_their_own(tiny_model: Any, sampler_type: Any) -> None:
    compiled = tiny_model.compiler.compile_lark(NESTED)
    sampler = sampler_type(repetition=StructuralRepetition(strength=1.5, free=1))
    together = decode(tiny_model, compiled, sampler, range(6), max_tokens=30)
    for seed, outcome in enumerate(together):
        alone = decode(tiny_model, compiled, sampler, [seed], max_tokens=30)[0]
        assert (alone.token_ids, alone.finish_reason) == (outcome.token_ids, outcome.finish_reason)
        assert alone.log_weight == pytest.approx(outcome.log_weight, abs=1e-3)
    plain = decode(tiny_model, compiled, sampler_type(), range(6), max_tokens=30)
    assert sum(len(o.token_ids) for o in together) < sum(len(o.token_ids) for o in plain)


def test_in_a_call_with_and_without_drafts(tiny_model: Any) -> None:
    options: dict[str, Any] = {"grammar": NESTED, "model": tiny_model, "seed": 4, "max_tokens": 60, "steer": False}
    sampler = ge.Sample(repetition=ge.StructuralRepetition(strength=1.0, free=1))
    prompts = ["The", "Once", "quick"]
    drafted = ge.generate(prompts, sampler=sampler, **options)
    assert ge.generate(prompts, sampler=sampler, drafts=0, **options) == drafted
    assert ge.generate(prompts, sampler=ge.Sample(), **options) != drafted


def test_refused() -> None:
    for options, argument in [
        ({"strength": 0}, "strength"),
        ({"free": -1}, "free"),
        ({"free": True}, "free"),
        ({"most": math.inf}, "most"),
        ({"by": "word"}, "by"),
    ]:
        with pytest.raises(InvalidArgumentError) as caught:
            StructuralRepetition(**options)  # type: ignore[arg-type]
        assert caught.value.argument == argument
    for sampler_type in (Greedy, Sample):
        with pytest.raises(InvalidArgumentError, match="expected StructuralRepetition"):
            sampler_type(repetition=1.5)
    with pytest.raises(InvalidArgumentError, match="needs each row's matcher"):
        FusedSampler([Greedy(repetition=StructuralRepetition())], seeds=[1])
    with pytest.raises(InvalidArgumentError, match="needs a compiled grammar's Matcher"):
        Visits(StructuralRepetition(), object())  # type: ignore[arg-type]
