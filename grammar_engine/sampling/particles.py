"""Particles: the rows of a weighted run, from prompts to populations.

Sequential Monte Carlo over tokens (Lew et al. 2023; Loula et al. 2025). The target of a prompt is the model's own
distribution, cut to the texts that grammar and condition accept:

    logits := prefill(prompts), one row for each particle
    repeat, while any particle is writing:
        mask the logits by the grammar; draw a token:  masked, or awrs over the masked masses if there is a condition
        w := w · (weight of the draw) · critic(text) / critic(text before)
        finished particles give the critic's factor back; those without a token die
        if the effective sample size is below the threshold: resample, copying matchers and rows of the cache
        logits := step(tokens)                beside it, in a worker thread: masks of the new positions

The draw's weight is properly weighted for the mass of what may follow, so the product is properly weighted for texts:
grammar exactly (Z of the mask), condition by estimate, in one. Each slot draws from a generator of its own; which
other prompts and rows are in the batch does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.errors import ConditionError
from grammar_engine.progress import Progress
from grammar_engine.sampling.conditions import Condition, Partial, scored
from grammar_engine.sampling.particle_draws import Drawing, Estimator
from grammar_engine.sampling.population import CUT, DEAD, FINISHED, WRITING, Particle, Population, Step
from grammar_engine.sampling.resampling import ancestors, effective_sample_size, log_mean
from grammar_engine.sampling.weighted import Forward

if TYPE_CHECKING:
    from torch import Tensor

    from grammar_engine.compiler.vocabulary import Vocabulary
    from grammar_engine.protocols import MatcherLike

Critic = Callable[[str], float]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How particles are drawn, weighted and resampled; see ``smc``."""

    condition: Condition | None = None
    critic: Critic | None = None
    ess_threshold: float = 0.5
    resampling: str = "stratified"
    temperature: float = 1.0
    method: str = "auto"
    max_accepts: int = 2
    max_rejects: int | None = None
    max_tokens: int = 512
    on_device: bool | None = None


@dataclass(kw_only=True)
class _Particle:
    """A particle while it is written."""

    matcher: MatcherLike
    eve: int
    token_ids: list[int] = field(default_factory=list)
    data: bytes = b""
    log_weight: float = 0.0
    logprob: float = 0.0
    twist: float = 0.0
    state: str = ""

    def copy(self) -> _Particle:
        return _Particle(
            matcher=self.matcher.fork(),
            eve=self.eve,
            token_ids=self.token_ids.copy(),
            data=self.data,
            log_weight=self.log_weight,
            logprob=self.logprob,
            twist=self.twist,
            state=self.state,
        )


@dataclass(kw_only=True)
class _Group:
    """The particles of one prompt. generators: one for each slot, and the last for resampling."""

    particles: list[_Particle]
    generators: list[np.random.Generator]
    max_tokens: int
    step: int = 0  # the last one that it took part in
    history: list[Step] = field(default_factory=list)
    num_checks: int = 0
    seeds: list[int] = field(default_factory=list)

    def seed(self, slot: int) -> int:
        """For draws on a device: each slot's, from its generator."""
        if not self.seeds:
            self.seeds += [int(rng.integers(1 << 63)) for rng in self.generators[:-1]]
        return self.seeds[slot]

    @property
    def log_weights(self) -> npt.NDArray[np.float64]:
        return np.array([particle.log_weight for particle in self.particles])

    @property
    def is_writing(self) -> bool:
        return any(not particle.state for particle in self.particles)


