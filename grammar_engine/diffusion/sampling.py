"""``ge.diffusion.smc``: everything that can be wrong is said before the first pass; ``twisted`` says how it is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grammar_engine.diffusion.canvas import MAX_BOUNDARIES
from grammar_engine.diffusion.generation import (
    SLOTS,
    exact_canvas,
    initial_canvas,
    require_completable,
    require_vocabulary,
)
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.diffusion.twisted import LEFT_TO_RIGHT, ORDERS, TwistedRun
from grammar_engine.errors import AllParticlesDeadError, InvalidArgumentError
from grammar_engine.sampling.population import Population
from grammar_engine.sampling.smc import checked_settings
from grammar_engine.sampling.weighted import check_count

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.prompts import Prompt


def smc(
    model: DiffusionModel,
    prompt: Prompt,
    compiled: CompiledGrammar,
    *,
    particles: int,
    rng: np.random.Generator,
    slots: int | None = None,
    canvas: Sequence[int] | None = None,
    tokens_per_step: int = 1,
    order: str = LEFT_TO_RIGHT,
    ess_threshold: float = 0.5,
    resampling: str = "stratified",
    temperature: float = 1.0,
    max_boundaries: int = MAX_BOUNDARIES,
    on_step: Callable[[int], None] | None = None,
) -> Population:
    """Weighted texts of a language for one prompt, by a masked diffusion model.

    Args:
        model: a masked diffusion model.
        prompt: a string or chat messages.
        compiled: the grammar, compiled for the model's vocabulary.
        particles: canvases that are filled side by side; one pass of the model is over all that differ.
        rng: the only source of randomness.
        slots: length of the canvas; default as for ``generate``. What is aimed at are texts that fit.
        canvas: instead of ``slots``, what to start with: token ids, the model's mask where a slot is open.
        tokens_per_step: slots that a step fills: the more, the fewer passes, and the more the model's own distribution
            treats them as independent (that is another target).
        order: "left-to-right", or "random": each particle its own.
        ess_threshold: resample when the effective sample size is below this share of the particles; 0: never.
        resampling: "stratified", "systematic", "multinomial" or "residual".
        temperature: > 0; of the distribution that is aimed at.
        max_boundaries: most places for which masses are computed exactly (``Canvas.sample``); 0: never.
        on_step: called behind each step with its number, from 1.

    Returns:
        The population; at least one particle has weight. ``logprob`` is the sum over all open slots, those behind the
        text's end too, of what the model gave each token in its step.

    Raises:
        LimitExceededError, UnsatisfiableGrammarError: as ``generate``, before the first pass.
        AllParticlesDeadError: no particle has weight; carries the population.
        InvalidArgumentError: settings that make no sense; a model that is no diffusion model.
        TokenizerError: the grammar was compiled for another vocabulary.
    """
    if not isinstance(model, DiffusionModel):
        raise InvalidArgumentError(f"expected a diffusion model, not {type(model).__name__}", argument="model")
    check_count(particles, "particles")
    check_count(tokens_per_step, "tokens_per_step")
    check_count(max_boundaries, "max_boundaries", 0)
    if order not in ORDERS:
        raise InvalidArgumentError(f"expected one of {', '.join(ORDERS)}, not {order!r}", argument="order")
    checked_settings(ess_threshold=ess_threshold, resampling=resampling, temperature=temperature, max_tokens=1)
    require_vocabulary(model, compiled)
    prompt_ids = model.encode(prompt)
    ids = initial_canvas(model, [prompt_ids], slots, SLOTS, canvas)
    require_completable(exact_canvas(model, compiled), ids, model)
    run = TwistedRun(
        model,
        compiled,
        prompt_ids,
        ids,
        rng,
        particles=particles,
        tokens_per_step=tokens_per_step,
        order=order,
        ess_threshold=ess_threshold,
        resampling=resampling,
        temperature=temperature,
        max_boundaries=max_boundaries,
    )
    for number in run.steps():
        if on_step is not None:
            on_step(number)
    population = run.population()
    if population.log_evidence == -math.inf:
        raise AllParticlesDeadError(
            f"all {particles} particles are dead after {len(population.history)} steps: the model gives no text that "
            "fits their canvases a probability above 0, or what the schema demands beside its grammar refused them. "
            "Use more particles or slots, or order='left-to-right'",
            population=population,
        )
    return population
