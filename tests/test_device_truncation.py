"""Top-k and top-p by search equal those by sorting, where many tokens are equally probable."""

from __future__ import annotations

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.kernels.device import sampling_reference

from grammar_engine.sampling import FusedSampler, Sample

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in divide:RuntimeWarning")


def hard_logits(levels: int, count: int, vocabulary: int) -> Any:
    """Few values, so that many tokens are equally probable; with 0 levels, float32 numbers that follow each other."""
    generator = torch.Generator().manual_seed(levels)
    if levels:
        return torch.randint(0, levels, (count, vocabulary), generator=generator).to(torch.float32) / 2
    logits = -1 - torch.randint(0, 40, (count, vocabulary), generator=generator).to(torch.float32) * 2.0**-23
    logits[:, 7] = 0
    return logits


@pytest.mark.parametrize("levels", [0, 3, 12])
def test_what_is_kept_and_drawn_is_the_same(triton_device: Any, levels: int) -> None:
    """``draw_logprobs`` has the mass of what is kept: a token more or less shows in it."""
    from grammar_engine.kernels.device import sampling_triton

    rng = random.Random(levels)
    count, vocabulary = 16, 90
    samplers = [
        Sample(
            temperature=rng.choice([1.0, 0.7, 3.0]) if levels else 1.0,
            top_p=rng.choice([1.0, rng.random() or 0.5, rng.random() or 0.5]),
            top_k=rng.choice([0, rng.randint(1, 60)]),
            min_p=rng.choice([0.0, 0.0, rng.random() / 4]),
        )
        for _ in range(count)
    ]
    logits = hard_logits(levels, count, vocabulary)
    generator = torch.Generator().manual_seed(1)
    mask = torch.randint(-(1 << 31), (1 << 31) - 1, (count, 3), generator=generator).to(torch.int32)
    mask[:, 0] |= 1 << 7
    settings = FusedSampler(samplers, seeds=range(count)).settings
    wanted = sampling_reference.draw(logits, settings, mask, None, None)
    there = FusedSampler(samplers, seeds=range(count), device=triton_device).settings
    given = (logits.to(triton_device), there, mask.to(triton_device), None, None)
    found = sampling_triton.draw(*given, block=64, search_block=64)
    assert torch.equal(found.draw_logprobs.cpu(), wanted.draw_logprobs)
    assert torch.equal(found.token_ids.cpu(), wanted.token_ids)
