"""Weighted draws for many rows at once, where the logits are: ``masked`` and ``awrs`` over tensors ``(n, V)``.

    draws = masked_batch(logps, bitmask, seeds=seeds, steps=step)
    draws = awrs_batch(logps, accept, bitmask=bitmask, seeds=seeds, steps=step)     accept(rows, tokens) -> verdicts

The vocabulary stays on the device: masks, noise, sums and the choice of the next few tokens of each row
(``kernels.device.race``). What comes to the host is a block of them per row, in one copy; the estimators are those of
``awrs``, which ask about one token of each row at a time, so all rows' checks of a round are one call.

What a row draws depends on its masses, its seed and its step alone, not on the rows beside, on the device, or on the
size of blocks (up to the rounding of the last bits of float64). It is not what ``awrs`` draws with a generator of the
same seed: the distribution is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.awrs import Checks, Draw, checks_in_order

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.kernels.device.race import Race

AcceptMany = Callable[[Sequence[int], Sequence[int]], Iterable[bool]]
"""Verdicts on tokens: the rows that they stand in, and the tokens; no row comes twice in a call."""
_BLOCK = 32
_MOST_SEED = 1 << 63
_HOST_STREAM = 1 << 63  # of a seed: behind the steps, so no step's stream


def masked_batch(
    logps: Tensor, bitmask: Tensor | None, *, seeds: Sequence[int], steps: int | Sequence[int] = 0
) -> list[Draw]:
    """Draw a token for each row from those that its mask allows; the weight is their mass.

    Args:
        logps: ``(n, V)``, floating point, any device: log-probabilities (or log-masses: weights are of that measure).
        bitmask: int32 ``(n, ≥ ceil(V / 32))`` on the same device, bit 1 = allowed; None: every token.
        seeds: of each row, not negative, below 2⁶³.
        steps: of each row, or of all: one seed draws something new with each.

    Raises:
        InvalidArgumentError: shapes, dtypes or devices that do not fit, seeds out of range, NaN or +inf.
    """
    from grammar_engine.kernels.device.race import allowed_only, first_of_all

    seed_row, step_row = _counters(logps, bitmask, seeds, steps)
    tokens, log_masses = first_of_all(allowed_only(logps, bitmask), seed_row, step_row)
    _refuse_infinite(log_masses)
    return [
        Draw(token, log_mass, 0) if token >= 0 else Draw(None, log_mass, 0)
        for token, log_mass in zip(tokens.tolist(), log_masses.tolist(), strict=True)
    ]


def awrs_batch(
    logps: Tensor,
    accept: AcceptMany,
    *,
    seeds: Sequence[int],
    steps: int | Sequence[int] = 0,
    bitmask: Tensor | None = None,
    method: str | Sequence[str] = "auto",
    max_accepts: int = 2,
    max_rejects: int | None = None,
    block: int = _BLOCK,
) -> list[Draw]:
    """``awrs`` for each row of a batch.

    Args:
        logps, seeds, steps: see ``masked_batch``.
        accept: verdicts on one token of each of some rows; each token of a row is asked about at most once.
        bitmask: what the grammar allows, as for ``masked_batch``: then ``accept`` is asked about allowed tokens alone,
            and the weight estimates the mass of those that both accept.
        method: see ``awrs``; one for all rows, or for each.
        max_accepts, max_rejects: see ``awrs``.
        block: tokens of a row that come to the host at first. Changes how long it takes, not what is drawn.

    Raises:
        InvalidArgumentError: as for ``masked_batch`` and ``awrs``; another number of verdicts than of tokens.
    """
    from grammar_engine.kernels.device.race import Race, allowed_only

    if block < 1:
        raise InvalidArgumentError(f"must be at least 1, not {block}", argument="block")
    seed_row, step_row = _counters(logps, bitmask, seeds, steps)
    methods = [method] * len(seeds) if isinstance(method, str) else list(method)
    if len(methods) != len(seeds):
        raise InvalidArgumentError(f"{len(methods)} methods for {len(seeds)} rows", argument="method")
    orders = _Orders(Race(allowed_only(logps, bitmask), seed_row, step_row, block=block), len(seeds))
    checks: list[Checks] = [
        checks_in_order(
            orders.order(row),
            orders.log_masses[row].__getitem__,
            partial(orders.largest.__getitem__, row),
            rng=np.random.Generator(np.random.Philox(key=[seed, _HOST_STREAM + step])),
            method=methods[row],
            max_accepts=max_accepts,
            max_rejects=max_rejects,
        )
        for row, (seed, step) in enumerate(zip(seeds, _numbers(steps, len(seeds)), strict=True))
    ]
    return finish_together(checks, accept, finished=orders.close)


def finish_together(
    checks: Sequence[Checks], accept: AcceptMany, *, finished: Callable[[int], None] = lambda _: None
) -> list[Draw]:
    """Finish many draws, asking about one token of each at a time. ``finished`` is called with the number of each.

    Raises:
        InvalidArgumentError: another number of verdicts than of tokens.
    """
    draws: list[Draw | None] = [None] * len(checks)
    asked: dict[int, int] = {}

    def advance(row: int, verdict: bool | None) -> None:
        try:
            asked[row] = next(checks[row]) if verdict is None else checks[row].send(verdict)
        except StopIteration as end:
            draws[row] = end.value
            finished(row)

    for row in range(len(checks)):
        advance(row, None)
    while asked:
        waiting, asked = asked, {}
        verdicts = list(accept(list(waiting), list(waiting.values())))
        if len(verdicts) != len(waiting):
            raise InvalidArgumentError(f"{len(verdicts)} verdicts for {len(waiting)} tokens", argument="accept")
        for row, verdict in zip(waiting, verdicts, strict=True):
            advance(row, bool(verdict))
    return [draw for draw in draws if draw is not None]


class _Orders:
    """The rows' orders on the host. All rows go on at about one pace, so they run out of tokens together."""

    def __init__(self, race: Race, count: int) -> None:
        self._race = race
        self._queues: list[deque[tuple[int, float]]] = [deque() for _ in range(count)]
        self._exhausted = [False] * count
        self._open = [True] * count
        self.log_masses: list[dict[int, float]] = [{} for _ in range(count)]
        self.largest = [-math.inf] * count

    def order(self, row: int) -> Iterator[tuple[int, float]]:
        """Tokens of a row and the log of the mass left before each."""
        queue = self._queues[row]
        while queue or not self._exhausted[row]:
            if not queue:
                self._fill()
                continue
            yield queue.popleft()

    def close(self, row: int) -> None:
        """Nothing more is wanted of a row."""
        self._open[row] = False

    def _fill(self) -> None:
        """A further block for the row that has run out, and for all that soon will."""
        rows = [
            row
            for row, queue in enumerate(self._queues)
            if self._open[row] and not self._exhausted[row] and len(queue) <= 1
        ]
        block = self._race.next(rows)
        size = block.tokens.shape[1]
        for i, row in enumerate(rows):
            count = block.counts[i]
            tokens, masses = block.tokens[i, :count].tolist(), block.log_masses[i, :count].tolist()
            _refuse_infinite(block.log_left[i, :1])
            self._queues[row].extend(zip(tokens, block.log_left[i, :count].tolist(), strict=True))
            self.log_masses[row].update(zip(tokens, masses, strict=True))
            self._exhausted[row] = count < size
            self.largest[row] = block.largest[i]


