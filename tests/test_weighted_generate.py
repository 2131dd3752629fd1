"""``generate`` with AWRS and SMC: values of the language that meet the condition, seeds, events, and every error."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import grammar_engine as ge
from grammar_engine.errors import (
    AllParticlesDeadError,
    IncompleteGenerationError,
    InvalidArgumentError,
    NothingAcceptedError,
)
from grammar_engine.sampling import OnFields, OnValue

RECORD = r'\{"a": (0|[1-9][0-9]?), "b": "(x|yy|zzz)"\}'
EVEN = OnValue(lambda value: value["a"] % 2 == 0) & OnFields(lambda fields: fields.get("/a", 0) < 50)
SAMPLERS: list[Any] = [
    ge.AWRS(condition=lambda text: '"z' not in text),
    ge.SMC(particles=5, condition=lambda text: '"z' not in text, ess_threshold=0.9),
    ge.SMC(particles=3, critic=lambda text: -text.count("9"), pick="best", temperature=0.7),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["awrs", "smc", "critic"])
def test_values_meet_grammar_and_condition(tiny_model: Any, sampler: Any) -> None:
    for seed in range(4):
        found = ge.generate(
            ["The", "Once"], regex=RECORD, model=tiny_model, sampler=sampler, seed=seed, max_tokens=100, details=True
        )
        assert len(found) == 2
        for result in found:
            value = json.loads(result.value)
            assert 0 <= value["a"] <= 99
            assert sampler.condition is None or value["b"] != "zzz"
            assert math.isfinite(result.log_weight)
            assert len(result.population.particles) == sampler.num_particles
            assert result.stats.tokens == len(result.token_ids) + 1


def test_a_row_of_a_batch_equals_a_call_of_its_own(tiny_model: Any) -> None:
    options: dict[str, Any] = {"regex": RECORD, "model": tiny_model, "sampler": SAMPLERS[1], "max_tokens": 100}
    together = ge.generate(["The", "Once upon"], seed=3, details=True, **options)
    alone = [ge.generate(prompt, seed=3 + i, details=True, **options) for i, prompt in enumerate(["The", "Once upon"])]
    assert [result.text for result in together] == [result.text for result in alone]
    assert ge.generate("The", seed=3, **options) == together[0].value


def test_conditions_on_values_and_fields(tiny_model: Any) -> None:
    """An even number below 50: by the value at the end, and by the field when it is complete."""
    for seed in range(5):
        sampler = ge.SMC(particles=40, condition=EVEN)
        text = ge.generate("The", regex=RECORD, model=tiny_model, sampler=sampler, seed=seed, max_tokens=100)
        value = json.loads(text)
        assert value["a"] % 2 == 0
        assert value["a"] < 50


def test_events_and_streams(tiny_model: Any) -> None:
    events: list[Any] = []
    options: dict[str, Any] = {"regex": "[a-zé]{3,6}", "model": tiny_model, "seed": 1}
    text = ge.generate("The", sampler=ge.AWRS(), on_token=events.append, **options)
    assert "".join(event.text for event in events) == text
    *pieces, last = ge.stream("The", sampler=ge.AWRS(), **options)
    assert "".join(pieces) == last == text
    with pytest.raises(InvalidArgumentError, match="not known before the end"):
        ge.stream("The", sampler=ge.SMC(), **options)


def test_best_of_and_beams(tiny_model: Any) -> None:
    options: dict[str, Any] = {"regex": RECORD, "model": tiny_model, "max_tokens": 100, "details": True}
    shortest = ge.BestOf(n=4, condition=lambda text: '"z' not in text, score=lambda text: -len(text))
    for result in ge.generate(["The", "Once"], sampler=shortest, seed=1, **options):
        assert len(result.population.particles) == 4
        assert len(result.text) == min(len(p.text) for p in result.population.particles if p.state == "finished")
        assert json.loads(result.value)["b"] != "zzz"
    beam = ge.Beam(width=4, groups=2, diversity=1.0, condition=lambda text: '"z' not in text)
    together = ge.generate(["The", "Once"], sampler=beam, **options)
    for prompt, result in zip(["The", "Once"], together, strict=True):
        assert json.loads(result.value)["b"] != "zzz"
        assert result.logprob == max(particle.logprob for particle in result.population.particles)
        assert ge.generate(prompt, sampler=beam, **options).text == result.text
    with pytest.raises(InvalidArgumentError, match="not known before the end"):
        ge.stream("The", regex=RECORD, model=tiny_model, sampler=beam)


def test_rejection_in_a_call(tiny_model: Any) -> None:
    """A random model writes no record by itself; and what a memory learns is found again by the next call."""
    options: dict[str, Any] = {"regex": RECORD, "model": tiny_model, "seed": 1, "max_tokens": 100}
    with pytest.raises(NothingAcceptedError, match="none of 6 texts") as caught:
        ge.generate("The", sampler=ge.Rejection(max_tries=6), **options)
    assert len(caught.value.closest_text) < 10
    memory = ge.CarsMemory()
    sampler = ge.CARS(max_tries=3, memory=memory)
    bounds = []
    for _ in range(3):
        with pytest.raises(NothingAcceptedError):
            ge.generate("The", sampler=sampler, **options)
        bounds += memory.bounds()
    assert len(memory) == 1
    assert 1 > bounds[0] > bounds[1] > bounds[2] > 0


def test_errors(tiny_model: Any) -> None:
    options: dict[str, Any] = {"regex": RECORD, "model": tiny_model, "seed": 1}
    with pytest.raises(AllParticlesDeadError, match="condition accept no token") as caught:
        ge.generate("The", sampler=ge.SMC(particles=3, condition=lambda text: len(text) < 4), **options)
    population: Any = caught.value.population
    assert {particle.state for particle in population.particles} == {"dead"}
    assert all(len(particle.text) < 4 for particle in population.particles)
    with pytest.raises(IncompleteGenerationError, match="ran out of tokens") as incomplete:
        ge.generate("The", sampler=ge.AWRS(), max_tokens=3, **options)
    assert incomplete.value.partial_text.startswith("{")
    faults: list[tuple[Any, str]] = [
        (ge.SMC(particles=0), "at least 1"),
        (ge.SMC(ess_threshold=2), "between 0 and 1"),
        (ge.SMC(resampling="x"), "expected one of stratified"),
        (ge.SMC(pick="x"), "'sample' or 'best'"),
        (ge.SMC(temperature=0), "above 0"),
        (ge.AWRS(method="x"), "expected one of auto"),
        (ge.AWRS(condition=3), "function of the text"),  # type: ignore[arg-type]
        (ge.SMC(critic=3), "function of the text"),  # type: ignore[arg-type]
    ]
    for sampler, message in faults:
        with pytest.raises(InvalidArgumentError, match=message):
            ge.generate("The", sampler=sampler, **options)
