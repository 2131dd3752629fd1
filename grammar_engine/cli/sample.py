"""``grammar-engine sample``: texts of a grammar, drawn so that its rules are covered soon."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from grammar_engine.cli.output import NO, BrokenQuestionError, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import GrammarArgument, RegexOption, StartOption, byte_vocabulary, question


def sample(
    grammar: GrammarArgument = None,
    regex: RegexOption = None,
    start: StartOption = None,
    count: Annotated[int, typer.Option("-n", "--count", help="How many texts.")] = 5,
    seed: Annotated[int, typer.Option(help="Equal seeds draw equal texts.")] = 0,
    length: Annotated[int, typer.Option(help="Most bytes of a text.")] = 200,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Show texts of the language: each alternative and each terminal of the rules is covered as soon as possible.

    Exit code 0: here they are; 1: none was found that is so short. Texts with line breaks are shown as literals.
    """
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.inspection.outlook import Outlook
    from grammar_engine.inspection.sampler import NoSampleError, Sampler

    texts: list[str] = []
    with reporting(output):
        if count < 1 or length < 0:
            raise BrokenQuestionError("-n must be at least 1, --length at least 0")
        asked = question(grammar, regex, start)
        compiled = asked.compile(GrammarCompiler(byte_vocabulary()))
    with reporting(output, code=NO):
        sampler = Sampler(Outlook(compiled, asked.wanted.grammar, start=asked.first_rule), seed=seed, length=length)
        while len(texts) < count:
            try:
                texts.append(sampler.draw())
            except NoSampleError:
                if not texts:
                    raise
                break
            if output is Format.TEXT:
                emit_line(_shown(texts[-1]))
    if output is Format.JSON:
        emit_json({"ok": len(texts) == count, "samples": texts, "coverage": asdict(sampler.coverage)})
    raise typer.Exit(0 if len(texts) == count else NO)


def _shown(text: str) -> str:
    """A text as it is if it is one line that reads as such, else as a literal."""
    return text if text.isprintable() and text == text.strip() and text else repr(text)
