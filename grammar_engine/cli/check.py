"""``grammar-engine check``: does a grammar compile? If not, what is wrong and where; and what is odd about it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grammar_engine.cli.output import NO, YES, Format, describe, emit_json, emit_line, reporting
from grammar_engine.cli.source import (
    GrammarArgument,
    Question,
    RegexOption,
    StartOption,
    TokenizerOption,
    byte_vocabulary,
    question,
    vocabulary_for,
)
from grammar_engine.errors import UnsatisfiableGrammarError

if TYPE_CHECKING:
    from grammar_engine.compiler.lint.findings import Finding, Report


def check(
    grammar: GrammarArgument = None,
    regex: RegexOption = None,
    start: StartOption = None,
    lint: Annotated[
        bool, typer.Option("--lint", help="Look for useless and cyclic rules, ambiguity, colliding terminals.")
    ] = False,
    tokenizer: TokenizerOption = None,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Does the grammar compile? Exit code 0: yes; 1: no, with the place of the problem; 2: no such grammar.

    With --lint 0 also says that nothing odd was found, and 1 that something was.
    """
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.matcher import Matcher

    with reporting(output, code=NO):
        asked = question(grammar, regex, start)
        vocabulary, _ = vocabulary_for(tokenizer)
        compiler = GrammarCompiler(vocabulary)
        began = time.perf_counter()
        try:
            compiled = asked.compile(compiler)
        except UnsatisfiableGrammarError as error:
            if lint and asked.wanted.grammar is not None:
                _show(asked, output, describe(error), f"{type(error).__name__}: {error}", compiles=False)
            raise
        num_allowed = len(Matcher(compiled).allowed_token_ids())
        milliseconds = 1e3 * (time.perf_counter() - began)
        line = f"ok: compiled in {milliseconds:.1f} ms; {num_allowed} of {vocabulary.size} tokens may come first"
        data = {"milliseconds": milliseconds, "first_tokens_allowed": num_allowed}
        if lint:
            _show(asked, output, data, line, compiles=True)
    if output is Format.JSON:
        emit_json({"ok": True, **data})
    else:
        emit_line(line)
    raise typer.Exit(YES)


def _show(asked: Question, output: Format, data: dict[str, Any], line: str, *, compiles: bool) -> None:
    """Lint, show what was found, and end."""
    report = _report(asked, compiles=compiles)
    clean = compiles and not report.findings
    if output is Format.JSON:
        named = data if compiles else {"error": data}
        findings = [{**asdict(finding), "kind": finding.kind.value} for finding in report.findings]
        emit_json({"ok": clean, "compiles": compiles, **named, "findings": findings, "notes": list(report.notes)})
    else:
        emit_line(line)
        for finding in report.findings:
            emit_line(_as_text(asked, finding))
        for note in report.notes:
            emit_line(f"note: {note}")
    raise typer.Exit(YES if clean else NO)


def _report(asked: Question, *, compiles: bool) -> Report:
    from grammar_engine.compiler.compiled import GrammarCompiler
    from grammar_engine.compiler.lint.findings import Report
    from grammar_engine.inspection.linting import lint

    if asked.wanted.grammar is None:
        return Report(notes=("schemas and regular expressions have no rules or terminals to lint",))
    compiled = asked.compile(GrammarCompiler(byte_vocabulary(), prepare=False)) if compiles else None
    return lint(asked.wanted.grammar, gbnf=asked.is_gbnf, start=asked.first_rule, compiled=compiled)


def _as_text(asked: Question, finding: Finding) -> str:
    place = f"{asked.wanted.grammar}:{finding.line}:{finding.column}: " if finding.line else ""
    lines = [f"{place}{finding.kind.value}: {finding.message}"]
    if finding.witness is not None:
        lines.append(f"  text: {finding.witness!r}")
    if finding.sentence and finding.witness is None:
        lines.append(f"  sentence: {' '.join(finding.sentence)}")
    return "\n".join(lines)
