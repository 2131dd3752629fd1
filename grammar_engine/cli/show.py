"""``grammar-engine show``: railroad diagrams of a grammar as an HTML page, or the automaton of a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grammar_engine.cli.output import BrokenQuestionError, Format, emit_json, emit_line, reporting
from grammar_engine.cli.source import GrammarArgument, Question, RegexOption, StartOption, byte_vocabulary, question

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar
    from grammar_engine.compiler.ir import Terminal


def show(
    grammar: GrammarArgument = None,
    regex: RegexOption = None,
    start: StartOption = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Only this rule or terminal; may be repeated.")
    ] = None,
    automaton: Annotated[
        str | None, typer.Option("--automaton", help="Instead, the automaton of this terminal, for Graphviz' dot.")
    ] = None,
    into: Annotated[Path | None, typer.Option("--output", "-o", help="A file to write; default: stdout.")] = None,
    output: Annotated[Format, typer.Option("--format", help="What stdout carries.")] = Format.TEXT,
) -> None:
    """Draw a grammar: an HTML page of railroad diagrams (extra show), or a terminal's automaton."""
    from grammar_engine.compiler.compiled import GrammarCompiler

    with reporting(output):
        asked = question(grammar, regex, start)
        compiled = asked.compile(GrammarCompiler(byte_vocabulary()))
        names: list[str] = []
        if automaton is not None:
            from grammar_engine.inspection.dot import terminal_graph

            text = terminal_graph(_terminal(compiled, automaton))
            names.append(automaton)
        else:
            from grammar_engine.inspection.diagrams import page

            diagrams = [(name, item) for name, item in _diagrams(asked) if not rule or name in rule]
            missing = set(rule or []).difference(name for name, _ in diagrams)
            if missing:
                raise BrokenQuestionError(f"there is no rule or terminal {', '.join(sorted(missing))}")
            names += (name for name, _ in diagrams)
            text = page(str(asked.wanted.grammar or asked.wanted.regex), diagrams)
        if into is not None:
            try:
                into.write_text(text, "utf-8")
            except OSError as error:
                raise BrokenQuestionError(f"cannot write {into}: {error.strerror}") from error
    if output is Format.JSON:
        emit_json({"ok": True, "shown": names, "file": None if into is None else str(into)} | _text(into, text))
    elif into is None:
        emit_line(text.rstrip("\n"))


def _text(into: Path | None, text: str) -> dict[str, str]:
    return {"text": text} if into is None else {}


def _diagrams(asked: Question) -> list[tuple[str, Any]]:
    from grammar_engine.inspection.diagrams import gbnf_diagrams, lark_diagrams, regex_diagrams

    if asked.wanted.regex is not None:
        return regex_diagrams(asked.wanted.regex)
    if asked.wanted.grammar is None:
        raise BrokenQuestionError("a schema has no rules to draw; give a .lark or .gbnf grammar, or --regex")
    if asked.is_gbnf:
        return gbnf_diagrams(asked.wanted.grammar, root=asked.first_rule)
    return lark_diagrams(asked.wanted.grammar)


def _terminal(compiled: CompiledGrammar, name: str) -> Terminal:
    """The terminal of a name; of a regex there is one only."""
    from grammar_engine.compiler.ir import EagerGrammar

    grammar = compiled.grammar
    if not isinstance(grammar, EagerGrammar):
        raise BrokenQuestionError("only Lark grammars and regular expressions have terminals with names")
    for terminal in grammar.terminals:
        if name == terminal.name or (len(grammar.terminals) == 1 and not name):
            return terminal
    known = ", ".join(dict.fromkeys(terminal.name for terminal in grammar.terminals))
    raise BrokenQuestionError(f"there is no terminal {name!r}; there are {known}")
