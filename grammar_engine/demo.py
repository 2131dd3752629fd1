"""``make demo`` (``grammar-engine demo``): the embedded model answers with an object of a type, shown as it comes."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, Field
from rich.console import Console
from rich.rule import Rule

from grammar_engine.api import stream
from grammar_engine.generation import Generation
from grammar_engine.models import load_model
from grammar_engine.sampling import Sample


class Item(BaseModel):
    """Something that a hero carries."""

    name: str = Field(max_length=24)
    weight_kg: float = Field(ge=0, le=50)


class Hero(BaseModel):
    """What the demo asks for."""

    name: str = Field(max_length=30)
    age: int = Field(ge=16, le=99)
    role: Literal["knight", "wizard", "thief", "healer"]
    is_friendly: bool
    motto: str = Field(max_length=80)
    items: list[Item] = Field(min_length=1, max_length=3)


PROMPT = (
    "Invent a hero for a fantasy novel. Write a JSON object with the fields name, age, role (knight, wizard, thief or "
    "healer), is_friendly, motto (a sentence) and items (things that the hero carries, each with name and weight_kg)."
)
SAMPLER = Sample(temperature=0.7, top_p=0.9)
SEED = 1


def show(prompt: str = PROMPT) -> None:
    """Show one generation from type to validated object."""
    console = Console(highlight=False, soft_wrap=True)
    console.print("Loading SmolLM2-135M-Instruct …", style="dim")
    model = load_model("smollm2")
    console.print(Rule("Schema (from the pydantic model Hero)"))
    console.print(json.dumps(Hero.model_json_schema(), indent=2), markup=False, style="cyan")
    console.print(Rule("Prompt"))
    console.print(prompt, markup=False)
    console.print(Rule("The model writes"))
    result: Generation[Hero] | None = None
    for piece in stream(prompt, schema=Hero, model=model, sampler=SAMPLER, seed=SEED, details=True):
        if isinstance(piece, Generation):
            result = piece
        else:
            console.print(piece, end="", markup=False, style="green")
    console.print()
    if result is None:
        raise SystemExit("the stream ended without a value")
    console.print(Rule("Validated object"))
    console.print(repr(result.value), markup=False, style="bold")
    stats = result.stats
    console.print(Rule("Figures"))
    console.print(
        f"{stats.tokens} tokens in {stats.seconds:.1f} s: {stats.tokens_per_second:.1f} tokens/s, "
        f"{100 * stats.mask_share:.1f} % of the time on masks "
        f"({100 * stats.mask_wait_seconds / stats.seconds:.1f} % not hidden behind the model)"
    )
