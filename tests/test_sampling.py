"""Samplers against distributions computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling import Greedy, Sample

INF = math.inf
LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


def chosen(sampler: Any, logits: Any, u: float) -> int:
    return int(sampler.choose(logits, torch.tensor([u], dtype=torch.float64)))


def test_greedy_takes_the_best_allowed() -> None:
    assert chosen(Greedy(), torch.tensor([[-INF, 1.0, 3.0, 2.0]]), 0.0) == 2
    assert chosen(Greedy(), torch.tensor([[-INF, -7.0, -INF]]), 0.0) == 1


@pytest.mark.parametrize(("u", "token"), [(0.0, 0), (0.49, 0), (0.51, 1), (0.79, 1), (0.81, 2), (0.94, 2), (0.96, 3)])
def test_a_draw_inverts_the_cumulative_distribution(u: float, token: int) -> None:
    assert chosen(Sample(), LOGITS, u) == token


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (Sample(), [0.5, 0.3, 0.15, 0.05]),
        (Sample(temperature=0.5), [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (Sample(top_k=2), [0.5, 0.3, 0, 0]),
        (Sample(top_k=9), [0.5, 0.3, 0.15, 0.05]),
        (Sample(top_p=0.5), [0.5, 0, 0, 0]),
        (Sample(top_p=0.51), [0.5, 0.3, 0, 0]),
        (Sample(top_p=0.9), [0.5, 0.3, 0.15, 0]),
        (Sample(min_p=0.25), [0.5, 0.3, 0.15, 0]),
        (Sample(min_p=0.7), [0.5, 0, 0, 0]),
        (Sample(top_k=3, min_p=0.5), [0.5 / 0.95, 0.3 / 0.95, 0, 0]),
    ],
    ids=str,
)
def test_truncation(sampler: Sample, expected: list[float]) -> None:
    kept = sampler.probabilities(LOGITS)[0]
    total = float(kept.sum())
    wanted = sum(expected)
    assert [float(p) / total for p in kept] == pytest.approx([p / wanted for p in expected], abs=1e-6)


@pytest.mark.parametrize("u", [0.0, 0.5, math.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("sampler", [Sample(), Sample(top_p=0.1), Sample(top_k=1), Sample(temperature=30.0), Greedy()])
def test_never_a_forbidden_token(u: float, sampler: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        logits = torch.randn(3, 40, generator=generator) * 20
        logits[torch.rand(3, 40, generator=generator) < 0.9] = -INF
        logits[:, 7] = 1.0
        tokens = sampler.choose(logits, torch.full((3,), u, dtype=torch.float64))
        assert bool(logits.gather(1, tokens[:, None]).isfinite().all())


def test_rows_draw_by_their_own_number() -> None:
    tokens = Sample().choose(LOGITS.repeat(3, 1), torch.tensor([0.1, 0.6, 0.99], dtype=torch.float64))
    assert tokens.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"temperature": INF}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1},
     {"min_p": 1.0}, {"min_p": -0.1}],
    ids=str,
)  # fmt: skip
def test_settings_without_meaning_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(settings))):
        Sample(**settings)  # type: ignore[arg-type]
