"""Rejection sampling: texts as the model writes them, without a mask, until grammar and condition accept one.

What comes out is exactly the model's distribution on the texts that are accepted; the price is 1/Z tries in the mean, Z
being their mass. A try ends where the grammar refuses its token; the condition is asked about finished texts alone, so
here it may be any predicate of them (``at_end`` of ``OnText``), monotone or not.

Evidence: the number of tries says how large Z is. With k acceptances wanted and n tries made,

    (k − 1) / (n − 1)      for k ≥ 2: unbiased (Haldane 1945)
    1 / n                  for k = 1: the likeliest value; too large in the mean, by Z ln(1/Z) / (1 − Z) − Z
    a / n                  if the tries were used up with a < k: unbiased together with the first
                           (Girshick, Mosteller and Savage 1946)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grammar_engine.errors import NothingAcceptedError
from grammar_engine.sampling.conditions import Condition
from grammar_engine.sampling.population import CUT, DEAD, Particle, Population
from grammar_engine.sampling.tries import FloatArray, Try, TryRun, append, draw
from grammar_engine.sampling.weighted import (
    PopulationSampler,
    Work,
    check_count,
    check_temperature,
    optional_condition,
)


@dataclass(frozen=True)
class Rejection(PopulationSampler):
    """Sample and verify, for ``generate``.

    max_tries:   of a prompt, before ``NothingAcceptedError`` is raised with the text that went furthest.
    condition:   a predicate of the finished text, or a ``Condition``; None: the grammar alone.
    accepts:     acceptances to wait for; the answer is the first of them, the others tell of the evidence.
    at_once:     tries of a prompt that are written side by side. Changes how long it takes, not what comes out.
    temperature: > 0; of the distribution that is drawn from.

    ``Generation.population`` holds all tries in their order; its ``log_evidence`` is the estimate above.
    """

    max_tries: int = 100
    condition: Condition | Callable[[str], bool] | None = None
    accepts: int = 1
    at_once: int = 8
    temperature: float = 1.0

    def check(self, max_tokens: int) -> None:
        """See ``PopulationSampler``."""
        check_count(max_tokens, "max_tokens")
        check_count(self.max_tries, "max_tries")
        check_count(self.accepts, "accepts")
        check_count(self.at_once, "at_once")
        check_temperature(self.temperature)
        optional_condition(self.condition)

    def begin(self, work: Work) -> TryRun:
        """See ``PopulationSampler``."""
        self.check(max(work.max_tokens))
        condition = optional_condition(self.condition)

        def begin(prompt: int, rng: np.random.Generator) -> Try:
            return _Unmasked(
                matcher=work.matchers[prompt].fork(),
                vocabulary=work.vocabulary,
                condition=condition,
                rng=rng,
                max_tokens=work.max_tokens[prompt],
            )

        return TryRun(
            work,
            begin,
            temperature=self.temperature,
            max_tries=self.max_tries,
            accepts=self.accepts,
            at_once=self.at_once,
            weigh=self._weigh,
        )

    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:  # noqa: ARG002
        """The first that was accepted."""
        return next(particle for particle in population.particles if particle.log_weight > -math.inf)

    def require(self, population: Population) -> None:
        """NothingAcceptedError if no try was accepted."""
        require_accepted(population, "max_tries")

    def _weigh(self, tries: Sequence[Particle]) -> tuple[Particle, ...]:
        """Accepted tries weigh alike, so that the mean weight is the estimate of the evidence."""
        accepted = sum(particle.log_weight > -math.inf for particle in tries)
        if not accepted:
            return tuple(tries)
        count = len(tries)
        evidence = (accepted - 1) / (count - 1) if accepted == self.accepts > 1 else accepted / count
        log_weight = math.log(evidence * count / accepted)
        return tuple(
            replace(particle, log_weight=log_weight) if particle.log_weight > -math.inf else particle
            for particle in tries
        )


class _Unmasked(Try):
    """Tokens are the model's own."""

    def take(self, logps: FloatArray) -> None:
        """See ``Try``."""
        token = draw(np.exp(logps), self.rng)
        self.logprob += float(logps[token])
        if self.matcher.accept_token(token):
            append(self, token)
        else:
            self.state = DEAD


def require_accepted(population: Population, argument: str) -> None:
    """Raise if no try was accepted.

    Raises:
        NothingAcceptedError: see there.
    """
    tries = population.particles
    if any(particle.log_weight > -math.inf for particle in tries):
        return
    closest = max((particle.text for particle in tries), key=len)
    cut = sum(particle.state == CUT for particle in tries)
    raise NothingAcceptedError(
        f"none of {len(tries)} texts was accepted ({cut} of them ran out of tokens); the one that went furthest: "
        f"{closest[-60:]!r}. Raise {argument}, or use SMC(...), which masks by the grammar",
        tries=len(tries),
        closest_text=closest,
        population=population,
    )
