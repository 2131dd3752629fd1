"""``sampling.draw`` in Triton.

    maxima      for each row and part of it: the greatest logit, and the greatest allowed one
    threshold   for each row, if some row truncates: which tokens top-k and top-p leave
    draw        for each row and part: the masses of the three distributions, and the best score with its token
    finish      for each row: the token and the log-probabilities

A row is split into as many parts as keep the GPU busy; maxima, sums of integers and the first of the best scores are
the same however it is split. The threshold is searched by one program per row, which narrows it to a quarter in each
pass over the row: no sorting, no memory. Tiles in which nothing is allowed are not read.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from grammar_engine.kernels.device import exact_reference, exact_triton
from grammar_engine.kernels.device.sampling import GREATEST, Draws, Settings

_BLOCK = 1024  # logits of a tile
_SEARCH_BLOCK = 4096  # where one program reads the whole row
_PARTS = (1, 8, 64)  # into how many parts a row may be split: each is compiled when it is first used
_BUSY = 512  # programs that keep a large GPU busy
_GREATEST = tl.constexpr(GREATEST)
_ONE = tl.constexpr(float(exact_reference.ONE))
_FORBIDDEN = tl.constexpr(0x7F800000)
_ALL_IDS = tl.constexpr(0x7FFFFFFF)
_mass, _gumbel, _log_of_mass = exact_triton.mass, exact_triton.gumbel, exact_triton.log_of_mass


@triton.jit
def _read(pointer, column_stride, first, vocabulary, BLOCK: tl.constexpr):
    """BLOCK logits from ``first`` on as float32; −inf beyond the row."""
    columns = first + tl.arange(0, BLOCK)
    pointers = pointer + columns.to(tl.int64) * column_stride
    # To float32 at once: the interpreter gets arithmetic on bfloat16 wrong.
    if first + BLOCK <= vocabulary:  # read as vectors: no condition per logit
        x = tl.load(pointers).to(tl.float32)
    else:
        x = tl.load(pointers, mask=columns < vocabulary, other=float("-inf")).to(tl.float32)
    x = tl.where(x == x, x, float("-inf"))  # noqa: PLR0124 (NaN is not)
    return tl.minimum(x, _GREATEST)


@triton.jit
def _allowed(mask, num_words, mask_row, columns, vocabulary):
    """Which columns the mask allows. mask_row: negative for a row without one."""
    word_ids = columns >> 5
    unmasked = tl.zeros(columns.shape, tl.int64) + mask_row < 0
    words = tl.load(mask + word_ids, mask=(word_ids < num_words) & ~unmasked, other=0)
    words = tl.where(unmasked, -1, words)
    return (((words >> (columns & 31)) & 1) != 0) & (columns < vocabulary)


@triton.jit
def _row_of(i, indices, mask_rows, bitmask, mask_stride, HAS_INDICES: tl.constexpr, HAS_MASK_ROWS: tl.constexpr,
            HAS_MASK: tl.constexpr):  # fmt: skip
    """The row of the logits, the pointer to its mask, and the number of that, negative if it has none."""
    row = i.to(tl.int64)
    if HAS_INDICES:
        row = tl.load(indices + i)
    mask_row = row
    if HAS_MASK_ROWS:
        mask_row = tl.load(mask_rows + i)
    if not HAS_MASK:
        mask_row = mask_row * 0 - 1
    return row, bitmask + tl.maximum(mask_row, 0) * mask_stride, mask_row


@triton.jit(do_not_specialize=["tiles"])
def _maxima_kernel(
    logits, row_stride, column_stride, vocabulary, bitmask, mask_stride, num_words, indices, mask_rows, maxima,
    tiles,
    HAS_INDICES: tl.constexpr, HAS_MASK_ROWS: tl.constexpr, HAS_MASK: tl.constexpr,
    PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) // PARTS
    first = (tl.program_id(0) % PARTS) * tiles
    row, mask, mask_row = _row_of(i, indices, mask_rows, bitmask, mask_stride, HAS_INDICES, HAS_MASK_ROWS, HAS_MASK)
    greatest = tl.full((BLOCK,), float("-inf"), tl.float32)
    greatest_allowed = tl.full((BLOCK,), float("-inf"), tl.float32)
    for tile in range(first, first + tiles):
        columns = tile * BLOCK + tl.arange(0, BLOCK)
        x = _read(logits + row * row_stride, column_stride, tile * BLOCK, vocabulary, BLOCK)
        greatest = tl.maximum(greatest, x)
        allowed = _allowed(mask, num_words, mask_row, columns, vocabulary)
        greatest_allowed = tl.maximum(greatest_allowed, tl.where(allowed, x, float("-inf")))
    out = maxima + tl.program_id(0).to(tl.int64) * 2
    tl.store(out, tl.max(greatest, 0))
    tl.store(out + 1, tl.max(greatest_allowed, 0))


@triton.jit
def _maximum(maxima, i, which, PARTS: tl.constexpr):
    """The greatest of a row over its parts; 0: of all logits, 1: of the allowed ones."""
    return tl.max(tl.load(maxima + (i.to(tl.int64) * PARTS + tl.arange(0, PARTS)) * 2 + which), 0)


@triton.jit
def _keys(x, allowed, greatest_allowed, temperature):
    """How improbable each token is, as the bits of a number that is not negative; and its y."""
    y = tl.div_rn(x - tl.maximum(greatest_allowed, -_GREATEST), tl.zeros(x.shape, tl.float32) + temperature)
    key = (0.0 - y).to(tl.int32, bitcast=True)
    return tl.where(allowed, key, _FORBIDDEN), y


@triton.jit
def _smallest(
    pointer, column_stride, vocabulary, mask, num_words, mask_row, greatest_allowed, temperature, target, high,
    BY_MASS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The smallest key t up to ``high`` so that the tokens with keys up to t are ``target`` many (or have that mass).

    If there are not so many: the greatest key up to ``high``.
    """
    low = high * 0
    while low < high:
        quarter = (high - low) // 4
        a, b, c = low + quarter, low + 2 * quarter, low + 3 * quarter
        up_to_a = tl.zeros((BLOCK,), tl.int64)
        up_to_b = tl.zeros((BLOCK,), tl.int64)
        up_to_c = tl.zeros((BLOCK,), tl.int64)
        smallest = tl.full((BLOCK,), _FORBIDDEN, tl.int32)
        greatest = tl.zeros((BLOCK,), tl.int32)
        for tile in range(tl.cdiv(vocabulary, BLOCK)):
            columns = tile * BLOCK + tl.arange(0, BLOCK)
            allowed = _allowed(mask, num_words, mask_row, columns, vocabulary)
            if tl.max(allowed.to(tl.int32), 0) != 0:
                x = _read(pointer, column_stride, tile * BLOCK, vocabulary, BLOCK)
                key, y = _keys(x, allowed, greatest_allowed, temperature)
                size = tl.full((BLOCK,), 1, tl.int64)
                if BY_MASS:
                    size = _mass(y)
                up_to_a += tl.where(key <= a, size, 0)
                up_to_b += tl.where(key <= b, size, 0)
                up_to_c += tl.where(key <= c, size, 0)
                smallest = tl.minimum(smallest, tl.where(key >= low, key, _FORBIDDEN))
                greatest = tl.maximum(greatest, tl.where(key <= high, key, 0))
        # The answer is a key that occurs.
        low = tl.maximum(low, tl.min(smallest, 0))
        high = tl.minimum(high, tl.max(greatest, 0))
        if tl.sum(up_to_a, 0) >= target:
            high = tl.minimum(high, a)
        elif tl.sum(up_to_b, 0) >= target:
            low = tl.maximum(low, a + 1)
            high = tl.minimum(high, b)
        elif tl.sum(up_to_c, 0) >= target:
            low = tl.maximum(low, b + 1)
            high = tl.minimum(high, c)
        else:
            low = tl.maximum(low, c + 1)
    return high


