"""Weighted draws over tensors: against enumeration, against the numpy core, and in a batch as alone."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.kernels.device import exact_reference
from grammar_engine.kernels.device.race import Race, noise, perturb

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling import awrs, awrs_batch, masked_batch

MASSES = [0.4, 0.3, 0.15, 0.1, 0.05]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Any:
    if request.param == "cuda" and not (torch.cuda.is_available() and os.environ.get("GRAMMAR_ENGINE_TEST_GPU")):
        pytest.skip("needs a CUDA device and `make test-gpu`")
    return torch.device(request.param)


def logs(masses: Sequence[float], rows: int, device: Any) -> Any:
    return torch.tensor([list(masses)] * rows, dtype=torch.float64, device=device).log()


def packed(allowed: Any) -> Any:
    """bool ``(n, V)`` as masks."""
    size = -(-allowed.shape[1] // 32) * 32
    padded = np.zeros((len(allowed), size), np.bool_)
    padded[:, : allowed.shape[1]] = allowed
    return torch.from_numpy(np.packbits(padded, axis=1, bitorder="little").view(np.int32))


def test_noise_is_uniform_and_of_a_stream_of_its_own(device: Any) -> None:
    """Kolmogorov and Smirnov at 1e-6; odd and even counts agree; float32 noise of the same seed is unrelated."""
    seeds = torch.tensor([5, 6], device=device)
    steps = torch.tensor([0, 1 << 40], device=device)
    found = noise(seeds, steps, 20_001)
    assert torch.equal(found[:, :20_000], noise(seeds, steps, 20_000))
    uniform = np.sort(np.exp(-np.exp(-found.cpu().numpy())), axis=1)
    places = (np.arange(20_001) + 0.5) / 20_001
    assert np.abs(uniform - places).max() * math.sqrt(20_001) < 2.7
    assert not torch.equal(found[0], found[1])
    other = exact_reference.gumbel(seeds.cpu(), steps.cpu(), 20_001).double()
    assert abs(float(np.corrcoef(other[0].numpy(), found[0].cpu().numpy())[0, 1])) < 0.04


def test_philox_has_not_changed() -> None:
    """Random123's known answers: counter and key of zeros."""
    zero = torch.zeros(1, dtype=torch.int64)
    words = [int(word) for word in exact_reference.philox(zero, zero, zero)]
    assert words == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_orders_have_their_probabilities(device: Any) -> None:
    """All orders of four tokens, 20,000 rows, chi-square at its 99.9 % quantile; and the masses left."""
    masses = [0.6, 0.3, 0.09, 0.01]
    count = 20_000
    seeds = torch.arange(count, device=device)
    race = Race(logs(masses, count, device), seeds, torch.zeros_like(seeds), block=4)
    block = race.next(range(count))
    seen: dict[tuple[int, ...], int] = {}
    for order in block.tokens.tolist():
        seen[tuple(order)] = seen.get(tuple(order), 0) + 1
    square = 0.0
    for order in itertools.permutations(range(4)):
        probability, left = 1.0, 1.0
        for token in order:
            probability *= masses[token] / left
            left -= masses[token]
        square += (seen.get(order, 0) - count * probability) ** 2 / (count * probability)
    assert square < 49.7  # chi-square with 23 degrees of freedom
    for tokens, left_logs in zip(block.tokens[:50], block.log_left[:50], strict=True):
        for i, log_left in enumerate(left_logs):
            assert math.exp(log_left) == pytest.approx(math.fsum(masses[token] for token in tokens[i:]), rel=1e-12)


def test_blocks_make_one_order(device: Any) -> None:
    """Whatever their size: every token once, by falling keys, and the same mass left as in one block."""
    generator = torch.Generator().manual_seed(0)
    log_masses = (torch.randn(3, 700, generator=generator, dtype=torch.float64) * 4).to(device)
    log_masses[0, 5:690] = -math.inf
    log_masses[1, ::2] = -math.inf
    seeds, steps = torch.tensor([1, 2, 3], device=device), torch.tensor([9, 9, 9], device=device)
    whole = Race(log_masses.clone(), seeds, steps, block=700).next([0, 1, 2])
    keys = perturb(log_masses, seeds, steps)
    race = Race(log_masses.clone(), seeds, steps, block=3)
    tokens: dict[int, list[int]] = {0: [], 1: [], 2: []}
    left: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for rows in ([0, 1, 2], [0, 2], [2, 1, 0], [1, 2], [0, 1, 2], [2, 1], [1, 2], [2]):
        block = race.next(rows)
        for i, row in enumerate(rows):
            tokens[row] += block.tokens[i, : block.counts[i]].tolist()
            left[row] += block.log_left[i, : block.counts[i]].tolist()
    for row in range(3):
        count = whole.counts[row]
        assert count == int((log_masses[row] > -math.inf).sum())
        assert tokens[row] == whole.tokens[row, :count].tolist()
        assert left[row] == pytest.approx(whole.log_left[row, :count].tolist(), abs=1e-10)
        order = keys[row, tokens[row]]
        assert bool((order[:-1] > order[1:]).all())


