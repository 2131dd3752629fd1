"""``grammar-engine demo``: from a type to a validated object, with the embedded model."""

from __future__ import annotations

from typing import Annotated

import typer

from grammar_engine.cli.output import Format, reporting


def demo(
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask instead; the answer is a hero all the same.")
    ] = None,
) -> None:
    """Show a schema, a prompt, the model's text as it streams, the validated object, and what it cost."""
    from grammar_engine.demo import PROMPT, show

    with reporting(Format.TEXT):
        show(prompt or PROMPT)
