"""Best of n: several weighted texts, and of them the one that a score likes most."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.sampling.conditions import Condition, scored
from grammar_engine.sampling.particles import Settings
from grammar_engine.sampling.population import Particle, Population
from grammar_engine.sampling.smc import ParticleSampler
from grammar_engine.sampling.weighted import check_count


@dataclass(frozen=True)
class BestOf(ParticleSampler):
    """The best of ``n`` texts, for ``generate``; all of them are in ``Generation.population``, properly weighted.

    n:     texts that are drawn side by side, each by itself.
    score: of a finished text, larger is better; default: the log-probability that the model gives it. Of equals the
           first that was drawn. Where it raises or returns NaN or +inf: ``ConditionError`` with all texts.
    condition, temperature, method, max_accepts, max_rejects, on_device: as for ``AWRS``.

    The answer is no draw from the model: it is what the score likes. Texts that died or ran out of tokens take no part.
    """

    n: int = 8
    score: Callable[[str], float] | None = None
    condition: Condition | Callable[[str], bool] | None = None
    temperature: float = 1.0
    method: str = "auto"
    max_accepts: int = 2
    max_rejects: int | None = None
    on_device: bool | None = None

    @property
    def num_particles(self) -> int:
        """Per prompt."""
        return self.n

    def settings(self, max_tokens: int) -> Settings:
        """Checked settings for a run without resampling. InvalidArgumentError where they make no sense."""
        check_count(self.n, "n")
        if self.score is not None and not callable(self.score):
            raise InvalidArgumentError(f"expected a function of a text, not {self.score!r}", argument="score")
        return self.shared_settings(max_tokens)

    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:  # noqa: ARG002
        """The best; each text is scored once. ConditionError where the score raises or is no number."""
        if self.score is None:
            return population.best()
        scores: dict[str, float] = {}
        finished = [particle for particle in population.particles if particle.log_weight > -math.inf]
        for particle in finished:
            if particle.text not in scores:
                scores[particle.text] = scored(self.score, particle.text, asked="the score")
        return max(finished, key=lambda particle: scores[particle.text])
