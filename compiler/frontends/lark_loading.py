"""Lark's own loader, and its complaints in our words.

Lark's grammar language is defined by Lark's loader (imports, %extend and %override, templates, EBNF, terminal
arithmetic), so that loader is used as it is; what comes out are its terminals and plain rules. Nothing here builds a
``lark.Lark``: its lexers and parse tables would cost more than the loading and are not needed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import Any

from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_errors import explain, range_error
from grammar_engine.compiler.frontends.lark_places import GrammarText, Places
from lark import Token, Tree
from lark.exceptions import GrammarError, LarkError
from lark.grammar import Rule
from lark.grammar import Terminal as LarkTerminal
from lark.lexer import TerminalDef
from lark.load_grammar import REPEAT_BREAK_THRESHOLD, Grammar, GrammarBuilder

MAX_PRODUCTS = 8_192
"""Sequences that a part of a rule may be multiplied out to; Lark's loader takes seconds for so many."""
_MANY = 10**12


@dataclass(frozen=True, kw_only=True)
class LoadedGrammar:
    """A Lark grammar after loading: rules are plain (no EBNF, no templates), terminals are regexes and strings.

    imported: path and SHA-256 of each imported file that is not one of Lark's own. path: the main text's file.
    """

    source: str
    path: str | None = None
    start: str
    terminals: Sequence[TerminalDef]
    rules: Sequence[Rule]
    ignore: Sequence[str]
    imported: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> GrammarText:
        """The main text."""
        return GrammarText(text=self.source, path=self.path)

    def line_of(self, terminal: TerminalDef) -> int | None:
        """The line of ``source`` that defines a terminal, if it is defined there (imported ones are not)."""
        offset = _offset_of(terminal, [terminal.name], self.source)
        return self.source.count("\n", 0, offset) + 1 if offset >= 0 else None

    def place_of(self, terminal: TerminalDef) -> str:
        """A terminal's place for error messages: its name (or spelling), and its file and line if known."""
        name = f"terminal {terminal.user_repr()}"
        text, offset = self._located(terminal)
        if offset < 0:
            return name
        file = "" if text.path is None else f"{text.path}, "
        column = offset - text.text.rfind("\n", 0, offset)
        return f"{name}, {file}line {text.text.count(chr(10), 0, offset) + 1}, column {column}"

    def broken(self, terminal: TerminalDef, message: str) -> GrammarSyntaxError:
        """An error in a terminal's pattern. A position that the message tells is within the pattern."""
        text, offset = self._located(terminal)
        raw = terminal.pattern.raw
        name = re.match(r"(?:%\w+[ \t]+)?(\w+)", text.text[offset:]) if offset >= 0 else None
        at = re.search(r" at position (\d+)(?: \(line.*)?$", message)
        where = text.text.find(raw, max(offset, 0)) if raw else -1
        if where >= 0 and at and raw and raw[1:].startswith(terminal.pattern.value):
            offset, message = where + 1 + int(at[1]), message[: at.start()]
        elif offset < 0:
            backwards = range_error(self._texts())
            if backwards is not None:
                return backwards
        return text.error(f"terminal {name[1] if name else terminal.user_repr()}: {message}", offset=max(offset, 0))

    def _located(self, terminal: TerminalDef) -> tuple[GrammarText, int]:
        """The text that defines a terminal, and where; the main one and -1 if none does."""
        texts = self._texts()
        names = Places(texts).spellings(terminal.name)
        found = ((text, _offset_of(terminal, names, text.text)) for text in texts)
        return next((place for place in found if place[1] >= 0), (self.text, -1))

    def _texts(self) -> list[GrammarText]:
        return _texts(self.source, self.path, dict(self.imported))


def _offset_of(terminal: TerminalDef, names: Sequence[str], source: str) -> int:
    """Where a terminal of one of these names is defined in a text; -1 if it is not."""
    head = (
        rf"^[ \t]*((?:%(?:override|extend)[ \t]+)?(?:{'|'.join(map(re.escape, names))})[ \t]*(?:\.[ \t]*-?\d+)?[ \t]*:)"
    )
    found = re.search(head, source, re.MULTILINE)
    raw = terminal.pattern.raw
    if found:
        return found.start(1)
    return source.find(raw) if raw else -1


def load(
    source: str,
    *,
    start: str,
    import_paths: Sequence[str] = (),
    source_path: str | None = None,
    kept: Collection[str] = (),
    made_up: Collection[str] = (),
) -> LoadedGrammar:
    """Load a Lark grammar with everything that it imports.

    source_path: the file that ``source`` came from; relative imports are looked up beside it. kept: terminals that
    are needed though no rule names them. made_up: terminals that need no definition.

    Raises GrammarSyntaxError where Lark refuses the grammar, UnsupportedGrammarError for terminals that are
    declared without a definition.
    """
    builder = GrammarBuilder(import_paths=list(import_paths))
    try:
        builder.load_grammar(source, source_path or "<string>")
        grammar = builder.build()
        _refuse_declared_rules(grammar)
        _refuse_explosions(grammar)
        terminals, rules, ignore = grammar.compile([start], set(kept))
        imported = tuple((str(Path(at).absolute()), of) for at, of in builder.used_files.items() if isinstance(at, str))
        loaded = LoadedGrammar(
            source=source,
            path=source_path,
            start=start,
            terminals=terminals,
            rules=rules,
            ignore=tuple(ignore),
            imported=imported,
        )
        _check_rules(rules)
    except (LarkError, AssertionError, OSError, TypeError) as error:  # (TypeError: a bug in Lark's own error messages)
        explained = explain(error, _texts(source, source_path, builder.used_files))
        if explained is None:
            raise
        raise explained from error
    if not any(rule.origin.name == start for rule in rules):
        raise loaded.text.error(_no_start(start, [str(name) for name, *_ in grammar.rule_defs]))
    _check_defined(loaded, made_up)
    return loaded


