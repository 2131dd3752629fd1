"""Draws: Triton and torch agree bit by bit, and with the distribution that ``Sample`` says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.kernels.device import exact_reference, sampling, sampling_reference
from grammar_engine.kernels.device.masking_reference import unpack
from grammar_engine.kernels.device.sampling import Draws, Settings

import grammar_engine as ge
from grammar_engine.sampling import FusedSampler, Greedy, Sample

# In the interpreter numpy says where a small temperature makes a ratio infinite (so it should), and where −inf − −inf
# is worked out for rows that draw nothing (it is not used).
pytestmark = [
    pytest.mark.filterwarnings("ignore:overflow encountered in divide:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in subtract:RuntimeWarning"),
]

SAMPLERS = [
    Sample(),
    Sample(temperature=0.6, top_k=4),
    Sample(temperature=1.7, top_p=0.8),
    Sample(min_p=0.05),
    Sample(temperature=0.01, top_p=0.5, top_k=3, min_p=0.2),
    Greedy(),
]


def settings_of(samplers: list[Any], device: Any = "cpu", step: int = 3) -> Settings:
    sampler = FusedSampler(samplers, seeds=[(-7919) ** (i % 4 + 1) + i for i in range(len(samplers))], device=device)
    sampler.steps.fill_(step)
    return sampler.settings


def moved(settings: Settings, device: Any) -> Settings:
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    return Settings(**{n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in values.items()})


def values(draws: Draws) -> list[Any]:
    return [getattr(draws, field.name).cpu() for field in dataclasses.fields(draws)]


def hard_logits(rows: int, vocabulary: int, dtype: Any) -> tuple[Any, Any]:
    """Ties, infinities, NaN; and masks that allow some, none, one and all."""
    generator = torch.Generator().manual_seed(vocabulary)
    logits = (torch.randn(rows, vocabulary, generator=generator) * 3).round(decimals=1).to(dtype)
    logits[0, 1], logits[1, 2], logits[2, 3], logits[3, :] = math.nan, math.inf, -math.inf, 1.5
    words = torch.randint(-(1 << 31), (1 << 31) - 1, (rows, (vocabulary + 31) // 32), generator=generator)
    mask = words.to(torch.int32)
    mask[-1], mask[-2, 1:], mask[-2, 0] = -1, 0, 4
    return logits, mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("masked", [True, False])
def test_triton_draws_what_torch_draws(triton_device: Any, dtype: Any, masked: bool) -> None:
    from grammar_engine.kernels.device import sampling_triton

    for vocabulary, block, rows in ((70, 64, [0, 1, 2, 3, 4, 5]), (301, 128, [5, 1, 1, 3, 0, 2])):
        logits, mask = hard_logits(6, vocabulary, dtype)
        indices = torch.tensor(rows) if vocabulary > 100 else None
        mask_rows = torch.tensor([0, 1, -1, 5, 4, 2]) if vocabulary > 100 and masked else None
        strided = torch.zeros(6, 2 * vocabulary, dtype=dtype)[:, ::2]
        settings = settings_of(SAMPLERS)
        wanted = sampling_reference.draw(logits, settings, mask if masked else None, indices, mask_rows)
        there = [None if t is None else t.to(triton_device) for t in (mask if masked else None, indices, mask_rows)]
        given = strided.to(triton_device).copy_(logits)
        for busy in (1, 64):  # how rows are split changes nothing
            found = sampling_triton.draw(given, moved(settings, triton_device), *there, block=block, busy=busy)
            for name, a, b in zip(Draws.__annotations__, values(found), values(wanted), strict=True):
                assert torch.equal(a, b), (name, a, b)


def test_what_nothing_allows_draws_nothing(triton_device: Any) -> None:
    from grammar_engine.kernels.device import sampling_triton

    logits = torch.zeros(3, 40, device=triton_device)
    logits[1] = -math.inf
    logits[2] = math.nan
    mask = torch.tensor([[0, 0], [-1, -1], [-1, -1]], dtype=torch.int32, device=triton_device)
    settings = settings_of([Sample(top_p=0.5), Sample(top_k=1), Greedy()], triton_device)
    for draws in (
        sampling_triton.draw(logits, settings, mask, None, None),
        sampling_reference.draw(logits, settings, mask, None, None),
    ):
        tokens, *others = values(draws)
        assert tokens.tolist() == [-1, -1, -1]
        assert all(other.tolist() == [-math.inf] * 3 for other in others)


def test_the_noise_is_philox_as_published() -> None:
    """The known answers of Salmon et al.'s Random123 for 4×32-10."""
    ones = torch.tensor([-1])
    zero = torch.tensor([0])
    assert [int(w) for w in exact_reference.philox(zero, zero, zero)] == [
        0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8,
    ]  # fmt: skip
    # Their second case has a second word of ones in the counter, which is always 0 here.
    words = exact_reference.philox(ones, ones, zero)
    assert [int(w) for w in words] == plain_philox([0, 0, 0xFFFFFFFF, 0xFFFFFFFF], [0xFFFFFFFF, 0xFFFFFFFF])


