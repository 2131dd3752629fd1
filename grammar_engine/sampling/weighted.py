"""What ``generate`` needs of a sampler that writes whole texts: how to begin, which text to answer with, what is wrong.

Samplers of single tokens (``samplers``) take part in the decoding loop; these here have a loop of their own and return
a ``Population`` for each prompt.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from grammar_engine.errors import AllParticlesDeadError, IncompleteGenerationError, InvalidArgumentError
from grammar_engine.progress import Progress
from grammar_engine.sampling.conditions import Condition, as_condition
from grammar_engine.sampling.population import CUT, Particle, Population

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.protocols import MatcherLike


class Forward(Protocol):
    """What a run needs of a model: ``forward.CausalForward``, or a table in tests."""

    passes: int

    def prefill(self) -> Tensor:
        """Logits behind each prompt, ``(prompts, V)``."""

    def step(self, token_ids: Sequence[int]) -> Tensor:
        """Append a token per row; logits ``(rows, V)`` behind it."""

    def keep(self, rows: Sequence[int]) -> None:
        """Rows of the batch to go on with, in this order; a row may come several times."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Prompts to write texts for; all lists have one entry for each.

    forward:    makes the forward passes over some of the prompts, by number, a row each, anew.
    vocabulary: as wide as the logits.
    matchers:   at the beginning of the text.
    rngs:       all the randomness of a prompt.
    max_tokens: most tokens of a text, the stop token included: longer texts have no weight.
    keys:       equal for prompts that have the same texts with the same probabilities (for memories over calls).
    """

    forward: Callable[[Sequence[int]], Forward]
    vocabulary: Vocabulary
    matchers: Sequence[MatcherLike]
    rngs: Sequence[np.random.Generator]
    max_tokens: Sequence[int]
    keys: Sequence[Hashable] = ()


class PopulationRun(Protocol):
    """Texts in the making."""

    def steps(self) -> Iterator[int]:
        """Go step by step; to be called once."""

    def last_tokens(self) -> list[int]:
        """Of each prompt the first particle's token of the last step, −1 for none; where there is one particle."""

    def populations(self) -> list[Population]:
        """A population for each prompt, when the steps are over."""

    def progress(self) -> Progress:
        """How far the run has come."""


class PopulationSampler(ABC):
    """A sampler of whole texts, for ``generate``."""

    @property
    def shows_tokens(self) -> bool:
        """Whether tokens of the answer are known as they come: where there is one text and it stays."""
        return False

    @abstractmethod
    def check(self, max_tokens: int) -> None:
        """InvalidArgumentError where the settings make no sense."""

    @abstractmethod
    def begin(self, work: Work) -> PopulationRun:
        """Begin to write."""

    @abstractmethod
    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:
        """The particle to answer with; one has weight."""

    def require(self, population: Population) -> None:
        """Raise if no particle has weight."""
        require_weight(population)


def require_weight(population: Population) -> None:
    """Raise if no particle has weight.

    Raises:
        IncompleteGenerationError: all that is missing are tokens; carries the longest text.
        AllParticlesDeadError: nothing was accepted any more; carries the population.
    """
    if any(particle.log_weight > -math.inf for particle in population.particles):
        return
    states = [particle.state for particle in population.particles]
    longest = max((particle.text for particle in population.particles), key=len)
    if CUT in states:
        raise IncompleteGenerationError(
            f"no text was finished in time ({states.count(CUT)} of {len(states)} particles ran out of tokens); raise "
            "max_tokens",
            partial_text=longest,
        )
    raise AllParticlesDeadError(
        f"all {len(states)} particles are dead: grammar and condition accept no token behind {longest[-60:]!r}. Use "
        "more particles, or see whether the condition can be met and is monotone (check_monotone)",
        population=population,
    )


def check_count(value: object, argument: str, least: int = 1) -> None:
    """InvalidArgumentError unless an integer, at least so large."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(f"must be a number, at least {least}, not {value!r}", argument=argument)


def check_temperature(temperature: float) -> None:
    """InvalidArgumentError unless finite and above 0."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise InvalidArgumentError(f"must be above 0, not {temperature}", argument="temperature")


def optional_condition(condition: Condition | Callable[[str], bool] | None) -> Condition | None:
    """None, a condition, or a function as one. InvalidArgumentError for anything else."""
    return None if condition is None else as_condition(condition)
