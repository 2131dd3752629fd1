"""The program ``grammar-engine``: its commands and nothing else.

Exit codes are those of ``cli.output``; heavy imports happen inside commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import typer

from grammar_engine.cli.bench import bench
from grammar_engine.cli.check import check
from grammar_engine.cli.demo import demo, demo_diffusion
from grammar_engine.cli.explain_mask import explain_mask
from grammar_engine.cli.generate import generate
from grammar_engine.cli.match import match
from grammar_engine.cli.sample import sample
from grammar_engine.cli.show import show
from grammar_engine.cli.warmup import warmup

app = typer.Typer(
    name="grammar-engine",
    help="Constrained generation for language models: whatever the model says, the output is in the language.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (generate, check, match, sample, show, explain_mask, warmup, bench, demo, demo_diffusion):
    app.command()(command)


def main() -> None:
    """Run the program."""
    app()
