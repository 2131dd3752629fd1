"""Weighted draws against enumeration: E[w · f] by all orders of small vocabularies, closed forms, and by chance.

For three to five tokens every order without replacement has a probability that can be written down, so the recursive
estimator's mean is computed exactly: the random source is replaced by one that takes every path.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling import awrs, masked
from grammar_engine.sampling.race import without_replacement


def logs(masses: list[float]) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.array(masses))


MASSES = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=5)


def orders(masses: list[float]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Every order without replacement, with its probability."""
    for order in itertools.permutations(range(len(masses))):
        probability, left = 1.0, math.fsum(masses)
        for token in order:
            probability *= masses[token] / left
            left -= masses[token]
        yield probability, order


@given(masses=MASSES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_recursive_by_enumeration(masses: list[float], data: st.DataObject) -> None:
    """Mean weight per token = its mass if accepted, and mean number of checks = 2 + Σ p/(p + Z)."""
    accepted = data.draw(st.sets(st.sampled_from(range(len(masses)))))
    logps = logs(masses)
    weight = np.zeros(len(masses))
    checks = 0.0
    module = sys.modules["grammar_engine.sampling.awrs"]
    for probability, order in orders(masses):
        left = [math.fsum(masses[token] for token in order[i:]) for i in range(len(order))]
        given_order = [(token, math.log(mass)) for token, mass in zip(order, left, strict=True)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "without_replacement", lambda *_, known=given_order: iter(known))
            draw = awrs(logps, accepted.__contains__, rng=np.random.default_rng(0), method="recursive")
        checks += probability * draw.num_checks
        if draw.token is None:
            assert not accepted
            assert draw.log_weight == -math.inf
        else:
            assert draw.token in accepted
            weight[draw.token] += probability * math.exp(draw.log_weight)
    expected = [mass if token in accepted else 0.0 for token, mass in enumerate(masses)]
    assert weight == pytest.approx(expected, rel=1e-9, abs=1e-12)
    valid = math.fsum(expected)
    if len(accepted) > 1 or (accepted and len(accepted) < len(masses)):
        refused = [mass for token, mass in enumerate(masses) if token not in accepted]
        mean = 2 + math.fsum(mass / (mass + valid) for mass in refused)
        # Only where the accepted token may be the last of all is there no second check.
        if len(accepted) > 1:
            assert checks == pytest.approx(mean, rel=1e-9)
        else:
            last = math.fsum(p for p, order in orders(masses) if order[-1] in accepted)
            assert checks == pytest.approx(mean - last, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("recursive", {}),
        ("geometric", {}),
        ("geometric", {"max_accepts": 5}),
        ("geometric", {"max_rejects": 1}),
        ("geometric", {"max_rejects": 3, "max_accepts": 3}),
        ("exact", {}),
        ("low_variance", {}),
    ],
)
@pytest.mark.parametrize("accepted", [{0}, {1, 3}, {2, 3, 4}, {0, 1, 2, 3, 4}, set()], ids=str)
def test_means_by_chance(method: str, options: dict[str, int], accepted: set[int]) -> None:
    """Mean of w · [token = t] over 8,000 draws, within 4.5 standard errors of p(t) [t accepted]."""
    masses = [0.4, 0.3, 0.15, 0.1, 0.05]
    logps = logs(masses)
    rng = np.random.default_rng(11)
    count = 8000
    values = np.zeros((count, len(masses)))
    for i in range(count):
        draw = awrs(logps, accepted.__contains__, rng=rng, method=method, **options)
        if draw.token is not None:
            values[i, draw.token] = math.exp(draw.log_weight)
    expected = np.array([mass if token in accepted else 0.0 for token, mass in enumerate(masses)])
    errors = np.abs(values.mean(0) - expected) / np.maximum(values.std(0) / math.sqrt(count), 1e-12)
    assert errors.max() < 4.5 or np.allclose(values.mean(0), expected, atol=1e-12)


def test_low_variance_takes_the_estimator_that_the_masses_call_for() -> None:
    """Above half of the mass: what the recursive one draws, else the geometric one, from the same generator."""
    for masses, method in (([0.51, 0.3, 0.19], "recursive"), ([0.49, 0.3, 0.21], "geometric")):
        for seed in range(200):
            first, second = (
                awrs(logs(masses), {1, 2}.__contains__, rng=np.random.default_rng(seed), method=name)
                for name in ("low_variance", method)
            )
            assert first == second
    nothing = np.full(3, -math.inf)
    assert awrs(nothing, lambda _: True, rng=np.random.default_rng(0), method="low_variance").token is None