@triton.jit
def _threshold_kernel(
    logits, row_stride, column_stride, vocabulary, bitmask, mask_stride, num_words, indices, mask_rows, maxima,
    temperatures, top_k, top_p, thresholds, lasts,
    HAS_INDICES: tl.constexpr, HAS_MASK_ROWS: tl.constexpr, HAS_MASK: tl.constexpr,
    PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0)
    row, mask, mask_row = _row_of(i, indices, mask_rows, bitmask, mask_stride, HAS_INDICES, HAS_MASK_ROWS, HAS_MASK)
    pointer = logits + row * row_stride
    temperature, k, p = tl.load(temperatures + i), tl.load(top_k + i), tl.load(top_p + i)
    best = _maximum(maxima, i, 1, PARTS)
    threshold = k * 0 + (_FORBIDDEN - 1)
    last = k * 0 + _ALL_IDS
    if (temperature > 0) & (best > float("-inf")):
        if k > 0:
            threshold = _smallest(
                pointer, column_stride, vocabulary, mask, num_words, mask_row, best, temperature, k, threshold,
                False, BLOCK,
            )  # fmt: skip
        if p < 1:
            sizes = tl.zeros((BLOCK,), tl.int64)
            for tile in range(tl.cdiv(vocabulary, BLOCK)):
                columns = tile * BLOCK + tl.arange(0, BLOCK)
                allowed = _allowed(mask, num_words, mask_row, columns, vocabulary)
                if tl.max(allowed.to(tl.int32), 0) != 0:
                    x = _read(pointer, column_stride, tile * BLOCK, vocabulary, BLOCK)
                    key, y = _keys(x, allowed, best, temperature)
                    sizes += tl.where(key <= threshold, _mass(y), 0)
            total = tl.sum(sizes, 0)
            target = tl.minimum(tl.ceil(p.to(tl.float64) * total.to(tl.float64)).to(tl.int64), total)
            threshold = _smallest(
                pointer, column_stride, vocabulary, mask, num_words, mask_row, best, temperature, target, threshold,
                True, BLOCK,
            )  # fmt: skip
            # Of the tokens at the threshold so many are needed: those with the lowest ids.
            before = tl.zeros((BLOCK,), tl.int64)
            each = tl.zeros((BLOCK,), tl.int64)
            for tile in range(tl.cdiv(vocabulary, BLOCK)):
                columns = tile * BLOCK + tl.arange(0, BLOCK)
                allowed = _allowed(mask, num_words, mask_row, columns, vocabulary)
                if tl.max(allowed.to(tl.int32), 0) != 0:
                    x = _read(pointer, column_stride, tile * BLOCK, vocabulary, BLOCK)
                    key, y = _keys(x, allowed, best, temperature)
                    size = _mass(y)
                    before += tl.where(key < threshold, size, 0)
                    each = tl.maximum(each, tl.where(key == threshold, size, 0))
            size_of_one = tl.maximum(tl.max(each, 0), 1)
            needed = (target - tl.sum(before, 0) + size_of_one - 1) // size_of_one
            seen = needed * 0
            for tile in range(tl.cdiv(vocabulary, BLOCK)):
                columns = tile * BLOCK + tl.arange(0, BLOCK)
                allowed = _allowed(mask, num_words, mask_row, columns, vocabulary)
                if (seen < needed) & (tl.max(allowed.to(tl.int32), 0) != 0):
                    x = _read(pointer, column_stride, tile * BLOCK, vocabulary, BLOCK)
                    key, y = _keys(x, allowed, best, temperature)
                    tied = (key == threshold).to(tl.int32)
                    rank = tl.cumsum(tied, 0) + seen
                    last = tl.minimum(last, tl.min(tl.where((tied != 0) & (rank == needed), columns, _ALL_IDS), 0))
                    seen += tl.sum(tied, 0)
    tl.store(thresholds + i, threshold)
    tl.store(lasts + i, last)


