"""``sampling.draw`` in torch, by sorting: on the CPU, on devices without Triton, and what Triton is compared with."""

from __future__ import annotations

import torch
from grammar_engine.kernels.device import exact_reference as exact
from grammar_engine.kernels.device.masking_reference import unpack
from grammar_engine.kernels.device.sampling import GREATEST, Draws, Settings

_FORBIDDEN = 0x7F800000  # the bits of +inf: keys below are those of finite numbers


def draw(
    rows: torch.Tensor,
    settings: Settings,
    bitmask: torch.Tensor | None,
    indices: torch.Tensor | None,
    mask_rows: torch.Tensor | None,
) -> Draws:
    """See ``sampling.draw``; the arguments are checked."""
    x = (rows if indices is None else rows[indices]).to(torch.float32)
    x = torch.where(x.isnan(), -torch.inf, x).clamp(max=GREATEST)
    allowed = x > -torch.inf
    if bitmask is not None:
        if mask_rows is None:
            mask_rows = torch.arange(len(x), device=x.device) if indices is None else indices
        allowed &= unpack(bitmask[mask_rows.clamp(min=0)], x.shape[1]) | (mask_rows < 0).unsqueeze(1)
    greatest = x.amax(-1, keepdim=True)
    greatest_allowed = torch.where(allowed, x, -torch.inf).amax(-1, keepdim=True)
    greedy = (settings.temperature == 0).unsqueeze(1)
    # Where a row has no probability at all, −inf − −inf would be NaN.
    relative = x - greatest_allowed.clamp(min=-GREATEST)
    y = relative / torch.where(greedy, 1.0, settings.temperature.unsqueeze(1))
    keys = torch.where(allowed, (0.0 - y).view(torch.int32), _FORBIDDEN)
    masses = torch.where(keys < _FORBIDDEN, exact.mass(y), 0)
    kept = _kept(keys, masses, settings) & (keys < _FORBIDDEN)
    kept |= greedy & (keys < _FORBIDDEN)
    noise = exact.gumbel(settings.seeds, settings.steps, x.shape[1])
    scores = torch.where(kept, y + torch.where(greedy, 0.0, noise), -torch.inf)
    tokens = scores.argmax(-1, keepdim=True)  # the first among equals
    found = kept.any(-1)
    everything = exact.log_of_mass(exact.mass(x - greatest.clamp(min=-GREATEST)).sum(-1))
    masked = exact.log_of_mass(torch.where(allowed, exact.mass(relative), 0).sum(-1))
    drawn = torch.where(greedy[:, 0], 0.0, exact.log_of_mass(torch.where(kept, masses, 0).sum(-1)))
    at = x.gather(1, tokens)[:, 0]
    results = {
        "logprobs": (at - greatest[:, 0]) - everything,
        "masked_logprobs": (at - greatest_allowed[:, 0]) - masked,
        "draw_logprobs": y.gather(1, tokens)[:, 0] - drawn,
        "log_z": (greatest_allowed - greatest)[:, 0] + (masked - everything),
    }
    return Draws(
        token_ids=torch.where(found, tokens[:, 0], -1),
        **{name: torch.where(found, value, -torch.inf) for name, value in results.items()},
    )


def _kept(keys: torch.Tensor, masses: torch.Tensor, settings: Settings) -> torch.Tensor:
    """What truncation leaves: bool ``(n, V)``. keys: the greater, the less probable."""
    kept = masses >= (settings.min_p * float(exact.ONE)).to(torch.int64).unsqueeze(1)
    if not settings.truncates:
        return kept
    ordered, order = keys.sort(dim=-1, stable=True)  # equals stay in the order of their ids
    k = settings.top_k.long().unsqueeze(1)
    last = ordered.gather(1, (k - 1).clamp(0, keys.shape[1] - 1))
    in_top = (k <= 0) | (ordered <= last)
    sizes = torch.where(in_top, masses.gather(1, order), 0)
    total = sizes.sum(-1, keepdim=True)
    target = torch.ceil(settings.top_p.double().unsqueeze(1) * total.double()).long().minimum(total)
    in_top &= (settings.top_p >= 1).unsqueeze(1) | (sizes.cumsum(-1) - sizes < target)
    return kept & torch.zeros_like(kept).scatter_(1, order, in_top)
