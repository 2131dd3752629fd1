"""Twisted sequential Monte Carlo over canvases against enumeration: every text of a small canvas, with its probability.

The model's distribution of a slot depends on all that is filled (``random_diffusion``), so what is aimed at differs
from order to order, and from step size to step size. What it is, is computed here by walking the model's own process.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from canvas_languages import LANGUAGES
from diffusion_language import COMPILER, MASK, PAD, STOP, TOKENS, model
from plain_canvas import PlainCanvas
from random_diffusion import RandomDiffusion

from grammar_engine import SMC, CompiledGrammar, Matcher, generate, load_model
from grammar_engine.diffusion import Canvas, smc
from grammar_engine.errors import (
    AllParticlesDeadError,
    InvalidArgumentError,
    LimitExceededError,
    UnsatisfiableGrammarError,
)
from grammar_engine.sampling.population import DEAD, FINISHED, Population

SLOTS = 4
ORDERS = list(itertools.permutations(range(SLOTS)))
LEFT = (tuple(range(SLOTS)),)


@pytest.fixture(scope="module")
def compiled() -> CompiledGrammar:
    return COMPILER.compile_gbnf('root ::= "[" ("1" ("," "1")* | "[]")? "]"')


@pytest.fixture(scope="module")
def speaker() -> RandomDiffusion:
    return model(seed=5, sharpness=0.6, favoured={0: 1.0, 1: 1.0, 3: 1.0, STOP: 1.0, PAD: 1.0})


def fillings(compiled: CompiledGrammar, ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All texts that fit a canvas, by trying every token."""

    def below(matcher: Matcher, done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(done) == len(ids):
            if matcher.is_accepting() or matcher.is_terminated():
                yield done
            return
        held = ids[len(done)]
        for token in range(len(TOKENS)) if held == MASK else [held]:
            if matcher.is_terminated():
                if token in (STOP, PAD):
                    yield from below(matcher, (*done, token))
                continue
            other = matcher.fork()
            if other.accept_token(token):
                yield from below(other, (*done, token))

    yield from below(Matcher(compiled), ())


def mean_field(speaker: RandomDiffusion, ids: Sequence[int], temperature: float) -> Any:
    """float64 (L, V): what the model says of each slot, the mask aside."""
    logits = speaker.forward(torch.tensor([ids]))[0].double() / temperature
    logits[:, MASK] = -math.inf
    return logits.softmax(-1).numpy()


def probability(
    speaker: RandomDiffusion,
    start: Sequence[int],
    text: Sequence[int],
    order: Sequence[int],
    per_step: int,
    heat: float,
) -> float:
    """Of writing this, in this order, by the model's own process: it knows of no language."""
    ids, mass = list(start), 1.0
    for first in range(0, len(order), per_step):
        beliefs = mean_field(speaker, ids, heat)
        for slot in order[first : first + per_step]:
            mass *= beliefs[slot, text[slot]]
            ids[slot] = text[slot]
    return mass


def text_of(ids: Sequence[int]) -> str:
    end = next((i for i, token in enumerate(ids) if token == STOP), len(ids))
    return b"".join(TOKENS[token] or b"" for token in ids[:end]).decode()


def truth(
    speaker: RandomDiffusion,
    compiled: CompiledGrammar,
    orders: Sequence[Sequence[int]] = LEFT,
    per_step: int = 1,
    heat: float = 1.0,
    start: Sequence[int] = (MASK,) * SLOTS,
) -> dict[str, float]:
    """Text → mass, the mean over orders."""
    found: dict[str, float] = {}
    for filling in fillings(compiled, start):
        for order in orders:
            mass = probability(speaker, start, filling, order, per_step, heat) / len(orders)
            found[text_of(filling)] = found.get(text_of(filling), 0.0) + mass
    return found


def require_unbiased(expected: dict[str, float], populations: Sequence[Population], accuracy: float) -> None:
    """The mean weight of each text is its mass, and that of all the evidence, as far as so many runs can tell."""
    shares: dict[str, list[float]] = {text: [0.0] * len(populations) for text in expected}
    for run, population in enumerate(populations):
        for particle in population.particles:
            if particle.log_weight > -math.inf:
                shares[particle.text][run] += math.exp(particle.log_weight) / len(population.particles)
    for text, mass in expected.items():
        error = float(np.std(shares[text])) / math.sqrt(len(populations))
        assert abs(float(np.mean(shares[text])) - mass) < 4.5 * error + 1e-6 * mass, text
    evidences = [math.exp(population.log_evidence) for population in populations]
    error = float(np.std(evidences)) / math.sqrt(len(populations))
    evidence = sum(expected.values())
    assert error < accuracy * evidence  # (else the test would tell little)
    assert abs(float(np.mean(evidences)) - evidence) < 4.5 * error + 1e-6 * evidence


def dead_or_alive(speaker: RandomDiffusion, compiled: CompiledGrammar, *, seed: int, **options: Any) -> Population:
    """A population, with an evidence of 0 where all are dead: the mean is over those too."""
    try:
        return smc(speaker, "", compiled, rng=np.random.default_rng(seed), **options)
    except AllParticlesDeadError as dead:
        return cast("Population", dead.population)


CASES: list[tuple[str, dict[str, Any], int]] = [
    ("one particle", {}, 1),
    ("resampling always", {"ess_threshold": 1.0}, 32),
    ("resampling never", {"ess_threshold": 0.0}, 3),
    ("random orders", {"order": "random", "ess_threshold": 1.0, "resampling": "systematic"}, 4),
    ("two slots a step", {"tokens_per_step": 2, "order": "random", "ess_threshold": 1.0}, 3),
    ("three slots a step, cooler", {"tokens_per_step": 3, "temperature": 0.8, "ess_threshold": 1.0}, 2),
    ("masses estimated", {"max_boundaries": 0, "ess_threshold": 1.0, "resampling": "residual"}, 5),
    ("masses estimated, any order", {"max_boundaries": 0, "order": "random", "tokens_per_step": 2}, 5),
    ("some masses estimated", {"max_boundaries": 8, "order": "random", "ess_threshold": 1.0}, 4),
]


@pytest.mark.parametrize(("name", "options", "particles"), CASES, ids=[name for name, _, _ in CASES])
def test_unbiased(
    compiled: CompiledGrammar, speaker: RandomDiffusion, name: str, options: dict[str, Any], particles: int
) -> None:
    expected = truth(
        speaker,
        compiled,
        ORDERS if options.get("order") == "random" else LEFT,
        options.get("tokens_per_step", 1),
        options.get("temperature", 1.0),
    )
    populations = [
        smc(speaker, "", compiled, particles=particles, rng=np.random.default_rng(seed), slots=SLOTS, **options)
        for seed in range(300)
    ]
    require_unbiased(expected, populations, 0.1)
    resampled = any(step.ancestors is not None for population in populations for step in population.history)
    assert resampled == (particles > 1 and options.get("ess_threshold", 0.5) > 0)


@pytest.mark.parametrize("options", [{}, {"tokens_per_step": 2}, {"order": "random"}])
def test_weights_are_what_the_proposal_leaves(
    compiled: CompiledGrammar, speaker: RandomDiffusion, options: dict[str, Any]
) -> None:
    """A lone particle's weight is known when its canvas is: so p/w is how it was drawn, which sums to 1, exactly."""
    start = [0, MASK, MASK, MASK]
    found: dict[tuple[int, ...], dict[tuple[int, ...], float]] = {}
    for seed in range(250 if options.get("order") != "random" else 900):
        population = smc(speaker, "", compiled, particles=1, rng=np.random.default_rng(seed), canvas=start, **options)
        filled = [pair for step in population.history for pair in step.filled[0]]
        ids = list(start)
        for slot, token in filled:
            ids[slot] = token
        order = tuple(slot for slot, _ in filled)
        mass = probability(speaker, start, ids, order, options.get("tokens_per_step", 1), 1.0)
        assert population.particles[0].logprob == pytest.approx(math.log(mass), rel=1e-5)
        log_weight = population.particles[0].log_weight
        assert found.setdefault(order, {}).setdefault(tuple(ids), log_weight) == log_weight
        found[order][tuple(ids)] = log_weight
    texts = list(fillings(compiled, start))
    assert len(found) == (6 if options.get("order") == "random" else 1)
    for order, weights in found.items():
        proposed = sum(
            probability(speaker, start, ids, order, options.get("tokens_per_step", 1), 1.0) / math.exp(weight)
            for ids, weight in weights.items()
        )
        assert set(weights) <= set(texts)
        if len(weights) == len(texts):
            assert proposed == pytest.approx(1.0, rel=1e-5)
        else:
            assert 0.9 < proposed < 1.0
    assert any(len(weights) == len(texts) for weights in found.values())


def test_one_step_knows_the_evidence(compiled: CompiledGrammar, speaker: RandomDiffusion) -> None:
    speaker.calls.clear()
    population = smc(
        speaker, "", compiled, particles=3, rng=np.random.default_rng(0), slots=SLOTS, tokens_per_step=SLOTS
    )
    evidence = sum(truth(speaker, compiled, per_step=SLOTS).values())
    assert population.log_weights == pytest.approx([math.log(evidence)] * 3, rel=1e-5)
    assert population.passes == 1
    assert speaker.calls[0] == [[MASK] * SLOTS]  # (equal canvases are shown once)


def test_a_prompt_is_seen(compiled: CompiledGrammar, speaker: RandomDiffusion) -> None:
    speaker.calls.clear()
    smc(speaker, "ab", compiled, particles=2, rng=np.random.default_rng(0), slots=SLOTS)
    assert all(row[:2] == [0, 0] and len(row) == 2 + SLOTS for call in speaker.calls for row in call)


class _Late(RandomDiffusion):
    """Gives "]" and what may end a text probability 0 in open canvases, until a "[" is there."""

    def network_logits(self, ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        logits = super().network_logits(ids, attention_mask)
        none_yet = ~(ids == 0).any(-1)
        logits[none_yet] = logits[none_yet].index_fill(-1, torch.tensor([1, 4, STOP, PAD]), -math.inf)
        return logits


@pytest.mark.parametrize("max_boundaries", [0, 4096])
def test_what_has_no_probability_yet_is_not_lost(compiled: CompiledGrammar, max_boundaries: int) -> None:
    late = _Late(COMPILER, mask_token_id=MASK, pad_token_id=PAD, seed=2, sharpness=0.5, favoured={0: 2.0, 1: 1.0})
    expected = {text: mass for text, mass in truth(late, compiled, ORDERS).items() if mass > 0}
    assert len(expected) > 2
    populations = []
    for seed in range(300):
        options: dict[str, Any] = {"max_boundaries": max_boundaries, "order": "random", "ess_threshold": 1.0}
        populations.append(dead_or_alive(late, compiled, particles=6, seed=seed, slots=SLOTS, **options))
    require_unbiased(expected, populations, 0.15)


def test_what_guards_refuse_has_no_weight(speaker: RandomDiffusion) -> None:
    """Masses know nothing of guards, weights do."""
    items = {"anyOf": [{"enum": [1, 11]}, {"type": "array", "maxItems": 0}]}
    unique = COMPILER.compile_json_schema(
        {"type": "array", "items": items, "uniqueItems": True, "minItems": 2, "maxItems": 2}, separators=(",", ":")
    )
    assert unique.guard is not None
    start = [0, MASK, MASK, MASK, 1]
    slots = (1, 2, 3)
    expected = truth(speaker, unique, [slots], start=start)
    populations = [
        dead_or_alive(speaker, unique, particles=4, seed=seed, canvas=start, ess_threshold=1.0) for seed in range(300)
    ]
    states = {particle.state for population in populations for particle in population.particles}
    assert states == {DEAD, FINISHED}
    require_unbiased(expected, populations, 0.1)


def test_seeds(compiled: CompiledGrammar, speaker: RandomDiffusion) -> None:
    def run(seed: int) -> Population:
        return smc(
            speaker, "", compiled, particles=4, rng=np.random.default_rng(seed), slots=6, order="random",
            ess_threshold=0.9,
        )  # fmt: skip

    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert all(particle.text == "" or text_of(particle.token_ids) == particle.text for particle in first.particles)
    assert "ancestry" in first.to_html().lower()
    assert 0 <= first.log_evidence_variance <= 1


def test_all_dead(compiled: CompiledGrammar) -> None:
    """A model that cannot end a text."""
    mute = model(seed=0, favoured={1: -math.inf, 4: -math.inf})
    for max_boundaries in (0, 4096):
        with pytest.raises(AllParticlesDeadError, match="all 3 particles are dead") as caught:
            smc(
                mute, "", compiled, particles=3, rng=np.random.default_rng(0), slots=SLOTS, order="random",
                max_boundaries=max_boundaries,
            )  # fmt: skip
        assert isinstance(caught.value.population, Population)
        assert {particle.state for particle in caught.value.population.particles} == {DEAD}
        assert caught.value.population.log_evidence == -math.inf


def test_impossible(compiled: CompiledGrammar, speaker: RandomDiffusion) -> None:
    speaker.calls.clear()
    rng = np.random.default_rng(0)
    with pytest.raises(UnsatisfiableGrammarError, match="no filling of its 3 open slots"):
        smc(speaker, "", compiled, particles=2, rng=rng, canvas=[1, MASK, MASK, MASK])
    with pytest.raises(LimitExceededError, match="takes 3 slots"):
        smc(speaker, "", COMPILER.compile_choices(["[1]"]), particles=2, rng=rng, slots=2)
    for wrong in (
        {"particles": 0},
        {"tokens_per_step": 0},
        {"order": "confidence"},
        {"ess_threshold": 1.5},
        {"resampling": "none"},
        {"temperature": 0.0},
        {"max_boundaries": -1},
    ):
        options: dict[str, Any] = {"particles": 2, "slots": SLOTS, **wrong}
        with pytest.raises(InvalidArgumentError) as caught:
            smc(speaker, "", compiled, rng=rng, **options)
        assert caught.value.argument == next(iter(wrong))
    with pytest.raises(InvalidArgumentError, match="expected a diffusion model"):
        smc("llada", "", compiled, particles=1, rng=rng)  # type: ignore[arg-type]
    assert not speaker.calls


def test_nothing_to_fill(compiled: CompiledGrammar, speaker: RandomDiffusion) -> None:
    population = smc(speaker, "", compiled, particles=2, rng=np.random.default_rng(0), canvas=[0, 1, STOP, PAD])
    assert [(particle.text, particle.log_weight) for particle in population.particles] == [("[]", 0.0)] * 2
    assert population.passes == 0


@pytest.mark.parametrize("name", ["arithmetic, Earley", "ambiguous", "JSON Schema"])
def test_masses_given_tokens(name: str) -> None:
    """Of a canvas with some tokens more, without making it."""
    language = LANGUAGES[name]()
    mask = language.options["mask_token_id"]
    asked = 0
    for number, ids in enumerate(language.canvases(12, 3, completable=True)):
        open_slots = [slot for slot, token in enumerate(ids) if token == mask]
        if not open_slots:
            continue
        rng = np.random.default_rng(number)
        logps = np.log(rng.dirichlet(np.full(language.compiled.vocabulary.size, 0.5), size=len(ids)))
        known = Canvas(language.compiled, ids, **language.options).fillings(logps)
        assert known is not None
        drawn = known.draw(rng)
        chosen = {int(slot): drawn[slot] for slot in rng.permutation(open_slots)[: rng.integers(1, len(ids) + 1)]}
        more = [chosen.get(slot, token) for slot, token in enumerate(ids)]
        plain = PlainCanvas(language.compiled, more, **language.options)
        assert known.log_mass_given(chosen) == pytest.approx(plain.sample(logps, rng)[1])
        asked += 1
    assert asked > 5


def test_a_trained_model() -> None:
    """Whole texts of a schema, each with a weight; ``generate`` says where they are to be had."""
    pytest.importorskip("transformers", reason="needs the extra hf")
    trained = load_model("tiny-dlm")
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    compiled = trained.compiler.compile_json_schema(schema)
    population = smc(
        trained, "person: Ida, 52", compiled, particles=6, rng=np.random.default_rng(0), slots=32, tokens_per_step=4,
        max_boundaries=0,
    )  # fmt: skip
    values = [json.loads(text) for text in population.posterior()]
    assert all(set(value) == {"name", "age"} and isinstance(value["age"], int) for value in values)
    assert all(particle.state == FINISHED for particle in population.particles)
    assert population.passes == 8
    with pytest.raises(InvalidArgumentError, match=r"ge\.diffusion\.smc"):
        generate("person: Ida, 52", schema=schema, model=trained, sampler=SMC(particles=2))
