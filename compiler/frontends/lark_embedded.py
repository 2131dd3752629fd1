"""Lark grammars inside of other grammars: as ``lark.lark_grammar`` reads them, for unordered lexing."""

from __future__ import annotations

from grammar_engine.compiler.errors import LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark import LEXERS, check_options, plain_rules, refuse_empty_rules
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar, load
from grammar_engine.compiler.frontends.lark_patterns import Patterns
from grammar_engine.compiler.frontends.lark_rivals import Rivals, alternation, one_by_one
from grammar_engine.compiler.frontends.lark_table import NotLalrError, conflicts_of, lalr_table
from grammar_engine.compiler.frontends.lark_terminals import TerminalTable, ordered_table, unordered_table
from grammar_engine.compiler.frontends.lark_unordered import UnorderedLarkGrammar, unordered_grammar
from grammar_engine.compiler.normalize import normalize


def embedded_lark_grammar(
    source: str, *, start: str = "start", parser: str = "auto", lexer: str = "auto"
) -> UnorderedLarkGrammar:
    """The texts that ``lark.Lark`` accepts, as a grammar whose lexing is unordered. Options as for ``lark_grammar``.

    Raises GrammarSyntaxError, UnsatisfiableGrammarError, LimitExceededError; UnsupportedGrammarError where this is not
    known to be possible exactly (see ``lark_unordered``).
    """
    check_options(parser, lexer)
    if parser == "glr":
        raise UnsupportedGrammarError(
            "parser='glr' inside of another grammar", place="options", advice="Use parser='lalr' or 'earley'."
        )
    patterns = Patterns()
    try:
        loaded = load(source, start=start)
        if parser in ("auto", "lalr") and lexer in ("auto", "contextual", "basic"):
            try:
                return _lalr(loaded, lexer, patterns)
            except NotLalrError:
                if parser == "lalr" or lexer == "contextual":
                    raise
        return _general(loaded, "earley" if parser in ("auto", "lalr") else parser, lexer, patterns)
    except RecursionError as error:
        raise LimitExceededError(
            "the grammar is nested too deeply", limit="Python's recursion limit", given="more"
        ) from error


def _lalr(loaded: LoadedGrammar, lexer: str, patterns: Patterns) -> UnorderedLarkGrammar:
    table = _alternation_table(loaded, patterns)
    basic = lexer == "basic"
    parse_table, _ = lalr_table(loaded, table, basic=basic, layout=None)
    lost = {name for name, ids in table.ids.items() if table.lost.issuperset(ids)}
    conflicts = conflicts_of(loaded, lost)
    if conflicts:
        raise UnsupportedGrammarError(
            f"a conflict that Lark's LALR table decides with {conflicts[0]} ahead",
            place="the Lark grammar",
            advice='Use parser="earley", or write the rules without it.',
        )
    rivals = alternation(table.terminals, table.ignored, None if basic else parse_table, table.lost)
    return _unordered(loaded, table, rivals)


def _general(loaded: LoadedGrammar, parser: str, lexer: str, patterns: Patterns) -> UnorderedLarkGrammar:
    if parser == "cyk":
        refuse_empty_rules(loaded)
    if lexer == "auto":
        lexer = LEXERS[parser][0]
    if lexer == "basic":
        table = _alternation_table(loaded, patterns)
        rivals = alternation(table.terminals, table.ignored, None, table.lost)
    else:
        table = unordered_table(loaded, patterns)
        rivals = one_by_one(table.terminals, table.ignored, complete=lexer == "dynamic_complete")
    return _unordered(loaded, table, rivals)


def _alternation_table(loaded: LoadedGrammar, patterns: Patterns) -> TerminalTable:
    table = ordered_table(loaded, patterns)
    for name, ids in table.ids.items():
        if len(ids) > 1:
            raise UnsupportedGrammarError(
                f"the keyword {name}, whose flags are not those of the regex that matches it",
                place="the Lark grammar",
                advice="Give both the same flags, or use parser='earley'.",
            )
    return table


def _unordered(loaded: LoadedGrammar, table: TerminalTable, rivals: Rivals) -> UnorderedLarkGrammar:
    if table.behind:
        raise UnsupportedGrammarError(
            "a terminal that looks behind itself", place="the Lark grammar", advice="Leave the assertion out."
        )
    rules, names = plain_rules(loaded, table)
    normalized = normalize(rules, 0, describe=lambda nonterminal: names[nonterminal])
    return unordered_grammar(table, normalized, rivals)
