"""GBNF grammars for the engine: scannerless, all alternatives at once (``Lexing.UNORDERED``)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.choices import strings_automaton
from grammar_engine.compiler.frontends.gbnf.linear import simplify
from grammar_engine.compiler.frontends.gbnf.lowering import Lexeme, Words, lower
from grammar_engine.compiler.frontends.gbnf.parser import parse_gbnf
from grammar_engine.compiler.frontends.gbnf.tree import Literal, Node, to_regex
from grammar_engine.compiler.ir import Grammar, Lexing, Production, Terminal
from grammar_engine.compiler.normalize import normalize
from grammar_engine.compiler.spelling import to_utf8

from grammar_engine import grammars

_HEADING = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*[\r\n])*[\w.-]+[ \t]*::=", re.ASCII)
_MAX_DETERMINISTIC = 400
"""States up to which a terminal is made deterministic: its lexer states are single threads then."""
_MAX_UNFOLDED = 32
"""Rounds of a counted loop that are worth a state each in a deterministic automaton."""


class GbnfGrammar(Grammar):
    """A GBNF grammar, compiled. Automata of terminals are built when they are asked for.

    rule_names: per nonterminal the rule that it comes from.
    """

    lexing = Lexing.UNORDERED

    def __init__(
        self,
        *,
        rules: Sequence[Sequence[Production]],
        lexemes: Sequence[Lexeme],
        accepts_empty: bool,
        rule_names: tuple[str, ...],
    ) -> None:
        self.start = 0
        self.rules = rules
        self.accepts_empty = accepts_empty
        self.rule_names = rule_names
        self._lexemes = lexemes
        self._terminals: dict[int, Terminal] = {}

    def productions(self, nonterminal: int) -> Sequence[Production]:
        """See ``Grammar``."""
        return self.rules[nonterminal]

    def terminal(self, terminal: int) -> Terminal:
        """See ``Grammar``."""
        found = self._terminals.get(terminal)
        if found is None:
            found = Terminal(name=f"T{terminal}", automaton=_automaton(self._lexemes[terminal]))
            self._terminals[terminal] = found
        return found

    def literal(self, terminal: int) -> bytes | None:
        """See ``Grammar``."""
        lexeme = self._lexemes[terminal]
        return lexeme.text.encode() if isinstance(lexeme, Literal) else None


def gbnf_grammar(source: str, *, root: str = "root") -> GbnfGrammar:
    """Compile a grammar in llama.cpp's GBNF or XGrammar's EBNF; ``root`` names the rule that the whole text matches.

    Raises GrammarSyntaxError (with line and column), UnsupportedGrammarError, UnsatisfiableGrammarError if no text
    matches, or LimitExceededError.
    """
    if not isinstance(source, str):
        raise TypeError(f"a grammar is a str, not {type(source).__name__}")
    parsed = parse_gbnf(source, root=root)
    simplified = simplify(parsed.forest, parsed.rules, parsed.root)
    lowered = lower(parsed.forest, simplified, parsed.root)
    names = [parsed.names[owner] for owner in lowered.owners]
    rules: Sequence[Sequence[Production]] = ((),)
    origins: Sequence[int | None] = (0,)
    try:
        normalized = normalize(lowered.rules, 0, describe=lambda nonterminal: names[nonterminal])
        rules, origins = normalized.rules, normalized.origins
    except UnsatisfiableGrammarError:
        if not lowered.accepts_empty:
            raise
    return GbnfGrammar(
        rules=rules,
        lexemes=lowered.terminals,
        accepts_empty=lowered.accepts_empty,
        rule_names=tuple("" if origin is None else names[origin] for origin in origins),
    )


def load_gbnf_grammar(source: str | os.PathLike[str], *, root: str = "root") -> GbnfGrammar:
    """Compile a grammar given as text, as the path of a .gbnf or .ebnf file, or by the name of a shipped grammar.

    A string is a path if it has one line and no "::=" and ends so. Errors as for ``gbnf_grammar``; OSError if the file
    cannot be read.
    """
    try:
        return gbnf_grammar(read_gbnf(source), root=root)
    except RecursionError as error:
        raise LimitExceededError(
            "the grammar is nested too deeply", limit="Python's recursion limit", given="more"
        ) from error


def read_gbnf(source: str | os.PathLike[str]) -> str:
    """The grammar's text."""
    text = os.fspath(source)
    if is_gbnf_path(source):
        return Path(source).read_text(encoding="utf-8")
    if "::=" in text or "\n" in text:
        return text
    if text not in grammars.shipped_names(".gbnf"):
        known = ", ".join(grammars.shipped_names(".gbnf"))
        raise GrammarSyntaxError(f"neither a GBNF grammar nor a shipped one ({known})", source=text)
    return grammars.source(text, ".gbnf")


def is_gbnf_path(source: str | os.PathLike[str]) -> bool:
    """Is this the path of a GBNF file, rather than a grammar?"""
    if not isinstance(source, str):
        return True
    return source.endswith((".gbnf", ".ebnf")) and "\n" not in source and "::=" not in source


def is_gbnf(source: str | os.PathLike[str]) -> bool:
    """Is this GBNF rather than Lark: such a file's path, a shipped name of that kind alone, or text that begins so?"""
    path = os.fspath(source)
    if path.endswith((".gbnf", ".ebnf")) and "\n" not in path:
        return True
    if _HEADING.match(path):
        return True
    return path in grammars.shipped_names(".gbnf") and path not in grammars.shipped_names()


def _automaton(lexeme: Lexeme) -> bytes | ByteAutomaton:
    if isinstance(lexeme, Literal):
        return lexeme.text.encode()
    if isinstance(lexeme, Words):
        return strings_automaton([text.encode() for text in lexeme.texts])
    automaton = to_utf8(_characters(lexeme))
    digest = hashlib.sha256()
    for array in (automaton.positions, automaton.offsets, automaton.entries):
        digest.update(array.tobytes() + b"|")
    return replace(automaton, key=f"gbnf:{digest.hexdigest()}")


def _characters(node: Node) -> CharAutomaton:
    automaton = CharAutomaton.from_node(to_regex(node))
    if automaton.num_states > _MAX_DETERMINISTIC or any(
        abs(edge.bound) > _MAX_UNFOLDED for edges in automaton.states for edge in edges
    ):
        return automaton
    try:
        return automaton.minimize(limit=_MAX_DETERMINISTIC)
    except LimitExceededError:
        return automaton
