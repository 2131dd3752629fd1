"""What a mask is the union of, as the engine keeps it (``kernels.masks``): for stores of the same form elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from grammar_engine.kernels import arena, masks, positions, walks

Int32Array = npt.NDArray[np.int32]
Uint32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskParts:
    """Rows by number and walks' listed tokens by address; stop ids are not in them.

    shared_rows: of the vocabulary's pool, which never change. own_rows: of the grammar; their numbers, and the
    addresses of walks, are names of the same thing as long as ``generation`` is the same.
    """

    shared_rows: dict[int, Uint32Array]
    own_rows: dict[int, Uint32Array]
    walks: dict[int, Int32Array]
    generation: int


def read_mask_parts(
    mem: Int32Array, rows: Uint32Array, shared: Uint32Array, position: int, generation: int
) -> MaskParts:
    """The parts of a position whose pairs' masks are known. Rows are views, tokens are copies."""
    parts = MaskParts(shared_rows={}, own_rows={}, walks={}, generation=generation)
    first = position + positions.O_FIELDS
    for pair in mem[first : first + int(mem[position + arena.R_LENGTH])].tolist():
        mask = int(mem[pair + masks.Q_MASK])
        split = mask + masks.K_LIST + int(mem[mask + masks.K_ROWS])
        for number in mem[mask + masks.K_LIST : split].tolist():
            if number >= arena.SHARED:
                parts.shared_rows[number - arena.SHARED] = shared[number - arena.SHARED]
            else:
                parts.own_rows[number] = rows[number]
        for walk in mem[split : split + int(mem[mask + masks.K_WALKS])].tolist():
            tokens = walk + walks.W_LIST
            parts.walks[walk] = mem[tokens : tokens + int(mem[walk + walks.W_TOKENS])].copy()
    return parts
