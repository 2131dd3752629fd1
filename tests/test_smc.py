"""Sequential Monte Carlo against enumeration: every text of a small language, with its probability.

Whatever the number of particles, the resampling and the estimator: the mean over runs of (1/N) Σ w [text = t] is p(t).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from small_language import MOST, STOP, VOCABULARY, compile_regex, masses, no_double, text_of
from table_model import TableForward, TableModel

from grammar_engine import Matcher, Vocabulary
from grammar_engine.sampling.conditions import OnText, as_condition
from grammar_engine.sampling.particle_draws import Estimator
from grammar_engine.sampling.particles import ParticleRun, Settings
from grammar_engine.sampling.population import CUT, DEAD, FINISHED, Population
from grammar_engine.sampling.resampling import METHODS, ancestors, effective_sample_size


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return VOCABULARY


@pytest.fixture(scope="module")
def compiled() -> Any:
    return compile_regex("[abc]{0,2}(ab|c)?a?")


def truth(
    model: TableModel, compiled: Any, condition: Any = None, most: int = MOST, temperature: float = 1.0
) -> dict[str, float]:
    """Text → mass."""
    found: dict[str, float] = {}
    for tokens, mass in masses(model, compiled, condition, most, temperature).items():
        found[text_of(tokens)] = found.get(text_of(tokens), 0.0) + mass
    return found


def means(
    model: TableModel, vocabulary: Vocabulary, compiled: Any, settings: Settings, particles: int, runs: int
) -> tuple[dict[str, float], dict[str, float], list[Population]]:
    """Mean weight per text over runs, its standard error, and the populations."""
    sums: dict[str, list[float]] = {}
    populations = []
    for seed in range(runs):
        run = ParticleRun(
            TableForward(model),
            vocabulary,
            [Matcher(compiled)],
            [np.random.default_rng(seed)],
            settings,
            particles=particles,
        )
        population = run.run()[0]
        populations.append(population)
        for particle in population.particles:
            if particle.log_weight > -math.inf:
                sums.setdefault(particle.text, [0.0] * runs)[seed] += math.exp(particle.log_weight) / particles
    mean = {text: float(np.mean(values)) for text, values in sums.items()}
    error = {text: float(np.std(values)) / math.sqrt(runs) for text, values in sums.items()}
    return mean, error, populations


CASES: list[tuple[str, dict[str, Any], int]] = [
    ("mask alone", {}, 1),
    ("resampling always", {"ess_threshold": 1.01}, 4),
    ("systematic", {"ess_threshold": 1.01, "resampling": "systematic"}, 3),
    ("multinomial", {"ess_threshold": 0.9, "resampling": "multinomial"}, 5),
    ("residual", {"ess_threshold": 0.9, "resampling": "residual"}, 4),
    ("condition", {"condition": OnText(no_double)}, 1),
    ("condition, geometric", {"condition": OnText(no_double), "method": "geometric", "max_accepts": 3}, 2),
    ("condition, few rejects", {"condition": OnText(no_double), "max_rejects": 2}, 3),
    ("condition and resampling", {"condition": OnText(no_double), "ess_threshold": 1.01}, 4),
    ("critic", {"critic": lambda text: 1.5 * text.count("b"), "ess_threshold": 0.9}, 4),
    (
        "critic and condition",
        {"critic": lambda text: -1.0 * len(text), "condition": OnText(no_double), "ess_threshold": 0.8},
        3,
    ),
    ("temperature", {"temperature": 1.7, "ess_threshold": 0.9}, 3),
    ("recursive", {"condition": OnText(no_double), "method": "recursive", "ess_threshold": 0.9}, 4),
    ("steadier", {"condition": OnText(no_double), "method": "low_variance", "ess_threshold": 0.9}, 4),
    ("exact", {"condition": OnText(no_double), "method": "exact", "ess_threshold": 0.9}, 4),
    ("on device, mask alone", {"on_device": True, "ess_threshold": 0.9, "temperature": 1.7}, 4),
    ("on device, condition", {"on_device": True, "condition": OnText(no_double), "ess_threshold": 0.9}, 4),
    (
        "on device, geometric",
        {"on_device": True, "condition": OnText(no_double), "method": "geometric", "max_accepts": 3},
        2,
    ),
    ("on device, one particle", {"on_device": True, "condition": OnText(no_double)}, 1),
]


@pytest.mark.parametrize(("name", "options", "particles"), CASES, ids=[name for name, _, _ in CASES])
def test_unbiased(vocabulary: Vocabulary, compiled: Any, name: str, options: dict[str, Any], particles: int) -> None:
    """Each text's mean weight within 4.5 standard errors of its mass, and the evidence of their sum."""
    model = TableModel(5, 17, stop=STOP, stop_bias=0.5)
    condition = options.get("condition")
    expected = truth(model, compiled, condition and no_double, temperature=options.get("temperature", 1.0))
    assert len(expected) > 15
    runs = 250
    mean, error, populations = means(model, vocabulary, compiled, Settings(max_tokens=MOST, **options), particles, runs)
    assert set(mean) <= set(expected)
    total = math.fsum(expected.values())
    evidences = np.exp([population.log_evidence for population in populations])
    assert abs(evidences.mean() - total) < 4.5 * evidences.std() / math.sqrt(runs) + 1e-12
    for text, mass in expected.items():
        if mass * runs * particles > 15:
            assert abs(mean[text] - mass) < 4.5 * error[text] + 1e-12, text
    if options.get("ess_threshold", 0) > 0.8:
        assert any(step.ancestors for population in populations for step in population.history)


