"""The arithmetic of ``exact_reference.py`` in Triton, operation for operation.

Kernels that call this are compiled with ``enable_fp_fusion=False``; divisions round as IEEE 754 says (``div_rn``).
"""

from __future__ import annotations

import triton
import triton.language as tl
from grammar_engine.kernels.device import exact_reference as exact

_LOG2_E = tl.constexpr(exact.LOG2_E)
_LN2_HIGH, _LN2_LOW = tl.constexpr(exact.LN2_HIGH), tl.constexpr(exact.LN2_LOW)
_E0, _E1, _E2, _E3, _E4, _E5 = (tl.constexpr(c) for c in exact.EXP)
_L0, _L1, _L2, _L3, _L4 = (tl.constexpr(c) for c in exact.LOG)
_SQRT_HALF = tl.constexpr(exact.SQRT_HALF)
_SMALL = tl.constexpr(exact.SMALL)
_BIAS = tl.constexpr(exact.FRACTION_BITS + 127)
_UNIT = tl.constexpr(2.0**-exact.FRACTION_BITS)
_WORD_UNIT = tl.constexpr(2.0**-32)
_ROUNDS = tl.constexpr(exact.ROUNDS)


@triton.jit
def mass(y):
    """``exact_reference.mass``."""
    y = tl.minimum(tl.maximum(y, -60.0), 0.0)
    n = tl.floor(y * _LOG2_E + 0.5)
    r = y - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = tl.full(r.shape, _E0, tl.float32)
    p = p * r + _E1
    p = p * r + _E2
    p = p * r + _E3
    p = p * r + _E4
    p = p * r + _E5
    p = p * (r * r)
    p = p + r
    p = p + 1.0
    scale = ((n.to(tl.int32) + _BIAS) << 23).to(tl.float32, bitcast=True)
    return (p * scale).to(tl.int64)


@triton.jit
def _log(exponent, s):
    square = s * s
    p = tl.full(s.shape, _L0, tl.float32)
    p = p * square + _L1
    p = p * square + _L2
    p = p * square + _L3
    p = p * square + _L4
    return exponent * _LN2_HIGH + (exponent * _LN2_LOW + p * s)


@triton.jit
def log(x):
    """``exact_reference.log``."""
    bits = x.to(tl.int32, bitcast=True)
    exponent = (bits - _SQRT_HALF) >> 23
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True)
    return _log(exponent.to(tl.float32), tl.div_rn(m - 1.0, m + 1.0))


@triton.jit
def log_of_mass(total):
    """``exact_reference.log_of_mass``."""
    x = tl.maximum(total, 1).to(tl.float32) * _UNIT
    return tl.where(total > 0, log(x), float("-inf"))


@triton.jit
def gumbel(seed, step, first, BLOCK: tl.constexpr):
    """Noise of tokens ``first`` to ``first + BLOCK − 1`` (multiples of 4); seed and step: int64 scalars."""
    blocks = first // 4 + tl.arange(0, BLOCK // 4)
    zeros = tl.zeros(blocks.shape, tl.int32)
    low = zeros + (step & 0xFFFFFFFF).to(tl.uint32).to(tl.int32, bitcast=True)
    high = zeros + ((step >> 32) & 0xFFFFFFFF).to(tl.uint32).to(tl.int32, bitcast=True)
    a, b, c, d = tl.philox(seed, blocks, zeros, low, high, _ROUNDS)
    words = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (BLOCK,))
    return gumbel_of(words)


@triton.jit
def gumbel_of(words):
    """``exact_reference.gumbel_of``. words: uint32."""
    near_one = words >= _SMALL
    x = (tl.where(near_one, 0xFFFFFFFF - words, words).to(tl.float32) + 0.5) * _WORD_UNIT
    bits = x.to(tl.int32, bitcast=True)
    exponent = tl.where(near_one, (bits - _SQRT_HALF) >> 23, 0)
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True)
    s = tl.where(near_one, tl.div_rn(m - 1.0, m + 1.0), tl.div_rn(-x, 2.0 - x))
    exponential = -_log(exponent.to(tl.float32), s)
    return -log(exponential)
