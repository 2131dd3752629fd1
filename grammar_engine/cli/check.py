"""``grammar-engine check``: does a grammar compile? If not, what is wrong and where."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from grammar_engine.cli.output import NO, YES, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import GrammarArgument, RegexOption, TokenizerOption, constraint, vocabulary_for


def check(
    grammar: GrammarArgument = None,
    regex: RegexOption = None,
    tokenizer: TokenizerOption = None,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Does the grammar compile? Exit code 0: yes; 1: no, with the place of the problem; 2: no such grammar."""
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.matcher import Matcher

    with reporting(output, code=NO):
        wanted = constraint(grammar, regex)
        vocabulary, _ = vocabulary_for(tokenizer)
        compiler = GrammarCompiler(vocabulary)
        began = time.perf_counter()
        compiled, _ = wanted.compile(compiler)
        num_allowed = len(Matcher(compiled).allowed_token_ids())
        milliseconds = 1e3 * (time.perf_counter() - began)
    if output is Format.JSON:
        emit_json({"ok": True, "milliseconds": milliseconds, "first_tokens_allowed": num_allowed})
    else:
        emit_line(f"ok: compiled in {milliseconds:.1f} ms; {num_allowed} of {vocabulary.size} tokens may come first")
    raise typer.Exit(YES)
