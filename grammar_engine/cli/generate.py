"""``grammar-engine generate``: a prompt in, a text of the language out."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from grammar_engine.cli.filled import filled
from grammar_engine.cli.output import NO, BrokenQuestionError, Format, describe, emit_json, reporting
from grammar_engine.cli.source import GrammarArgument, RegexOption, constraint
from grammar_engine.cli.weighted import Weighted, weighted


def generate(
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")],
    grammar: GrammarArgument = None,
    regex: RegexOption = None,
    choice: Annotated[list[str] | None, typer.Option("--choice", help="One of the possible texts; repeat.")] = None,
    model: Annotated[str, typer.Option(help="smollm2, a Hugging Face id, or a folder.")] = "smollm2",
    max_tokens: Annotated[int, typer.Option(help="Most tokens to generate.")] = 512,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 takes the most probable token, above 0 draws. Default: 0; 1 with --particles."),
    ] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the most probable tokens of this mass.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from this many tokens; 0: all.")] = 0,
    min_p: Annotated[float, typer.Option(help="Draw tokens at least this probable, relative to the best.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes draws repeatable.")] = None,
    particles: Annotated[
        int | None,
        typer.Option(help="Draw without distortion: this many weighted texts side by side."),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="With --particles: FILE.py:NAME or MODULE:NAME, a function of the text so far or a Condition."
        ),
    ] = None,
    population: Annotated[
        Path | None, typer.Option(help="Write how the particles came about: a page (.html) or data (.json).")
    ] = None,
    canvas: Annotated[
        Path | None, typer.Option(help="With a diffusion model: write how the canvas filled up, as a page (.html).")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Answer a prompt. Text is shown as it comes; with --format json the value, its text and statistics at the end."""
    from grammar_engine.api import stream
    from grammar_engine.errors import IncompleteGenerationError
    from grammar_engine.sampling import Greedy, Sample

    with reporting(output):
        wanted = constraint(grammar, regex, choice)
        if particles is None and (condition is not None or population is not None):
            raise BrokenQuestionError("--condition and --population need --particles")
        if canvas is not None and particles is not None:
            raise BrokenQuestionError("--canvas is for diffusion models, which have no --particles")
        if particles is not None:
            if (top_p, top_k, min_p) != (1.0, 0, 0.0):
                raise BrokenQuestionError("--top-p, --top-k and --min-p cut the distribution; not with --particles")
            weighted(
                Weighted(
                    prompt=_asked(prompt),
                    wanted=wanted,
                    model=model,
                    particles=particles,
                    condition=condition,
                    temperature=1.0 if temperature is None else temperature,
                    max_tokens=max_tokens,
                    seed=seed,
                    population=population,
                ),
                output,
            )
            return
        temperature = 0.0 if temperature is None else temperature
        if temperature == 0 and (top_p, top_k, min_p) != (1.0, 0, 0.0):
            raise BrokenQuestionError("--top-p, --top-k and --min-p need a --temperature above 0")
        sampler = Greedy() if temperature == 0 else Sample(temperature, top_p, top_k, min_p)
        if canvas is not None:
            filled(_asked(prompt), wanted, model, sampler, max_tokens, seed, canvas, output)
            return
        pieces = stream(
            _asked(prompt),
            schema=wanted.schema,
            regex=wanted.regex,
            grammar=wanted.grammar,
            choices=wanted.choices,
            model=model,
            sampler=sampler,
            max_tokens=max_tokens,
            seed=seed,
            details=True,
        )
        try:
            result = _show(pieces, output)
        except IncompleteGenerationError as error:
            if output is Format.JSON:
                emit_json({"ok": False, "error": describe(error)})
            else:
                sys.stderr.write(f"\n{type(error).__name__}: {error}\n")
            raise typer.Exit(NO) from None
    if output is Format.JSON:
        stats = {**dataclasses.asdict(result.stats), "tokens_per_second": result.stats.tokens_per_second}
        fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
        emit_json({"ok": True, **fields, "stats": {**stats, "mask_share": result.stats.mask_share}})


def _asked(prompt: str) -> str:
    return sys.stdin.read() if prompt == "-" else prompt


def _show(pieces: Any, output: Format) -> Any:
    last: Any = None
    for last in pieces:
        if isinstance(last, str) and output is Format.TEXT:
            sys.stdout.write(last)
            sys.stdout.flush()
    if output is Format.TEXT:
        sys.stdout.write("\n")
    return last
