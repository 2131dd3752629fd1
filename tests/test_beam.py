"""Beam search and best of n against enumeration of a small language."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from small_language import MOST, STOP, VOCABULARY, compile_regex, masses, no_double, text_of
from table_model import TableForward, TableModel

from grammar_engine import GrammarCompiler, Matcher, Vocabulary
from grammar_engine.errors import AllParticlesDeadError, ConditionError, IncompleteGenerationError, InvalidArgumentError
from grammar_engine.sampling import Beam, BestOf
from grammar_engine.sampling.population import Population
from grammar_engine.sampling.weighted import PopulationSampler, Work


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return VOCABULARY


@pytest.fixture(scope="module")
def compiled() -> Any:
    return compile_regex("[abc]{0,2}(ab|c)?a?")


def truth(model: TableModel, compiled: Any, condition: Any = None) -> dict[tuple[int, ...], float]:
    """Tokens of accepted texts → log-probability."""
    return {tokens: math.log(mass) for tokens, mass in masses(model, compiled, condition).items()}


def populations(
    sampler: PopulationSampler, models: TableModel, vocabulary: Vocabulary, compiled: Any, seeds: Any = (0,)
) -> list[Population]:
    sampler.check(MOST)
    work = Work(
        forward=lambda rows: TableForward(models, len(rows)),
        vocabulary=vocabulary,
        matchers=[Matcher(compiled) for _ in seeds],
        rngs=[np.random.default_rng(seed) for seed in seeds],
        max_tokens=[MOST] * len(seeds),
    )
    run = sampler.begin(work)
    for _ in run.steps():
        pass
    return run.populations()


def found(sampler: PopulationSampler, model: TableModel, vocabulary: Vocabulary, compiled: Any) -> Population:
    return populations(sampler, model, vocabulary, compiled)[0]


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.5, -0.5])
@pytest.mark.parametrize("condition", [None, no_double], ids=["grammar", "condition"])
def test_wide_enough_is_exact(vocabulary: Vocabulary, compiled: Any, penalty: float, condition: Any) -> None:
    """All texts of the language, in the order of their scores."""
    for seed in range(4):
        model = TableModel(5, seed, stop=STOP)
        expected = truth(model, compiled, condition)
        order = sorted(expected, key=lambda tokens: -expected[tokens] / (len(tokens) + 1) ** penalty)
        beam = Beam(width=200, length_penalty=penalty, condition=condition)
        population = found(beam, model, vocabulary, compiled)
        assert [particle.token_ids for particle in population.particles] == order
        for particle in population.particles:
            assert particle.logprob == pytest.approx(expected[particle.token_ids])
        assert population.log_evidence == pytest.approx(math.log(sum(map(math.exp, expected.values()))))


def test_width_one_is_greedy_and_more_is_never_worse(vocabulary: Vocabulary, compiled: Any) -> None:
    """Of few beams: texts of the language with their probabilities; the best of them reaches the optimum with width."""
    reached = {1: 0, 3: 0, 12: 0}
    for seed in range(12):
        model = TableModel(5, seed, stop=STOP)
        expected = truth(model, compiled)
        best = max(expected.values())
        for width in reached:
            population = found(Beam(width=width), model, vocabulary, compiled)
            assert 1 <= len(population.particles) <= width
            scores = [particle.logprob for particle in population.particles]
            assert scores == sorted(scores, reverse=True)
            for particle in population.particles:
                assert particle.logprob == pytest.approx(expected[particle.token_ids])
            reached[width] += scores[0] == pytest.approx(best)
    assert reached[1] <= reached[3] <= reached[12] == 12


def reference(model: TableModel, compiled: Any, beam: Beam) -> list[tuple[tuple[int, ...], float]]:
    """Diverse beam search, written plainly over sequences of tokens."""
    each = beam.width // beam.groups
    groups: list[list[tuple[tuple[int, ...], float]]] = [[((), 0.0)] for _ in range(beam.groups)]
    ended: dict[tuple[int, ...], float] = {}
    for _ in range(MOST):
        taken = [0] * 5
        for g, group in enumerate(groups):
            longer = []
            for tokens, logprob in group:
                logps = model.logps(tokens)
                matcher = Matcher(compiled)
                assert matcher.accept_bytes(text_of(tokens).encode())
                for token in matcher.allowed_token_ids().tolist():
                    score = logprob + float(logps[token])
                    if token == STOP:
                        ended[tokens] = score
                    elif len(tokens) + 1 < MOST:
                        longer.append((score - beam.diversity * taken[token], score, (*tokens, token)))
            longer.sort(key=lambda entry: -entry[0])
            groups[g] = [(tokens, score) for _, score, tokens in longer[:each]]
            for tokens, _ in groups[g]:
                taken[tokens[-1]] += 1
    return sorted(ended.items(), key=lambda item: -item[1])[: beam.width]


@pytest.mark.parametrize(("width", "groups", "diversity"), [(4, 2, 1.0), (6, 3, 0.5), (3, 3, 5.0), (2, 1, 0.0)])
def test_groups_as_a_plain_reference(
    vocabulary: Vocabulary, compiled: Any, width: int, groups: int, diversity: float
) -> None:
    texts, plain = 0, 0
    for seed in range(6):
        model = TableModel(5, seed, stop=STOP)
        beam = Beam(width=width, groups=groups, diversity=diversity)
        population = found(beam, model, vocabulary, compiled)
        expected = reference(model, compiled, beam)
        assert [particle.token_ids for particle in population.particles] == [tokens for tokens, _ in expected]
        assert [particle.logprob for particle in population.particles] == pytest.approx([s for _, s in expected])
        texts += len({particle.token_ids[:1] for particle in population.particles})
        narrow = found(Beam(width=width), model, vocabulary, compiled)
        plain += len({particle.token_ids[:1] for particle in narrow.particles})
    assert diversity < 5 or texts > plain


def test_rows_of_a_batch_and_calls_alone(vocabulary: Vocabulary, compiled: Any) -> None:
    model = TableModel(5, 3, stop=STOP)
    for sampler in (Beam(width=4, groups=2, diversity=0.5), BestOf(n=4, condition=no_double)):
        together = populations(sampler, model, vocabulary, compiled, [1, 2, 3])
        for population, seed in zip(together, [1, 2, 3], strict=True):
            assert populations(sampler, model, vocabulary, compiled, [seed])[0].particles == population.particles
    beams = populations(Beam(width=4), model, vocabulary, compiled, [1, 2])
    assert beams[0].particles == beams[1].particles


def test_best_of(vocabulary: Vocabulary, compiled: Any) -> None:
    """The population is properly weighted, the answer is the score's favourite among what is finished."""
    model = TableModel(5, 17, stop=STOP, stop_bias=0.5)
    rng = np.random.default_rng(0)
    mass = sum(map(math.exp, truth(model, compiled, no_double).values()))
    sampler = BestOf(n=4, condition=no_double)
    longest = BestOf(n=4, condition=no_double, score=len)
    runs = populations(sampler, model, vocabulary, compiled, range(400))
    evidences = np.exp([population.log_evidence for population in runs])
    assert abs(evidences.mean() - mass) < 4.5 * evidences.std() / math.sqrt(len(evidences))
    for population in runs:
        finished = [particle for particle in population.particles if particle.log_weight > -math.inf]
        if finished:
            assert sampler.chosen(population, rng).logprob == max(particle.logprob for particle in finished)
            assert len(longest.chosen(population, rng).text) == max(len(particle.text) for particle in finished)
    with pytest.raises(ConditionError, match="returned nan"):
        BestOf(n=4, score=lambda _: math.nan).chosen(runs[0], rng)