def _counters(
    logps: Tensor, bitmask: Tensor | None, seeds: Sequence[int], steps: int | Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Seeds and steps as int64 ``(n,)`` on the device; everything checked that costs no copy."""
    import torch

    if logps.ndim != 2 or not logps.is_floating_point() or not logps.shape[1]:
        raise InvalidArgumentError(
            f"expected floating point numbers (n, V), not {logps.dtype} {tuple(logps.shape)}", argument="logps"
        )
    count, size = logps.shape
    if bitmask is not None and (
        bitmask.dtype != torch.int32
        or bitmask.ndim != 2
        or len(bitmask) != count
        or bitmask.shape[1] * 32 < size
        or bitmask.device != logps.device
    ):
        raise InvalidArgumentError(
            f"expected int32 ({count}, at least {-(-size // 32)}) on {logps.device}, not {bitmask.dtype} "
            f"{tuple(bitmask.shape)} on {bitmask.device}",
            argument="bitmask",
        )
    if len(seeds) != count or not all(0 <= seed < _MOST_SEED for seed in seeds):
        raise InvalidArgumentError(f"expected {count} numbers, not negative, below 2**63", argument="seeds")
    numbers = _numbers(steps, count)
    if len(numbers) != count or not all(0 <= step < _MOST_SEED for step in numbers):
        raise InvalidArgumentError(f"expected one number or {count}, not negative, below 2**63", argument="steps")
    rows = torch.tensor([list(seeds), numbers], dtype=torch.int64).to(logps.device)
    return rows[0], rows[1]


def _numbers(steps: int | Sequence[int], count: int) -> list[int]:
    return [steps] * count if isinstance(steps, int) else list(steps)


def _refuse_infinite(log_masses: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    if not (log_masses < np.inf).all():  # NaN or +inf
        raise InvalidArgumentError("log-masses must be numbers below infinity", argument="logps")
