"""Lark's Indenter: its settings, and the terminals that a grammar with indentation has.

A postlexer is code, and only the Indenter's is known here: an instance or subclass of ``lark.indenter.Indenter`` that
leaves its methods as they are. What it makes of newlines is done by the parser (kernels.table_parser).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from inspect import isabstract

from grammar_engine.compiler.automaton import ByteAutomaton, literal
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_terminals import TerminalTable
from grammar_engine.compiler.ir import Layout, Terminal
from grammar_engine.compiler.layout import COLUMNS, by_column
from lark.indenter import Indenter, PythonIndenter

_METHODS = ("handle_NL", "_process", "process", "always_accept")


@dataclass(frozen=True, kw_only=True)
class Indentation:
    """An Indenter's settings, as hashable values."""

    newline: str
    opens: tuple[str, ...]
    closes: tuple[str, ...]
    indent: str
    dedent: str
    tab_len: int


def indentation_of(postlex: object) -> Indentation:
    """The settings of an Indenter, given as instance or class, or "python" for Lark's PythonIndenter.

    Raises UnsupportedGrammarError for any other postlexer.
    """
    if postlex == "python":
        postlex = PythonIndenter
    kind = postlex if isinstance(postlex, type) else type(postlex)
    if (
        not issubclass(kind, Indenter)
        or isabstract(kind)
        or any(getattr(kind, name) is not getattr(Indenter, name) for name in _METHODS)
    ):
        raise UnsupportedGrammarError(
            f"postlex={postlex!r}",
            place="options",
            advice="Pass a subclass of lark.indenter.Indenter that sets its fields only, or leave it out.",
        )
    settings = kind() if isinstance(postlex, type) else postlex
    return Indentation(
        newline=str(settings.NL_type),  # type: ignore[attr-defined]  # fields of every Indenter
        opens=tuple(settings.OPEN_PAREN_types),  # type: ignore[attr-defined]
        closes=tuple(settings.CLOSE_PAREN_types),  # type: ignore[attr-defined]
        indent=str(settings.INDENT_type),  # type: ignore[attr-defined]
        dedent=str(settings.DEDENT_type),  # type: ignore[attr-defined]
        tab_len=int(settings.tab_len),  # type: ignore[attr-defined]
    )


def with_layout(table: TerminalTable, indentation: Indentation) -> tuple[TerminalTable, Layout]:
    """The terminals with those that no text stands for, and newlines by column; and what they mean."""
    if indentation.newline not in table.ids:
        raise GrammarSyntaxError(f"the newline terminal {indentation.newline} of the postlexer is not defined")
    (newline,) = table.ids[indentation.newline]
    terminal = table.terminals[newline]
    automaton = terminal.automaton if isinstance(terminal.automaton, ByteAutomaton) else None
    if isinstance(terminal.automaton, bytes):
        automaton = literal(terminal.automaton)
    if automaton is not None and (automaton.conditions or table.behind):
        raise UnsupportedGrammarError(
            "indentation in a grammar with look-behinds before a terminal's own text"
            if table.behind
            else "indentation after a newline terminal that looks ahead beyond its text",
            place=f"terminal {indentation.newline}",
            advice="Leave the assertions out.",
        )
    columns = None if automaton is None else by_column(automaton, indentation.tab_len)
    if columns is None or newline in table.ignored:
        raise UnsupportedGrammarError(
            "indentation after a newline terminal that may not go on with another line feed",
            place=f"terminal {indentation.newline}",
            advice="Let it repeat, as in (/\\r?\\n[\\t ]*/ | COMMENT)+, so that a line feed may follow a comment.",
        )
    terminals = list(table.terminals)
    terminals[newline] = replace(terminal, automaton=columns)
    ids = dict(table.ids)
    for name in (indentation.indent, indentation.dedent):
        if name in ids:
            raise UnsupportedGrammarError(
                f"the terminal {name} of the postlexer, which the grammar defines itself,",
                place=f"terminal {name}",
                advice="Only %declare it.",
            )
        ids[name] = (len(terminals),)
        terminals.append(Terminal(name=name, automaton=b""))
    layout = Layout(
        newline=newline,
        indent=ids[indentation.indent][0],
        dedent=ids[indentation.dedent][0],
        opens=tuple(index for name in indentation.opens for index in ids.get(name, ())),
        closes=tuple(index for name in indentation.closes for index in ids.get(name, ())),
        tab_len=indentation.tab_len,
        columns=COLUMNS,
    )
    return replace(table, terminals=tuple(terminals), ids=ids), layout
