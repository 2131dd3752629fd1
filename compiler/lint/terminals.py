"""Terminals that get in each other's way under a lexer that takes the first match, with the shortest overlap.

Where two terminals may stand at one place, Lark's lexer tries them in a fixed order, and what the first one matches the
second never sees:

    shadowed     every text of the second begins with a text of such a first one, wherever it may stand
    collision    some text does, and nothing in the grammar says that this is meant (a priority, Lark's keyword rule)

Languages are compared as automata over characters. (interegular, with which Lark compares terminals in strict mode,
takes ``\\w`` and the like for ASCII and knows no look-behind; the tests compare with it where it has an answer.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from grammar_engine.compiler.lalr import Automaton, members
from grammar_engine.compiler.lint.findings import Finding, Kind
from grammar_engine.compiler.lint.lark_source import places_of, terminal_label
from grammar_engine.compiler.regex_ast import chars, parse_regex, repeat, seq
from lark.lexer import TerminalDef

_MAX_STATES = 5_000
_MAX_CONFIRMED = 12
"""States of which it is asked whether two terminals really meet there."""


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


class Meetings:
    """In which parser states terminals may stand.

    everywhere: terminals that are tried in all of them. confirm: says of a state which terminals really may stand
    behind some text that leads there (None: nobody can tell); without it the state's look-aheads are believed, which
    is what Lark's contextual lexer does.
    """

    def __init__(
        self,
        automaton: Automaton,
        names: Sequence[str],
        everywhere: Collection[str],
        confirm: Callable[[int], frozenset[str] | None] | None,
    ) -> None:
        self._everywhere = frozenset(everywhere)
        self._confirm = confirm
        self._states: dict[str, set[int]] = {name: set() for name in (*names, *everywhere)}
        self._all = frozenset(range(len(automaton.kernels)))
        for state in self._all:
            for terminal in members(automaton.offered(state)):
                if terminal < len(names):
                    self._states[names[terminal]].add(state)

    def of(self, name: str) -> frozenset[int]:
        """The states in which a terminal may stand."""
        return self._all if name in self._everywhere else frozenset(self._states.get(name, ()))

    def between(self, first: str, second: str) -> frozenset[int]:
        """The states in which both may stand; none if that could not be confirmed of any."""
        both = self.of(first) & self.of(second)
        if self._confirm is None or not both:
            return both
        for state in sorted(both)[:_MAX_CONFIRMED]:
            seen = self._confirm(state)
            if seen is not None and {first, second} - self._everywhere <= seen:
                return both
        return frozenset()


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


def terminal_findings(loaded: LoadedGrammar, terminals: Sequence[Terminal], meetings: Meetings) -> Iterator[Finding]:
    """Clashes among terminals in the order in which the lexer tries them.

    What a terminal of higher priority takes is meant to be taken, unless it takes all of a terminal wherever that may
    stand.
    """
    definitions = {definition.name: definition for definition in loaded.terminals}
    views: dict[str, TerminalView] = {}
    keywords: set[tuple[str, str]] = set()
    for terminal in terminals:
        if terminal.name in definitions:
            views.setdefault(terminal.name, TerminalView(terminal))
            keywords.update((terminals[index].name, terminal.name) for index in terminal.unless)
    comparison = Comparison(loaded)
    order = list(views)
    for place, second in enumerate(order):
        left = set(meetings.of(second))  # where it may stand and still match
        found: list[Clash] = []
        for first in order[:place]:
            if (first, second) in keywords or (second, first) in keywords:
                continue
            if not views[first].competes_with(views[second]) or not meetings.of(first) & meetings.of(second):
                continue
            clash = comparison.clash(first, second)
            both = meetings.between(first, second) if clash else frozenset()
            if clash and both:
                found.append(clash)
                if clash.always:
                    left -= both
        always = [clash for clash in found if clash.always]
        if always and not left:
            yield _finding(loaded, Kind.SHADOWED, always[0], definitions)
        else:
            for clash in found:
                if definitions[clash.first].priority == definitions[second].priority:
                    yield _finding(loaded, Kind.COLLISION, clash, definitions)


def _finding(loaded: LoadedGrammar, kind: Kind, clash: Clash, definitions: Mapping[str, TerminalDef]) -> Finding:
    mine, yours = definitions[clash.first], definitions[clash.second]
    line, column = places_of(loaded.source).get(clash.second) or (loaded.line_of(yours) or 0, 0)
    return Finding(
        kind=kind,
        subject=terminal_label(loaded, yours),
        message=_message(kind, clash, loaded, mine, yours),
        line=line,
        column=column or (1 if line else 0),
        witness=clash.text,
    )


def _message(kind: Kind, clash: Clash, loaded: LoadedGrammar, first: TerminalDef, second: TerminalDef) -> str:
    mine, yours = terminal_label(loaded, first), terminal_label(loaded, second)
    because = _reason(first, second)
    what = "matches" if clash.same else "matches the beginning of"
    if kind is Kind.SHADOWED:
        return f"terminal {yours} never matches: wherever it may stand, {mine} {what} each of its texts and {because}"
    if clash.always:
        return f"where both may stand, terminal {mine} {what} each text of {yours}, and it {because}"
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
