"""Rows of a batch that come to nothing: their errors, and the other rows' results, in order."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

from pydantic import AfterValidator, ValidationError

import grammar_engine as ge
from grammar_engine import GrammarCompiler, Matcher, Vocabulary
from grammar_engine.errors import AllParticlesDeadError, ConditionError, IncompleteGenerationError
from grammar_engine.runtime import DecodingRun, Request
from grammar_engine.sampling import Greedy

RECORD = r'\{"a": (0|[1-9][0-9]?), "b": "(x|yy|zzz)"\}'
PROMPTS = ["The", "Once upon", "A town", "Ada"]


@pytest.fixture
def options(tiny_model: Any) -> dict[str, Any]:
    return {"regex": RECORD, "model": tiny_model, "seed": 5, "max_tokens": 100}


def alone(sampler: Any, options: dict[str, Any]) -> list[Any]:
    """Each prompt by itself: a value, or its error."""
    found: list[Any] = []
    for row, prompt in enumerate(PROMPTS):
        try:
            found.append(ge.generate(prompt, sampler=sampler, **options | {"seed": options["seed"] + row}))
        except ge.GrammarEngineError as error:
            found.append(error)
    return found


def refuses_late(text: str) -> bool:
    return '"b": "' not in text or text.split('"a": ')[1][0] in "37"


@pytest.mark.parametrize("sampler", [ge.AWRS(condition=refuses_late), ge.SMC(particles=4, condition=refuses_late)])
def test_a_dead_row_leaves_the_others_their_results(options: dict[str, Any], sampler: Any) -> None:
    for seed in range(20):
        options["seed"] = seed
        wanted = alone(sampler, options)
        dead = [row for row, result in enumerate(wanted) if isinstance(result, AllParticlesDeadError)]
        if 0 < len(dead) < len(PROMPTS):
            break
    else:
        pytest.fail("no seed left some rows alive and not others")
    message = f"row {dead[0]} of a batch; {len(dead)} of 4 rows failed"
    with pytest.raises(AllParticlesDeadError, match=message) as caught:
        ge.generate(PROMPTS, sampler=sampler, **options)
    assert caught.value.row == dead[0]
    assert len(caught.value.results) == len(PROMPTS)
    for row, result in enumerate(caught.value.results):
        if row in dead:
            assert isinstance(result, AllParticlesDeadError)
            assert {particle.state for particle in result.population.particles} == {"dead"}  # type: ignore[attr-defined]
        else:
            assert result == wanted[row]
    assert caught.value.results[dead[0]] is caught.value
    with pytest.raises(AllParticlesDeadError) as detailed:
        ge.generate(PROMPTS, sampler=sampler, details=True, **options)
    live = next(result for result in detailed.value.results if isinstance(result, ge.Generation))
    assert json.loads(live.text)["b"]
    with pytest.raises(AllParticlesDeadError) as single:
        ge.generate(PROMPTS[dead[0]], sampler=sampler, **options | {"seed": options["seed"] + dead[0]})
    assert (single.value.row, single.value.results) == (None, ())
    assert "batch" not in str(single.value)


def test_rows_that_run_out_of_tokens(tiny_model: Any) -> None:
    """A long and a short text within one budget: whichever does not end carries what it has."""
    options: dict[str, Any] = {"regex": "a|[b-z]{30}", "model": tiny_model, "max_tokens": 12, "steer": False}
    sampler = ge.Sample(temperature=3.0)
    values: list[Any] = []
    for seed in range(30):
        with pytest.raises(IncompleteGenerationError) as caught:
            ge.generate(PROMPTS, sampler=sampler, seed=seed, **options)
        results = caught.value.results
        values = [result for result in results if isinstance(result, str)]
        others = [result for result in results if isinstance(result, IncompleteGenerationError)]
        assert caught.value.row == next(i for i, result in enumerate(results) if result is caught.value)
        assert len(others) + len(values) == len(PROMPTS)
        assert all(len(other.partial_text) > 1 for other in others)
        if values:
            break
    assert set(values) == {"a"}


def test_a_score_that_raises(options: dict[str, Any]) -> None:
    def score(text: str) -> float:
        value = json.loads(text)["a"]
        if value % 2:
            raise LookupError(f"no {value}")
        return 1.0

    with pytest.raises(ConditionError, match=r"the score raised LookupError: .*populations") as caught:
        ge.generate(PROMPTS, sampler=ge.BestOf(n=1, score=score), **options)
    error = caught.value
    assert isinstance(error.__cause__, LookupError)
    assert json.loads(error.texts[0])["a"] % 2 == 1
    (population,) = error.populations
    assert population.particles[0].text == error.texts[0]  # type: ignore[attr-defined]
    assert any(isinstance(result, str) and json.loads(result)["a"] % 2 == 0 for result in error.results)
    scores: list[Any] = [lambda _: float("nan"), lambda _: None, lambda _: float("inf")]
    for broken, message in zip(scores, ("returned nan", "raised TypeError", "returned inf"), strict=True):
        with pytest.raises(ConditionError, match=message) as raised:
            ge.generate("The", sampler=ge.BestOf(n=2, score=broken), **options)
        assert len(raised.value.texts) == 1
        assert len(raised.value.populations) == 1
    with pytest.raises(ConditionError, match="the critic returned nan"):
        ge.generate("The", sampler=ge.SMC(particles=2, critic=lambda _: float("nan")), **options)


def test_values_that_a_type_refuses(tiny_model: Any) -> None:
    def odd(value: int) -> int:
        if value % 2 == 0:
            raise ValueError("even")
        return value

    kind = Annotated[int, AfterValidator(odd)]
    options: dict[str, Any] = {"schema": kind, "model": tiny_model, "sampler": ge.Sample(), "max_tokens": 4}
    with pytest.raises(ValidationError, match="even") as caught:
        ge.generate(PROMPTS, seed=1, **options)
    results: Any = caught.value.results  # type: ignore[attr-defined]
    assert results[caught.value.row] is caught.value  # type: ignore[attr-defined]
    assert len(results) == len(PROMPTS)
    assert all(isinstance(result, ValidationError) or result % 2 for result in results)


def test_a_row_at_a_dead_end_leaves_the_others_going(tiny_model: Any) -> None:
    known = tiny_model.vocabulary
    poor = Vocabulary(
        [None if token and b"q" in token else token for token in known.tokens], stop_token_ids=known.stop_token_ids
    )
    compiler = GrammarCompiler(poor, cache_dir="")
    requests = [
        Request(
            prompt_ids=tiny_model.encode("The"), matcher=Matcher(compiler.compile_regex(pattern)), max_tokens=20, seed=i
        )
        for i, pattern in enumerate(["abab", "abq", "(ab){3}"])
    ]
    run = DecodingRun(tiny_model.network, poor, requests, Greedy())
    list(run)
    assert [outcome.text for outcome in run.outcomes] == ["abab", "ab", "ababab"]
    assert [type(outcome.error).__name__ for outcome in run.outcomes] == [
        "NoneType",
        "UnsatisfiableGrammarError",
        "NoneType",
    ]
