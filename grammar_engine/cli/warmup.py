"""``grammar-engine warmup``: do ahead what the first use on a machine would wait for."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from grammar_engine.cli.output import Format, emit_json, emit_line, reporting


def warmup(
    fetch_model: Annotated[bool, typer.Option("--fetch-model", help="Also fetch the embedded model, SmolLM2.")] = False,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Compile the kernels for this machine (about 10-20 s, once) and keep them in numba's cache."""
    from grammar_engine import embedded
    from grammar_engine.compiler.warmup import load_kernels

    with reporting(output):
        began = time.perf_counter()
        load_kernels()  # tells its steps on stderr, if they take long enough to be told
        seconds = time.perf_counter() - began
        folder = str(embedded.fetch()) if fetch_model else None
    if output is Format.JSON:
        emit_json({"ok": True, "seconds": seconds, "model": folder})
        return
    emit_line(f"kernels ready after {seconds:.1f} s")
    if folder is not None:
        emit_line(f"model in {folder}")