@triton.jit(do_not_specialize=["tiles"])
def _draw_kernel(
    logits, row_stride, column_stride, vocabulary, bitmask, mask_stride, num_words, indices, mask_rows, maxima,
    temperatures, min_p, seeds, steps, thresholds, lasts, sums, scores, ids, tiles,
    HAS_INDICES: tl.constexpr, HAS_MASK_ROWS: tl.constexpr, HAS_MASK: tl.constexpr, TRUNCATES: tl.constexpr,
    PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) // PARTS
    first = (tl.program_id(0) % PARTS) * tiles
    row, mask, mask_row = _row_of(i, indices, mask_rows, bitmask, mask_stride, HAS_INDICES, HAS_MASK_ROWS, HAS_MASK)
    greatest, best = _maximum(maxima, i, 0, PARTS), _maximum(maxima, i, 1, PARTS)
    temperature = tl.load(temperatures + i)
    greedy = tl.zeros((BLOCK,), tl.float32) + temperature == 0
    temperature = tl.where(temperature == 0, 1.0, temperature)
    smallest_mass = (tl.load(min_p + i) * _ONE).to(tl.int64)
    seed, step = tl.load(seeds + i), tl.load(steps + i)
    threshold, last = _FORBIDDEN - 1, _ALL_IDS
    if TRUNCATES:
        threshold, last = tl.load(thresholds + i), tl.load(lasts + i)
    of_all = tl.zeros((BLOCK,), tl.int64)
    of_allowed = tl.zeros((BLOCK,), tl.int64)
    of_kept = tl.zeros((BLOCK,), tl.int64)
    score = tl.full((BLOCK,), float("-inf"), tl.float32)
    token = tl.full((BLOCK,), _ALL_IDS, tl.int32)
    for tile in range(first, first + tiles):
        columns = tile * BLOCK + tl.arange(0, BLOCK)
        x = _read(logits + row * row_stride, column_stride, tile * BLOCK, vocabulary, BLOCK)
        of_all += _mass(x - tl.maximum(greatest, -_GREATEST))
        allowed = _allowed(mask, num_words, mask_row, columns, vocabulary) & (x > float("-inf"))
        if tl.max(allowed.to(tl.int32), 0) != 0:
            of_allowed += tl.where(allowed, _mass(x - tl.maximum(best, -_GREATEST)), 0)
            key, y = _keys(x, allowed, best, temperature)
            size = _mass(y)
            kept = (key < threshold) | ((key == threshold) & (columns <= last))
            kept = (key < _FORBIDDEN) & (greedy | (kept & (size >= smallest_mass)))
            of_kept += tl.where(kept, size, 0)
            noise = tl.where(greedy, 0.0, _gumbel(seed, step, tile * BLOCK, BLOCK))
            here = tl.where(kept, y + noise, float("-inf"))
            better = here > score  # ids grow from tile to tile: the first of equals stays
            score = tl.where(better, here, score)
            token = tl.where(better, columns, token)
    out = tl.program_id(0).to(tl.int64)
    tl.store(sums + out * 3, tl.sum(of_all, 0))
    tl.store(sums + out * 3 + 1, tl.sum(of_allowed, 0))
    tl.store(sums + out * 3 + 2, tl.sum(of_kept, 0))
    top = tl.max(score, 0)
    tl.store(scores + out, top)
    tl.store(ids + out, tl.min(tl.where(score == top, token, _ALL_IDS), 0))