class ParticleRun:
    """Prompts to populations. ``run`` does it at once, ``steps`` step by step."""

    def __init__(
        self,
        forward: Forward,
        vocabulary: Vocabulary,
        matchers: Sequence[MatcherLike],
        rngs: Sequence[np.random.Generator],
        settings: Settings,
        *,
        particles: int,
        max_tokens: Sequence[int] = (),
    ) -> None:
        """Prepare a run.

        Args:
            forward: over one row per prompt.
            vocabulary: as wide as the logits.
            matchers: one for each prompt, at the beginning of its text.
            rngs: one for each prompt: all its randomness.
            settings: see there.
            particles: how many for each prompt.
            max_tokens: for each prompt, where ``settings`` does not say it for all.
        """
        self._forward = forward
        self._vocabulary = vocabulary
        self._settings = settings
        self._words = (vocabulary.size + 31) // 32
        limits = max_tokens or [settings.max_tokens] * len(matchers)
        self._groups = [
            _Group(
                particles=[_Particle(matcher=matcher.fork(), eve=i) for i in range(particles)],
                generators=rng.spawn(particles + 1),
                max_tokens=most,
            )
            for matcher, rng, most in zip(matchers, rngs, limits, strict=True)
        ]
        self._step = 0

    def run(self, on_step: Callable[[int], None] | None = None) -> list[Population]:
        """One population for each prompt; particles may all be dead (see ``smc`` for an error instead)."""
        for number in self.steps():
            if on_step is not None:
                on_step(number)
        return self.populations()

    def steps(self) -> Iterator[int]:
        """Go step by step: yields the number of each behind it."""
        with ThreadPoolExecutor(1, thread_name_prefix="grammar-engine") as worker:
            try:
                yield from self._steps(worker)
            except ConditionError as error:
                error.populations = tuple(self.populations())
                raise

    def last_tokens(self) -> list[int]:
        """Of each prompt the first particle's token of the last step; −1 where it was finished before."""
        return [group.history[-1].token_ids[0] if group.step == self._step else -1 for group in self._groups]

    def populations(self) -> list[Population]:
        """The populations as they are."""
        return [self._population(group) for group in self._groups]

    def progress(self) -> Progress:
        """See ``weighted.PopulationRun``."""
        particles = [particle for group in self._groups for particle in group.particles]
        finished = sum(bool(particle.state) for particle in particles)
        return Progress(
            done=self._step,
            total=max(group.max_tokens for group in self._groups),
            unit="tokens",
            note=f"{finished} of {len(particles)} texts have ended",
        )

    def _steps(self, worker: ThreadPoolExecutor) -> Iterator[int]:
        for group in self._groups:
            for particle in group.particles:
                particle.twist = self._score(particle)
                particle.log_weight = particle.twist
                if particle.twist == -math.inf:
                    particle.state = DEAD
        rows = [
            (group, slot)
            for group in self._groups
            for slot, particle in enumerate(group.particles)
            if not particle.state
        ]
        if not rows:
            return
        masks = worker.submit(self._masks, rows)
        logits = self._forward.prefill()
        numbers = {id(group): number for number, group in enumerate(self._groups)}
        expanded = [numbers[id(group)] for group, _ in rows]
        self._forward.keep(expanded)
        logits = logits[expanded]
        while rows:
            self._step += 1
            tokens = self._draw(rows, logits, masks)
            origin = {(id(group), slot): i for i, (group, slot) in enumerate(rows)}
            rows, kept = [], []
            for group in self._groups:
                if not any((id(group), slot) in origin for slot in range(len(group.particles))):
                    continue
                chosen = self._resampled(group, tokens)
                for slot, ancestor in enumerate(chosen):
                    if not group.particles[slot].state:
                        rows.append((group, slot))
                        kept.append(origin[id(group), ancestor])
            yield self._step
            if rows:
                self._forward.keep(kept)
                masks = worker.submit(self._masks, rows)
                logits = self._forward.step([group.particles[slot].token_ids[-1] for group, slot in rows])

    def _masks(self, rows: list[tuple[_Group, int]]) -> npt.NDArray[np.int32]:
        bitmask = np.zeros((len(rows), self._words), np.int32)
        for i, (group, slot) in enumerate(rows):
            group.particles[slot].matcher.fill_next_token_bitmask(bitmask, i)
        return bitmask

    def _draw(
        self, rows: list[tuple[_Group, int]], logits: Tensor, masks: Future[npt.NDArray[np.int32]]
    ) -> dict[tuple[int, int], int]:
        """Draw a token for each row and weight it. Returns tokens by group and slot."""
        settings = self._settings
        drawing = Drawing(
            temperature=settings.temperature,
            bitmask=masks.result(),
            condition=settings.condition,
            estimator=Estimator(
                method=settings.method,
                max_accepts=settings.max_accepts,
                max_rejects=settings.max_rejects,
                several=len(self._groups[0].particles) > 1,
            ),
            partial_of=lambda i, token: self._partial(rows[i][0].particles[rows[i][1]], token),
        )
        if logits.is_cuda if settings.on_device is None else settings.on_device:
            draws = drawing.on_device(logits, [group.seed(slot) for group, slot in rows], self._step)
        else:
            draws = drawing.on_host(logits, [group.generators[slot] for group, slot in rows])
        tokens: dict[tuple[int, int], int] = {}
        for (group, slot), (draw, logprob) in zip(rows, draws, strict=True):
            particle = group.particles[slot]
            group.num_checks += draw.num_checks
            if draw.token is None:
                particle.log_weight, particle.state = -math.inf, DEAD
                continue
            tokens[id(group), slot] = draw.token
            particle.log_weight += draw.log_weight
            particle.logprob += logprob
            self._append(particle, draw.token, group.max_tokens)
        return tokens

    def _partial(self, particle: _Particle, token: int) -> Partial:
        if token in self._vocabulary.stop_token_ids:
            return Partial(particle.data, complete=True, token_ids=tuple(particle.token_ids))
        data = particle.data + (self._vocabulary.tokens[token] or b"")
        return Partial(data, token_ids=(*particle.token_ids, token))

    def _append(self, particle: _Particle, token: int, max_tokens: int) -> None:
        particle.matcher.accept_token(token)
        if particle.matcher.is_terminated():
            particle.state = FINISHED
            particle.log_weight -= particle.twist  # the critic only guides
            return
        particle.token_ids.append(token)
        particle.data += self._vocabulary.tokens[token] or b""
        score = self._score(particle)
        particle.log_weight += score - particle.twist
        particle.twist = score
        if score == -math.inf:
            particle.log_weight, particle.state = -math.inf, DEAD
        elif len(particle.token_ids) >= max_tokens:
            particle.log_weight, particle.state = -math.inf, CUT

    def _score(self, particle: _Particle) -> float:
        if self._settings.critic is None:
            return 0.0
        return scored(self._settings.critic, particle.data.decode("utf-8", "ignore"), asked="the critic")

    def _resampled(self, group: _Group, tokens: dict[tuple[int, int], int]) -> list[int]:
        """Note the step, and resample if the weights are too uneven. Returns each slot's ancestor."""
        log_weights = group.log_weights
        count = len(log_weights)
        ess = effective_sample_size(log_weights)
        same = list(range(count))
        chosen = same
        # (Where nobody has weight there is nobody to copy; where nobody writes, copies would only lose texts.)
        if count > 1 and 0 < ess < self._settings.ess_threshold * count and group.is_writing:
            chosen = ancestors(log_weights, self._settings.resampling, group.generators[-1])
            level = log_mean(log_weights)
            group.particles = [group.particles[ancestor].copy() for ancestor in chosen]
            for particle in group.particles:
                particle.log_weight = level
        group.step = self._step
        group.history.append(
            Step(
                token_ids=tuple(tokens.get((id(group), slot), -1) for slot in range(count)),
                log_weights=tuple(log_weights.tolist()),
                ess=ess,
                ancestors=None if chosen is same else tuple(chosen),
            )
        )
        return chosen

    def _population(self, group: _Group) -> Population:
        return Population(
            particles=tuple(
                Particle(
                    text=particle.data.decode("utf-8", "replace"),
                    token_ids=tuple(particle.token_ids),
                    log_weight=particle.log_weight if particle.state else -math.inf,
                    logprob=particle.logprob,
                    state=particle.state or WRITING,
                    eve=particle.eve,
                )
                for particle in group.particles
            ),
            history=tuple(group.history),
            num_checks=group.num_checks,
            passes=self._forward.passes,
        )
