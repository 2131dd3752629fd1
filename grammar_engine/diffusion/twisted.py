"""Unbiased sampling from a masked diffusion model under a grammar: twisted sequential Monte Carlo over canvases.

    population = ge.diffusion.smc(model, prompt, compiled, particles=16, rng=numpy.random.default_rng(0), slots=32)
    population.posterior(), population.log_evidence

**Target.** The model's reverse process with a schedule that does not look at tokens: before step t = 0 … T−1 the canvas
is x_t, m(· | x_t) the model's distribution of each open slot, and the slots S_t that are filled next are known. Their
tokens are drawn independently:

    q(x_{t+1} | x_t) = Π over s in S_t of m_s(x_{t+1}[s] | x_t)
    p(x_0 … x_T)     = Π over t of q(x_{t+1} | x_t),  cut to the x_T that spell a text of the language

A slot behind the end of a text is filled by the same process, so a model that does not go on with stop and pad tokens
there has little evidence. A random order belongs to the process: each particle draws one of its own.

**Twist** (Guarniero, Johansen and Lee 2017; Lawson et al. 2022): while it is at x_t, a particle is weighted as if all
slots were filled in this step:

    Z_t(x)   = Σ over fillings y of x that are texts, of Π over open slots s of m_s(y[s] | x_t)
    W_0     := Z_0(x_0)
    draw y from the fillings of x_t in proportion to m(y | x_t), keep y[s] for s in S_t: x_{t+1}
    W_{t+1} := W_t · Z_{t+1}(x_{t+1}) / Z_t(x_{t+1}),      Z_T := 1 for texts

Both masses are those of the new canvas: once as the model sees it, once as it saw the one before. For what is kept is
drawn with probability q(x_{t+1} | x_t) · Z_t(x_{t+1}) / Z_t(x_t), so that q over this is Z_t(x_t) / Z_t(x_{t+1}), and
W_t is (Π q / Π proposals) · Z_t(x_t). At the end nothing of the twist is left: weights are proper
(``sampling.population``), with any number of particles and any resampling. If all is filled in one step, every weight
is the evidence itself.

**Beyond max_boundaries** Z_t is not known, and ``Canvas.sample`` only estimates it. An estimate in the place of
Z_t(x_{t+1}) would be biased, because it is divided by. So such a particle draws the tokens of S_t in turn, among those
that leave the canvas completable, and is weighted by their mass:

    W_{t+1} := (W_t / e_t) · Π over s in S_t of (Σ m_s(token | x_t) over tokens allowed in s) · e_{t+1}

where the estimate e_t has the place of Z_t(x_t) in W_t. It decides only who is copied and is divided out again, itself
and no other estimate: any positive number would be proper. Weights stay proper, and vary more.

**Probabilities of 0.** What has none in this step may have some in the next. So in slots that stay open, 0 counts as
exp(−10000): a twist may be anything that is above 0 wherever the target is. Guards (``compiler.guard``) are not in the
masses but in commits: a particle that they refuse has weight 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grammar_engine.diffusion.canvas import Canvas
from grammar_engine.errors import GrammarEngineError
from grammar_engine.sampling.population import DEAD, FINISHED, WRITING, Particle, Population, Step
from grammar_engine.sampling.resampling import ancestors, effective_sample_size, log_mean

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.diffusion.completions import Fillings
    from grammar_engine.diffusion.interface import DiffusionModel

LEFT_TO_RIGHT, RANDOM = "left-to-right", "random"
ORDERS = (LEFT_TO_RIGHT, RANDOM)
_FLOOR = -10_000.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sight:
    """A canvas as the model sees it. logps: float32 ``(L, V)``. fillings: None where they are too many. log_twist: of
    Z or its estimate.
    """

    logps: npt.NDArray[np.float32]
    fillings: Fillings | None
    log_twist: float


@dataclass(kw_only=True, eq=False)
class _Particle:
    """A canvas on its way. plan: its open slots, in the order in which they are filled. log_weight: log W."""

    canvas: Canvas
    plan: tuple[int, ...]
    eve: int
    log_weight: float = 0.0
    logprob: float = 0.0
    sight: _Sight | None = None

    @property
    def is_dead(self) -> bool:
        return self.log_weight == -math.inf


class TwistedRun:
    """A prompt to a population; ``steps`` once. Arguments are checked by ``smc``."""

    def __init__(
        self,
        model: DiffusionModel,
        compiled: CompiledGrammar,
        prompt_ids: Sequence[int],
        canvas: Sequence[int],
        rng: np.random.Generator,
        *,
        particles: int,
        tokens_per_step: int,
        order: str,
        ess_threshold: float,
        resampling: str,
        temperature: float,
        max_boundaries: int,
    ) -> None:
        """prompt_ids: before the canvas. canvas: what to start with; completable."""
        self._model = model
        self._compiled = compiled
        self._prompt_ids = list(prompt_ids)
        self._tokens_per_step = tokens_per_step
        self._ess_threshold = ess_threshold
        self._resampling = resampling
        self._temperature = temperature
        self._max_boundaries = max_boundaries
        *self._rngs, self._rng = rng.spawn(particles + 1)  # one for each particle's slot, and one for all
        start = Canvas(compiled, canvas, mask_token_id=model.mask_token_id, pad_token_id=model.pad_token_id)
        slots = start.open_slots
        self._particles = [
            _Particle(
                canvas=start,
                plan=tuple(slots if order == LEFT_TO_RIGHT else own.permutation(slots).tolist()),
                eve=eve,
            )
            for eve, own in enumerate(self._rngs)
        ]
        self._history: list[Step] = []
        self._passes = 0

    def steps(self) -> Iterator[int]:
        """Go step by step: yields the number of each behind it."""
        self._look()
        while any(particle.plan and not particle.is_dead for particle in self._particles):
            filled = self._fill()
            self._look()
            self._resample(filled)
            yield len(self._history)

    def population(self) -> Population:
        """The population as it is."""
        return Population(
            particles=tuple(self._result(particle) for particle in self._particles),
            history=tuple(self._history),
            passes=self._passes,
        )

    def _next(self, particle: _Particle) -> tuple[int, ...]:
        """S_t."""
        return particle.plan[: self._tokens_per_step]

    # -- sight ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Show the model all canvases with open slots, and put what it says into the weights. Equal ones are one."""
        looking = [particle for particle in self._particles if particle.plan and not particle.is_dead]
        canvases = {tuple(particle.canvas.token_ids): particle.canvas for particle in looking}
        if not canvases:
            return
        logps = dict(zip(canvases, self._mean_fields(list(canvases)), strict=True))
        possible = {ids: _all_possible(given) for ids, given in logps.items()}
        sights: dict[tuple[tuple[int, ...], tuple[int, ...]], _Sight] = {}
        for particle in looking:
            ids = tuple(particle.canvas.token_ids)
            following = () if possible[ids] else self._next(particle)
            if (ids, following) not in sights:
                sights[ids, following] = self._sight(canvases[ids], logps[ids], following)
            particle.sight = sights[ids, following]
            particle.log_weight += particle.sight.log_twist

    def _mean_fields(self, canvases: Sequence[Sequence[int]]) -> Iterator[npt.NDArray[np.float32]]:
        """The model's log-probabilities for the open slots of each canvas; the mask fills none."""
        import torch

        model = self._model
        rows = [[*self._prompt_ids, *ids] for ids in canvases]
        logits = model.forward(torch.tensor(rows, dtype=torch.int64, device=model.device))
        self._passes += 1
        for number, ids in enumerate(canvases):
            is_open = [slot for slot, token in enumerate(ids) if token == model.mask_token_id]
            scores = logits[number, [len(self._prompt_ids) + slot for slot in is_open]].float() / self._temperature
            scores[:, model.mask_token_id] = -math.inf
            logps = np.zeros((len(ids), scores.shape[-1]), np.float32)
            logps[is_open] = scores.log_softmax(-1).cpu().numpy()
            logps[:, model.mask_token_id] = 0.0  # (no text has it; so what is −inf is a probability of 0)
            if np.isnan(logps).any():
                raise GrammarEngineError("the model's logits are not numbers, or it gives no token a probability")
            yield logps

    def _sight(self, canvas: Canvas, logps: npt.NDArray[np.float32], following: Sequence[int]) -> _Sight:
        """following: S_t, as far as it matters; there, probabilities of 0 are."""
        floored = seen = logps
        if not _all_possible(logps):
            floored = np.maximum(logps, np.float32(_FLOOR))
            seen = floored.copy()
            seen[list(following)] = logps[list(following)]
        fillings = canvas.fillings(seen, max_boundaries=self._max_boundaries)
        if fillings is not None:
            return _Sight(logps=logps, fillings=fillings, log_twist=fillings.log_mass)
        _, estimate = canvas.sample(floored, self._rng, max_boundaries=0)
        return _Sight(logps=logps, fillings=None, log_twist=estimate)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _fill(self) -> list[tuple[tuple[int, int], ...]]:
        """Fill the next slots of each particle; W without the twist of the new canvas. Returns slots and tokens."""
        known: dict[tuple[int, tuple[tuple[int, int], ...]], tuple[Canvas | None, float]] = {}
        filled: list[tuple[tuple[int, int], ...]] = []
        for particle, rng in zip(self._particles, self._rngs, strict=True):
            following, sight = self._next(particle), particle.sight
            if particle.is_dead or sight is None or not following:
                filled.append(())
                continue
            if sight.fillings is None:
                chosen = self._fill_in_turn(particle, sight, following, rng)
            else:
                drawn = sight.fillings.draw(rng)
                chosen = tuple((slot, drawn[slot]) for slot in following)
                key = (id(sight), chosen)
                if key not in known:
                    known[key] = (
                        self._committed(particle.canvas, chosen),
                        sight.fillings.log_mass_given(dict(chosen)),
                    )
                canvas, before = known[key]
                particle.canvas = canvas or particle.canvas
                particle.log_weight = -math.inf if canvas is None else particle.log_weight - before
            particle.logprob += sum(float(sight.logps[slot, token]) for slot, token in chosen)
            particle.plan = particle.plan[len(following) :]
            particle.sight = None
            filled.append(chosen)
        return filled

    def _fill_in_turn(
        self, particle: _Particle, sight: _Sight, following: Sequence[int], rng: np.random.Generator
    ) -> tuple[tuple[int, int], ...]:
        """One token after another among those that leave the canvas completable, and the weight of that."""
        particle.log_weight -= sight.log_twist
        chosen: list[tuple[int, int]] = []
        for slot in following:
            row = particle.canvas.allowed(slot)
            tokens = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
            logps = sight.logps[slot, tokens].astype(np.float64)
            highest = float(logps.max(initial=-math.inf))
            canvas = None
            if highest > -math.inf:
                cumulative = np.cumsum(np.exp(logps - highest))
                at = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
                chosen.append((slot, int(tokens[min(at, len(tokens) - 1)])))
                canvas = self._committed(particle.canvas, chosen[-1:])
            if canvas is None:
                particle.log_weight = -math.inf
                break
            particle.canvas = canvas
            particle.log_weight += highest + math.log(float(cumulative[-1]))
        return tuple(chosen)

    def _committed(self, canvas: Canvas, chosen: Sequence[tuple[int, int]]) -> Canvas | None:
        """The canvas with these tokens; None where a guard refuses them."""
        other = canvas.fork()
        if other.commit(chosen):
            return other
        if self._compiled.guard is None:
            raise GrammarEngineError(f"the canvas refuses tokens that it allowed: {chosen}, in {canvas.token_ids}")
        return None

    def _resample(self, filled: Sequence[tuple[tuple[int, int], ...]]) -> None:
        """Note the step, and resample if the weights are too uneven and something is left to fill."""
        log_weights = np.array([particle.log_weight for particle in self._particles])
        count = len(log_weights)
        ess = effective_sample_size(log_weights)
        chosen: list[int] | None = None
        goes_on = any(particle.plan and not particle.is_dead for particle in self._particles)
        if count > 1 and 0 < ess < self._ess_threshold * count and goes_on:
            chosen = ancestors(log_weights, self._resampling, self._rng)
            level = log_mean(log_weights)
            self._particles = [replace(self._particles[ancestor], log_weight=level) for ancestor in chosen]
        self._history.append(
            Step(
                token_ids=tuple(pairs[0][1] if pairs else -1 for pairs in filled),
                log_weights=tuple(log_weights.tolist()),
                ess=ess,
                ancestors=None if chosen is None else tuple(chosen),
                filled=tuple(filled),
            )
        )

    def _result(self, particle: _Particle) -> Particle:
        """A particle's text: up to the first stop token; of one that is not filled, up to its first open slot."""
        ids = particle.canvas.token_ids
        ends = {*self._model.stop_token_ids, self._model.mask_token_id}
        end = next((slot for slot, token in enumerate(ids) if token in ends), len(ids))
        is_open = self._model.mask_token_id in ids
        return Particle(
            text=self._compiled.text_of(ids[:end]),
            token_ids=tuple(ids[:end]),
            log_weight=-math.inf if is_open else particle.log_weight,
            logprob=particle.logprob,
            state=DEAD if particle.is_dead else WRITING if is_open else FINISHED,
            eve=particle.eve,
        )


def _all_possible(logps: npt.NDArray[np.float32]) -> bool:
    return bool((logps > -math.inf).all())
