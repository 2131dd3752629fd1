"""``grammar-engine generate --particles N``: weighted texts, one of which is answered with.

The step and the number of steps that there may be are shown on stderr while it runs, where that is a terminal.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from grammar_engine.cli.output import NO, BrokenQuestionError, Format, describe, emit_json, emit_line

if TYPE_CHECKING:
    from types import ModuleType

    from grammar_engine.constraint import Constraint
    from grammar_engine.sampling.population import Population

_PAGES = (".html", ".htm")


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """What was asked for on the command line."""

    prompt: str
    wanted: Constraint
    model: str
    particles: int
    condition: str | None
    temperature: float
    max_tokens: int
    seed: int | None
    population: Path | None


def weighted(asked: Weighted, output: Format) -> None:
    """Sample and answer. Exits with 1 where no text has weight; the population is written all the same."""
    import numpy as np

    from grammar_engine.diffusion.interface import DiffusionModel
    from grammar_engine.errors import AllParticlesDeadError, ConditionError, IncompleteGenerationError
    from grammar_engine.models import shared_models
    from grammar_engine.progress import Progress, progress_bar
    from grammar_engine.sampling.smc import smc

    if asked.population is not None and asked.population.suffix not in (*_PAGES, ".json"):
        raise BrokenQuestionError(f"--population writes .html or .json, not {asked.population.name}")
    condition = None if asked.condition is None else named(asked.condition)
    loaded = shared_models().get(asked.model)
    if isinstance(loaded, DiffusionModel):
        raise BrokenQuestionError(f"{asked.model} is a diffusion model: it has no prefixes to weigh")
    compiled, _ = asked.wanted.compile(loaded.compiler, loaded.tokenizer)
    rng = np.random.default_rng(asked.seed)
    try:
        with progress_bar(delay=0.0) as show:
            population = smc(
                loaded,
                asked.prompt,
                compiled,
                particles=asked.particles,
                rng=rng,
                condition=condition,
                temperature=asked.temperature,
                max_tokens=asked.max_tokens,
                on_step=lambda number: show(Progress(done=number, total=asked.max_tokens, unit="tokens")),
            )
    except (AllParticlesDeadError, ConditionError, IncompleteGenerationError) as error:
        for partial in _populations(error):
            _write(partial, asked.population)
        if output is Format.JSON:
            emit_json({"ok": False, "error": describe(error)})
        else:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise typer.Exit(NO) from None
    _write(population, asked.population)
    particle = population.sample(rng)
    if output is Format.TEXT:
        emit_line(particle.text)
        return
    emit_json({"ok": True, "text": particle.text, "posterior": population.posterior()} | _data(population))


def _data(population: Population) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(population.to_json())
    return {name: data[name] for name in ("log_evidence", "num_checks", "passes", "particles")}


def _populations(error: Any) -> tuple[Any, ...]:
    """What an error carries."""
    found = getattr(error, "populations", None)
    if found is None:
        found = (error.population,) if hasattr(error, "population") else ()
    return tuple(found)


def _write(population: Population, path: Path | None) -> None:
    if path is None:
        return
    text = population.to_html() if path.suffix in _PAGES else population.to_json()
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise BrokenQuestionError(f"cannot write {path}: {error.strerror}") from error


def named(place: str) -> Any:
    """The object that FILE.py:NAME or MODULE:NAME means; its code is run.

    Raises:
        BrokenQuestionError: no such file, module or name.
    """
    where, separator, name = place.rpartition(":")
    if not separator or not where or not name:
        raise BrokenQuestionError(f"--condition is FILE.py:NAME or MODULE:NAME, not {place!r}")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_module(where)
    if not hasattr(module, name):
        raise BrokenQuestionError(f"{where} has no {name}")
    return getattr(module, name)


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("condition", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BrokenQuestionError(f"cannot read {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BrokenQuestionError(f"cannot import {name}: {error}") from error
