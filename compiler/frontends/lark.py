"""Lark grammars: Lark's own loader, our automata.

    source → lark_loading (Lark's terminals and plain rules) → normalize (ε-free) → ir.EagerGrammar
                                                     terminals → lark_terminals (order, keywords, automata)

What carries over from Lark, and what does not:

- ``parser="auto"``: the LALR parser with the contextual lexer where Lark can build it, else Earley with the dynamic
  lexer. (Lark's own default is Earley.)
- LALR. Lark's own table is followed (``lark_table``), so conflicts are resolved, and terminals offered to the lexer, as
  Lark does it.
- Lexers: the contextual lexer is ``Lexing.LEFTMOST``, and so is the basic lexer, which tries all terminals everywhere;
  dynamic and dynamic_complete are ``Lexing.ONE_BY_ONE``. Where ``lark_lexing`` finds that a simpler way of lexing gives
  the same language, that is taken.
- Indentation: ``postlex`` is an Indenter (``lark_indentation``), with LALR.
- Trees do not matter: ``?rule``, ``!rule``, ``->``, ``[x]`` placeholders and priorities between Earley's derivations
  change the tree, not the language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.errors import GrammarSyntaxError, LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_indentation import Indentation, indentation_of, with_layout
from grammar_engine.compiler.frontends.lark_lexing import (
    TerminalView,
    all_tokenizations,
    compete,
)
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar, load
from grammar_engine.compiler.frontends.lark_patterns import Patterns
from grammar_engine.compiler.frontends.lark_source import LarkGrammar, LarkSource
from grammar_engine.compiler.frontends.lark_table import NotLalrError, derives_empty, lalr_table
from grammar_engine.compiler.frontends.lark_terminals import TerminalTable, ordered_table, plain_table, unordered_table
from grammar_engine.compiler.ir import Lexing, Production, Terminal
from grammar_engine.compiler.normalize import normalize
from lark.grammar import NonTerminal

_RELATIVE_IMPORT = re.compile(r"%import\s+\.")
LEXERS = {
    "lalr": ("contextual", "basic"),
    "earley": ("dynamic", "basic", "dynamic_complete"),
    "cyk": ("basic",),
    "glr": ("contextual",),
}


def lark_grammar(
    source: str,
    *,
    start: str = "start",
    parser: str = "auto",
    lexer: str = "auto",
    postlex: object | None = None,
    g_regex_flags: int = 0,
    regex: bool = False,
    import_paths: Sequence[str] = (),
    source_path: str | None = None,
) -> LarkGrammar:
    """Compile a Lark grammar; the options are those of ``lark.Lark``.

    source: the grammar's text. source_path: the file that it came from, beside which relative imports are found.
    parser: "auto", "lalr", "earley", "cyk" or "glr".
    lexer: "auto", "contextual", "basic", "dynamic" or "dynamic_complete".
    postlex: an Indenter (see ``lark_indentation``). g_regex_flags: flags for every terminal. regex: patterns are
    those of the package regex, not of ``re`` (see ``lark_patterns``).

    Raises GrammarSyntaxError where Lark refuses the grammar, UnsupportedGrammarError for what the engine cannot
    follow exactly, UnsatisfiableGrammarError if no text matches.
    """
    check_options(parser, lexer)
    patterns = Patterns(flags=int(g_regex_flags), regex=regex)
    indentation = None if postlex is None else indentation_of(postlex)
    kept = () if indentation is None else (indentation.newline,)
    made_up = () if indentation is None else (indentation.indent, indentation.dedent)
    loaded = load(source, start=start, import_paths=import_paths, source_path=source_path, kept=kept, made_up=made_up)
    if parser in ("auto", "lalr") and lexer in ("auto", "contextual", "basic"):
        try:
            return _lalr_grammar(loaded, lexer, patterns, indentation)
        except NotLalrError:
            if parser == "lalr" or lexer == "contextual":
                raise
    if indentation is not None:
        raise UnsupportedGrammarError(
            f"a postlexer with parser={parser!r}", place="options", advice="Use parser='lalr'."
        )
    return _general_grammar(loaded, "earley" if parser in ("auto", "lalr") else parser, lexer, patterns)


def _lalr_grammar(
    loaded: LoadedGrammar, lexer: str, patterns: Patterns, indentation: Indentation | None
) -> LarkGrammar:
    """The grammar that follows Lark's table; raises NotLalrError if there is none."""
    table = ordered_table(loaded, patterns)
    layout = None
    if indentation is not None:
        table, layout = with_layout(table, indentation)
    parse_table, names = lalr_table(loaded, table, basic=lexer == "basic", layout=layout)
    return LarkGrammar(
        start=0,
        rules=(),
        terminals=table.terminals,
        lexing=Lexing.LEFTMOST,
        accepts_empty=derives_empty(loaded),
        ignored=table.ignored,
        behind=table.behind,
        table=parse_table,
        rule_names=names,
        imported=loaded.imported,
        parser="lalr",
        lexer="contextual" if lexer == "auto" else lexer,
    )


def _general_grammar(loaded: LoadedGrammar, parser: str, lexer: str, patterns: Patterns) -> LarkGrammar:
    """The grammar of everything that the rules derive."""
    if parser == "cyk":
        refuse_empty_rules(loaded)
    if lexer == "auto":
        lexer = LEXERS[parser][0]
    lexing, table, everywhere = _choose_lexing(loaded, lexer, patterns, split_words=parser != "glr")
    rules, names = plain_rules(loaded, table)
    normalized = normalize(rules, 0, describe=lambda nonterminal: names[nonterminal])
    return LarkGrammar(
        start=normalized.start,
        rules=normalized.rules,
        terminals=table.terminals,
        lexing=lexing,
        accepts_empty=normalized.accepts_empty,
        ignored=table.ignored,
        behind=table.behind,
        tried=tuple(range(len(table.terminals))) if everywhere else (),
        rule_names=tuple("" if origin is None else names[origin] for origin in normalized.origins),
        imported=loaded.imported,
        parser=parser,
        lexer=lexer,
    )


