"""Bitmasks on their way to the device that holds the logits.

On a GPU the host's side is pinned and a side stream carries the copy, so that it runs beside the model's forward pass;
what uses the masks waits for the copy on the device, the host never does. Elsewhere the masks are simply there.

    worker thread    rows := buffer.begin(n);  fill rows;  buffer.upload(n)
    main thread      wait for the worker;  use buffer.rows(…)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class MaskBuffer:
    """Room for bitmasks, int32 ``(rows, ceil(V / 32))``; it grows. One thread at a time.

    device: where the logits are.
    """

    def __init__(self, words: int, device: torch.device) -> None:
        """``words``: int32 words per row; ``device``: where the logits are."""
        self._words = words
        self.device = device
        self._on_gpu = device.type == "cuda"
        self._host: Any = None
        self._array: npt.NDArray[np.int32] = np.zeros((0, words), np.int32)
        self._there: Any = None
        self._stream: Any = None
        self._copied: Any = None

    def begin(self, num_rows: int) -> npt.NDArray[np.int32]:
        """Rows to fill. What was in them is gone: the kernels that read the last ones must have been waited for."""
        if self._copied is not None:
            self._copied.synchronize()
        if num_rows > len(self._array):
            self._allocate(max(num_rows, 2 * len(self._array)))
        return self._array[:num_rows]

    def upload(self, num_rows: int) -> None:
        """Start to copy the first rows to the device."""
        if not self._on_gpu:
            return
        import torch

        with torch.cuda.stream(self._stream):
            self._there[:num_rows].copy_(self._host[:num_rows], non_blocking=True)
            self._copied.record(self._stream)

    def rows(self, num_rows: int, chosen: Sequence[int] | None = None) -> npt.NDArray[np.int32] | Tensor:
        """The first rows, or of those the chosen ones, for ``apply_token_bitmask_inplace``."""
        if not self._on_gpu:
            return self._array[:num_rows] if chosen is None else self._array[list(chosen)]
        import torch

        torch.cuda.current_stream(self.device).wait_event(self._copied)
        rows: Tensor = self._there[:num_rows]
        return rows if chosen is None else rows[torch.tensor(list(chosen), device=self.device)]

    def _allocate(self, num_rows: int) -> None:
        if not self._on_gpu:
            self._array = np.zeros((num_rows, self._words), np.int32)
            return
        import torch

        self._host = torch.zeros((num_rows, self._words), dtype=torch.int32, pin_memory=True)
        self._array = self._host.numpy()
        self._there = torch.empty((num_rows, self._words), dtype=torch.int32, device=self.device)
        self._stream = self._stream or torch.cuda.Stream(self.device)
        self._copied = torch.cuda.Event()
        # The new memory may still be in use by kernels of the main stream that the allocator has not waited for.
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
