"""Mask rows that grammars of one vocabulary share.

"Inside a JSON string" is the same question in every schema: which tokens stay inside, and at which trie nodes may the
string end. The walk that answers it visits much of the vocabulary (up to 2 ms at 128,000 tokens), so its result is kept
under a signature that names automata by their content, not by their addresses in one grammar's arena.

Exits lead to lexer states of one grammar; they are kept as groups, each with the bytes that lead there (a witness), so
that another grammar finds its own states by stepping through them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.memory import reserve
from grammar_engine.kernels.trie import set_bits


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredWalk:
    """One walk from the root: row (uint32 ``(ceil(V/32),)``) or None, token ids, and groups of exits.

    exits: for each group the bytes that lead to its first node (a witness), and its trie nodes.
    """

    row: npt.NDArray[np.uint32] | None
    tokens: npt.NDArray[np.int32]
    exits: tuple[tuple[bytes, npt.NDArray[np.int32]], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        row = 0 if self.row is None else self.row.nbytes
        return row + self.tokens.nbytes + sum(nodes.nbytes for _, nodes in self.exits)


@dataclass(frozen=True, kw_only=True, eq=False)
class CountedWalk:
    """One walk from the root inside a counted loop, whatever its bounds: what each token and exit asks of the counter.

    ``rounds``: how many rounds of the loop a token begins (-1: does not matter). Tokens are sorted by it, so that those
    allowed when r rounds are left are a prefix. Exits likewise say how many rounds were begun before the loop was left.
    ``words``: of a row.
    """

    tokens: npt.NDArray[np.int32]
    token_rounds: npt.NDArray[np.int32]
    exit_nodes: npt.NDArray[np.int32]
    exit_rounds: npt.NDArray[np.int32]
    words: int
    rows: dict[int, npt.NDArray[np.uint32]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, all rows that may be asked for included."""
        rows = (self.most_rounds + 1) * 4 * self.words
        return 2 * self.tokens.nbytes + 2 * self.exit_nodes.nbytes + rows

    @property
    def most_rounds(self) -> int:
        """No token begins more."""
        return int(self.token_rounds[-1]) if len(self.token_rounds) else 0

    def row(self, rounds_left: int) -> npt.NDArray[np.uint32]:
        """The tokens that begin at most so many rounds: uint32 ``(words,)``. Kept: every text of a kind asks again."""
        found = self.rows.get(rounds_left)
        if found is None:
            count = int(np.searchsorted(self.token_rounds, rounds_left, side="right"))
            if 2 * count > len(self.tokens) and rounds_left < self.most_rounds:
                found = self.row(self.most_rounds) & ~bitmask_of(self.tokens[count:], self.words)
            else:
                found = bitmask_of(self.tokens[:count], self.words)
            self.rows[rounds_left] = found
        return found


def bitmask_of(tokens: npt.NDArray[np.int32], words: int) -> npt.NDArray[np.uint32]:
    """A row with the bits of ``tokens`` set."""
    row = np.zeros(words, np.uint32)
    set_bits(row, tokens)
    return row


class RowPool:
    """Rows that all grammars of a vocabulary read in place, named by numbers; never changed, never removed.

    Memory is reserved at once and touched row by row. Thread-safe.
    """

    def __init__(self, words: int, *, budget_bytes: int = 64 << 20) -> None:
        num_rows = max(1, budget_bytes // (4 * words))
        self.rows = reserve(num_rows * words).view(np.uint32).reshape(num_rows, words)
        self._numbers: dict[object, int] = {}
        self._used = 0
        self._lock = threading.Lock()

    def number(self, name: object, row: npt.NDArray[np.uint32]) -> int | None:
        """The number of the row of this name, put there if it is new; None if there is no room."""
        with self._lock:
            found = self._numbers.get(name)
            if found is None and self._used < len(self.rows):
                found = self._numbers[name] = self._used
                self.rows[found] = row
                self._used += 1
            return found


Walk = TypeVar("Walk", StoredWalk, CountedWalk)


class WalkTable(Generic[Walk]):
    """Walks by signature, within a byte budget (the oldest go first). Thread-safe."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._used = 0
        self._walks: dict[tuple[object, ...], Walk] = {}
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def get(self, signature: tuple[object, ...]) -> Walk | None:
        """The walk of a signature, if it is known."""
        with self._lock:
            found = self._walks.get(signature)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
            return found

    def put(self, signature: tuple[object, ...], walk: Walk) -> None:
        """Keep a walk; the oldest ones go when the budget is exceeded."""
        with self._lock:
            if signature in self._walks:
                return
            self._walks[signature] = walk
            self._used += walk.nbytes
            while self._used > self._budget and len(self._walks) > 1:
                oldest = next(iter(self._walks))
                self._used -= self._walks.pop(oldest).nbytes

    def items(self) -> list[tuple[tuple[object, ...], Walk]]:
        """All walks with their signatures."""
        with self._lock:
            return list(self._walks.items())


class MaskStore:
    """What grammars of one vocabulary share: walks of keyed automata, and those of counted loops."""

    def __init__(self, *, budget_bytes: int = 64 << 20) -> None:
        self.walks: WalkTable[StoredWalk] = WalkTable(budget_bytes)
        self.counted: WalkTable[CountedWalk] = WalkTable(budget_bytes)