def test_exact_weights_do_not_vary() -> None:
    masses = [0.4, 0.3, 0.15, 0.1, 1e-300]
    for seed in range(50):
        draw = awrs(logs(masses), {1, 3, 4}.__contains__, rng=np.random.default_rng(seed), method="exact")
        assert (math.exp(draw.log_weight), draw.num_checks) == (pytest.approx(0.4, rel=1e-14), 5)
        alone = awrs(logs(masses), {4}.__contains__, rng=np.random.default_rng(seed), method="exact")
        assert (alone.token, alone.log_weight) == (4, pytest.approx(-300 * math.log(10)))


@pytest.mark.parametrize("valid", [0.9, 0.3, 0.02])
def test_variance_of_the_geometric_estimator(valid: float) -> None:
    """Var(w) = Z² (−ln Z / (1 − Z) − 1) for A = 2, whatever the vocabulary looks like."""
    masses = [valid / 2, valid / 2, *[(1 - valid) / 6] * 6]
    rng = np.random.default_rng(3)
    weights = np.array(
        [
            math.exp(awrs(logs(masses), lambda token: token < 2, rng=rng, method="geometric").log_weight)
            for _ in range(15_000)
        ]
    )
    variance = valid**2 * (-math.log(valid) / (1 - valid) - 1)
    assert weights.mean() == pytest.approx(valid, abs=4.5 * math.sqrt(variance / len(weights)))
    fourth = ((weights - valid) ** 4).mean()
    assert weights.var() == pytest.approx(variance, abs=4.5 * math.sqrt((fourth - variance**2) / len(weights)))


@pytest.mark.parametrize("method", ["recursive", "geometric"])
@pytest.mark.parametrize("exponent", [3, 6, 9, 12, 30, 300])
def test_weights_where_nearly_everything_is_refused(method: str, exponent: int) -> None:
    """Z = 10⁻ᵉ: never dead, never NaN, and in the mean right (the recursive estimator has hardly any variance here)."""
    vocabulary = 2000
    rng = np.random.default_rng(7)
    logps = rng.normal(size=vocabulary)
    logps -= np.log(np.exp(logps).sum())
    logps[::500] = -exponent * math.log(10) - math.log(4)
    logps = logps - np.log(np.exp(logps).sum())
    true = float(np.log(np.exp(logps[::500] + exponent * math.log(10)).sum())) - exponent * math.log(10)
    found = []
    for _ in range(30):
        draw = awrs(logps, lambda token: token % 500 == 0, rng=rng, method=method)
        assert draw.token is not None
        assert draw.token % 500 == 0
        assert math.isfinite(draw.log_weight)
        found.append(draw.log_weight - true)
    if method == "recursive" and exponent >= 9:
        assert np.mean(np.exp(found)) == pytest.approx(1, abs=1e-2)


def test_tokens_of_very_different_mass_come_in_order() -> None:
    """Masses down to e⁻²⁰⁰⁰ beside the heaviest: each is reached, and the mass left beside it is right."""
    logps = np.array([0.0, -2000.0, -1000.0, -math.inf, -1000.0, -3000.0])
    for seed in range(20):
        found = list(without_replacement(logps, np.random.default_rng(seed)))
        tokens = [token for token, _ in found]
        assert (tokens[0], set(tokens[1:3]), tokens[3:]) == (0, {2, 4}, [1, 5])
        left = [log_left for _, log_left in found]
        assert left == pytest.approx([0, -1000 + math.log(2), -1000, -2000, -3000])


