"""Tokens in random order, drawn without replacement in proportion to their mass: many rows at once, on any device.

    key(token)  =  log mass + Gumbel noise of (seed, step, token)      (Gumbel-top-k: Vieira 2014; Kool et al. 2019)
    order       =  by key, the greatest first: a block of the top ones, then a larger block of what is left, …

Nothing is sorted but the blocks. The mass left before each token is a sum over what is left, never 1 minus what went
before: where nearly everything has been drawn, that difference is rounding noise.

Noise comes from counters (``exact_reference.philox``), 53 bits of it for each token, so a row's order depends on its
masses, its seed and its step alone: not on the rows beside, nor on the sizes of blocks. Everything is in float64: where
a mass of 1e-300 stands beside one of 1, its turn comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from grammar_engine.kernels.device import exact_reference
from grammar_engine.kernels.device.masking_reference import unpack

_CHUNK = 1 << 22  # tokens whose noise is made at once: bounds the memory of its words
_STREAM = 1  # ``exact_reference.gumbel`` draws from stream 0 of the same seeds
_GROWTH = 4


@dataclass(frozen=True, kw_only=True)
class Block:
    """The next tokens of some rows, ``(n, k)`` on the host.

    tokens: int64, in order; the first ``counts[i]`` of row i have mass. log_masses: float64, of each token. log_left:
    float64, of all tokens that stand neither before it nor in a block before, itself included. largest: of each row,
    the greatest log-mass that it began with.
    """

    tokens: npt.NDArray[np.int64]
    log_masses: npt.NDArray[np.float64]
    log_left: npt.NDArray[np.float64]
    counts: list[int]
    largest: list[float]


def allowed_only(logps: torch.Tensor, bitmask: torch.Tensor | None) -> torch.Tensor:
    """A copy in float64, −inf where the mask forbids. logps: ``(n, V)``; bitmask: int32 ``(n, ≥ ceil(V / 32))``."""
    masses = logps.detach().to(torch.float64, copy=True)
    if bitmask is not None:
        masses.masked_fill_(~unpack(bitmask, masses.shape[1]), -torch.inf)
    return masses


def noise(seeds: torch.Tensor, steps: torch.Tensor, count: int) -> torch.Tensor:
    """Gumbel noise of tokens 0 to count − 1: float64 ``(n, count)``. Seeds and steps: int64 ``(n,)``."""
    blocks = torch.arange((count + 1) // 2, device=seeds.device).unsqueeze(0)
    a, b, c, d = exact_reference.philox(seeds.unsqueeze(1), steps.unsqueeze(1), blocks, stream=_STREAM)
    bits = torch.stack([(a << 21) | (b >> 11), (c << 21) | (d >> 11)], -1).flatten(1)[:, :count]
    uniform = (bits.to(torch.float64) + 0.5) * 2.0**-53
    return -torch.log(-torch.log1p(-uniform))


def perturb(log_masses: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """The keys: float64 ``(n, V)``, −inf where there is no mass."""
    keys = torch.empty_like(log_masses)
    rows = max(1, _CHUNK // max(1, log_masses.shape[1]))
    for first in range(0, len(log_masses), rows):
        part = slice(first, first + rows)
        torch.add(log_masses[part], noise(seeds[part], steps[part], log_masses.shape[1]), out=keys[part])
    return keys


class Race:
    """Rows on their way through their orders."""

    def __init__(self, log_masses: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor, *, block: int) -> None:
        """Prepare.

        Args:
            log_masses: float64 ``(n, V)``, below +inf; changed from now on.
            seeds, steps: int64 ``(n,)`` on the same device.
            block: tokens of the first block; later ones are larger.
        """
        self._left = log_masses
        self._keys = perturb(log_masses, seeds, steps)
        self._size = block
        self._largest = log_masses.amax(1, keepdim=True)

    def next(self, rows: Sequence[int]) -> Block:
        """The next block of these rows. One copy to the host."""
        size = min(self._size, self._keys.shape[1])
        self._size *= _GROWTH
        everything = list(rows) == list(range(len(self._keys)))
        index = torch.tensor(rows, device=self._keys.device)
        keys = self._keys if everything else self._keys[index]
        left = self._left if everything else self._left[index]
        tokens = keys.topk(size, sorted=True).indices
        log_masses = left.gather(1, tokens)
        left.scatter_(1, tokens, -torch.inf)
        keys.scatter_(1, tokens, -torch.inf)
        if not everything:
            self._left[index], self._keys[index] = left, keys
        behind = left.logsumexp(1, keepdim=True)
        largest = self._largest if everything else self._largest[index]
        packed = torch.cat([log_masses, behind, tokens.to(torch.float64), largest], 1).cpu().numpy()
        masses = packed[:, :size]
        # From the last one on: each mass is added to all that comes behind it.
        with np.errstate(invalid="ignore"):  # NaN in, NaN out: callers look at the sums
            sums = np.logaddexp.accumulate(packed[:, size::-1], axis=1)[:, :0:-1]
        return Block(
            tokens=packed[:, size + 1 : -1].astype(np.int64),
            log_masses=masses,
            log_left=sums,
            counts=np.isfinite(masses).sum(1).tolist(),
            largest=packed[:, -1].tolist(),
        )


def first_of_all(
    log_masses: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """A token per row in proportion to its mass, −1 where there is none; and the log of the mass of the row."""
    tokens = perturb(log_masses, seeds, steps).argmax(1)
    packed = torch.stack([tokens.to(torch.float64), log_masses.logsumexp(1)]).cpu().numpy()
    return np.where(packed[1] > -np.inf, packed[0], -1).astype(np.int64), packed[1]
