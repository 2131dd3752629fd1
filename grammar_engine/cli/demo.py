"""``grammar-engine demo`` and ``demo-diffusion``: from a type to a validated object, with models that come along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grammar_engine.cli.output import BrokenQuestionError, Format, reporting


def demo(
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask instead; the answer is a hero all the same.")
    ] = None,
) -> None:
    """Show a schema, a prompt, the model's text as it streams, the validated object, and what it cost."""
    from grammar_engine.demo import PROMPT, show

    with reporting(Format.TEXT):
        show(prompt or PROMPT)


def demo_diffusion(
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask instead; the answer is a person all the same.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the filling of the last canvas as a page (.html).")] = None,
) -> None:
    """Show a diffusion model fill canvases: alone, with LAVE, and under the exact check."""
    from grammar_engine.demo_diffusion import PROMPT, show

    with reporting(Format.TEXT):
        if page is not None and page.suffix not in (".html", ".htm"):
            raise BrokenQuestionError(f"--page writes .html, not {page.name}")
        show(prompt or PROMPT, page)
