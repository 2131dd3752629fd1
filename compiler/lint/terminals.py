"""Terminals that get in each other's way under a lexer that takes the first match, with the shortest overlap.

Where two terminals may stand at one place, Lark's lexer tries them in a fixed order, and what the first one matches the
second never sees:

    shadowed     every text of the second begins with a text of the first: it can never match there
    collision    some text does, and nothing in the grammar says that this is meant (a priority, Lark's keyword rule)

Languages are compared as automata over characters. (interegular, with which Lark compares terminals in strict mode,
takes ``\\w`` and the like for ASCII and knows no look-behind; the tests compare with it where it has an answer.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from grammar_engine.compiler.automaton_algebra import combine, is_possible, shortest
from grammar_engine.compiler.automaton_product import All, Is, Not
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import States
from grammar_engine.compiler.charset import ANY
from grammar_engine.compiler.errors import GrammarEngineError, LimitExceededError
from grammar_engine.compiler.frontends.lark_lexing import TerminalView
from grammar_engine.compiler.frontends.lark_loading import LoadedGrammar
from grammar_engine.compiler.ir import Terminal
from grammar_engine.compiler.lalr import Automaton
from grammar_engine.compiler.lint.findings import Finding, Kind
from grammar_engine.compiler.lint.lark_source import places_of, terminal_label
from grammar_engine.compiler.regex_ast import chars, parse_regex, repeat, seq
from lark.lexer import TerminalDef

_MAX_STATES = 5_000


@dataclass(frozen=True, kw_only=True)
class Clash:
    """Two terminals, by name, the one that is tried first before the other. text: the shortest text of the second that
    begins with one of the first; same: it is one of the first itself. always: all texts of the second begin so.
    """

    first: str
    second: str
    text: str
    same: bool
    always: bool


def rivals(automaton: Automaton, names: Sequence[str], everywhere: Collection[str]) -> frozenset[tuple[str, str]]:
    """Pairs of terminals that may stand at one place; everywhere: those that may stand at all of them."""
    found: set[tuple[str, str]] = set()
    for bits in {automaton.offered(state) for state in range(len(automaton.kernels))}:
        here = {name for number, name in enumerate(names) if bits >> number & 1} | set(everywhere)
        found.update((first, second) for first in here for second in here if first != second)
    return frozenset(found)


class Comparison:
    """The languages of a grammar's terminals, compared in pairs."""

    def __init__(self, loaded: LoadedGrammar) -> None:
        self._definitions = {definition.name: definition for definition in loaded.terminals}
        self._plain: dict[str, States | None] = {}
        self._begun: dict[str, States | None] = {}

    def clash(self, first: str, second: str) -> Clash | None:
        """How the first terminal takes texts from the second; None if it does not, or nobody can tell."""
        begun, mine, yours = self._automaton(first, begun=True), self._automaton(first), self._automaton(second)
        if begun is None or mine is None or yours is None:
            return None
        try:
            same = shortest(combine({0: mine, 1: yours}, All((Is(0), Is(1))), limit=_MAX_STATES))
            text = same or shortest(combine({0: begun, 1: yours}, All((Is(0), Is(1))), limit=_MAX_STATES))
            if text is None:
                return None
            always = not is_possible({0: begun, 1: yours}, All((Not(Is(0)), Is(1))), limit=_MAX_STATES)
        except LimitExceededError:
            return None
        return Clash(first=first, second=second, text=text, same=same is not None, always=always)

    def common(self, first: str, second: str) -> str | None:
        """A shortest text of both; None if there is none, or nobody can tell."""
        mine, yours = self._automaton(first), self._automaton(second)
        if mine is None or yours is None:
            return None
        try:
            return shortest(combine({0: mine, 1: yours}, All((Is(0), Is(1))), limit=_MAX_STATES))
        except LimitExceededError:
            return None

    def _automaton(self, name: str, *, begun: bool = False) -> States | None:
        """A terminal's texts, or (begun) those that begin with one; None if its pattern is beyond automata."""
        known = self._begun if begun else self._plain
        if name not in known:
            try:
                node = parse_regex(self._definitions[name].pattern.to_regexp())
                if begun:
                    node = seq(node, repeat(chars(ANY), 0, None))
                known[name] = CharAutomaton.from_node(node, limit=_MAX_STATES).states
            except GrammarEngineError:
                known[name] = None
        return known[name]


def terminal_findings(
    loaded: LoadedGrammar, terminals: Sequence[Terminal], pairs: frozenset[tuple[str, str]]
) -> Iterator[Finding]:
    """Clashes among terminals in the order in which the lexer tries them; pairs: those that may stand at one place."""
    definitions = {definition.name: definition for definition in loaded.terminals}
    views: dict[str, TerminalView] = {}
    keywords: set[tuple[str, str]] = set()
    order: dict[str, int] = {}
    for terminal in terminals:
        if terminal.name not in definitions:
            continue
        order.setdefault(terminal.name, len(order))
        views.setdefault(terminal.name, TerminalView(terminal))
        keywords.update((terminals[index].name, terminal.name) for index in terminal.unless)
    comparison = Comparison(loaded)
    places = places_of(loaded.source)
    for second in order:
        for first in list(order)[: order[second]]:
            if (first, second) not in pairs or (first, second) in keywords or (second, first) in keywords:
                continue
            if not views[first].competes_with(views[second]):
                continue
            clash = comparison.clash(first, second)
            if clash is None:
                continue
            mine, yours = definitions[first], definitions[second]
            if clash.always or mine.priority == yours.priority:
                line, column = places.get(second) or (loaded.line_of(yours) or 0, 0)
                yield Finding(
                    kind=Kind.SHADOWED if clash.always else Kind.COLLISION,
                    subject=terminal_label(loaded, yours),
                    message=_message(clash, loaded, mine, yours),
                    line=line,
                    column=column or (1 if line else 0),
                    witness=clash.text,
                )


def _message(clash: Clash, loaded: LoadedGrammar, first: TerminalDef, second: TerminalDef) -> str:
    mine, yours = terminal_label(loaded, first), terminal_label(loaded, second)
    because = _reason(first, second)
    if clash.always:
        what = "matches" if clash.same else "matches the beginning of"
        return f"terminal {yours} never matches where {mine} may stand, which {what} each of its texts and {because}"
    if clash.same:
        return f"terminals {mine} and {yours} match the same text where both may stand; {mine} wins: it {because}"
    return f"where both may stand, terminal {mine} matches the beginning of a text of {yours}, and it {because}"


def _reason(first: TerminalDef, second: TerminalDef) -> str:
    """Why one is tried before the other: the first difference in Lark's order."""
    if first.priority != second.priority:
        return f"has the higher priority ({first.priority} against {second.priority})"
    if first.pattern.max_width != second.pattern.max_width:
        return "is tried first because it can match longer texts"
    if len(first.pattern.value) != len(second.pattern.value):
        return "is tried first because its pattern is longer"
    return "is tried first because of its name"
