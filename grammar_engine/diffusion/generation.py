"""``ge.diffusion.generate``: everything that can be wrong is said before the first pass of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grammar_engine.diffusion.fill import as_sampler
from grammar_engine.diffusion.interface import DiffusionModel
from grammar_engine.diffusion.lookahead import LaveSettings
from grammar_engine.diffusion.loop import EXACT, METHODS, NONE, DiffusionRun, OnStep
from grammar_engine.diffusion.protocols import CanvasLike, NewCanvas
from grammar_engine.diffusion.records import DiffusionResult
from grammar_engine.diffusion.schedules import Schedule, as_schedule, quotas
from grammar_engine.errors import InvalidArgumentError, LimitExceededError, TokenizerError, UnsatisfiableGrammarError
from grammar_engine.sampling.samplers import Sample, Sampler

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.prompts import Prompt

SLOTS = 128
"""Slots of a canvas unless asked otherwise."""
_MOST_DOUBLINGS = 6
"""How much larger canvases are tried, to say how many slots are needed: 64 times as many."""


def generate(
    model: DiffusionModel,
    prompt: Prompt | Sequence[Prompt],
    compiled: CompiledGrammar,
    method: str = "exact",
    *,
    schedule: Schedule | str = "threshold",
    slots: int | None = None,
    canvas: Sequence[int] | None = None,
    steps: int | None = None,
    sampler: Sampler | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    lave: LaveSettings | None = None,
    audit: bool = False,
    read: Callable[[str], Any] = str,
    on_step: OnStep | None = None,
) -> Any:
    """Fill a canvas behind a prompt with a text of a grammar.

    Args:
        model: a masked diffusion model.
        prompt: a string (for a chat model: the user's message), chat messages, or a list of either for a batch.
        compiled: the grammar, compiled for the model's vocabulary.
        method: "exact": tokens are chosen among those that leave the canvas completable, and batches are checked as
            such: the text is in the language, always. "lave": proposals are verified by sampled lookahead, as published
            (``lave``): the text may be incomplete. "none": the model alone, to compare with.
        schedule: a ``Schedule``, or "low-confidence", "entropy", "margin", "random", "left-to-right", "threshold" or
            "local" (see ``schedules``).
        slots: length of the canvas, the most tokens of the text; default 128, less where the context ends before.
        canvas: instead of ``slots``, what to start with: token ids, the model's mask where a slot is open.
        steps: passes that the canvas takes when nothing hinders; more where batches conflict or slots are opened again,
            fewer where the text ends early or more than the quota is sure. Default: one slot a pass, beside those that
            the schedule's threshold lets through.
        sampler: how a slot's token is chosen: ``Greedy()`` (default) or ``Sample(...)``. temperature: short for
            ``Sample(temperature=…)``; 0 for ``Greedy()``.
        seed: row i of a batch draws with ``seed + i``. Default: different every time.
        lave: its parameters. audit: count its false answers against an exact canvas.
        read: makes the value of a text.
        on_step: called with a ``StepRecord`` for each row and step.

    Returns:
        A ``DiffusionResult``; a list of them for a batch.

    Raises:
        LimitExceededError: no slots, or too few for any text of the grammar (the message says how many are needed); a
            prompt that leaves no room.
        UnsatisfiableGrammarError: no filling of ``canvas`` is a text.
        InvalidArgumentError: settings that make no sense; a model that is no diffusion model.
        TokenizerError: the grammar was compiled for another vocabulary.
    """
    from grammar_engine.calls import as_batch

    prompts, is_batch = as_batch(prompt)
    run = prepare_run(
        model,
        prompts,
        compiled,
        method=method,
        schedule=schedule,
        slots=slots,
        canvas=canvas,
        steps=steps,
        sampler=as_sampler(sampler, temperature),
        seed=seed,
        lave=lave,
        audit=audit,
    )
    run.fill(on_step)
    results: list[DiffusionResult[Any]] = run.results(read)
    return results if is_batch else results[0]


def prepare_run(
    model: DiffusionModel,
    prompts: Sequence[Prompt],
    compiled: CompiledGrammar,
    *,
    method: str = "exact",
    schedule: Schedule | str = "threshold",
    slots: int | None = None,
    most_slots: int = SLOTS,
    canvas: Sequence[int] | None = None,
    steps: int | None = None,
    sampler: Sampler,
    seed: int | None = None,
    lave: LaveSettings | None = None,
    audit: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    new_canvas: NewCanvas | None = None,
) -> DiffusionRun:
    """Check the arguments of ``generate``.

    most_slots: without ``slots``, as far as the context has room. new_canvas: instead of ``exact_canvas``. tools: for
    the chat template.
    """
    if not isinstance(model, DiffusionModel):
        raise InvalidArgumentError(f"expected a diffusion model, not {type(model).__name__}", argument="model")
    if method not in METHODS:
        raise InvalidArgumentError(f"expected one of {', '.join(METHODS)}, not {method!r}", argument="method")
    if lave is not None and (method != "lave" or not isinstance(lave, LaveSettings)):
        raise InvalidArgumentError('expected LaveSettings(...), with method="lave"', argument="lave")
    if audit and method != "lave":
        raise InvalidArgumentError("there are false answers to count with lave only", argument="audit")
    require_vocabulary(model, compiled)
    encoded = [model.encode(one, tools) for one in prompts]
    ids = initial_canvas(model, encoded, slots, most_slots, canvas)
    chosen = as_schedule(schedule)
    quotas(steps, chosen.blocks(len(ids)))
    if chosen.joint:
        if method != EXACT:
            raise InvalidArgumentError("texts that fit a canvas are known to method='exact' only", argument="schedule")
        if isinstance(sampler, Sample) and (sampler.top_p, sampler.top_k, sampler.min_p) != (1.0, 0, 0.0):
            raise InvalidArgumentError(
                "whole texts are drawn by temperature; top_p, top_k and min_p cut single tokens", argument="sampler"
            )
    make = new_canvas or exact_canvas(model, compiled)
    if method != NONE:
        require_completable(make, ids, model)
    return DiffusionRun(
        model,
        compiled,
        encoded,
        ids,
        method=method,
        schedule=chosen,
        steps=steps,
        sampler=sampler,
        seed=seed,
        lave=lave or LaveSettings(),
        new_canvas=make,
        audit=audit,
    )


def exact_canvas(model: DiffusionModel, compiled: CompiledGrammar) -> NewCanvas:
    """Canvases of a grammar with the model's special ids."""
    from grammar_engine.diffusion.canvas import Canvas

    def make(ids: Sequence[int]) -> CanvasLike:
        return Canvas(compiled, ids, mask_token_id=model.mask_token_id, pad_token_id=model.pad_token_id)

    return make


def require_vocabulary(model: DiffusionModel, compiled: CompiledGrammar) -> None:
    """Raise if a grammar was compiled for another vocabulary than the model's: masks would speak of other tokens."""
    own, given = model.vocabulary, compiled.vocabulary
    if own is given:
        return
    if own.size != given.size:
        raise TokenizerError(
            f"the grammar was compiled for {given.size} tokens, but the model has {own.size}; compile it with "
            "model.compiler"
        )
    if own.stop_token_ids != compiled.shown.stop_token_ids or any(
        a != b for a, b in zip(own.tokens, given.tokens, strict=True) if a is not None
    ):
        raise TokenizerError(
            "the grammar was compiled for other tokens than the model's; compile it with model.compiler"
        )


def require_completable(make: NewCanvas, ids: Sequence[int], model: DiffusionModel) -> None:
    """Raise if no filling is a text. An empty canvas has too few slots then: say how many are needed."""
    if make(ids).is_completable():
        return
    mask = model.mask_token_id
    if any(token != mask for token in ids):
        open_slots = sum(token == mask for token in ids)
        raise UnsatisfiableGrammarError(
            f"no filling of its {open_slots} open slots is a text of the grammar", place="the canvas"
        )
    needed = _slots_needed(make, len(ids), mask)
    most = len(ids) << _MOST_DOUBLINGS
    raise LimitExceededError(
        f"the canvas is too small: the shortest text of the grammar takes {needed or f'more than {most}'} slots",
        limit=f"{len(ids)} slots",
        given=f"a grammar that needs {needed or 'more'}",
    )


def _slots_needed(make: NewCanvas, too_few: int, mask: int) -> int | None:
    """The fewest slots that some text of the grammar fits, or None if that is not found.

    What fits a canvas fits every larger one (a stop token and pads behind it), so that the least can be bisected.
    """
    few = many = too_few
    for _ in range(_MOST_DOUBLINGS):
        few, many = many, 2 * many
        if make([mask] * many).is_completable():
            break
    else:
        return None
    while many - few > 1:
        middle = (few + many) // 2
        if make([mask] * middle).is_completable():
            many = middle
        else:
            few = middle
    return many


def initial_canvas(
    model: DiffusionModel,
    prompts: Sequence[Sequence[int]],
    slots: int | None,
    most_slots: int,
    canvas: Sequence[int] | None,
) -> list[int]:
    """The canvas to start with."""
    room = None if model.context_length is None else model.context_length - max(map(len, prompts))
    if canvas is not None:
        if slots is not None:
            raise InvalidArgumentError("give slots or a canvas, not both", argument="canvas")
        ids = list(canvas)
        if not ids:
            raise LimitExceededError("there is nothing to fill", limit="at least one slot", given=0)
        for token in ids:
            if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < model.vocabulary.size:
                raise InvalidArgumentError(f"{token!r} is no id of the model's vocabulary", argument="canvas")
    else:
        if slots is not None and (isinstance(slots, bool) or not isinstance(slots, int)):
            raise InvalidArgumentError(f"must be a number of slots, not {slots!r}", argument="slots")
        if slots is not None and slots < 1:
            raise LimitExceededError("there is nothing to fill", limit="at least one slot", given=slots)
        count = slots if slots is not None else most_slots if room is None else min(most_slots, room)
        ids = [model.mask_token_id] * count
    if room is not None and len(ids) > room:
        raise LimitExceededError(
            "prompt and canvas do not fit the model's context",
            limit=f"context of {model.context_length} tokens",
            given=f"{max(map(len, prompts))} prompt tokens and {len(ids)} slots",
        )
    return ids
