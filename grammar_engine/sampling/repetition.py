"""A penalty on structure that goes round in circles: the same kind of element again and again, brackets, blank lines.

A *place* is where a text stands in its grammar while a terminal may begin there; inside of a terminal (in the middle of
a string) there is no place. Every time that a token brings the text to a place, or leaves it there as a blank does, it
has been visited once more:

    penalty(token) = strength · max(0, visits of the place that it leads to − free),  at most ``most``;  0 elsewhere
    drawn with probability p(token) · exp(−penalty(token)) / A,      A = Σ p(token) · exp(−penalty(token))

p is what the sampler would have drawn from: behind the mask and all truncation. Words do not matter here, only
structure: elements of a list repeat its place however they differ, and a list that must go on goes on.

A sum over the positions behind all tokens would cost more than the model. The most probable tokens are looked at one by
one; a token of the rest is drawn and accepted with probability exp(−penalty), which is the same distribution (von
Neumann 1951). The weight of a draw is A / exp(−penalty(token)); the rest's part of A is estimated by one more draw from
it, independent of the token, so that E[w · f(token)] = Σ p f all the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.compiler.rule_stack import offer
from grammar_engine.errors import GrammarEngineError, InvalidArgumentError
from grammar_engine.matcher import Matcher
from grammar_engine.sampling.samplers import Greedy, Sample

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from grammar_engine.protocols import MatcherLike

FloatArray = npt.NDArray[np.float64]

TERMINALS, POSITION = "terminals", "position"
_LOOKED_AT = 16
"""Tokens whose penalties are always computed; those behind them are drawn and refused."""


@dataclass(frozen=True)
class StructuralRepetition:
    """For ``Sample(repetition=…)`` and ``Greedy(repetition=…)``.

    strength: above 0; the penalty of each visit beyond the free ones, in nats.
    free:     visits of a place that cost nothing.
    most:     the largest penalty; finite, so that nothing that the grammar needs becomes impossible.
    by:       what makes two places the same: "terminals": the same terminals may begin or go on (nested brackets return
              to one place); "position": the same parser configuration, all that surrounds the place included.
    """

    strength: float = 0.5
    free: int = 3
    most: float = 8.0
    by: str = TERMINALS

    def __post_init__(self) -> None:
        """Refuse settings without meaning."""
        if not (math.isfinite(self.strength) and self.strength > 0):
            raise InvalidArgumentError(f"must be above 0, not {self.strength}", argument="strength")
        if isinstance(self.free, bool) or not isinstance(self.free, int) or self.free < 0:
            raise InvalidArgumentError(f"must be a number, 0 or more, not {self.free!r}", argument="free")
        if not 0 < self.most <= 100:
            raise InvalidArgumentError(f"must be above 0 and at most 100, not {self.most}", argument="most")
        if self.by not in (TERMINALS, POSITION):
            raise InvalidArgumentError(f"expected {TERMINALS!r} or {POSITION!r}, not {self.by!r}", argument="by")


class Visits:
    """The places that one text has visited."""

    def __init__(self, settings: StructuralRepetition, matcher: MatcherLike) -> None:
        """Begin where the matcher stands.

        Raises:
            InvalidArgumentError: no ``Matcher``: places are read out of its engine.
        """
        if not isinstance(matcher, Matcher):
            raise InvalidArgumentError(
                f"needs a compiled grammar's Matcher, not {type(matcher).__name__}", argument="repetition"
            )
        self._settings = settings
        self._matcher = matcher
        self._counts: Counter[Hashable] = Counter()
        self._places: dict[Hashable, Hashable] = {}
        self.note()

    @property
    def any_penalty(self) -> bool:
        """Whether any place costs something by now."""
        return any(count > self._settings.free for count in self._counts.values())

    def note(self) -> None:
        """Count the place where the matcher stands now."""
        place = self._place()
        if place is not None:
            self._counts[place] += 1

    def penalty(self, token_id: int) -> float:
        """What a token that is allowed here costs; the matcher stays where it is."""
        if not self._matcher.accept_token(token_id):
            raise GrammarEngineError(f"token {token_id} is not allowed by the grammar here")
        place = None if self._matcher.is_terminated() else self._place()
        self._matcher.rollback(1)
        settings = self._settings
        visits = 0 if place is None else self._counts[place]
        return min(settings.most, settings.strength * max(0, visits - settings.free))

    def _place(self) -> Hashable:
        """Where the matcher stands; None inside of a terminal."""
        position = self._matcher.position
        if position not in self._places:
            found = offer(self._matcher.engine, self._matcher.engine_position)
            by_position = self._settings.by == POSITION
            self._places[position] = None if not found.begins else position if by_position else found
        return self._places[position]


def choose_penalized(
    sampler: Greedy | Sample, visits: Visits, logits: Tensor, generator: Generator
) -> tuple[int, float]:
    """A token under a sampler and the penalty, and the log of the weight that its penalty calls for (0 for ``Greedy``).

    ``logits``: ``(1, V)``, masked; ``generator``: all the randomness.
    """
    import torch

    if isinstance(sampler, Greedy):
        return best_penalized(logits[0].double().cpu().numpy(), visits.penalty), 0.0
    probabilities = sampler.probabilities(logits)[0].double().cpu().numpy()
    return draw_penalized(
        probabilities, visits.penalty, lambda: float(torch.rand(1, generator=generator, dtype=torch.float64))
    )


def draw_penalized(
    probabilities: FloatArray, penalty: Callable[[int], float], uniform: Callable[[], float]
) -> tuple[int, float]:
    """A token in proportion to p · exp(−penalty), and the log of its weight.

    Args:
        probabilities: float64 ``(V,)``, any scale, some of it above 0.
        penalty: of a token; 0 or more, finite; asked for some of the tokens that have mass.
        uniform: the next random number, in [0, 1).
    """
    rest = probabilities / probabilities.sum()
    count = min(_LOOKED_AT, int(np.count_nonzero(rest)))
    order = _largest(rest, count)
    penalties = {int(token): penalty(int(token)) for token in order}
    masses = np.array([rest[token] * math.exp(-cost) for token, cost in penalties.items()])
    rest[order] = 0
    cumulative = np.cumsum(rest)
    beyond, known = float(cumulative[-1]), float(masses.sum())

    def other() -> tuple[int, float]:
        token = int(np.searchsorted(cumulative, uniform() * beyond, side="right"))
        token = min(token, int(np.flatnonzero(rest)[-1]))
        return token, penalty(token)

    estimate = known + (beyond * math.exp(-other()[1]) if beyond > 0 else 0.0)
    while True:
        place = uniform() * (known + beyond)
        if place < known or not beyond > 0:
            index = min(int(np.searchsorted(np.cumsum(masses), place, side="right")), count - 1)
            token = int(order[index])
            return token, math.log(estimate) + penalties[token]
        token, cost = other()
        if uniform() < math.exp(-cost):
            return token, math.log(estimate) + cost


def best_penalized(scores: FloatArray, penalty: Callable[[int], float]) -> int:
    """The token whose score less its penalty is largest, the lowest id among equals. ``scores``: ``(V,)``, in nats."""
    best, best_score, size = -1, -math.inf, _LOOKED_AT
    seen = 0
    while True:
        order = _largest(scores, min(size, len(scores)))
        for token in order[seen:].tolist():
            if scores[token] < best_score or scores[token] == -math.inf:
                return best
            score = float(scores[token]) - penalty(token)
            if score > best_score or (score == best_score and token < best):
                best, best_score = token, score
        if len(order) == len(scores):
            return best
        seen, size = len(order), size * 8


def _largest(values: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """Where the ``count`` largest stand, largest first, of equals the lowest."""
    if count >= len(values):
        return np.argsort(-values, kind="stable")
    edge = np.partition(values, len(values) - count)[len(values) - count]
    found = np.flatnonzero(values >= edge)
    return found[np.argsort(-values[found], kind="stable")][:count]
