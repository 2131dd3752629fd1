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
from math import prod
from pathlib import Path

from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsupportedGrammarError
from lark import Token, Tree
from lark.exceptions import GrammarError, LarkError, UnexpectedInput, VisitError
from lark.grammar import Rule
from lark.grammar import Terminal as LarkTerminal
from lark.lexer import TerminalDef
from lark.load_grammar import REPEAT_BREAK_THRESHOLD, Grammar, GrammarBuilder, _parse_grammar

MAX_PRODUCTS = 8_192
"""Sequences that a part of a rule may be multiplied out to; Lark's loader takes seconds for so many."""
_MANY = 10**12
_PLACE = re.compile(r"line (\d+),? column (\d+)")


@dataclass(frozen=True, kw_only=True)
class LoadedGrammar:
    """A Lark grammar after loading: rules are plain (no EBNF, no templates), terminals are regexes and strings.

    imported: path and SHA-256 of each imported file that is not one of Lark's own.
    """

    source: str
    start: str
    terminals: Sequence[TerminalDef]
    rules: Sequence[Rule]
    ignore: Sequence[str]
    imported: tuple[tuple[str, str], ...] = ()

    def line_of(self, terminal: TerminalDef) -> int | None:
        """The line of ``source`` that defines a terminal, if it is defined there (imported ones are not)."""
        offset = self._offset_of(terminal)
        return self.source.count("\n", 0, offset) + 1 if offset >= 0 else None

    def _offset_of(self, terminal: TerminalDef) -> int:
        """Where a terminal is defined in ``source``; -1 if it is not."""
        name = re.escape(terminal.name)
        head = rf"^[ \t]*((?:%(?:override|extend)[ \t]+)?{name}[ \t]*(?:\.[ \t]*-?\d+)?[ \t]*:)"
        found = re.search(head, self.source, re.MULTILINE)
        raw = terminal.pattern.raw
        if found:
            return found.start(1)
        return self.source.find(raw) if raw else -1

    def place_of(self, terminal: TerminalDef) -> str:
        """A terminal's place for error messages: its name (or spelling), and its line if known."""
        offset = self._offset_of(terminal)
        name = f"terminal {terminal.user_repr()}"
        if offset < 0:
            return name
        column = offset - self.source.rfind("\n", 0, offset)
        return f"{name}, line {self.line_of(terminal)}, column {column}"


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
    try:
        builder = GrammarBuilder(import_paths=list(import_paths))
        builder.load_grammar(source, source_path or "<string>")
        grammar = builder.build()
        _refuse_explosions(grammar)
        terminals, rules, ignore = grammar.compile([start], set(kept))
        imported = tuple((str(Path(at).absolute()), of) for at, of in builder.used_files.items() if isinstance(at, str))
        loaded = LoadedGrammar(
            source=source, start=start, terminals=terminals, rules=rules, ignore=tuple(ignore), imported=imported
        )
        if not any(rule.origin.name == start for rule in rules):
            raise GrammarSyntaxError(f"no rule is named {start!r}, the start", source=source)
        _check_rules(rules)
    except (LarkError, AssertionError, OSError) as error:
        raise syntax_error(error, source) from error
    _check_defined(loaded, made_up)
    return loaded


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
                    place=f"rule {rule.origin.name}",
                    advice="Define it, leave it out, or pass the postlexer that makes it up.",
                )
    for name in loaded.ignore:
        if name not in defined:
            raise GrammarSyntaxError(f"%ignore of {name}, which is not defined", source=loaded.source)


def syntax_error(error: Exception, source: str) -> GrammarSyntaxError:
    """One of Lark's exceptions as ours; line and column are kept where Lark tells them and they are in ``source``."""
    cause: Exception = error.orig_exc if isinstance(error, VisitError) else error
    if isinstance(cause, OSError):
        return _import_error(cause, source)
    text = str(cause) or type(cause).__name__
    found = None
    if isinstance(cause, UnexpectedInput):
        line, column = cause.line, cause.column
        token = getattr(cause, "token", None)
        text = f"unexpected {str(token)!r}" if token is not None else "unexpected input"
    else:
        found = _PLACE.search(text)
        if found:
            line, column = int(found[1]), int(found[2])
            text = text[: found.start()].removesuffix(" at ").rstrip(" ,")
        else:
            line, column = _place_of_name(text, source)
            text = " ".join(text.split("\n\n")[0].split())
    if found and not _is_in_main_source(source):
        return GrammarSyntaxError(f"in an imported grammar: {text}", line=line, column=column)
    return GrammarSyntaxError(text, source=source, line=max(line, 1), column=max(column, 1))


def _place_of_name(message: str, source: str) -> tuple[int, int]:
    """Where the name that a message quotes first stands in the source: the best place where Lark tells none."""
    quoted = re.search(r"'([A-Za-z_]\w*)'|<([A-Za-z_]\w*) :", message)
    found = re.search(rf"(?<!\w){quoted[1] or quoted[2]}(?!\w)", source) if quoted else None
    if not found:
        return 1, 1
    return source.count("\n", 0, found.start()) + 1, found.start() - source.rfind("\n", 0, found.start())


def _import_error(error: OSError, source: str) -> GrammarSyntaxError:
    missing = str(error.filename or error)
    name = missing.removesuffix(".lark").replace("/", ".").replace("\\", ".")
    found = re.search(rf"^%import[ \t]+\.?{re.escape(name)}", source, re.MULTILINE)
    line = source.count("\n", 0, found.start()) + 1 if found else 1
    return GrammarSyntaxError(f"cannot import {name!r}: no such grammar", source=source, line=line)


def _is_in_main_source(source: str) -> bool:
    """Does the complaint concern ``source`` itself, not a grammar that it imports?"""
    try:
        _parse_grammar(source, "<string>")  # type: ignore[no-untyped-call]
    except LarkError:
        return True
    return False
