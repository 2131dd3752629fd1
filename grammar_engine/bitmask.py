"""Token bitmasks: int32 arrays ``(batch, ceil(V/32))``, bit 1 = allowed, as serving engines share them.

Token t of row r is bit ``t % 32`` of ``bitmask[r, t // 32]``. numpy and torch are both welcome; torch is imported only
when a tensor comes in or is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from grammar_engine.matcher import Matcher

Bitmask = Any  # numpy int32 array or CPU torch.int32 tensor: torch is optional, so it can't be named at run time


def allocate_token_bitmask(batch_size: int, vocab_size: int) -> npt.NDArray[np.int32]:
    """An int32 array ``(batch_size, ceil(vocab_size / 32))`` in which every token is allowed.

    ``torch.from_numpy`` of it shares its memory.
    """
    if batch_size < 0 or vocab_size < 1:
        raise ValueError(f"batch_size {batch_size} and vocab_size {vocab_size} make no bitmask")
    return np.full((batch_size, (vocab_size + 31) // 32), -1, np.int32)


def as_uint32_rows(bitmask: Bitmask, words: int) -> npt.NDArray[np.uint32]:
    """The bitmask's memory as uint32 ``(batch, words)``.

    Raises ValueError if shape, dtype or layout would make writes go astray, TypeError if it is no array in memory.
    """
    if not isinstance(bitmask, np.ndarray) and not hasattr(bitmask, "numpy"):
        raise TypeError(f"a bitmask is a numpy array or a CPU tensor, not {type(bitmask).__name__}")
    array = bitmask if isinstance(bitmask, np.ndarray) else bitmask.numpy()
    if array.ndim != 2 or array.shape[1] != words:
        raise ValueError(f"the bitmask has shape {tuple(array.shape)}, needed is (batch, {words})")
    if array.dtype not in (np.int32, np.uint32):
        raise ValueError(f"the bitmask has dtype {array.dtype}, needed is int32")
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise ValueError("the bitmask must be C-contiguous and writable")
    rows: npt.NDArray[np.uint32] = array.view(np.uint32)
    return rows


def fill_next_token_bitmask_batch(matchers: Sequence[Matcher | None], bitmask: Bitmask) -> None:
    """Fill row i for ``matchers[i]``; None leaves row i unconstrained (all ones)."""
    if len(matchers) > len(bitmask):
        raise ValueError(f"{len(matchers)} matchers do not fit {len(bitmask)} rows")
    for index, matcher in enumerate(matchers):
        if matcher is None:
            bitmask[index] = -1
        else:
            matcher.fill_next_token_bitmask(bitmask, index)


def apply_token_bitmask_inplace(
    logits: torch.Tensor, bitmask: Bitmask, indices: Sequence[int] | torch.Tensor | None = None
) -> None:
    """Set the logits of tokens that are not allowed to -inf; the others are not touched, NaN included.

    logits: ``(batch, V)`` or ``(V,)``, floating point, any strides, any device; V may exceed the bitmask's bits only by
    padding ids, which become -inf. bitmask: row i belongs to logits row i; one that lies elsewhere than the logits is
    copied there. indices: the rows to mask (both of logits and bitmask); others stay as they are. A tensor of indices
    that is on a GPU is not checked: that would wait for it.

    On CUDA one Triton kernel, in the order of the current stream and without synchronization unless the bitmask must be
    copied from pageable memory; on the CPU compiled code; elsewhere torch (see ``kernels.device``).

    Raises ValueError if shapes or types do not fit, IndexError if there is no such row.
    """
    import torch

    from grammar_engine.kernels.device import backend, masking

    rows = torch.from_numpy(bitmask) if isinstance(bitmask, np.ndarray) else bitmask
    view = backend.as_rows(logits)
    if rows.ndim != 2 or (indices is None and rows.shape[0] < view.shape[0]):
        raise ValueError(f"logits {tuple(logits.shape)} and bitmask {tuple(rows.shape)} do not fit")
    chosen = backend.row_indices(indices, min(view.shape[0], rows.shape[0]), view.device)
    if rows.device != view.device:
        rows = rows.to(view.device, non_blocking=True)
    masking.apply_bitmask(logits, rows, chosen)
