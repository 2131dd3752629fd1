"""How the next token is drawn from masked logits.

The mask comes first, truncation second: top-k of what the grammar allows, never the allowed part of the top-k, which
may be empty. Each row brings its own uniform number, so what a row draws does not depend on the rows beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from grammar_engine.errors import InvalidArgumentError

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.sampling.repetition import StructuralRepetition


class Sampler(Protocol):
    """A rule that picks one token per row."""

    def choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Pick tokens.

        Args:
            logits: float32 ``(B, V)``, −inf where forbidden; at least one finite entry per row. Not changed.
            uniforms: float64 ``(B,)`` in [0, 1), on the device of the logits; the only randomness used.

        Returns:
            int64 ``(B,)``.
        """


@dataclass(frozen=True)
class Greedy:
    """The most probable allowed token (the lowest id among equals).

    repetition: a penalty on places of the grammar that the text returns to; off by default.
    """

    repetition: StructuralRepetition | None = None

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        _check_repetition(self.repetition)

    def choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:  # noqa: ARG002
        """See ``Sampler``."""
        import torch

        if logits.device.type == "cpu" and logits.dtype == torch.float32:  # numpy is seven times as fast there
            return torch.from_numpy(logits.detach().numpy().argmax(-1))
        return logits.argmax(-1)


@dataclass(frozen=True)
class Sample:
    """A draw from the allowed tokens.

    temperature: > 0; divides the logits.
    top_p:       keep the fewest most probable tokens whose mass reaches this (Holtzman et al. 2020), of equally
                 probable ones those with the lowest ids; 1 keeps all.
    top_k:       keep this many most probable tokens, and those as probable as the last of them; 0 keeps all.
    min_p:       keep tokens at least this fraction as probable as the best one (Nguyen et al. 2024); 0 keeps all.
    repetition:  a penalty on places of the grammar that the text returns to; off by default.

    Applied in the order temperature, top_k, top_p, min_p, repetition, on the distribution that is left by the mask.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition: StructuralRepetition | None = None

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InvalidArgumentError(
                f"a temperature must be above 0, not {self.temperature}; for 0 use Greedy()", argument="temperature"
            )
        if not 0 < self.top_p <= 1:
            raise InvalidArgumentError(f"must be above 0 and at most 1, not {self.top_p}", argument="top_p")
        if self.top_k < 0:
            raise InvalidArgumentError(f"must be 0 (off) or more, not {self.top_k}", argument="top_k")
        if not 0 <= self.min_p < 1:
            raise InvalidArgumentError(f"must be at least 0 and below 1, not {self.min_p}", argument="min_p")
        _check_repetition(self.repetition)

    def choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """See ``Sampler``. The draw inverts the cumulative distribution at the row's uniform number."""
        probabilities = self.probabilities(logits)
        cumulative = probabilities.double().cumsum(-1)
        targets = uniforms.to(cumulative) * cumulative[:, -1]
        chosen = (cumulative > targets[:, None]).long().argmax(-1)
        # u·total can round up to total: then no entry is above it and argmax answers 0, which may be forbidden.
        overshot = targets >= cumulative[:, -1]
        return chosen.where(~overshot, probabilities.argmax(-1))

    def probabilities(self, logits: Tensor) -> Tensor:
        """The distribution that is drawn from: float32 ``(B, V)``, 0 where forbidden or cut."""
        scaled = logits / self.temperature
        if 0 < self.top_k < scaled.shape[-1]:
            smallest = scaled.topk(self.top_k, -1).values[:, -1:]
            scaled = scaled.masked_fill(scaled < smallest, -math.inf)
        probabilities = scaled.softmax(-1)
        if self.top_p < 1:
            ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
            cut = ordered.cumsum(-1) - ordered >= self.top_p
            probabilities = probabilities.masked_fill(cut.scatter(-1, order, cut), 0)
        if self.min_p > 0:
            probabilities = probabilities.masked_fill(
                probabilities < self.min_p * probabilities.amax(-1, keepdim=True), 0
            )
        return probabilities


def _check_repetition(repetition: object) -> None:
    if repetition is None:
        return
    from grammar_engine.sampling.repetition import StructuralRepetition

    if not isinstance(repetition, StructuralRepetition):
        raise InvalidArgumentError(f"expected StructuralRepetition(...), not {repetition!r}", argument="repetition")