@triton.jit
def _finish_kernel(
    logits, row_stride, column_stride, vocabulary, indices, maxima, temperatures, sums, scores, ids,
    token_ids, logprobs, masked_logprobs, draw_logprobs, log_z,
    HAS_INDICES: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0)
    row = i.to(tl.int64)
    if HAS_INDICES:
        row = tl.load(indices + i)
    # Where nothing has any probability, −inf − −inf would be NaN.
    greatest, best = tl.maximum(_maximum(maxima, i, 0, PARTS), -_GREATEST), _maximum(maxima, i, 1, PARTS)
    best = tl.maximum(best, -_GREATEST)
    temperature = tl.zeros((1,), tl.float32) + tl.load(temperatures + i)
    greedy = temperature == 0
    temperature = tl.where(greedy, 1.0, temperature)
    parts = i.to(tl.int64) * PARTS + tl.arange(0, PARTS)
    score = tl.load(scores + parts)
    token = tl.min(tl.where(score == tl.max(score, 0), tl.load(ids + parts), _ALL_IDS), 0)
    # As vectors of one: bits are cast there.
    one = tl.zeros((1,), tl.int64)
    everything = _log_of_mass(one + tl.sum(tl.load(sums + parts * 3), 0))
    allowed = _log_of_mass(one + tl.sum(tl.load(sums + parts * 3 + 1), 0))
    kept = _log_of_mass(one + tl.sum(tl.load(sums + parts * 3 + 2), 0))
    column = tl.where(token == _ALL_IDS, 0, token)
    found = tl.arange(0, 1) + token != _ALL_IDS
    x = _read(logits + row * row_stride, column_stride, column, vocabulary, 1)
    none = float("-inf")
    out = i + tl.arange(0, 1)
    y = tl.div_rn(x - best, temperature)
    tl.store(token_ids + out, tl.where(found, column, -1).to(tl.int64))
    tl.store(logprobs + out, tl.where(found, (x - greatest) - everything, none))
    tl.store(masked_logprobs + out, tl.where(found, (x - best) - allowed, none))
    tl.store(draw_logprobs + out, tl.where(found, tl.where(greedy, y, y - kept), none))
    tl.store(log_z + out, tl.where(found, (best - greatest) + (allowed - everything), none))


