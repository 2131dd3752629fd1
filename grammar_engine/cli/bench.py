"""``grammar-engine bench``: what a grammar costs with a tokenizer, on texts of one's own or on random walks."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from grammar_engine.cli.output import BrokenQuestionError, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import (
    GrammarArgument,
    RegexOption,
    TokenizerOption,
    constraint,
    readable,
    vocabulary_for,
)

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar

_WALK_TOKENS = 200


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Microseconds. ``first_mask`` includes compiling; ``mask`` and ``accept`` are per token, misses included."""

    tokens: int
    compile_us: float
    first_mask_us: float
    mask_mean_us: float
    mask_p50_us: float
    mask_p99_us: float
    mask_max_us: float
    accept_mean_us: float


def bench(
    grammar: GrammarArgument = None,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="Texts of the language.")] = None,
    regex: RegexOption = None,
    tokenizer: TokenizerOption = None,
    walks: Annotated[int, typer.Option(help="Random walks, if no FILE is given.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the walks.")] = 0,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Time compiling, the first mask and every later mask. Nothing is repeated: memoized masks count as found."""
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.warmup import warm_up
    from grammar_engine.matcher import Matcher

    with reporting(output):
        wanted = constraint(grammar, regex)
        vocabulary, encode = vocabulary_for(tokenizer)
        warm_up()
        compiler = GrammarCompiler(vocabulary, cache_dir="")
        rehearsal, _ = wanted.compile(GrammarCompiler(vocabulary, cache_dir=""))  # imports the front end, untimed
        Matcher(compiler.compile_choices(["warm"])).allowed_token_ids()
        began = time.perf_counter()
        compiled, _ = wanted.compile(compiler)
        compile_us = 1e6 * (time.perf_counter() - began)
        if files:
            rows: Iterable[list[int]] = [encode(readable(path).decode("utf-8", "replace")) for path in files]
        else:
            rows = list(_walks(rehearsal, walks, seed))
        figures = measure(compiled, rows, compile_us)
    if output is Format.JSON:
        emit_json({"ok": True, **asdict(figures)})
        return
    for name, value in asdict(figures).items():
        emit_line(f"{name:16} {value:12,.1f}" if isinstance(value, float) else f"{name:16} {value:12,}")


def measure(compiled: CompiledGrammar, rows: Iterable[list[int]], compile_us: float) -> Figures:
    """Feed token sequences: mask, accept, mask, accept, …

    Raises:
        BrokenQuestionError: a sequence leaves the language.
    """
    from grammar_engine.bitmask import allocate_token_bitmask
    from grammar_engine.matcher import Matcher

    bitmask = allocate_token_bitmask(1, compiled.vocabulary.size)
    masks: list[float] = []
    accepts: list[float] = []
    for number, token_ids in enumerate(rows):
        matcher = Matcher(compiled)
        for token_id in token_ids:
            start = time.perf_counter()
            matcher.fill_next_token_bitmask(bitmask, 0)
            filled = time.perf_counter()
            accepted = matcher.accept_token(token_id)
            done = time.perf_counter()
            if not accepted:
                raise BrokenQuestionError(f"text {number + 1} is not in the language (token {matcher.num_tokens + 1})")
            masks.append(1e6 * (filled - start))
            accepts.append(1e6 * (done - filled))
    if not masks:
        raise BrokenQuestionError("the texts are empty")
    return Figures(
        tokens=len(masks),
        compile_us=compile_us,
        first_mask_us=compile_us + masks[0],
        mask_mean_us=float(np.mean(masks)),
        mask_p50_us=float(np.percentile(masks, 50)),
        mask_p99_us=float(np.percentile(masks, 99)),
        mask_max_us=float(np.max(masks)),
        accept_mean_us=float(np.mean(accepts)),
    )


def _walks(compiled: CompiledGrammar, count: int, seed: int) -> Iterator[list[int]]:
    """Random token sequences of the language, found with a compiled grammar of their own so that nothing is warm."""
    from grammar_engine.matcher import Matcher

    rng = random.Random(seed)  # noqa: S311 - a benchmark, not a secret
    for _ in range(count):
        matcher, token_ids = Matcher(compiled), list[int]()
        while len(token_ids) < _WALK_TOKENS and not matcher.is_terminated():
            allowed = matcher.allowed_token_ids()
            if not len(allowed):
                break
            token_ids.append(int(rng.choice(allowed)))
            matcher.accept_token(token_ids[-1])
        yield token_ids
