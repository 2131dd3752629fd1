"""Lint a grammar of any kind, with the witnesses spelled out and judged by its own matcher."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.lint.findings import Report
from grammar_engine.compiler.lint.lint import lint_gbnf, lint_lark
from grammar_engine.compiler.rule_stack import offer
from grammar_engine.inspection.spelling import Speller

if TYPE_CHECKING:
    from grammar_engine.compiler.compiled import CompiledGrammar

_TRIES = 3


def lint(source: str | os.PathLike[str], *, gbnf: bool, start: str, compiled: CompiledGrammar | None) -> Report:
    """What is odd about a grammar: text, path or shipped name.

    compiled: what it compiled to over a vocabulary of bytes; None if it did not compile for want of a text.
    """
    if gbnf:
        return lint_gbnf(source, root=start)
    grammar = None if compiled is None else compiled.grammar
    if compiled is None or not isinstance(grammar, LarkGrammar):
        return lint_lark(source, start=start)
    number: dict[str, int] = {}
    for index, terminal in enumerate(grammar.terminals):
        number.setdefault(terminal.name, index)
    speller = Speller(compiled)

    def spell(names: Sequence[str]) -> str | None:
        if any(name not in number for name in names):
            return None
        sentence = [number[name] for name in names]
        for attempt in range(_TRIES):
            text = speller.spell(sentence, random.Random(attempt), length=attempt)  # noqa: S311 - no secrets
            if text is not None:
                return text.decode("utf-8", "replace")
        return None

    def reach(names: Sequence[str]) -> frozenset[str] | None:
        if any(name not in number for name in names):
            return None
        matcher = speller.follow([number[name] for name in names], random.Random(0))  # noqa: S311 - no secrets
        if matcher is None:
            return None
        found = offer(matcher.engine, matcher.engine_position)
        return frozenset(grammar.terminals[terminal].name for terminal in found.begins)

    return lint_lark(source, start=start, compiled=grammar, spell=spell, reach=reach)
