"""Sequential Monte Carlo over a language model's texts, and weighted samplers for ``generate``.

    population = smc(model, "A haiku:", compiled, particles=16, rng=numpy.random.default_rng(0), condition=is_haiku)
    population.posterior(), population.log_evidence
    generate(..., sampler=SMC(particles=16, condition=is_haiku))
    generate(..., sampler=AWRS(condition=is_haiku))               one particle: a weighted draw at each token

``sampling.particles`` says how.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.errors import InvalidArgumentError
from grammar_engine.forward import CausalForward
from grammar_engine.matcher import Matcher
from grammar_engine.sampling.awrs import METHODS as ESTIMATORS
from grammar_engine.sampling.conditions import Condition
from grammar_engine.sampling.particles import Critic, ParticleRun, Settings
from grammar_engine.sampling.population import Particle, Population
from grammar_engine.sampling.resampling import METHODS
from grammar_engine.sampling.weighted import (
    PopulationSampler,
    Work,
    check_count,
    check_temperature,
    optional_condition,
    require_weight,
)

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.models import Model
    from grammar_engine.prompts import Prompt

SAMPLE, BEST = "sample", "best"


class ParticleSampler(PopulationSampler):
    """What AWRS, SMC and BestOf are: a run of particles with settings, some of which they share."""

    condition: Condition | Callable[[str], bool] | None
    temperature: float
    method: str
    max_accepts: int
    max_rejects: int | None
    on_device: bool | None

    @property
    @abstractmethod
    def num_particles(self) -> int:
        """Per prompt."""

    @abstractmethod
    def settings(self, max_tokens: int) -> Settings:
        """Checked settings for a run. InvalidArgumentError where they make no sense."""

    def shared_settings(
        self, max_tokens: int, *, critic: Critic | None = None, ess_threshold: float = 0.0,
        resampling: str = METHODS[0],
    ) -> Settings:  # fmt: skip
        """Checked settings of what they share, without resampling unless it is asked for."""
        return checked_settings(
            condition=self.condition,
            critic=critic,
            ess_threshold=ess_threshold,
            resampling=resampling,
            temperature=self.temperature,
            method=self.method,
            max_accepts=self.max_accepts,
            max_rejects=self.max_rejects,
            max_tokens=max_tokens,
            on_device=self.on_device,
        )

    @property
    def shows_tokens(self) -> bool:
        """Of one particle, yes; of several, nobody knows whose text stays."""
        return self.num_particles == 1

    def check(self, max_tokens: int) -> None:
        """See ``PopulationSampler``."""
        self.settings(max_tokens)

    def begin(self, work: Work) -> ParticleRun:
        """See ``PopulationSampler``."""
        return particle_run(work, self.settings(max(work.max_tokens)), particles=self.num_particles)


@dataclass(frozen=True)
class AWRS(ParticleSampler):
    """Weighted draws under a condition that no mask can carry, for ``generate``.

    condition:   a predicate of the text so far, or a ``Condition``; None: the grammar alone.
    temperature: > 0; of the distribution that is aimed at.
    method, max_accepts, max_rejects: the estimator, see ``awrs`` and ``particle_draws``.
    on_device:   draw where the logits are, so that the vocabulary stays there (``awrs_batch``); None: if that is a CUDA
                 device. The same seed draws the same on every device, but not what it draws on the host.

    One text per prompt, properly weighted by ``Generation.log_weight``. A text may end where nothing is accepted any
    more (``AllParticlesDeadError``): that is a weight of 0. ``SMC`` goes on with others there.
    """

    condition: Condition | Callable[[str], bool] | None = None
    temperature: float = 1.0
    method: str = "auto"
    max_accepts: int = 2
    max_rejects: int | None = None
    on_device: bool | None = None

    def settings(self, max_tokens: int) -> Settings:
        """Checked settings for a run. InvalidArgumentError where they make no sense."""
        return self.shared_settings(max_tokens)

    @property
    def num_particles(self) -> int:
        """One per prompt."""
        return 1

    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:  # noqa: ARG002
        """There is one to choose."""
        return population.particles[0]


@dataclass(frozen=True)
class SMC(ParticleSampler):
    """Sequential Monte Carlo, for ``generate``.

    particles:     texts that are written side by side.
    critic:        a log-score of unfinished texts that guides where particles are kept; it does not change what is
                   aimed at, its factor is taken back when a text is finished.
    ess_threshold: resample where the effective sample size falls below this share of the particles; 0: never.
    resampling:    "stratified", "systematic", "multinomial" or "residual".
    pick:          "sample": a particle by weight, which is a draw from the estimated posterior; "best": the finished
                   text that the model finds most probable.
    condition, temperature, method, max_accepts, max_rejects, on_device: as for ``AWRS``.
    """

    particles: int = 8
    critic: Critic | None = None
    ess_threshold: float = 0.5
    condition: Condition | Callable[[str], bool] | None = None
    resampling: str = "stratified"
    temperature: float = 1.0
    pick: str = SAMPLE
    method: str = "auto"
    max_accepts: int = 2
    max_rejects: int | None = None
    on_device: bool | None = None

    def settings(self, max_tokens: int) -> Settings:
        """Checked settings for a run. InvalidArgumentError where they make no sense."""
        if self.pick not in (SAMPLE, BEST):
            raise InvalidArgumentError(f"expected 'sample' or 'best', not {self.pick!r}", argument="pick")
        check_count(self.particles, "particles")
        return self.shared_settings(
            max_tokens, critic=self.critic, ess_threshold=self.ess_threshold, resampling=self.resampling
        )

    @property
    def num_particles(self) -> int:
        """Per prompt."""
        return self.particles

    def chosen(self, population: Population, rng: np.random.Generator) -> Particle:
        """See ``PopulationSampler``."""
        return population.best() if self.pick == BEST else population.sample(rng)


def smc(
    model: Model,
    prompt: Prompt,
    compiled: CompiledGrammar,
    *,
    particles: int,
    rng: np.random.Generator,
    critic: Critic | None = None,
    ess_threshold: float = 0.5,
    resampling: str = "stratified",
    max_tokens: int,
    condition: Condition | Callable[[str], bool] | None = None,
    temperature: float = 1.0,
    method: str = "auto",
    max_accepts: int = 2,
    max_rejects: int | None = None,
    on_device: bool | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Population:
    """Weighted texts of a language for one prompt.

    Args:
        model: see ``load_model``.
        prompt: a string or chat messages.
        compiled: the grammar, compiled for the model's vocabulary.
        particles, critic, ess_threshold, resampling, condition, temperature, method, max_accepts, max_rejects,
            on_device: see ``SMC``.
        rng: the only source of randomness.
        max_tokens: most tokens of a text, the stop token included. What is aimed at are texts of at most so many: a
            longer one has weight 0.
        on_step: called behind each step with its number.

    Returns:
        The population; at least one particle has weight.

    Raises:
        AllParticlesDeadError: no particle has weight; carries the population.
        InvalidArgumentError: settings that make no sense.
    """
    check_count(particles, "particles")
    settings = checked_settings(
        condition=condition,
        critic=critic,
        ess_threshold=ess_threshold,
        resampling=resampling,
        temperature=temperature,
        method=method,
        max_accepts=max_accepts,
        max_rejects=max_rejects,
        max_tokens=max_tokens,
        on_device=on_device,
    )
    population = populations(model, [prompt], [compiled], [rng], settings, particles=particles, on_step=on_step)[0]
    require_weight(population)
    return population


def populations(
    model: Model,
    prompts: Sequence[Prompt],
    grammars: Sequence[CompiledGrammar],
    rngs: Sequence[np.random.Generator],
    settings: Settings,
    *,
    particles: int,
    on_step: Callable[[int], None] | None = None,
) -> list[Population]:
    """A population for each prompt, in one batch; any of them may be without weight."""
    prompt_ids = [model.encode(prompt) for prompt in prompts]
    forward = CausalForward(model.network, prompt_ids, pad_token_id=model.pad_token_id)
    matchers = [Matcher(compiled) for compiled in grammars]
    run = ParticleRun(forward, model.vocabulary, matchers, rngs, settings, particles=particles)
    return run.run(on_step)


def particle_run(work: Work, settings: Settings, *, particles: int) -> ParticleRun:
    """A run over all prompts of the work."""
    return ParticleRun(
        work.forward(range(len(work.matchers))),
        work.vocabulary,
        work.matchers,
        work.rngs,
        settings,
        particles=particles,
        max_tokens=work.max_tokens,
    )


def checked_settings(
    *, condition: Condition | Callable[[str], bool] | None = None, ess_threshold: float = 0.0,
    resampling: str = METHODS[0], temperature: float = 1.0, critic: Critic | None = None, method: str = "auto",
    max_accepts: int = 2, max_rejects: int | None = None, max_tokens: int, on_device: bool | None = None,
) -> Settings:  # fmt: skip
    """Settings that make sense, or InvalidArgumentError."""
    if not 0 <= ess_threshold <= 1:
        raise InvalidArgumentError(f"must be between 0 and 1, not {ess_threshold}", argument="ess_threshold")
    if resampling not in METHODS:
        raise InvalidArgumentError(f"expected one of {', '.join(METHODS)}, not {resampling!r}", argument="resampling")
    check_temperature(temperature)
    if method not in ESTIMATORS:
        raise InvalidArgumentError(f"expected one of {', '.join(ESTIMATORS)}, not {method!r}", argument="method")
    if max_tokens < 1:
        raise InvalidArgumentError(f"must be at least 1, not {max_tokens}", argument="max_tokens")
    if critic is not None and not callable(critic):
        raise InvalidArgumentError(f"expected a function of the text so far, not {critic!r}", argument="critic")
    return Settings(
        condition=optional_condition(condition),
        critic=critic,
        ess_threshold=ess_threshold,
        resampling=resampling,
        temperature=temperature,
        method=method,
        max_accepts=max_accepts,
        max_rejects=max_rejects,
        max_tokens=max_tokens,
        on_device=on_device,
    )
