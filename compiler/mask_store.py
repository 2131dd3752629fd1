"""Mask rows that grammars of one vocabulary share.

"Inside a JSON string" is the same question in every schema: which tokens stay inside, and at which trie nodes may the
string end. The walk that answers it visits most of the vocabulary (~2 ms at 128,000 tokens), so its result is kept under a
signature that names automata by their keys, not by their addresses in one grammar's arena.

Exits lead to lexer states of one grammar; they are kept as groups, each with the bytes that lead there (a witness), so
that another grammar finds its own states by stepping through them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredWalk:
    """One walk from the root: row (uint32 ``(ceil(V/32),)``) or None, token ids, exit nodes with the group of each."""

    row: npt.NDArray[np.uint32] | None
    tokens: npt.NDArray[np.int32]
    exit_nodes: npt.NDArray[np.int32]
    exit_groups: npt.NDArray[np.int32]
    witnesses: tuple[bytes, ...]

    @property
    def nbytes(self) -> int:
        row = 0 if self.row is None else self.row.nbytes
        return row + self.tokens.nbytes + self.exit_nodes.nbytes + self.exit_groups.nbytes


class MaskStore:
    """Walks by signature, within a byte budget (the oldest go first). Thread-safe."""

    def __init__(self, *, budget_bytes: int = 64 << 20) -> None:
        self._budget = budget_bytes
        self._used = 0
        self._walks: dict[tuple[object, ...], StoredWalk] = {}
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def get(self, signature: tuple[object, ...]) -> StoredWalk | None:
        with self._lock:
            found = self._walks.get(signature)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
            return found

    def put(self, signature: tuple[object, ...], walk: StoredWalk) -> None:
        with self._lock:
            if signature in self._walks:
                return
            self._walks[signature] = walk
            self._used += walk.nbytes
            while self._used > self._budget and len(self._walks) > 1:
                oldest = next(iter(self._walks))
                self._used -= self._walks.pop(oldest).nbytes

    def items(self) -> list[tuple[tuple[object, ...], StoredWalk]]:
        with self._lock:
            return list(self._walks.items())