def _texts(source: str, path: str | None, used_files: Mapping[Any, str]) -> list[GrammarText]:
    """The main text and those of files that it imports, as far as loading came."""
    texts = [GrammarText(text=source, path=path)]
    paths = [file for file in used_files if isinstance(file, str)]
    texts += [GrammarText(text=Path(file).read_text(encoding="utf-8"), path=file) for file in paths]
    return texts


def _no_start(start: str, names: Sequence[str]) -> str:
    near = get_close_matches(start, names, n=1) or names[:1]
    hint = f"; pass start={near[0]!r}, or rename the rule" if near else ": the grammar has no rules"
    return f"no rule is named {start!r}, the start{hint}"


def _refuse_declared_rules(grammar: Grammar) -> None:
    """``%declare`` is for terminals; Lark fails on rules only later, without words."""
    for name, _, tree, _ in grammar.rule_defs:
        if tree is None:
            raise GrammarError(f"%declare of rule {name}")


def _refuse_explosions(grammar: Grammar) -> None:
    """LimitExceededError for rules that Lark would multiply out to more plain ones than anyone can wait for."""
    for name, _, tree, _ in grammar.rule_defs:
        counts: dict[int, int] = {}
        for subtree in tree.iter_subtrees():  # from the leaves up
            count = counts[id(subtree)] = _alternatives(subtree, counts)
            if count > MAX_PRODUCTS and subtree.data != "expansions":
                raise LimitExceededError(
                    f"rule {name} has too many alternatives when its choices and optional parts are multiplied out; "
                    "move some of them into rules of their own",
                    limit=f"{MAX_PRODUCTS} alternatives",
                    given="more" if count > _MANY else count,
                )


def _alternatives(tree: Tree[Token], counts: Mapping[int, int]) -> int:
    """How many sequences a part of a rule is multiplied out to; what is repeated becomes a rule of its own."""
    parts = [counts[id(part)] if isinstance(part, Tree) else 1 for part in tree.children]
    if tree.data == "expansions":
        return min(sum(parts), _MANY + 1)
    if tree.data == "maybe":
        return parts[0] + 1
    if tree.data == "expansion":
        return min(prod(parts), _MANY + 1)
    if tree.data != "expr":
        return parts[0] if parts else 1
    operator = str(tree.children[1])
    if operator in "?*+":
        return {"?": parts[0] + 1, "*": 2, "+": 1}[operator]
    least, most = int(str(tree.children[2])), int(str(tree.children[-1]))
    if most >= REPEAT_BREAK_THRESHOLD:
        return parts[0]
    return min(sum(int(parts[0] ** count) for count in range(least, most + 1)), _MANY + 1)


def load_unused(
    source: str, *, start: str, import_paths: Sequence[str] = (), source_path: str | None = None
) -> LoadedGrammar:
    """A grammar with the rules and terminals that nothing uses. Nothing is checked: ``load`` has taken it."""
    builder = GrammarBuilder(import_paths=list(import_paths))
    builder.load_grammar(source, source_path or "<string>")
    grammar = builder.build()
    plain = [name for name, parameters, _, _ in grammar.rule_defs if not parameters]
    terminals, rules, ignore = grammar.compile([start, *plain], "*")
    return LoadedGrammar(source=source, start=start, terminals=terminals, rules=rules, ignore=tuple(ignore))


def _check_rules(rules: Sequence[Rule]) -> None:
    """What Lark's parsers check first. (Its GrammarAnalyzer goes on to FIRST and FOLLOW sets, which take seconds.)"""
    duplicates = [rule for rule, count in Counter(rules).items() if count > 1]
    if duplicates:
        raise GrammarError(f"Rules defined twice: {', '.join(str(rule) for rule in duplicates)}")
    origins = {rule.origin for rule in rules}
    for rule in rules:
        for symbol in rule.expansion:
            if not symbol.is_term and symbol not in origins:
                raise GrammarError(f"Using an undefined rule: {symbol}")


def _check_defined(loaded: LoadedGrammar, made_up: Collection[str]) -> None:
    defined = {terminal.name for terminal in loaded.terminals}.union(made_up)
    for rule in loaded.rules:
        for symbol in rule.expansion:
            if isinstance(symbol, LarkTerminal) and symbol.name not in defined:
                raise UnsupportedGrammarError(
                    f"the terminal {symbol.name}, declared without a definition,",
                    place=_place_of_declaration(symbol.name, loaded) + f"used in rule {rule.origin.name}",
                    advice="Define it, leave it out, or pass the postlexer that makes it up.",
                )
    for name in loaded.ignore:
        if name not in defined:
            raise loaded.text.error(f"%ignore of {name}, which is not defined")


def _place_of_declaration(name: str, loaded: LoadedGrammar) -> str:
    found = re.search(rf"^[ \t]*%declare\b.*?\b({re.escape(name)})\b", loaded.source, re.MULTILINE)
    if not found:
        return ""
    before = loaded.source[: found.start(1)]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    file = "" if loaded.path is None else f"{loaded.path}, "
    return f"{file}line {line}, column {column}; "
