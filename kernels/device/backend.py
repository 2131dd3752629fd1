"""Which implementation serves a tensor, and what all of them are given."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

REFERENCE, NUMBA, TRITON = "reference", "numba", "triton"

# −inf as the integer that has its bits: masks are written without arithmetic, so NaN payloads of allowed tokens
# survive, and every floating point type of a width is one case.
MINUS_INFINITY = {
    torch.float16: -0x400,
    torch.bfloat16: -0x80,
    torch.float32: -0x800000,
    torch.float64: -0x10000000000000,
}
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@cache
def has_triton() -> bool:
    """Whether triton is installed."""
    return importlib.util.find_spec("triton") is not None


def backend_of(tensor: torch.Tensor) -> str:
    """Triton for CUDA (and ROCm, which torch calls the same) where it is installed; else see above."""
    if tensor.is_cuda and has_triton():
        return TRITON
    return NUMBA if tensor.device.type == "cpu" else REFERENCE


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device: make it that of a tensor."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def as_rows(logits: torch.Tensor) -> torch.Tensor:
    """Logits ``(V,)`` or ``(rows, V)`` as ``(rows, V)``. Raises ValueError for another shape or dtype."""
    if logits.dtype not in MINUS_INFINITY:
        raise ValueError(f"logits have dtype {logits.dtype}, needed is float16, bfloat16, float32 or float64")
    rows = logits.detach()
    rows = rows.unsqueeze(0) if rows.ndim == 1 else rows
    if rows.ndim != 2:
        raise ValueError(f"logits have shape {tuple(logits.shape)}, needed is (rows, V) or (V,)")
    return rows


def as_bits(rows: torch.Tensor) -> torch.Tensor:
    """The same memory as integers."""
    return rows.view(INTEGERS[rows.element_size()])


def row_indices(indices: Sequence[int] | torch.Tensor | None, bound: int, device: torch.device) -> torch.Tensor | None:
    """Numbers of rows, int64 on ``device``.

    A list, or a tensor on the CPU, is checked; one that is on another device is believed: to look would wait for it.

    Raises:
        IndexError: a number is not in ``0 .. bound - 1``.
    """
    if indices is None:
        return None
    if isinstance(indices, torch.Tensor) and indices.device.type != "cpu":
        return indices.to(device, torch.int64)
    chosen = torch.as_tensor(indices, dtype=torch.int64)
    if chosen.ndim != 1:
        raise ValueError(f"indices have shape {tuple(chosen.shape)}, needed is (rows,)")
    if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < bound:
        raise IndexError(f"indices {int(chosen.min())} to {int(chosen.max())} are not rows 0 to {bound - 1}")
    return chosen if device.type == "cpu" else pinned(chosen).to(device, non_blocking=True)


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in page-locked memory, from which a GPU reads while the CPU goes on; torch keeps it until it was read."""
    return tensor.pin_memory() if torch.cuda.is_available() else tensor