OPTIONS: list[dict[str, Any]] = [
    {"method": "recursive"},
    {"method": "geometric"},
    {"method": "geometric", "max_accepts": 5},
    {"max_rejects": 1},
    {"max_rejects": 3, "max_accepts": 3},
    {"method": "exact"},
    {"method": "low_variance"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("accepted", [{0}, {1, 3}, {2, 3, 4}, set()], ids=str)
def test_means_against_enumeration(device: Any, options: dict[str, Any], accepted: set[int]) -> None:
    """Mean of w · [token = t] over 6,000 rows, within 4.5 standard errors of p(t) [t accepted, and in the mask].

    Blocks of two tokens, so that rows go back to the device; token 4 is forbidden by a mask.
    """
    count = 6000
    mask = packed(np.tile([True, True, True, True, False], (count, 1))).to(device)
    asked: set[tuple[int, int]] = set()
    rounds = 0

    def accept(rows: Sequence[int], tokens: Sequence[int]) -> list[bool]:
        nonlocal rounds
        asked.update(pairs := list(zip(rows, tokens, strict=True)))
        assert len(set(rows)) == len(rows)
        rounds += 1
        return [token in accepted for _, token in pairs]

    draws = awrs_batch(
        logs(MASSES, count, device), accept, seeds=range(count), steps=7, bitmask=mask, block=2, **options
    )
    assert sum(draw.num_checks for draw in draws) == len(asked)
    assert rounds <= 4
    assert 4 not in {token for _, token in asked}
    values = np.zeros((count, 5))
    for row, draw in enumerate(draws):
        if draw.token is not None:
            values[row, draw.token] = math.exp(draw.log_weight)
    expected = np.array([mass if t in accepted and t < 4 else 0.0 for t, mass in enumerate(MASSES)])
    errors = np.abs(values.mean(0) - expected) / np.maximum(values.std(0) / math.sqrt(count), 1e-12)
    assert errors.max() < 4.5 or np.allclose(values.mean(0), expected, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_distribution_of_weights_is_that_of_the_numpy_core(options: dict[str, Any]) -> None:
    """Weights and numbers of checks of 3,000 draws each, by Kolmogorov and Smirnov at about 1e-5."""
    generator = np.random.default_rng(2)
    logps = generator.normal(size=300) * 2
    logps -= np.log(np.exp(logps).sum())
    accepted = generator.random(300) < 0.15
    count = 3000
    rng = np.random.default_rng(3)
    core = [awrs(logps, accepted.__getitem__, rng=rng, **options) for _ in range(count)]
    rows = torch.from_numpy(np.tile(logps, (count, 1)))
    batch = awrs_batch(rows, lambda _, tokens: accepted[list(tokens)], seeds=range(count), **options)
    for name in ("log_weight", "num_checks"):
        a, b = (np.sort([getattr(draw, name) for draw in draws]) for draws in (core, batch))
        places = np.unique(np.concatenate([a, b]))
        gap = np.abs(np.searchsorted(a, places, "right") - np.searchsorted(b, places, "right")).max() / count
        assert gap < 2.5 * math.sqrt(2 / count), name
    shares = [np.bincount([draw.token for draw in draws], minlength=300) / count for draws in (core, batch)]
    assert np.abs(shares[0] - shares[1]).max() < 0.06


@pytest.mark.parametrize("method", ["recursive", "geometric"])
@pytest.mark.parametrize("exponent", [3, 6, 9, 12, 30, 300])
def test_weights_where_nearly_everything_is_refused(method: str, exponent: int) -> None:
    """Z = 10⁻ᵉ: never dead, never NaN, and in the mean right; rows go through the whole vocabulary, in step."""
    rng = np.random.default_rng(7)
    logps = rng.normal(size=600)
    logps -= np.log(np.exp(logps).sum())
    logps[::150] = -exponent * math.log(10) - math.log(4)
    logps = logps - np.log(np.exp(logps).sum())
    true = float(np.log(np.exp(logps[::150] + exponent * math.log(10)).sum())) - exponent * math.log(10)
    count = 30
    draws = awrs_batch(
        torch.from_numpy(np.tile(logps, (count, 1))),
        lambda _, tokens: [token % 150 == 0 for token in tokens],
        seeds=range(count),
        method=method,
    )
    for draw in draws:
        assert draw.token is not None
        assert draw.token % 150 == 0
        assert math.isfinite(draw.log_weight)
    if method == "recursive" and exponent >= 9:
        assert np.mean(np.exp([draw.log_weight - true for draw in draws])) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("method", ["recursive", "geometric"])
def test_a_row_draws_what_it_draws_alone(device: Any, method: str) -> None:
    """Whatever stands beside it, in whatever order, with whatever blocks; with other steps it draws something else."""
    generator = torch.Generator().manual_seed(1)
    logps = torch.randn(9, 400, generator=generator).log_softmax(-1).to(device)
    allowed = np.random.default_rng(0).random((9, 400)) < 0.5
    mask = packed(allowed).to(device)
    seeds = [11 * row for row in range(9)]
    steps = [row % 4 for row in range(9)]

    def drawn(rows: list[int], block: int, shift: int = 0) -> list[Any]:
        def accept(_: Sequence[int], tokens: Sequence[int]) -> list[bool]:
            return [token % 9 == 0 for token in tokens]

        return awrs_batch(
            logps[rows],
            accept,
            seeds=[seeds[row] for row in rows],
            steps=[steps[row] + shift for row in rows],
            bitmask=mask[rows],
            method=method,
            block=block,
        )

    together = drawn(list(range(9)), 16)
    for row, draw in enumerate(together):
        (alone,) = drawn([row], 3)
        assert (alone.token, alone.num_checks) == (draw.token, draw.num_checks)
        assert alone.log_weight == pytest.approx(draw.log_weight, abs=1e-11)
    backwards = drawn(list(range(8, -1, -1)), 500)[::-1]
    assert [draw.token for draw in backwards] == [draw.token for draw in together]
    assert [draw.token for draw in drawn(list(range(9)), 16, shift=10)] != [draw.token for draw in together]
    plain = masked_batch(logps, mask, seeds=seeds, steps=steps)
    for row, draw in enumerate(plain):
        (alone,) = masked_batch(logps[[row]], mask[[row]], seeds=[seeds[row]], steps=steps[row])
        assert alone.token == draw.token
        assert allowed[row, draw.token]
        assert draw.log_weight == pytest.approx(float(logps[row].double().cpu()[allowed[row]].logsumexp(-1)), abs=1e-12)


def test_masked(device: Any) -> None:
    count = 10_000
    allowed = np.tile([False, True, False, True, True], (count, 1))
    draws = masked_batch(logs(MASSES, count, device), packed(allowed).to(device), seeds=range(count))
    assert all(math.exp(draw.log_weight) == pytest.approx(0.45) for draw in draws)
    shares = np.bincount([draw.token for draw in draws], minlength=5) / count
    assert shares == pytest.approx([0, 0.3 / 0.45, 0, 0.1 / 0.45, 0.05 / 0.45], abs=0.02)
    nothing = masked_batch(logs(MASSES, 2, device), packed(np.zeros((2, 5), np.bool_)).to(device), seeds=[1, 2])
    assert [(draw.token, draw.log_weight) for draw in nothing] == [(None, -math.inf)] * 2
    dead = awrs_batch(logs([0.0, 0.0], 1, device), lambda _, tokens: [True for _ in tokens], seeds=[0])
    assert (dead[0].token, dead[0].num_checks) == (None, 0)


def test_refused_arguments() -> None:
    logps = logs(MASSES, 2, "cpu")
    mask = packed(np.ones((2, 5), np.bool_))
    faults: list[tuple[dict[str, Any], str]] = [
        ({"logps": logps[0]}, "floating point"),
        ({"logps": logps.long()}, "floating point"),
        ({"logps": logps.clone().fill_(math.nan)}, "below infinity"),
        ({"logps": logps.clone().fill_(math.inf)}, "below infinity"),
        ({"seeds": [1]}, "2 numbers"),
        ({"seeds": [1, -1]}, "2 numbers"),
        ({"steps": [1, 2, 3]}, "one number or 2"),
        ({"bitmask": mask.long()}, "int32"),
        ({"bitmask": mask[:1]}, "int32"),
        ({"bitmask": mask[:, :0]}, "int32"),
    ]
    for change, message in faults:
        arguments: dict[str, Any] = {"logps": logps, "bitmask": mask, "seeds": [1, 2], "steps": 0} | change
        with pytest.raises(InvalidArgumentError, match=message):
            awrs_batch(arguments.pop("logps"), lambda _, tokens: [True for _ in tokens], **arguments)
        with pytest.raises(InvalidArgumentError, match=message):
            masked_batch(**({"logps": logps, "bitmask": mask, "seeds": [1, 2], "steps": 0} | change))
    for options, message in (
        ({"method": "x"}, "expected one of"),
        ({"max_accepts": 1}, "at least 2"),
        ({"method": "recursive", "max_rejects": 5}, "without bias"),
        ({"block": 0}, "at least 1"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            awrs_batch(logps, lambda _, tokens: [True for _ in tokens], seeds=[1, 2], **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="1 verdicts for 2 tokens"):
        awrs_batch(logps, lambda *_: [True], seeds=[1, 2])
