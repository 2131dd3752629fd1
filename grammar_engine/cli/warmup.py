"""``grammar-engine warmup``: do ahead what the first use on a machine, of a grammar, or of a text would wait for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grammar_engine.cli.output import NO, BrokenQuestionError, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import (
    GrammarArgument,
    StartOption,
    TokenizerOption,
    question,
    readable,
    vocabulary_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def warmup(
    grammar: GrammarArgument = None,
    start: StartOption = None,
    tokenizer: TokenizerOption = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="A file or folder of texts of the language, to follow ahead.")
    ] = None,
    fetch_model: Annotated[bool, typer.Option("--fetch-model", help="Also fetch the embedded model, SmolLM2.")] = False,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Compile the kernels for this machine (about a minute, once) and keep them in numba's cache; and the shipped
    grammars, which are kept in the disk cache (some seconds).

    With a GRAMMAR: compile it for the tokenizer's vocabulary, follow the texts, and keep what is known then, masks
    included, in the disk cache, where the next process finds it (Lark grammars, see docs/grammars.md).
    """
    from grammar_engine import embedded
    from grammar_engine.compiler.grammar_cache import keep_shipped
    from grammar_engine.compiler.warmup import load_kernels

    with reporting(output, code=NO):
        if grammar is None and (texts is not None or start is not None or tokenizer is not None):
            raise BrokenQuestionError("--texts, --start and --tokenizer say how a GRAMMAR is warmed up: name one")
        began = time.perf_counter()
        load_kernels()  # tells its steps on stderr, if they take long enough to be told
        seconds = time.perf_counter() - began
        shipped = keep_shipped() if grammar is None else 0
        folder = str(embedded.fetch()) if fetch_model else None
        warmed = None if grammar is None else _warm(grammar, start, tokenizer, texts)
    if output is Format.JSON:
        emit_json({"ok": True, "seconds": seconds, "shipped": shipped, "model": folder, "grammar": warmed})
        return
    emit_line(f"kernels ready after {seconds:.1f} s")
    if shipped:
        emit_line(f"{shipped} shipped grammars compiled and kept")
    if folder is not None:
        emit_line(f"model in {folder}")
    if warmed is not None:
        emit_line(
            f"{grammar}: {warmed['masks']} masks of {warmed['texts']} texts followed, "
            f"{1e-6 * warmed['bytes']:.1f} MB known after {warmed['seconds']:.1f} s"
        )


def _warm(grammar: str, start: str | None, tokenizer: str | None, texts: Path | None) -> dict[str, float]:
    """Compile a grammar, follow texts, save what is known; what was done."""
    from grammar_engine.compiler.compiled import GrammarCompiler

    asked = question(grammar, None, start)
    vocabulary, tokens_of = vocabulary_for(tokenizer)
    followed = [] if texts is None else _texts(texts)
    began = time.perf_counter()
    compiler = GrammarCompiler(vocabulary)
    compiled = asked.compile(compiler)
    masks = compiled.warm_up(map(_reader(tokens_of), followed) if followed else [b""])
    compiler.save_cache()
    return {
        "texts": len(followed),
        "masks": masks,
        "bytes": compiled.engine.image_bytes,
        "seconds": time.perf_counter() - began,
    }


def _reader(tokens_of: Callable[[str], list[int]]) -> Callable[[Path], list[int]]:
    def read(path: Path) -> list[int]:
        try:
            return tokens_of(readable(path).decode())
        except UnicodeDecodeError as error:
            raise BrokenQuestionError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error

    return read


def _texts(path: Path) -> list[Path]:
    """The file, or all files of the folder and those in it, by name."""
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.rglob("*") if entry.is_file())
    if not found:
        raise BrokenQuestionError(f"no files in {path}")
    return found
