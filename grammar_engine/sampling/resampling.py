"""Resampling: N ancestors in proportion to N weights, and how even the weights are.

    multinomial   N independent draws
    residual      floor(N · w) copies each, the rest by multinomial draws (Liu and Chen 1998)
    stratified    one draw in each N-th of [0, 1) (Kitagawa 1996)
    systematic    the same draw in each N-th (Carpenter, Clifford and Fearnhead 1999)

All are unbiased: ancestor i comes N · w_i times in the mean. Ancestors are returned in ascending order.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import InvalidArgumentError

FloatArray = npt.NDArray[np.float64]
METHODS = ("stratified", "systematic", "multinomial", "residual")


def normalized(log_weights: FloatArray) -> FloatArray:
    """Weights that sum to 1; at least one must be above 0."""
    weights: FloatArray = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


def effective_sample_size(log_weights: FloatArray) -> float:
    """(Σ w)² / Σ w²: 1 if one particle has all the weight, N if they are even; 0 if none has any."""
    if not len(log_weights) or log_weights.max() == -math.inf:
        return 0.0
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def log_mean(log_weights: FloatArray) -> float:
    """Log of the mean weight."""
    largest = float(log_weights.max(initial=-math.inf))
    if largest == -math.inf:
        return -math.inf
    return largest + math.log(float(np.exp(log_weights - largest).mean()))


def ancestors(log_weights: FloatArray, method: str, rng: np.random.Generator) -> list[int]:
    """N indices, ascending, in proportion to the weights.

    Raises:
        InvalidArgumentError: an unknown method.
    """
    count = len(log_weights)
    weights = normalized(log_weights)
    if method == "stratified":
        places = (np.arange(count) + rng.random(count)) / count
    elif method == "systematic":
        places = (np.arange(count) + rng.random()) / count
    elif method == "multinomial":
        places = np.sort(rng.random(count))
    elif method == "residual":
        copies = np.floor(count * weights).astype(np.int64)
        left = count - int(copies.sum())
        if left:
            rest = count * weights - copies
            copies += rng.multinomial(left, rest / rest.sum())
        repeated: list[int] = np.repeat(np.arange(count), copies).tolist()
        return repeated
    else:
        raise InvalidArgumentError(f"expected one of {', '.join(METHODS)}, not {method!r}", argument="resampling")
    cumulative = np.cumsum(weights)
    heaviest = int(np.flatnonzero(weights)[-1])  # rounding must not choose one without weight
    chosen = np.searchsorted(cumulative, places * cumulative[-1], side="right")
    drawn: list[int] = np.minimum(chosen, heaviest).tolist()
    return drawn