def test_masks_alone_know_the_evidence_of_a_text(vocabulary: Vocabulary, compiled: Any) -> None:
    """log w = Σ log Z along the text; log p is the model's own."""
    model = TableModel(5, 3, stop=STOP)
    _, _, populations = means(model, vocabulary, compiled, Settings(max_tokens=MOST), 2, 30)
    seen = set()
    for population in populations:
        for particle in population.particles:
            seen.add(particle.state)
            if particle.state != FINISHED:
                assert particle.log_weight == -math.inf
                continue
            log_weight = logp = 0.0
            matcher = Matcher(compiled)
            for depth, token in enumerate((*particle.token_ids, STOP)):
                logps = model.logps(particle.token_ids[:depth])
                log_weight += float(np.log(np.exp(logps[matcher.allowed_token_ids()]).sum()))
                logp += float(logps[token])
                assert matcher.accept_token(token)
            assert particle.log_weight == pytest.approx(log_weight)
            assert particle.logprob == pytest.approx(logp)
    assert seen == {FINISHED, CUT}


@pytest.mark.parametrize("on_device", [False, True])
def test_prompts_in_a_batch_are_what_they_are_alone(vocabulary: Vocabulary, compiled: Any, on_device: bool) -> None:
    model = TableModel(5, 8, stop=STOP)
    settings = Settings(
        max_tokens=MOST, condition=as_condition(no_double), ess_threshold=0.9, method="geometric", on_device=on_device
    )

    def run(seeds: list[int]) -> list[Population]:
        rngs = [np.random.default_rng(seed) for seed in seeds]
        matchers = [Matcher(compiled) for _ in seeds]
        return ParticleRun(TableForward(model, len(seeds)), vocabulary, matchers, rngs, settings, particles=4).run()

    together = run([1, 2, 3])
    for population, seed in zip(together, [1, 2, 3], strict=True):
        alone = run([seed])[0]
        assert population.history == alone.history
        assert population.particles == alone.particles
    assert len({population.particles for population in together}) == 3


def test_estimators_are_chosen_by_the_mask_alone() -> None:
    mask = np.zeros((3, 2), np.int32)
    mask[0], mask[1, 0], mask[2, 0] = -1, 0xFFFF, 0x1FFFF
    assert Estimator().methods(mask, 40) == ["low_variance", "exact", "low_variance"]
    assert Estimator().methods(mask, 16) == ["exact"] * 3
    for fixed in ({"several": False}, {"max_rejects": 4}, {"max_accepts": 3}):
        assert Estimator(**fixed).methods(mask, 40) == ["auto"] * 3
    assert Estimator(method="recursive").methods(mask, 40) == ["recursive"] * 3


def test_exact_weights_are_the_masses_of_what_is_accepted(vocabulary: Vocabulary, compiled: Any) -> None:
    """With few tokens nothing is left to chance but the tokens: the weight of each text is known."""
    model = TableModel(5, 3, stop=STOP)
    for on_device in (False, True):
        settings = Settings(max_tokens=MOST, condition=OnText(no_double), on_device=on_device, ess_threshold=0)
        _, _, populations = means(model, vocabulary, compiled, settings, 3, 15)
        finished = [p for population in populations for p in population.particles if p.state == FINISHED]
        assert len(finished) > 20
        for particle in finished:
            log_weight = 0.0
            matcher = Matcher(compiled)
            for depth, token in enumerate((*particle.token_ids, STOP)):
                prefix = text_of(particle.token_ids[:depth])
                logps = model.logps(particle.token_ids[:depth])
                accepted = [t for t in matcher.allowed_token_ids() if no_double(prefix + text_of((t,)))]
                log_weight += float(np.log(np.exp(logps[accepted]).sum()))
                assert matcher.accept_token(token)
            assert particle.log_weight == pytest.approx(log_weight)


def test_a_condition_that_refuses_everything_kills_everything(vocabulary: Vocabulary, compiled: Any) -> None:
    model = TableModel(5, 8, stop=STOP)
    settings = Settings(max_tokens=MOST, condition=OnText(lambda _: False))
    run = ParticleRun(
        TableForward(model), vocabulary, [Matcher(compiled)], [np.random.default_rng(0)], settings, particles=3
    )
    population = run.run()[0]
    assert {particle.state for particle in population.particles} == {DEAD}
    assert population.log_evidence == -math.inf
    assert population.posterior() == {}
    assert math.isnan(population.log_evidence_variance)
    with pytest.raises(ValueError, match="no particle"):
        population.best()
    assert '"log_evidence": null' in population.to_json()


def test_variance_of_the_evidence(vocabulary: Vocabulary, compiled: Any) -> None:
    """The estimate from single runs, in the mean, against the spread over runs (relative variance of the evidence)."""
    model = TableModel(5, 17, stop=STOP, stop_bias=0.5)
    settings = Settings(max_tokens=MOST, ess_threshold=0.7)
    _, _, populations = means(model, vocabulary, compiled, settings, 40, 60)
    evidences = np.exp([population.log_evidence for population in populations])
    spread = float(evidences.var() / evidences.mean() ** 2)
    estimated = float(np.mean([population.log_evidence_variance for population in populations]))
    assert 0.5 * spread < estimated < 2 * spread


@pytest.mark.parametrize("method", METHODS)
def test_ancestors_come_in_proportion(method: str) -> None:
    weights = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights) - 700
    rng = np.random.default_rng(1)
    counts = np.zeros(5)
    for _ in range(4000):
        chosen = ancestors(log_weights, method, rng)
        assert len(chosen) == 5
        assert chosen == sorted(chosen)
        counts += np.bincount(chosen, minlength=5)
    assert counts / 4000 == pytest.approx(5 * weights, abs=0.06)
    assert counts[1] == 0


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.zeros(4)) == pytest.approx(4)
    assert effective_sample_size(np.array([0.0, -math.inf])) == pytest.approx(1)
    assert effective_sample_size(np.array([-math.inf])) == 0
