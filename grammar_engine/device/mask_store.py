"""Masks that live where the logits are: rows are sent once, a step sends their numbers.

The engine keeps a mask as a union of a few rows, which many positions share ("inside a JSON string"), and of short
lists of tokens. A ``DeviceMaskStore`` keeps the same form: a table of rows on the device, filled as rows are first met,
and for each text and step a record of 256 bytes (``kernels.device.masking``), remembered by position. A kernel puts the
mask together where it is applied.

What does not fit a record (more than MOST_ROWS rows or MOST_TOKENS tokens) is put together here and becomes a row of
its own, once per position. So does the mask of a text whose guard (``compiler.guard``: unique items, names of
properties) forbids something that the grammar allows: it depends on the whole text, so it may be sent at each step.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import InvalidArgumentError, LimitExceededError

if TYPE_CHECKING:
    import torch

    from grammar_engine.compiler.engine import Engine
    from grammar_engine.compiler.mask_store import RowPool
    from grammar_engine.matcher import Matcher

Record = npt.NDArray[np.int32]

_LISTED = 16  # a walk with more tokens than this becomes a row: others will have it too
_MOST_RECORDS = 1 << 16  # remembered per grammar: 16 MiB


@dataclass(frozen=True, kw_only=True, eq=False)
class StagedMasks:
    """The masks of one step: int32 ``(n, RECORD)`` on the device, and the table that they are about."""

    records: torch.Tensor
    epoch: int


@dataclass(kw_only=True, eq=False)
class _Known:
    """What is known of one grammar: records by position, rows of the table by what they hold."""

    records: dict[Hashable, Record] = field(default_factory=dict)
    rows: dict[Hashable, int] = field(default_factory=dict)


class _Full(Exception):  # noqa: N818 (no error: the table begins anew)
    """No room for another row."""


class DeviceMaskStore:
    """The masks of any number of texts and grammars over one vocabulary, on one device. For one thread at a time."""

    def __init__(
        self, vocabulary_size: int, *, device: torch.device | str = "cpu", capacity_bytes: int = 64 << 20
    ) -> None:
        """Reserve a table of ``capacity_bytes`` on the device; when it is full all rows are forgotten and sent again.

        Raises:
            InvalidArgumentError: the capacity is less than one row.
        """
        import torch

        self._words = (vocabulary_size + 31) // 32
        capacity = capacity_bytes // (4 * self._words)
        if capacity < 1:
            raise InvalidArgumentError(
                f"{capacity_bytes} bytes hold no mask of {self._words} words", argument="capacity_bytes"
            )
        self.table = torch.zeros((capacity, self._words), dtype=torch.int32, device=device)
        self._scratch = np.zeros((2, self._words), np.uint32)
        self._rows: list[npt.NDArray[np.uint32]] = []  # to be sent with this step
        self._used = 0
        self._epoch = 0
        self._grammars: WeakKeyDictionary[Engine, _Known] = WeakKeyDictionary()
        self._pools: WeakKeyDictionary[RowPool, dict[int, int]] = WeakKeyDictionary()
        self.rows_sent = 0
        self.bytes_sent = 0

    def stage(self, matchers: Sequence[Matcher | None], out: torch.Tensor | None = None) -> StagedMasks:
        """Send what the masks of the texts' next tokens need. None: a text without a grammar.

        Everything goes to the current stream; nothing waits. out: where the records go instead of a new tensor: int32
        ``(n, RECORD)`` on the device, contiguous; for CUDA graphs, which read from one place.

        Masks staged before the table began anew (see ``capacity_bytes``) can no longer be applied.

        Raises:
            ValueError: a matcher's vocabulary has another size, or ``out`` does not fit.
            LimitExceededError: the masks of this step alone do not fit into the table.
        """
        import torch

        from grammar_engine.kernels.device.backend import pinned
        from grammar_engine.kernels.device.masking import RECORD

        records = np.zeros((len(matchers), RECORD), np.int32)
        try:
            self._write(matchers, records)
        except _Full:
            self._forget()
            try:
                self._write(matchers, records)
            except _Full:
                self._forget()
                limit = f"table of {self.table.shape[0]} rows"
                raise LimitExceededError("the masks of one step do not fit", limit=limit, given="more") from None
        device = self.table.device
        if self._rows:
            rows = torch.from_numpy(np.stack(self._rows).view(np.int32))
            first = self._used - len(self._rows)
            self.table[first : self._used].copy_(pinned(rows), non_blocking=True)
            self.rows_sent += len(self._rows)
            self.bytes_sent += 4 * rows.numel()
            self._rows = []
        self.bytes_sent += records.nbytes
        there = pinned(torch.from_numpy(records))
        if out is None:
            out = there.to(device, non_blocking=True)
        elif out.shape != there.shape or out.dtype != there.dtype or out.device != device:
            raise ValueError(f"out: int32 {tuple(there.shape)} on {device}, not {out.dtype} {tuple(out.shape)}")
        else:
            out.copy_(there, non_blocking=True)
        return StagedMasks(records=out, epoch=self._epoch)

    def apply(self, logits: torch.Tensor, masks: StagedMasks, indices: torch.Tensor | None = None) -> None:
        """Set the logits of forbidden tokens to −inf, in place; one kernel, no synchronization.

        logits: ``(rows, V)`` on the device. indices: int64 ``(n,)`` on the device, the row of each text; None: 0 … n−1.

        Raises:
            ValueError: a shape or device does not fit, or the masks are older than the table.
        """
        from grammar_engine.kernels.device.masking import apply_records

        self._check(masks)
        apply_records(logits, self.table, masks.records, indices)

    def bitmask(self, masks: StagedMasks) -> torch.Tensor:
        """The same masks packed, int32 ``(n, W)``, put together on the device: what ``FusedSampler.draw`` takes."""
        import torch

        from grammar_engine.kernels.device.masking import expand_records

        self._check(masks)
        words = torch.empty((len(masks.records), self._words), dtype=torch.int32, device=self.table.device)
        expand_records(self.table, masks.records, words)
        return words

    def _check(self, masks: StagedMasks) -> None:
        if masks.epoch != self._epoch:
            raise ValueError("these masks were staged before the table was full and began anew: stage them again")

    def _forget(self) -> None:
        self._grammars.clear()
        self._pools.clear()
        self._rows = []
        self._used = 0
        self._epoch += 1

    # -- records --------------------------------------------------------------------------------------------------

    def _write(self, matchers: Sequence[Matcher | None], records: Record) -> None:
        from grammar_engine.kernels.device.masking import UNCONSTRAINED

        for i, matcher in enumerate(matchers):
            if matcher is None:
                records[i, 0] = UNCONSTRAINED
                continue
            engine = matcher.engine
            known = self._grammars.get(engine)
            if known is None:
                if engine.context.words != self._words:
                    raise ValueError(f"matcher {i} has masks of {engine.context.words} words, not {self._words}")
                known = self._grammars[engine] = _Known()
            key = None if matcher.is_terminated() else matcher.position
            record = known.records.get(key)
            if record is None:
                if len(known.records) >= _MOST_RECORDS:
                    known.records.clear()
                record = known.records[key] = self._record(matcher, known)
            records[i] = record

    def _record(self, matcher: Matcher, known: _Known) -> Record:
        from grammar_engine.kernels.device.masking import MOST_ROWS, MOST_TOKENS, RECORD, RECORD_ROWS, RECORD_TOKENS

        engine, stop_ids = matcher.engine, matcher.compiled.stop_ids
        rows: list[int] = []
        tokens: list[npt.NDArray[np.int32]] = []
        matcher.fill_next_token_bitmask(self._scratch, 0)
        whole = False
        if matcher.is_terminated():
            bits = np.unpackbits(self._scratch[0].view(np.uint8), bitorder="little")
            tokens.append(np.flatnonzero(bits).astype(np.int32))
        else:
            position = matcher.engine_position
            if matcher.compiled.guard is not None:
                engine.fill(position, self._scratch, 1, stop_ids)
                whole = not np.array_equal(self._scratch[0], self._scratch[1])
            if engine.is_accepting(position):
                tokens.append(stop_ids)
            if not whole:
                self._add_parts(engine, position, known, rows, tokens)
        listed = np.unique(np.concatenate(tokens)) if tokens else np.zeros(0, np.int32)
        if whole or len(rows) > MOST_ROWS or len(listed) > MOST_TOKENS:
            rows, listed = [self._send(self._scratch[0].copy())], listed[:0]
        record = np.zeros(RECORD, np.int32)
        record[0], record[1] = len(rows), len(listed)
        record[RECORD_ROWS : RECORD_ROWS + len(rows)] = rows
        record[RECORD_TOKENS : RECORD_TOKENS + len(listed)] = listed
        return record

    def _add_parts(
        self, engine: Engine, position: int, known: _Known, rows: list[int], tokens: list[npt.NDArray[np.int32]]
    ) -> None:
        """What the mask of a position is the union of."""
        from grammar_engine.compiler.mask_store import bitmask_of

        pool = self._pools.setdefault(engine.context.pool, {})
        parts = engine.mask_parts(position)
        for number, row in parts.shared_rows.items():
            if number not in pool:
                pool[number] = self._send(row)
            rows.append(pool[number])
        # Numbers of other rows, and addresses of walks, mean something else once the engine has dropped its rows.
        for number, row in parts.own_rows.items():
            key: Hashable = ("row", parts.generation, number)
            if key not in known.rows:
                known.rows[key] = self._send(row.copy())
            rows.append(known.rows[key])
        for address, listed in parts.walks.items():
            if len(listed) <= _LISTED:
                tokens.append(listed)
                continue
            key = ("walk", parts.generation, address)
            if key not in known.rows:
                known.rows[key] = self._send(bitmask_of(listed, self._words))
            rows.append(known.rows[key])

    def _send(self, row: npt.NDArray[np.uint32]) -> int:
        """A place in the table for a row that is sent with this step."""
        if self._used == self.table.shape[0]:
            raise _Full
        self._rows.append(row)
        self._used += 1
        return self._used - 1
