"""Masks on logits, in place: what is not allowed becomes −inf, what is allowed is not touched, not even if it is NaN.

Two forms of masks. *Packed*: int32 ``(rows, W)``, bit ``t % 32`` of word ``t // 32`` is 1 where token t is allowed.
*Records*: int32 ``(rows, RECORD)``, a mask as the union of rows of a packed table and of a few tokens:

    [number of rows or UNCONSTRAINED, number of tokens, rows of the table..., tokens... (from RECORD_TOKENS on)]

So a step sends 256 bytes per text instead of a mask of 16 kB, and the rows are on the device since they were first met.

Tokens beyond the bits of a mask (padding of the logits) become −inf, but not in rows without a mask; bits beyond the
logits are not looked at.
"""

from __future__ import annotations

import torch
from grammar_engine.kernels.device.backend import NUMBA, TRITON, as_bits, as_rows, backend_of, on_device_of

RECORD = 64
"""int32 per record: 256 bytes."""
MOST_ROWS = 8
MOST_TOKENS = RECORD - 2 - MOST_ROWS
RECORD_ROWS, RECORD_TOKENS = 2, 2 + MOST_ROWS
UNCONSTRAINED = -1


def apply_bitmask(
    logits: torch.Tensor,
    bitmask: torch.Tensor,
    indices: torch.Tensor | None = None,
    mask_rows: torch.Tensor | None = None,
) -> None:
    """Apply packed masks.

    Args:
        logits: ``(rows, V)`` or ``(V,)``, any strides, a floating point type.
        bitmask: int32 ``(…, W)`` on the same device, any strides between rows, words next to each other.
        indices: int64 ``(n,)`` on the same device: the rows of ``logits`` to mask; None for all.
        mask_rows: int64 ``(n,)`` on the same device: the row of ``bitmask`` for each of them, negative for none (that
            row of logits stays as it is); None: the rows of the same numbers.

    Raises:
        ValueError: a shape, dtype or device does not fit.
    """
    rows = as_rows(logits)
    _check_words(bitmask, rows.device, "bitmask")
    count = rows.shape[0] if indices is None else indices.shape[0]
    if mask_rows is None and indices is None and bitmask.shape[0] < count:
        raise ValueError(f"logits {tuple(logits.shape)} and bitmask {tuple(bitmask.shape)} do not fit")
    for name, numbers in (("indices", indices), ("mask_rows", mask_rows)):
        _check_numbers(numbers, count, rows.device, name)
    if not count:
        return
    backend = backend_of(rows)
    if backend == NUMBA:
        from grammar_engine.kernels.device import masking_numba

        masking_numba.apply_bitmask(rows, bitmask, indices, mask_rows)
    elif backend == TRITON:
        from grammar_engine.kernels.device import masking_triton

        with on_device_of(rows):
            masking_triton.apply_bitmask(as_bits(rows), rows.dtype, bitmask, indices, mask_rows)
    else:
        from grammar_engine.kernels.device import masking_reference

        masking_reference.apply_bitmask(rows, bitmask, indices, mask_rows)


def clear_forbidden(weights: torch.Tensor, bitmask: torch.Tensor) -> None:
    """Set weights of forbidden tokens to 0: ``(rows, V)`` in the CPU's memory, row i by row i of a packed mask there.

    Raises ValueError: a shape, dtype or device does not fit.
    """
    rows = as_rows(weights)
    _check_words(bitmask, rows.device, "bitmask")
    if rows.device.type != "cpu" or bitmask.shape[0] < rows.shape[0]:
        raise ValueError(
            f"weights {tuple(weights.shape)} on {rows.device} and bitmask {tuple(bitmask.shape)} do not fit"
        )
    from grammar_engine.kernels.device import masking_numba

    masking_numba.apply_bitmask(rows, bitmask, None, None, value=0)


def apply_records(
    logits: torch.Tensor, table: torch.Tensor, records: torch.Tensor, indices: torch.Tensor | None = None
) -> None:
    """Apply masks given as records.

    Args:
        logits: as above.
        table: int32 ``(…, W)`` on the same device, the rows that records name.
        records: int32 ``(n, RECORD)`` on the same device; record i is for row ``indices[i]`` of the logits, or i.
        indices: int64 ``(n,)`` on the same device, or None.

    Raises:
        ValueError: a shape, dtype or device does not fit.
    """
    rows = as_rows(logits)
    _check_words(table, rows.device, "table")
    _check_records(records, rows.device)
    if indices is None and len(records) > len(rows):
        raise ValueError(f"{len(records)} records do not fit logits {tuple(logits.shape)}")
    _check_numbers(indices, len(records), rows.device, "indices")
    if not len(records):
        return
    if backend_of(rows) == TRITON:
        from grammar_engine.kernels.device import masking_triton

        with on_device_of(rows):
            masking_triton.apply_records(as_bits(rows), rows.dtype, table, records, indices)
        return
    words = torch.empty((len(records), table.shape[1]), dtype=torch.int32, device=rows.device)
    expand_records(table, records, words)
    numbers = torch.arange(len(records), device=rows.device)
    mask_rows = torch.where(records[:, 0] == UNCONSTRAINED, -1, numbers)
    apply_bitmask(rows, words, numbers if indices is None else indices, mask_rows)


def expand_records(table: torch.Tensor, records: torch.Tensor, bitmask: torch.Tensor) -> None:
    """Write the packed masks of records into ``bitmask``: int32 ``(n, W)`` on the device of the others."""
    _check_words(table, bitmask.device, "table")
    _check_words(bitmask, bitmask.device, "bitmask")
    _check_records(records, bitmask.device)
    if len(bitmask) < len(records) or bitmask.shape[1] != table.shape[1]:
        raise ValueError(f"{len(records)} masks of {table.shape[1]} words do not fit {tuple(bitmask.shape)}")
    if not len(records):
        return
    if backend_of(bitmask) == TRITON:
        from grammar_engine.kernels.device import masking_triton

        with on_device_of(bitmask):
            masking_triton.expand_records(table, records, bitmask)
    else:
        from grammar_engine.kernels.device import masking_reference

        masking_reference.expand_records(table, records, bitmask)


def _check_words(bitmask: torch.Tensor, device: torch.device, name: str) -> None:
    if bitmask.dtype != torch.int32:
        raise ValueError(f"the {name} has dtype {bitmask.dtype}, needed is int32")
    if bitmask.ndim != 2 or (bitmask.shape[1] > 1 and bitmask.stride(1) != 1):
        raise ValueError(f"the {name} has shape {tuple(bitmask.shape)}, strides {bitmask.stride()}: no rows of words")
    if bitmask.device != device:
        raise ValueError(f"the {name} is on {bitmask.device}, the logits on {device}")


def _check_records(records: torch.Tensor, device: torch.device) -> None:
    if records.dtype != torch.int32 or records.ndim != 2 or records.shape[1] != RECORD or not records.is_contiguous():
        raise ValueError(f"records are contiguous int32 (n, {RECORD}), not {records.dtype} {tuple(records.shape)}")
    if records.device != device:
        raise ValueError(f"the records are on {records.device}, the logits on {device}")


def _check_numbers(numbers: torch.Tensor | None, count: int, device: torch.device, name: str) -> None:
    if numbers is None:
        return
    if numbers.dtype != torch.int64 or numbers.shape != (count,) or numbers.device != device:
        raise ValueError(f"{name}: int64 ({count},) on {device}, not {numbers.dtype} {tuple(numbers.shape)}")