def plain_philox(counter: list[int], key: list[int]) -> list[int]:
    """In integers of any size, as the paper writes it."""
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [b >> 32 ^ counter[1] ^ key[0], b & 0xFFFFFFFF, a >> 32 ^ counter[3] ^ key[1], a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def test_elementary_functions_are_close_to_those_of_float64() -> None:
    y = torch.linspace(-27, 0, 50_000)
    found = exact_reference.mass(y).double() / exact_reference.ONE
    assert ((found - y.double().exp()).abs() <= 1e-7 * y.double().exp() + 2.0**-40).all()
    words = torch.cat([torch.arange(500), 0xFFFFFFFF - torch.arange(500), torch.arange(0, 1 << 32, 65_537)])
    w = (words.double() + 0.5) * 2.0**-32
    wanted = -torch.log(-torch.log1p(-w))
    assert ((exact_reference.gumbel_of(words).double() - wanted).abs() <= 3e-7 * (1 + wanted.abs())).all()


@pytest.mark.parametrize("sampler", SAMPLERS[:5])
def test_log_probabilities_are_those_of_the_distributions(sampler: Any) -> None:
    logits, mask = hard_logits(5, 301, torch.float32)
    logits[0, 1], logits[1, 2] = 0.0, 3.0  # what ``Sample`` knows nothing of
    draws = sampling_reference.draw(logits, settings_of([sampler] * 5), mask, None, None)
    exact = logits.double()
    inside = exact.masked_fill(~unpack(mask, 301), -math.inf)
    column = draws.token_ids[:, None]
    log_z = inside.logsumexp(-1) - exact.logsumexp(-1)
    logprobs = exact.log_softmax(-1).gather(1, column)[:, 0]
    quotient = sampler.probabilities(inside.float()).double()
    drawn = (quotient / quotient.sum(-1, keepdim=True)).log().gather(1, column)[:, 0]
    for found, wanted in (
        (draws.logprobs, logprobs),
        (draws.masked_logprobs, logprobs - log_z),
        (draws.log_z, log_z),
        (draws.draw_logprobs, drawn),
    ):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS[:5])
