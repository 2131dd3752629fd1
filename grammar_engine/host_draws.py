"""Draws with any sampler: masks are written into the logits, each row has a generator of its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grammar_engine.bitmask import apply_token_bitmask_inplace
from grammar_engine.draws import Choice
from grammar_engine.errors import GrammarEngineError
from grammar_engine.mask_buffer import MaskBuffer
from grammar_engine.sampling.repetition import choose_penalized
from grammar_engine.sampling.samplers import Greedy, Sample, Sampler

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.requests import Row
    from grammar_engine.row_masks import RowMasks

# exp is slow where its result is no normal number: logits are cut at so much below the greatest one. Sums of what is
# allowed are taken from these weights unless they are so small that this would show.
_LEAST = -80.0
_SMALL = -40.0


class HostMasks:
    """The masks of a pass in a buffer, which is copied to the logits' device if that is another: those behind no
    drafted token first, then those behind one, and so on.
    """

    def __init__(self, vocabulary: Vocabulary, device: torch.device) -> None:
        """``device``: where the logits are."""
        self._buffer = MaskBuffer((vocabulary.size + 31) // 32, device)
        self._num_rows = 0
        self._num_masks = 0

    def fill(self, rows: Sequence[Row]) -> None:
        """See ``row_masks.SentMasks``."""
        self._num_rows = len(rows)
        self._num_masks = len(rows) * (1 + max(len(row.draft) for row in rows))
        masks = self._buffer.begin(self._num_masks)
        for i, row in enumerate(rows):
            matcher = row.request.matcher
            matcher.fill_next_token_bitmask(masks, i)
            for depth, token_id in enumerate(row.draft, 1):
                if not matcher.accept_token(token_id):
                    raise GrammarEngineError(f"token {token_id} was drafted but is not allowed by the grammar")
                matcher.fill_next_token_bitmask(masks, depth * len(rows) + i)
            matcher.rollback(len(row.draft))
        self._buffer.upload(self._num_masks)

    def apply(self, logits: Tensor, chosen: Sequence[int], depth: int) -> None:
        """Write −inf into ``logits`` where a token is not allowed behind ``depth`` drafted tokens.

        ``logits``: ``(len(chosen), V)``; ``chosen``: which of the rows that were filled, ascending.
        """
        apply_token_bitmask_inplace(logits, self._of(chosen, depth))

    def clear(self, weights: Tensor, chosen: Sequence[int], depth: int) -> None:
        """The same with 0 instead of −inf; on the CPU."""
        import torch

        from grammar_engine.kernels.device.masking import clear_forbidden

        masks = self._of(chosen, depth)
        clear_forbidden(weights, masks if isinstance(masks, torch.Tensor) else torch.from_numpy(masks))

    def _of(self, chosen: Sequence[int], depth: int) -> npt.NDArray[np.int32] | Tensor:
        if depth == 0 and len(chosen) == self._num_rows:
            return self._buffer.rows(self._num_rows)
        return self._buffer.rows(self._num_masks, [depth * self._num_rows + row for row in chosen])


class HostDraws:
    """Draws with any sampler. Row i has a generator of its own: what it draws does not depend on the others."""

    def __init__(self, sampler: Sampler, masks: RowMasks, sent: HostMasks) -> None:
        """``sent``: the masks of the passes that are to come; ``masks``: what fills them."""
        self._sampler = sampler
        self._masks = masks
        self._sent = sent
        self._generators: dict[int, Any] = {}
        self._rows: list[Row] = []
        self._logits: Any = None
        self._chosen: list[Row] = []  # the rows of the last choice; their logits, masked; both log masses
        self._masked: Any = None
        self._masses: list[float] = []
        self._allowed: list[float] = []

    def take(self, rows: Sequence[Row], logits: Tensor) -> None:
        """See ``Draws``. The logits are written to."""
        self._rows = list(rows)
        self._logits = logits

    def choose(self, alive: Sequence[int], depth: int) -> list[Choice | None]:
        """See ``Draws``."""
        logits: Tensor = self._logits[:, depth] if len(alive) == len(self._rows) else self._logits[alive, depth]
        rows = self._chosen = [self._rows[i] for i in alive]
        self._masked = logits
        self._masses, self._allowed = self._mask(logits, alive, depth)
        for i, mass in enumerate(self._allowed):
            if mass == -math.inf:
                logits[i] = 0.0  # what is chosen for it is not looked at
        chosen: list[int] = self._sampler.choose(logits, self._uniforms(rows)).tolist()
        corrections = self._penalize(rows, chosen, logits)
        scores = logits.gather(-1, _column(chosen, logits))[:, 0].tolist()
        return [
            None if allowed == -math.inf else Choice(token_id, score - mass, allowed - mass + correction)
            for token_id, score, mass, allowed, correction in zip(
                chosen, scores, self._masses, self._allowed, corrections, strict=True
            )
        ]

    def again(self, place: int, refused: Collection[int]) -> int | None:
        """See ``Draws``."""
        rest = self._masked[place : place + 1].clone()
        rest[0, list(refused)] = -math.inf
        if not bool(rest.isfinite().any()):
            return None
        return int(self._sampler.choose(rest, self._uniforms([self._chosen[place]])))

    def scored(self, place: int, token_id: int) -> Choice:
        """See ``Draws``."""
        mass = self._masses[place]
        return Choice(token_id, float(self._masked[place, token_id]) - mass, self._allowed[place] - mass)

    def _mask(self, logits: Tensor, alive: Sequence[int], depth: int) -> tuple[list[float], list[float]]:
        """Mask the logits of a choice; ``logsumexp`` of each row before and behind it."""
        if logits.device.type != "cpu":
            masses = logits.logsumexp(-1).tolist()
            self._sent.apply(logits, alive, depth)
            return masses, logits.logsumexp(-1).tolist()
        greatest = logits.amax(-1, keepdim=True)
        weights = (logits - greatest).clamp_(min=_LEAST).exp_()
        masses = _logs(weights, greatest)
        with self._masks.timed():
            self._sent.apply(logits, alive, depth)
            self._sent.clear(weights, alive, depth)
        allowed = _logs(weights, greatest)
        for i, top in enumerate(greatest[:, 0].tolist()):
            if not allowed[i] - top > _SMALL:  # too much of it was cut, or a logit is no number
                allowed[i] = float(logits[i].logsumexp(-1))
                masses[i] = masses[i] if math.isfinite(top) else top
        return masses, allowed

    def _penalize(self, rows: Sequence[Row], chosen: list[int], logits: Tensor) -> list[float]:
        """Choose anew where a penalty on repetition may apply; changes ``chosen``. Returns logs of weights."""
        corrections = [0.0] * len(rows)
        sampler = self._sampler
        if isinstance(sampler, (Greedy, Sample)):
            for i, row in enumerate(rows):
                if row.visits is not None and row.visits.any_penalty:
                    generator = self._generator(row)
                    chosen[i], corrections[i] = choose_penalized(sampler, row.visits, logits[i : i + 1], generator)
        return corrections

    def _generator(self, row: Row) -> Any:
        import torch

        found = self._generators.get(row.index)
        if found is None:
            found = self._generators[row.index] = torch.Generator()
            if row.request.seed is None:
                found.seed()
            else:
                found.manual_seed(row.request.seed)
        return found

    def _uniforms(self, rows: Sequence[Row]) -> Tensor:
        import torch

        if isinstance(self._sampler, Greedy):  # does not look at them
            return torch.zeros(len(rows), dtype=torch.float64, device=self._masked.device)
        draws = [torch.rand(1, generator=self._generator(row), dtype=torch.float64) for row in rows]
        return torch.cat(draws).to(self._masked.device)


def _logs(weights: Tensor, greatest: Tensor) -> list[float]:
    """Log of the sum of each row, on the scale of its greatest logit."""
    found: list[float] = weights.sum(-1).log_().add_(greatest[:, 0]).tolist()
    return found


def _column(token_ids: Sequence[int], logits: Tensor) -> Tensor:
    import torch

    return torch.tensor(token_ids, device=logits.device)[:, None]
