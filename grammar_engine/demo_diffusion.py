"""``make demo-diffusion``: the tiny diffusion model fills canvases, step by step: alone, with LAVE, exactly.

The prompt asks for less than the schema does, so the model alone cannot satisfy it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from grammar_engine.diffusion.generation import generate
from grammar_engine.diffusion.models import load_diffusion_model
from grammar_engine.diffusion.records import DiffusionResult, StepRecord
from grammar_engine.inspection.canvas_text import step_text


class Person(BaseModel):
    """What the demo asks for: more than the model was trained to say."""

    name: str = Field(max_length=12)
    age: int = Field(ge=16, le=99)
    city: Literal["Oslo", "Paris", "Tokyo"]
    friends: list[str] = Field(min_length=1, max_length=2)


PROMPT = "person: Ida, 52, Warsaw"
SLOTS = 64
SEED = 0


def show(prompt: str = PROMPT, page: Path | None = None) -> None:
    """Fill a canvas in three ways. page: where the exact one's page goes."""
    console = Console(highlight=False, soft_wrap=True)
    model = load_diffusion_model()
    schema: dict[str, Any] = Person.model_json_schema()
    compiled = model.compiler.compile_json_schema(schema, max_whitespace=1)
    console.print(Rule("Prompt, and what the answer must be"))
    console.print(prompt, markup=False)
    console.print(schema, markup=False, style="cyan")
    console.print(
        "· open   ", Text("new", "bold green"), Text("  new, the model had liked a masked token better", "bold yellow")
    )
    for method, name in (("none", "The model alone"), ("lave", "LAVE: sampled lookahead"), ("exact", "Exact")):
        console.print(Rule(name))

        def each(step: StepRecord) -> None:
            console.print(step_text(step, compiled.shown, model.mask_token_id))

        result: DiffusionResult[Any] = generate(
            model, prompt, compiled, method, slots=SLOTS, seed=SEED, on_step=each, read=Person.model_validate_json
        )
        console.print(_figures(result), markup=False)
        console.print(repr(result.value) if result.complete else "not in the language", markup=False, style="bold")
        if method == "exact" and page is not None:
            page.write_text(result.to_html(f"{model.name}: {prompt}"), "utf-8")
            console.print(f"the picture is in {page}", markup=False)


def _figures(result: DiffusionResult[Any]) -> str:
    counters = result.counters
    parts = [f"{counters.forwards} passes, {len(result.token_ids)} tokens, {1000 * result.seconds:.0f} ms"]
    if counters.checks:
        parts.append(
            f"{counters.masks} slots masked and {counters.checks} batches checked in "
            f"{1000 * result.grammar_seconds:.0f} ms, {counters.rejected_batches} refused"
        )
    if counters.verifications:
        parts.append(f"{counters.verifications} proposals verified, {counters.rejects} rejected")
    return "; ".join(parts)
