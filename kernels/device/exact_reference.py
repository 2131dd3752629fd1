"""Arithmetic that gives the same bits on every device: exp and log in float32, and noise from counters.

A draw is an argmax: where two implementations differ in the last bit of a score, they may draw different tokens. So
each elementary function is written in additions and multiplications that IEEE 754 rounds in one way only, without
fused multiply-add, and Triton's twin (``exact_triton.py``) is the same formula; sums are of integers, whose order does
not matter.

exp: Cody and Waite (1980), with the polynomial of degree 6 of Cephes. log: 2 atanh((m−1)/(m+1)), series to s⁹.
Noise: Philox 4×32-10 (Salmon et al. 2011): the number of a token is word t % 4 of the block with counter
(t // 4, 0, step) and key ``seed``. Gumbel noise −log(−log(1 − w)) has w in (0, 1) with 32 bits, read from the side on
which its tail is: so the greatest is 22.9 and has a relative error of 2⁻²⁴, not one of 2⁻²⁴ of 1.
"""

from __future__ import annotations

import torch

LOG2_E = 1.44269502162933349609375
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0)
SQRT_HALF = 0x3F3504F3  # the bits of √½
FRACTION_BITS = 40
"""Masses are multiples of 2⁻⁴⁰ of the greatest one; 2²² of them fit into an int64."""
ONE = 1 << FRACTION_BITS
ROUNDS = 10
ROUND_A, ROUND_B, KEY_A, KEY_B = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
SMALL = 0x4AFB0CCC  # w below 1 − √½ is read from its own side


def mass(y: torch.Tensor) -> torch.Tensor:
    """exp(y) in units of 2⁻⁴⁰, rounded down: int64. y: float32; −inf is allowed, above 0 counts as 0."""
    y = y.clamp(-60.0, 0.0)
    n = torch.floor(y * LOG2_E + 0.5)
    r = y - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = torch.full_like(r, EXP[0])
    for coefficient in EXP[1:]:
        p = p * r + coefficient
    p = p * (r * r)
    p = p + r
    p = p + 1.0
    scale = ((n.to(torch.int32) + (FRACTION_BITS + 127)) << 23).view(torch.float32)
    return (p * scale).to(torch.int64)


def log(x: torch.Tensor) -> torch.Tensor:
    """The natural logarithm of positive normal float32 numbers."""
    bits = x.view(torch.int32)
    exponent = (bits - SQRT_HALF) >> 23
    m = (bits - (exponent << 23)).view(torch.float32)
    return _log(exponent.to(torch.float32), (m - 1.0) / (m + 1.0))


def _log(exponent: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    square = s * s
    p = torch.full_like(s, LOG[0])
    for coefficient in LOG[1:]:
        p = p * square + coefficient
    return exponent * LN2_HIGH + (exponent * LN2_LOW + p * s)


def log_of_mass(total: torch.Tensor) -> torch.Tensor:
    """Log of a sum of masses, int64, as float32; −inf of 0."""
    x = total.clamp(min=1).to(torch.float32) * 2.0**-FRACTION_BITS
    return torch.where(total > 0, log(x), float("-inf"))


def philox(seeds: torch.Tensor, steps: torch.Tensor, blocks: torch.Tensor, *, stream: int = 0) -> list[torch.Tensor]:
    """Four 32-bit words per block, as int64. Seeds, steps and blocks: int64, of shapes that broadcast.

    stream: of one seed and step, words of different streams have nothing to do with each other.
    """
    word = 0xFFFFFFFF
    c = [blocks & word, torch.full_like(blocks, stream), steps & word, (steps >> 32) & word]
    c = list(torch.broadcast_tensors(*c, seeds))[:4]
    k = [seeds & word, (seeds >> 32) & word]
    for _ in range(ROUNDS):
        a, b = c[0] * ROUND_A, c[2] * ROUND_B  # 64 bits, which wrap as they should
        c = [((b >> 32) & word) ^ c[1] ^ k[0], b & word, ((a >> 32) & word) ^ c[3] ^ k[1], a & word]
        k = [(k[0] + KEY_A) & word, (k[1] + KEY_B) & word]
    return c


def gumbel(seeds: torch.Tensor, steps: torch.Tensor, count: int) -> torch.Tensor:
    """Noise of tokens 0 to count − 1: float32 ``(n, count)``. Seeds and steps: int64 ``(n,)``."""
    blocks = torch.arange((count + 3) // 4, device=seeds.device).unsqueeze(0)
    words = philox(seeds.unsqueeze(1), steps.unsqueeze(1), blocks)
    return gumbel_of(torch.stack(words, -1).flatten(1)[:, :count])


def gumbel_of(words: torch.Tensor) -> torch.Tensor:
    """−log(−log(1 − w)) for w = (word + ½)·2⁻³². words: int64, 32 bits."""
    near_one = words >= SMALL
    # w itself where it is small, else 1 − w, which has as many bits again.
    x = (torch.where(near_one, 0xFFFFFFFF - words, words).to(torch.float32) + 0.5) * 2.0**-32
    bits = x.view(torch.int32)
    exponent = torch.where(near_one, (bits - SQRT_HALF) >> 23, 0)
    m = (bits - (exponent << 23)).view(torch.float32)
    s = torch.where(near_one, (m - 1.0) / (m + 1.0), -x / (2.0 - x))
    exponential = -_log(exponent.to(torch.float32), s)
    return -log(exponential)
