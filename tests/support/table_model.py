"""A language model small enough to be enumerated: logits by prefix, from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


class TableModel:
    """Conditional distributions over a small vocabulary, for every prefix of tokens."""

    def __init__(self, size: int, seed: int, *, stop: int, stop_bias: float = 0.0) -> None:
        self.size = size
        self.stop = stop
        self._seed = seed
        self._bias = stop_bias
        self._known: dict[tuple[int, ...], Any] = {}

    def logits(self, prefix: tuple[int, ...]) -> Any:
        """float64 ``(V,)``."""
        if prefix not in self._known:
            logits = np.random.default_rng([self._seed, len(prefix), *prefix]).normal(size=self.size) * 1.5
            logits[self.stop] += self._bias
            self._known[prefix] = logits
        return self._known[prefix]

    def logps(self, prefix: tuple[int, ...], temperature: float = 1.0) -> Any:
        """Normalized log-probabilities at a temperature."""
        logits = self.logits(prefix) / temperature
        return logits - np.log(np.exp(logits).sum())

    def sequences(
        self, allowed: Callable[[tuple[int, ...]], bool], most: int, temperature: float = 1.0
    ) -> Iterator[tuple[tuple[int, ...], float]]:
        """Sequences of fewer than ``most`` tokens, all prefixes allowed, and their probability with a stop behind."""
        todo: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        while todo:
            prefix, logp = todo.pop()
            logps = self.logps(prefix, temperature)
            yield prefix, math.exp(logp + float(logps[self.stop]))
            for token in range(self.size):
                longer = (*prefix, token)
                if token != self.stop and len(longer) < most and allowed(longer):
                    todo.append((longer, logp + float(logps[token])))


class TableForward:
    """The model as a batch of rows, with the prompt's rows at the empty prefix."""

    def __init__(self, model: TableModel, prompts: int = 1) -> None:
        self.passes = 0
        self._model = model
        self._rows: list[tuple[int, ...]] = [()] * prompts

    def prefill(self) -> Any:
        return self._logits()

    def step(self, token_ids: Sequence[int]) -> Any:
        self._rows = [(*row, token) for row, token in zip(self._rows, token_ids, strict=True)]
        return self._logits()

    def keep(self, rows: Sequence[int]) -> None:
        self._rows = [self._rows[row] for row in rows]

    def _logits(self) -> Any:
        import torch

        self.passes += 1
        return torch.tensor(np.stack([self._model.logits(row) for row in self._rows]))