@given(masses=MASSES, seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_order_holds_every_token_once_with_the_mass_that_is_left(masses: list[float], seed: int) -> None:
    found = list(without_replacement(logs(masses), np.random.default_rng(seed)))
    tokens = [token for token, _ in found]
    assert sorted(tokens) == list(range(len(masses)))
    for i, (_, log_left) in enumerate(found):
        assert math.exp(log_left) == pytest.approx(math.fsum(masses[token] for token in tokens[i:]), rel=1e-9)


def test_orders_have_their_probabilities() -> None:
    """All orders of four tokens, 20,000 draws, chi-square at its 99.9 % quantile."""
    masses = [0.6, 0.3, 0.09, 0.01]
    rng = np.random.default_rng(5)
    count = 20_000
    seen: dict[tuple[int, ...], int] = {}
    for _ in range(count):
        order = tuple(token for token, _ in without_replacement(logs(masses), rng))
        seen[order] = seen.get(order, 0) + 1
    square = sum((seen.get(order, 0) - count * p) ** 2 / (count * p) for p, order in orders(masses))
    assert square < 49.7  # chi-square with 23 degrees of freedom


def test_order_of_a_large_vocabulary_across_chunks() -> None:
    """6,000 equal tokens: each comes once, first places are spread evenly, and the mass left falls to the last one."""
    logps = np.full(6000, -math.log(6000))
    found = list(without_replacement(logps, np.random.default_rng(1)))
    assert sorted(token for token, _ in found) == list(range(6000))
    left = np.exp([log_left for _, log_left in found])
    assert left == pytest.approx(np.arange(6000, 0, -1) / 6000, rel=1e-9)


def test_masked() -> None:
    masses = [0.4, 0.3, 0.15, 0.1, 0.05]
    row = np.array([0b11010], np.int32)
    rng = np.random.default_rng(0)
    draws = [masked(logs(masses), row, rng=rng) for _ in range(10_000)]
    assert all(math.exp(draw.log_weight) == pytest.approx(0.45) for draw in draws)
    shares = np.bincount([draw.token for draw in draws], minlength=5) / len(draws)
    assert shares == pytest.approx([0, 0.3 / 0.45, 0, 0.1 / 0.45, 0.05 / 0.45], abs=0.02)
    assert masked(logs(masses), np.zeros(1, np.int32), rng=rng).token is None
    assert masked(logs([0.0, 1.0]), np.array([1], np.int32), rng=rng).log_weight == -math.inf


def test_each_token_is_checked_once() -> None:
    logps = logs([0.5, 0.25, 0.15, 0.1])
    for method in ("recursive", "geometric"):
        for seed in range(300):
            asked: list[int] = []

            def accept(token: int, asked: list[int] = asked) -> bool:
                asked.append(token)
                return token == 3

            options = {"max_accepts": 4} if method == "geometric" else {}
            draw = awrs(logps, accept, rng=np.random.default_rng(seed), method=method, **options)
            assert len(asked) == len(set(asked)) == draw.num_checks


def test_same_seed_same_draw() -> None:
    logps = np.random.default_rng(0).normal(size=5000)
    first = awrs(logps, lambda token: token % 7 == 0, rng=np.random.default_rng(4))
    assert first == awrs(logps, lambda token: token % 7 == 0, rng=np.random.default_rng(4))


def test_refused_arguments() -> None:
    rng = np.random.default_rng(0)
    logps = logs([0.5, 0.5])
    faults: list[tuple[Any, dict[str, Any], str]] = [
        (logps, {"method": "x"}, "expected one of"),
        (logps, {"max_accepts": 1}, "at least 2"),
        (logps, {"max_rejects": 0}, "at least 1"),
        (logps, {"method": "recursive", "max_rejects": 5}, "without bias"),
        (logps, {"method": "exact", "max_rejects": 5}, "without bias"),
        (np.array([0.0, math.nan]), {}, "below infinity"),
        (np.array([0.0, math.inf]), {}, "below infinity"),
        (np.array([1, 2]), {}, "floating point"),
        (np.zeros((2, 2)), {}, "floating point"),
    ]
    for masses, options, message in faults:
        with pytest.raises(InvalidArgumentError, match=message):
            awrs(masses, lambda _: True, rng=rng, **options)
    with pytest.raises(InvalidArgumentError, match="does not cover"):
        masked(np.zeros(33), np.zeros(1, np.int32), rng=rng)
    assert awrs(np.full(3, -math.inf), lambda _: True, rng=rng).token is None


def test_a_check_that_raises_is_not_swallowed() -> None:
    def accept(token: int) -> bool:
        raise ValueError(f"token {token}")

    with pytest.raises(ValueError, match="token"):
        awrs(logs([0.5, 0.5]), accept, rng=np.random.default_rng(0))
