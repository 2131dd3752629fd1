"""``grammar-engine generate --canvas PAGE``: a diffusion model's answer, and a page of how it came about."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from grammar_engine.cli.output import BrokenQuestionError, Format, emit_json, emit_line

if TYPE_CHECKING:
    from grammar_engine.constraint import Constraint
    from grammar_engine.sampling.samplers import Sampler


def filled(
    prompt: str,
    wanted: Constraint,
    model: str,
    sampler: Sampler,
    max_tokens: int,
    seed: int | None,
    page: Path,
    output: Format,
) -> None:
    """Fill a canvas, write the page, show the answer."""
    from grammar_engine.diffusion.generation import prepare_run
    from grammar_engine.diffusion.interface import DiffusionModel
    from grammar_engine.models import shared_models

    if page.suffix not in (".html", ".htm"):
        raise BrokenQuestionError(f"--canvas writes .html, not {page.name}")
    loaded = shared_models().get(model)
    if not isinstance(loaded, DiffusionModel):
        raise BrokenQuestionError(f"--canvas is for diffusion models, which {model} is not")
    compiled, read = wanted.compile(loaded.compiler, loaded.tokenizer)
    run = prepare_run(loaded, [prompt], compiled, most_slots=max_tokens, sampler=sampler, seed=seed)
    run.fill()
    result = run.results(read)[0]
    try:
        page.write_text(result.to_html(prompt), "utf-8")
    except OSError as error:
        raise BrokenQuestionError(f"cannot write {page}: {error.strerror}") from error
    if output is Format.TEXT:
        emit_line(result.text)
        return
    emit_json(
        {
            "ok": True,
            "value": result.value,
            "text": result.text,
            "token_ids": result.token_ids,
            "finish_reason": result.finish_reason,
            "logprob": result.logprob,
            "seconds": result.seconds,
            "counters": dataclasses.asdict(result.counters),
        }
    )