def load_lark_grammar(source: LarkSource) -> LarkGrammar:
    """Compile a grammar that has been read. Options and errors as for ``lark_grammar``.

    The last ones are remembered, for other vocabularies, if they depend on nothing but their text.
    """
    if source.path is None and isinstance(source.postlex, str | None) and not _RELATIVE_IMPORT.search(source.text):
        return _remembered(source)
    return _loaded(source)


def _loaded(source: LarkSource) -> LarkGrammar:
    try:
        return lark_grammar(
            source.text,
            start=source.start,
            parser=source.parser,
            lexer=source.lexer,
            postlex=source.postlex,
            source_path=source.path,
        )
    except RecursionError as error:
        raise LimitExceededError(
            "the grammar is nested too deeply", limit="Python's recursion limit", given="more"
        ) from error


_remembered = lru_cache(maxsize=32)(_loaded)


def check_options(parser: str, lexer: str) -> None:
    """Raise UnsupportedGrammarError for what is no option, or no lexer of that parser."""
    if parser not in ("auto", *LEXERS):
        raise UnsupportedGrammarError(
            f"parser={parser!r}", place="options", advice=f"Use one of {sorted(('auto', *LEXERS))}."
        )
    allowed = {name for known, names in LEXERS.items() if parser in ("auto", known) for name in names}
    if lexer != "auto" and lexer not in allowed:
        raise UnsupportedGrammarError(
            f"lexer={lexer!r} with parser={parser!r}", place="options", advice=f"Use one of {sorted(allowed)}."
        )


def refuse_empty_rules(loaded: LoadedGrammar) -> None:
    """As Lark does it with parser="cyk": GrammarSyntaxError."""
    for rule in loaded.rules:
        if not rule.expansion:
            raise GrammarSyntaxError(f"parser='cyk' allows no empty rules, and {rule.origin.name} can be empty")


def _choose_lexing(
    loaded: LoadedGrammar, lexer: str, patterns: Patterns, *, split_words: bool
) -> tuple[Lexing, TerminalTable, bool]:
    """The engine's lexer that gives the language of Lark's, and whether all terminals are tried everywhere."""
    if lexer == "contextual":
        return Lexing.LEFTMOST, ordered_table(loaded, patterns, split_words=split_words), False
    if lexer == "basic":
        table = plain_table(loaded, patterns)
        if table.behind or compete([TerminalView(terminal) for terminal in table.terminals]):
            return Lexing.LEFTMOST, ordered_table(loaded, patterns), True
        return Lexing.LEFTMOST, table, False
    table = unordered_table(loaded, patterns)
    views = [TerminalView(terminal) for terminal in table.terminals]
    if not table.behind and all_tokenizations(views, table.ignored, complete=lexer == "dynamic_complete"):
        return Lexing.UNORDERED, table, False
    if lexer == "dynamic_complete":
        return Lexing.ONE_BY_ONE, _with_all_matches(table), False
    return Lexing.ONE_BY_ONE if table.behind or compete(views) else Lexing.LEFTMOST, table, False


def _with_all_matches(table: TerminalTable) -> TerminalTable:
    """The terminals of dynamic_complete. (What is ignored has one match only.)"""
    terminals: list[Terminal] = []
    for number, terminal in enumerate(table.terminals):
        automaton = terminal.automaton
        if number in table.ignored or not isinstance(automaton, ByteAutomaton):
            terminals.append(terminal)
            continue
        if automaton.conditions or automaton.starts:
            raise UnsupportedGrammarError(
                "lexer='dynamic_complete' with a terminal that looks beyond its text",
                place=f"terminal {terminal.name}",
                advice="Use lexer='dynamic', or leave the assertion out.",
            )
        terminals.append(replace(terminal, automaton=replace(automaton, key=""), all_matches=True))
    return replace(table, terminals=tuple(terminals))


def plain_rules(loaded: LoadedGrammar, table: TerminalTable) -> tuple[list[list[Production]], list[str]]:
    """Lark's rules as plain productions, the start first; productions that need a lost terminal are left out."""
    number = {loaded.start: 0}
    names = [loaded.start]
    for rule in loaded.rules:
        if rule.origin.name not in number:
            number[rule.origin.name] = len(names)
            names.append(rule.origin.name)
    rules: list[list[Production]] = [[] for _ in names]
    choices: dict[str, int] = {}  # terminals that stand for several ids, as nonterminals

    def symbol_of(name: str, is_rule: bool) -> int:
        if is_rule:
            return ~number[name]
        ids = table.ids[name]
        if len(ids) == 1:
            return ids[0]
        if name not in choices:
            choices[name] = len(rules)
            rules.append([(index,) for index in ids])
            names.append(name)
        return ~choices[name]

    for rule in loaded.rules:
        symbols = [(symbol.name, isinstance(symbol, NonTerminal)) for symbol in rule.expansion]
        if any(not is_rule and table.lost.intersection(table.ids[name]) for name, is_rule in symbols):
            continue
        rules[number[rule.origin.name]].append(tuple(symbol_of(name, is_rule) for name, is_rule in symbols))
    return rules, names