def test_draws_have_the_distribution_of_sample(sampler: Any) -> None:
    """Chi-square over 20,000 draws at fixed seeds: rows differ by their seeds, or by their steps."""
    logits, mask = hard_logits(5, 40, torch.float32)
    logits, mask, count = logits[4:5] / 3, mask[2:3], 20_000
    inside = logits.masked_fill(~unpack(mask, 40), -math.inf)
    expected = sampler.probabilities(inside)[0].double()
    expected = (expected / expected.sum()).numpy() * count
    for by_step in (False, True):
        settings = settings_of([sampler])
        many = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
        many = {n: v.expand(count) if isinstance(v, torch.Tensor) else v for n, v in many.items()}
        many["steps" if by_step else "seeds"] = torch.arange(count)
        draws = sampling_reference.draw(logits.expand(count, -1), Settings(**many), mask.expand(count, -1), None, None)
        counts = np.bincount(draws.token_ids.numpy(), minlength=40)
        assert not counts[expected == 0].any()
        often = expected >= 5
        observed = np.append(counts[often], counts[~often].sum())
        wanted = np.append(expected[often], expected[~often].sum())
        observed, wanted = observed[wanted > 0], wanted[wanted > 0]
        statistic = float(((observed - wanted) ** 2 / wanted).sum())
        freedom = len(wanted) - 1
        # Wilson and Hilferty's approximation; 4.5 standard deviations: once in 300,000 runs, if seeds were not fixed.
        limit = freedom * (1 - 2 / (9 * freedom) + 4.5 * math.sqrt(2 / (9 * freedom))) ** 3 if freedom else 1e-9
        assert statistic <= limit


def test_of_equals_at_the_border_top_p_keeps_the_lowest_ids() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, 2.0, 1.0, 1.0, 0.0]])
    mass = logits.double().softmax(-1)[0]
    top_p = float(2 * mass[1] + 1.5 * mass[2])  # both of the best, and two of the three that come next
    kept = {1, 2, 3, 4}
    assert set(Sample(top_p=top_p).probabilities(logits)[0].nonzero().flatten().tolist()) == kept
    drawn = set()
    sampler = FusedSampler([Sample(top_p=top_p)], seeds=[5])
    for _ in range(100):
        drawn |= set(sampler.draw(logits).token_ids.tolist())
    assert drawn == kept
    # Top-k keeps all that are as probable as the k-th.
    assert Sample(top_k=3).probabilities(logits)[0].nonzero().flatten().tolist() == [1, 2, 3, 4, 5]
    sampler = FusedSampler([Sample(top_k=3)], seeds=[5])
    assert {int(sampler.draw(logits).token_ids) for _ in range(100)} == {1, 2, 3, 4, 5}


def test_a_row_draws_the_same_in_any_batch() -> None:
    logits, mask = hard_logits(6, 301, torch.float32)
    together = FusedSampler(SAMPLERS, seeds=range(6))
    alone = [FusedSampler([sampler], seeds=[seed]) for seed, sampler in enumerate(SAMPLERS)]
    seen = []
    for _ in range(3):
        tokens = together.draw(logits, mask).token_ids.tolist()
        assert tokens == [int(s.draw(logits[i : i + 1], mask[i : i + 1]).token_ids) for i, s in enumerate(alone)]
        seen.append(tuple(tokens))
    assert len(set(seen)) > 1
    together.steps.zero_()
    assert tuple(together.draw(logits, mask).token_ids.tolist()) == seen[0]


def test_what_does_not_fit_is_refused() -> None:
    logits = torch.zeros(2, 40)
    sampler = FusedSampler([Sample(), Greedy()], seeds=[0, 1])
    for arguments in (
        {"logits": logits.double()},
        {"logits": torch.zeros(3, 40)},
        {"logits": logits[:, :0]},
        {"logits": torch.zeros(2, 1).expand(2, (1 << 22) + 1)},
        {"logits": logits, "bitmask": torch.zeros(1, 2, dtype=torch.int32)},
        {"logits": logits, "bitmask": torch.zeros(2, 2)},
        {"logits": logits, "indices": torch.tensor([0])},
        {"logits": logits, "mask_rows": torch.tensor([0, 1], dtype=torch.int32)},
    ):
        with pytest.raises(ValueError):
            sampler.draw(**arguments)
    assert sampler.steps.tolist() == [0, 0]
    with pytest.raises(ge.InvalidArgumentError):
        FusedSampler([Sample()], seeds=[])
    with pytest.raises(ge.InvalidArgumentError):
        FusedSampler([Sample()], seeds=[1 << 63])
    assert sampling.draw(logits[0], settings_of([Greedy()])).token_ids.tolist() == [0]
