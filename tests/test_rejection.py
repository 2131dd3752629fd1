"""Rejection and adaptive rejection sampling against enumeration of a small language."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from small_language import MOST, STOP, VOCABULARY, compile_regex, masses, no_double
from table_model import TableForward, TableModel

from grammar_engine import GrammarCompiler, Matcher, Vocabulary
from grammar_engine.errors import InvalidArgumentError, NothingAcceptedError
from grammar_engine.sampling import CARS, CarsMemory, OnText, OnValue, Rejection
from grammar_engine.sampling.population import Population
from grammar_engine.sampling.weighted import PopulationSampler, Work

MODEL = TableModel(5, 17, stop=STOP, stop_bias=0.5)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return VOCABULARY


@pytest.fixture(scope="module")
def compiled() -> Any:
    return compile_regex("[ab]{0,2}(ab|c)?a?")


def truth(compiled: Any, condition: Any, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """Tokens of accepted texts → mass."""
    return masses(MODEL, compiled, condition, temperature=temperature)


def draws(
    sampler: PopulationSampler, vocabulary: Vocabulary, compiled: Any, seeds: Any, most: int = MOST, key: str = "prompt"
) -> list[Population]:
    """One batch with a prompt for each seed."""
    work = Work(
        forward=lambda rows: TableForward(MODEL, len(rows)),
        vocabulary=vocabulary,
        matchers=[Matcher(compiled) for _ in seeds],
        rngs=[np.random.default_rng(seed) for seed in seeds],
        max_tokens=[most] * len(seeds),
        keys=[key] * len(seeds),
    )
    sampler.check(most)
    run = sampler.begin(work)
    for _ in run.steps():
        pass
    return run.populations()


def assert_distributed(counts: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> None:
    """Chi-square at 1 in 100,000, rare texts together."""
    assert set(counts) <= set(expected)
    total, mass = sum(counts.values()), math.fsum(expected.values())
    bins: list[list[float]] = [[0.0, 0.0]]
    for tokens, probability in sorted(expected.items(), key=lambda item: -item[1]):
        mean = total * probability / mass
        if bins[-1][1] >= 5 or not bins[-1][1]:
            bins.append([0.0, 0.0])
        bins[-1][0] += counts[tokens]
        bins[-1][1] += mean
    bins = [entry for entry in bins if entry[1]]
    square = sum((seen - mean) ** 2 / mean for seen, mean in bins)
    freedom = len(bins) - 1
    # Wilson and Hilferty (1931): the cube root is nearly normal.
    deviation = ((square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert deviation < 4.3, (square, freedom)


SAMPLERS: list[tuple[str, PopulationSampler, Any]] = [
    ("rejection", Rejection(max_tries=1000), None),
    ("rejection, condition", Rejection(max_tries=1000, condition=no_double, at_once=3), no_double),
    ("rejection, temperature", Rejection(max_tries=1000, temperature=1.7), None),
    ("adaptive", CARS(max_tries=1000), None),
    ("adaptive, condition", CARS(max_tries=1000, condition=no_double), no_double),
    ("adaptive, at the end", CARS(max_tries=1000, condition=OnValue(no_double, parse=str)), no_double),
    ("adaptive, temperature", CARS(max_tries=1000, condition=no_double, temperature=0.6), no_double),
]


@pytest.mark.parametrize(("name", "sampler", "condition"), SAMPLERS, ids=[name for name, _, _ in SAMPLERS])
def test_exact(vocabulary: Vocabulary, compiled: Any, name: str, sampler: Any, condition: Any) -> None:
    expected = truth(compiled, condition, sampler.temperature)
    populations = draws(sampler, vocabulary, compiled, range(1500))
    rng = np.random.default_rng(0)
    counts = Counter(sampler.chosen(population, rng).token_ids for population in populations)
    assert_distributed(counts, expected)


def test_exact_with_a_memory_that_learns(vocabulary: Vocabulary, compiled: Any) -> None:
    """Over calls: every draw exact, the bound falls to the mass of accepted texts and never below, tries get fewer."""
    memory = CarsMemory()
    sampler = CARS(max_tries=1000, condition=no_double, memory=memory)
    expected = truth(compiled, no_double)
    mass = math.fsum(expected.values())
    counts: Counter[tuple[int, ...]] = Counter()
    tries, bounds = [], []
    for seed in range(600):
        population = draws(sampler, vocabulary, compiled, [seed])[0]
        counts[sampler.chosen(population, np.random.default_rng(0)).token_ids] += 1
        tries.append(len(population.particles))
        bounds.append(memory.bounds()[0])
    assert len(memory) == 1
    assert_distributed(counts, expected)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] >= mass * (1 - 1e-12)
    assert bounds[-1] < mass * 1.02 < bounds[0]
    assert np.mean(tries[:20]) > 1.15 * np.mean(tries[300:])
    assert np.mean(tries[300:]) < 1.05


@pytest.mark.parametrize("max_nodes", [1, 2, 5, 12])
def test_a_full_memory_learns_no_more_and_stays_exact(vocabulary: Vocabulary, compiled: Any, max_nodes: int) -> None:
    memory = CarsMemory(max_nodes=max_nodes)
    sampler = CARS(max_tries=1000, condition=no_double, memory=memory)
    expected = truth(compiled, no_double)
    counts: Counter[tuple[int, ...]] = Counter()
    tries = []
    for seed in range(600):
        population = draws(sampler, vocabulary, compiled, [seed])[0]
        counts[sampler.chosen(population, np.random.default_rng(0)).token_ids] += 1
        tries.append(len(population.particles))
        assert memory.num_nodes == size(memory) <= max_nodes
        assert memory.bounds()[0] >= math.fsum(expected.values()) * (1 - 1e-12)
    assert memory.is_full
    assert_distributed(counts, expected)
    assert np.mean(tries[300:]) > 1.1  # it cannot have learnt everything
    other = compile_regex("c|ab")  # another tree finds no room, and is exact too
    found = Counter(
        sampler.chosen(draws(sampler, vocabulary, other, [seed], key="other")[0], np.random.default_rng(0)).token_ids
        for seed in range(300)
    )
    assert_distributed(found, truth(other, no_double))
    assert len(memory) == 1
    memory.clear()
    assert (len(memory), memory.num_nodes, memory.is_full) == (0, 0, False)


def size(memory: CarsMemory) -> int:
    """Prefixes in all trees, counted."""
    todo, count = list(memory._trees.values()), 0
    while todo:
        count += 1
        todo += todo.pop().children.values()
    return count


def test_rows_share_a_memory_and_stay_exact(vocabulary: Vocabulary, compiled: Any) -> None:
    sampler = CARS(max_tries=1000, condition=no_double, memory=CarsMemory())
    counts: Counter[tuple[int, ...]] = Counter()
    for start in range(0, 1200, 40):
        sampler = CARS(max_tries=1000, condition=no_double, memory=CarsMemory())
        for population in draws(sampler, vocabulary, compiled, range(start, start + 40)):
            counts[sampler.chosen(population, np.random.default_rng(0)).token_ids] += 1
    assert_distributed(counts, truth(compiled, no_double))


def test_adaptive_weights_are_proper(vocabulary: Vocabulary, compiled: Any) -> None:
    """Of the first try, whatever was learnt: E[w] is the mass. Here behind 3 draws of others."""
    mass = math.fsum(truth(compiled, no_double).values())
    weights = []
    for seed in range(1500):
        memory = CarsMemory()
        sampler = CARS(max_tries=1, condition=no_double, memory=memory)
        if seed % 2:
            draws(sampler, vocabulary, compiled, [10_000 + seed])
            draws(sampler, vocabulary, compiled, [20_000 + seed])
        population = draws(sampler, vocabulary, compiled, [seed])[0]
        weights.append(math.exp(population.particles[0].log_weight))
    assert abs(np.mean(weights) - mass) < 4.5 * np.std(weights) / math.sqrt(len(weights))


@pytest.mark.parametrize(("accepts", "max_tries"), [(2, 1000), (4, 1000), (3, 5)])
def test_evidence_of_rejection_is_unbiased(vocabulary: Vocabulary, compiled: Any, accepts: int, max_tries: int) -> None:
    sampler = Rejection(max_tries=max_tries, accepts=accepts, condition=no_double)
    mass = math.fsum(truth(compiled, no_double).values())
    populations = draws(sampler, vocabulary, compiled, range(1500))
    evidences = np.exp([population.log_evidence for population in populations])
    assert abs(evidences.mean() - mass) < 4.5 * evidences.std() / math.sqrt(len(evidences))


def test_tries_of_rejection_are_geometric(vocabulary: Vocabulary, compiled: Any) -> None:
    mass = math.fsum(truth(compiled, no_double).values())
    populations = draws(Rejection(max_tries=1000, condition=no_double), vocabulary, compiled, range(1500))
    tries = np.array([len(population.particles) for population in populations])
    assert abs(tries.mean() - 1 / mass) < 4.5 * tries.std() / math.sqrt(len(tries))
    assert all(
        population.log_evidence == pytest.approx(-math.log(n)) for population, n in zip(populations, tries, strict=True)
    )


@pytest.mark.parametrize("sampler", [SAMPLERS[1][1], SAMPLERS[4][1]], ids=["rejection", "adaptive"])
def test_neither_the_batch_nor_the_number_at_once_matters(
    vocabulary: Vocabulary, compiled: Any, sampler: PopulationSampler
) -> None:
    together = draws(sampler, vocabulary, compiled, range(12))
    assert len({len(population.particles) for population in together}) > 1
    for seed, population in enumerate(together):
        assert draws(sampler, vocabulary, compiled, [seed])[0].particles == population.particles
    if isinstance(sampler, Rejection):
        for at_once in (1, 20):
            other = Rejection(max_tries=1000, condition=no_double, at_once=at_once)
            assert [p.particles for p in draws(other, vocabulary, compiled, range(12))] == [
                p.particles for p in together
            ]


@pytest.mark.parametrize("kind", [Rejection, CARS])
def test_nothing_accepted(vocabulary: Vocabulary, compiled: Any, kind: Any) -> None:
    sampler = kind(max_tries=7, condition=OnText(lambda _: True, at_end=lambda _: False))
    population = draws(sampler, vocabulary, compiled, [1])[0]
    with pytest.raises(NothingAcceptedError, match="none of 7 texts") as caught:
        sampler.require(population)
    assert caught.value.tries == 7
    assert caught.value.closest_text == max((particle.text for particle in population.particles), key=len)
    assert caught.value.population is population


def test_a_language_that_is_used_up(vocabulary: Vocabulary) -> None:
    """When every text was refused, the bound is exactly 0 and tries end at once."""
    compiled = GrammarCompiler(vocabulary).compile_regex("a|b|ab")
    memory = CarsMemory()
    sampler = CARS(max_tries=400, condition=OnText(lambda _: True, at_end=lambda _: False), memory=memory)
    population = draws(sampler, vocabulary, compiled, [1])[0]
    assert memory.bounds() == [0.0]
    assert [particle.text for particle in population.particles[-5:]] == [""] * 5


@pytest.mark.parametrize(
    ("sampler", "argument"),
    [
        (Rejection(max_tries=0), "max_tries"),
        (Rejection(accepts=True), "accepts"),
        (Rejection(at_once=0), "at_once"),
        (Rejection(temperature=0.0), "temperature"),
        (Rejection(condition=3), "condition"),  # type: ignore[arg-type]
        (CARS(max_tries=0), "max_tries"),
        (CARS(temperature=math.inf), "temperature"),
        (CARS(memory={}), "memory"),  # type: ignore[arg-type]
    ],
)
def test_refused(sampler: PopulationSampler, argument: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sampler.check(5)
    assert caught.value.argument == argument
