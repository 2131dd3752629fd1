"""Tokens in random order, drawn without replacement in proportion to their mass, one at a time, as far as is asked.

The order is that of perturbed log-masses (Gumbel-top-k: Vieira 2014; Kool et al. 2019) or, the same, of exponential
clocks with the masses as rates. Sorting a whole vocabulary for it costs far more than the few tokens that are needed:

    1  for the first 512: masses in blocks of 256, with the sum of each block;
           draw a block, then a token in it; take the token out and sum its block anew
    2  behind that: clocks for the rest, which is an order of the same kind (they have no memory);
           the earliest 4,096 by selection, then all

Beside each token stands the mass that was left before it. It is a sum over what is left, never 1 minus what went
before: where nearly everything has been drawn, that difference is rounding noise. For the same reason masses are scaled
anew by the largest that is left, so that nothing underflows that could still be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_BLOCK = 256
_MOST_BY_BLOCKS = 512
_LEAST = 1e-250  # beside the largest mass: below it, masses are scaled anew before they lose digits
_CHUNK = 4096


def without_replacement(logps: npt.NDArray[np.floating], rng: np.random.Generator) -> Iterator[tuple[int, float]]:
    """Yield ``(token, log_left)``: each token that has mass, in random order.

    Args:
        logps: ``(V,)``, log-masses; −inf for none.
        rng: the only source of randomness.

    Yields:
        The token, and the log of the mass of all tokens not yielded before it, itself included.
    """
    largest = float(logps.max(initial=-math.inf))
    if largest == -math.inf:
        return
    masses = np.empty(-(-len(logps) // _BLOCK) * _BLOCK)
    np.subtract(logps, largest, out=masses[: len(logps)])
    np.exp(masses[: len(logps)], out=masses[: len(logps)])
    masses[len(logps) :] = 0
    blocks = masses.reshape(-1, _BLOCK)
    sums = blocks.sum(1)
    drawn: list[int] = []
    while len(drawn) < _MOST_BY_BLOCKS:
        left = float(sums.sum())
        if left < _LEAST:
            break
        block = _draw(sums, rng)
        token = block * _BLOCK + _draw(blocks[block], rng)
        drawn.append(token)
        yield token, math.log(left) + largest
        masses[token] = 0
        sums[block] = blocks[block].sum()
    rest = logps > -math.inf
    rest[drawn] = False
    yield from _by_clocks(logps, np.flatnonzero(rest), rng)


def _draw(masses: FloatArray, rng: np.random.Generator) -> int:
    """An index in proportion to its mass; at least one has some."""
    cumulative = np.cumsum(masses)
    total = cumulative[-1]
    # u · total can round up to total: then the last index that has mass is meant.
    index = int(np.searchsorted(cumulative, rng.random() * total, side="right"))
    return index if index < len(masses) else int(np.searchsorted(cumulative, total))


def _by_clocks(
    logps: npt.NDArray[np.floating], tokens: npt.NDArray[np.intp], rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """The order of the rest, by exponential clocks."""
    while len(tokens):
        scale = float(logps[tokens].max())
        masses = np.exp(logps[tokens] - scale, dtype=np.float64)
        heard = masses > 0  # the others are too light beside the heaviest: they come behind all of these
        later, tokens, masses = tokens[~heard], tokens[heard], masses[heard]
        lighter = float(np.exp(logps[later] - scale, dtype=np.float64).sum()) if len(later) else 0.0
        times = rng.standard_exponential(len(tokens)) / masses
        for size in (_CHUNK, len(tokens)):
            if size < len(tokens):
                parts = np.argpartition(times, size)
                first, behind = parts[:size], parts[size:]
            else:
                first, behind = np.arange(len(tokens)), np.arange(0)
            first = first[np.argsort(times[first])]
            left = np.cumsum(masses[first][::-1])[::-1] + (float(masses[behind].sum()) + lighter)
            for token, mass in zip(tokens[first].tolist(), left.tolist(), strict=True):
                yield token, math.log(mass) + scale
            tokens, masses, times = tokens[behind], masses[behind], times[behind]
            if not len(tokens):
                break
        tokens = later