def test_dead_and_cut(vocabulary: Vocabulary, compiled: Any) -> None:
    model = TableModel(5, 3, stop=STOP)
    beam = Beam(width=3, condition=lambda _: False)
    refused = populations(beam, model, vocabulary, compiled)[0]
    with pytest.raises(AllParticlesDeadError):
        beam.require(refused)
    beam = Beam(width=3)
    long = GrammarCompiler(vocabulary).compile_regex("[abc]{20}")
    cut = populations(beam, model, vocabulary, long)[0]
    with pytest.raises(IncompleteGenerationError, match="raise max_tokens") as caught:
        beam.require(cut)
    assert len(caught.value.partial_text) >= MOST - 1


@pytest.mark.parametrize(
    ("sampler", "argument"),
    [
        (Beam(width=0), "width"),
        (Beam(width=4, groups=3, diversity=1.0), "groups"),
        (Beam(width=4, groups=2), "diversity"),
        (Beam(width=4, diversity=1.0), "diversity"),
        (Beam(width=4, groups=2, diversity=-1.0), "diversity"),
        (Beam(length_penalty=math.nan), "length_penalty"),
        (Beam(condition=3), "condition"),  # type: ignore[arg-type]
        (BestOf(n=0), "n"),
        (BestOf(n=2, score=1), "score"),  # type: ignore[arg-type]
        (BestOf(n=2, temperature=0), "temperature"),
    ],
)
def test_refused(sampler: PopulationSampler, argument: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sampler.check(5)
    assert caught.value.argument == argument
