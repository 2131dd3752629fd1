"""What sequential Monte Carlo returns: weighted texts, how they came about, what they say of the model.

Weights are *proper*: for every function f of texts, the mean over runs of (1/N) Σ w · f(text) is Σ p(x) f(x) over the
texts x of the language that the condition accepts. So ``log_evidence``, the log of the mean weight, estimates how
likely the model is to write such a text by itself, and ``posterior`` how it would, given that it does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grammar_engine.sampling.resampling import effective_sample_size, log_mean, normalized

FINISHED, DEAD, CUT, WRITING = "finished", "dead", "cut", "writing"


@dataclass(frozen=True, kw_only=True)
class Particle:
    """One text and its weight.

    text, token_ids: what was written; token_ids without the stop token.
    log_weight: log w; −inf for a text that is not finished.
    logprob:    Σ log p(token) under the model's own distribution at the run's temperature, stop token included.
    state:      "finished"; "dead": nothing could follow that grammar and condition accept; "cut": no tokens were left;
                "writing": an error came in between (``ConditionError``). The weight so far is in the history.
    eve:        which of the first particles it descends from.
    """

    text: str
    token_ids: tuple[int, ...]
    log_weight: float
    logprob: float
    state: str
    eve: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a run: a token per particle that was still writing.

    token_ids:   the token of each particle; −1 where there was none.
    log_weights: behind the token, before resampling.
    ess:         effective sample size of these.
    ancestors:   whom each particle was copied from behind the step; None where all went on as they were.
    filled:      of canvases (``ge.diffusion.smc``), each particle's slots of this step with their tokens; ``token_ids``
                 has the first of them.
    """

    token_ids: tuple[int, ...]
    log_weights: tuple[float, ...]
    ess: float
    ancestors: tuple[int, ...] | None
    filled: tuple[tuple[tuple[int, int], ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Population:
    """All particles of a run.

    particles:  in the order of their slots.
    history:    its steps, first to last.
    num_checks: how many tokens the condition was asked about.
    passes:     forward passes of the model, the prompt's included.
    """

    particles: tuple[Particle, ...]
    history: tuple[Step, ...]
    num_checks: int = 0
    passes: int = 0

    @property
    def log_weights(self) -> npt.NDArray[np.float64]:
        """float64 ``(N,)``: of the particles."""
        return np.array([particle.log_weight for particle in self.particles])

    @property
    def log_evidence(self) -> float:
        """The log of the mean weight: an estimate of the log of the mass of accepted texts (its exp is unbiased)."""
        return log_mean(self.log_weights)

    @property
    def log_evidence_variance(self) -> float:
        """The variance of ``log_evidence``, estimated from this run alone by who descends from whom.

        1 − (N/(N−1))^(R+1) Σ of W_i W_j over pairs that descend from different first particles; W are the normalized
        weights, R the number of times that was resampled (Lee and Whiteley 2018). Rough where N is small or all descend
        from one (then it says 1, which means: unknown, large). NaN for one particle or no weight at all.
        """
        log_weights = self.log_weights
        count = len(log_weights)
        if count < 2 or log_weights.max() == -math.inf:
            return math.nan
        weights = normalized(log_weights)
        families = np.zeros(count)
        for particle, weight in zip(self.particles, weights.tolist(), strict=True):
            families[particle.eve] += weight
        resampled = sum(step.ancestors is not None for step in self.history)
        apart = 1 - float((families**2).sum())
        return max(0.0, 1 - (count / (count - 1)) ** (resampled + 1) * apart)

    @property
    def ess(self) -> tuple[float, ...]:
        """The effective sample size at each step, before resampling."""
        return tuple(step.ess for step in self.history)

    @property
    def final_ess(self) -> float:
        """The effective sample size of the finished particles."""
        return effective_sample_size(self.log_weights)

    def posterior(self, key: Callable[[str], Any] = str) -> dict[Any, float]:
        """Text → estimated probability, most probable first; or by what ``key`` makes of a text (a value, a field).

        Empty if no particle has weight.
        """
        log_weights = self.log_weights
        shares: dict[Any, float] = {}
        if len(log_weights) and log_weights.max() > -math.inf:
            for particle, weight in zip(self.particles, normalized(log_weights).tolist(), strict=True):
                if weight > 0:
                    name = key(particle.text)
                    shares[name] = shares.get(name, 0.0) + weight
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def best(self) -> Particle:
        """The finished particle that the model itself finds most probable. ValueError if none is finished."""
        finished = [particle for particle in self.particles if particle.log_weight > -math.inf]
        if not finished:
            raise ValueError("no particle is finished")
        return max(finished, key=lambda particle: particle.logprob)

    def sample(self, rng: np.random.Generator) -> Particle:
        """A particle in proportion to its weight. ValueError if none has any."""
        log_weights = self.log_weights
        if not len(log_weights) or log_weights.max() == -math.inf:
            raise ValueError("no particle has weight")
        return self.particles[int(rng.choice(len(log_weights), p=normalized(log_weights)))]

    def to_json(self) -> str:
        """Everything as a JSON text; weights of 0 are null."""
        return json.dumps(_plain(asdict(self) | {"log_evidence": self.log_evidence}), ensure_ascii=False)

    def to_html(self, title: str = "Population") -> str:
        """One page that shows how it came about: weights, ancestry, texts. It loads nothing (``inspection``)."""
        from grammar_engine.inspection.population_page import population_page

        return population_page(self, title)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