def draw(
    rows: torch.Tensor,
    settings: Settings,
    bitmask: torch.Tensor | None,
    indices: torch.Tensor | None,
    mask_rows: torch.Tensor | None,
    *,
    block: int = _BLOCK,
    search_block: int = _SEARCH_BLOCK,
    busy: int = _BUSY,
) -> Draws:
    """See ``sampling.draw``; the arguments are checked. The rest: how to split, of no effect on what is drawn."""
    count, vocabulary = rows.shape[0] if indices is None else indices.shape[0], rows.shape[1]
    device = rows.device
    draws = Draws(
        token_ids=torch.empty(count, dtype=torch.int64, device=device),
        **{name: torch.empty(count, device=device) for name in _FLOATS},
    )
    if not count:
        return draws
    total_tiles = triton.cdiv(vocabulary, block)
    enough = (parts for parts in _PARTS if parts * count >= busy or parts >= total_tiles)
    parts = next(enough, _PARTS[-1])
    tiles = triton.cdiv(total_tiles, parts)
    maxima = torch.empty((count, parts, 2), device=device)
    sums = torch.empty((count, parts, 3), dtype=torch.int64, device=device)
    scores = torch.empty((count, parts), device=device)
    ids = torch.empty((count, parts), dtype=torch.int32, device=device)
    thresholds = lasts = None
    where = (
        rows, rows.stride(0), rows.stride(1), vocabulary,
        *((ids, 0, 0) if bitmask is None else (bitmask, bitmask.stride(0), bitmask.shape[1])),  # ids: never read
        indices, mask_rows, maxima,
    )  # fmt: skip
    flags = {
        "HAS_INDICES": indices is not None,
        "HAS_MASK_ROWS": mask_rows is not None,
        "HAS_MASK": bitmask is not None,
        "PARTS": parts,
        "enable_fp_fusion": False,
    }
    _maxima_kernel[(count * parts,)](*where, tiles, BLOCK=block, **flags)
    if settings.truncates:
        thresholds = torch.empty(count, dtype=torch.int32, device=device)
        lasts = torch.empty_like(thresholds)
        _threshold_kernel[(count,)](
            *where, settings.temperature, settings.top_k, settings.top_p, thresholds, lasts,
            BLOCK=search_block, num_warps=16, **flags,
        )  # fmt: skip
    _draw_kernel[(count * parts,)](
        *where, settings.temperature, settings.min_p, settings.seeds, settings.steps, thresholds, lasts,
        sums, scores, ids, tiles, TRUNCATES=settings.truncates, BLOCK=block, num_warps=8, **flags,
    )  # fmt: skip
    _finish_kernel[(count,)](
        rows, rows.stride(0), rows.stride(1), vocabulary, indices, maxima, settings.temperature, sums, scores, ids,
        draws.token_ids, *(getattr(draws, name) for name in _FLOATS),
        HAS_INDICES=indices is not None, PARTS=parts, num_warps=1, enable_fp_fusion=False,
    )  # fmt: skip
    return draws


_FLOATS = ("logprobs", "masked_logprobs", "draw_logprobs", "log_z")
