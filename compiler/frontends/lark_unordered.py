"""Lark grammars for unordered lexing, where their language can be said so: to stand inside of structural tags.

Unordered lexing takes a lexeme wherever its automaton matches. Lark's lexers take one match: the first in backtracking
order, of the first terminal that has any. What they do is put into the rules instead:

    lazy terminals     whose first match is always the shortest: an automaton of these matches alone
    keywords           texts that a regex does not match, where they are tried beside it
    boundaries         behind NAME no letter begins the next lexeme, unless something ignored stands between: the
                       rules carry along what the last lexeme forbids to the first byte of the next
    what is ignored    a part of the rules

The third is the product of the rules with an automaton over lexemes (Bar-Hillel, Perles and Shamir 1961): a
nonterminal (p, N, q) for the texts of N that lead from state p to q; a state is the *context* (``lark_rivals``) and
what is forbidden. Where ``lark_boundaries`` cannot tell for certain what the lexer does, or Lark's LALR table leaves
out a part of what the rules say, UnsupportedGrammarError says what and why: nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from grammar_engine.compiler.automaton import ByteAutomaton, literal
from grammar_engine.compiler.errors import LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_boundaries import boundary, first_matches, within, without_first
from grammar_engine.compiler.frontends.lark_lexing import TerminalView
from grammar_engine.compiler.frontends.lark_rivals import START, Context, Rivals
from grammar_engine.compiler.frontends.lark_terminals import TerminalTable
from grammar_engine.compiler.ir import EagerGrammar, Production, Terminal
from grammar_engine.compiler.normalize import NormalizedRules, normalize

MAX_PRODUCTIONS = 20_000
"""Productions of the product; few grammars come near."""
_MAX_PATHS = 400_000
"""Ways through right-hand sides that are looked at before."""
_PLACE = "the Lark grammar"


class UnorderedLarkGrammar(EagerGrammar):
    """A Lark grammar that needs no order of lexing."""


@dataclass(frozen=True)
class _State:
    """Behind some lexemes. context: what is tried. barred: per terminal the first bytes that it may not begin with."""

    context: Context
    barred: tuple[tuple[int, int], ...] = ()


_Outcomes = dict[_State, None]
_Key = tuple[_State, int]


def unordered_grammar(table: TerminalTable, rules: NormalizedRules, rivals: Rivals) -> UnorderedLarkGrammar:
    """The grammar of Lark's language.

    rules: over the terminals of ``table``. Raises UnsupportedGrammarError, LimitExceededError.
    """
    return _Product(table, rules, rivals).grammar()


class _Product:
    def __init__(self, table: TerminalTable, rules: NormalizedRules, rivals: Rivals) -> None:
        self._ignored = table.ignored
        self._start, self._accepts_empty = rules.start, rules.accepts_empty
        self._rules = _in_pairs(rules.rules)
        self._rivals = rivals
        used = {symbol for productions in rules.rules for body in productions for symbol in body if symbol >= 0}
        self._used = [*sorted(used.difference(table.ignored)), *table.ignored]
        self._terminals = list(table.terminals)
        self._views = {number: TerminalView(table.terminals[number]) for number in range(len(table.terminals))}
        for number, terminal in enumerate(table.terminals):
            if self._views[number].is_conditional:
                raise _refused(f"the terminal {terminal.name}, which looks beyond its text", "Leave the assertion out.")
            if terminal.reserved is not None or terminal.longer is not None:
                raise _refused(f"reserved words in the terminal {terminal.name}", "Leave the look-ahead out.")
        for number in self._used:
            self._prepare(number)
        self._follow = _followers(self._rules, self._ignored)
        self._barred: dict[tuple[int, int | None], tuple[tuple[int, int], ...]] = {}
        self._outcomes: dict[_Key, _Outcomes] = {}  # of nonterminals
        self._symbols: dict[object, int] = {}
        self._written: list[list[Production]] = []
        self._made: list[Terminal] = []
        self._count = 0
        self._looked_at = 0

    def _prepare(self, number: int) -> None:
        terminal, view = self._terminals[number], self._views[number]
        if not view.has_choice() or view.prefers_longest():
            return
        automaton = terminal.automaton
        shortest = first_matches(automaton) if isinstance(automaton, ByteAutomaton) else None
        if shortest is None:
            raise _refused(
                f"the terminal {terminal.name}, which prefers neither its longest nor its shortest match for certain",
                "Write it so that a text has one match, or with greedy repetitions only.",
            )
        self._terminals[number] = replace(terminal, automaton=shortest)
        self._views[number] = TerminalView(self._terminals[number])

    # -- what the lexer does ------------------------------------------------------------------------------------------

    def _behind(self, state: _State, terminal: int) -> _State:
        """The state behind a lexeme that is read in a state."""
        if terminal in self._ignored:
            return _State(state.context, self._barred_by(terminal, None))
        return _State(self._rivals.context(terminal), self._barred_by(terminal, state.context.regex_of(terminal)))

    def _barred_by(self, terminal: int, regex: int | None) -> tuple[tuple[int, int], ...]:
        """What a lexeme forbids; regex: that of which it is a keyword there."""
        known = self._barred.get((terminal, regex))
        if known is not None:
            return known
        rivals = [number for number in self._rivals.before.get(terminal, ()) if number != terminal]
        if terminal in self._rivals.own:
            rivals.append(terminal)
        if regex is not None:
            rivals.append(regex)
        view = self._views[terminal]
        found = {}
        for number in rivals:
            rival = self._views[number]
            if number != terminal and not view.first_bytes & rival.first_bytes:
                continue
            found[number] = within(view, rival)
            if number not in (terminal, regex) and found[number].matches and not self._is_keyword(terminal, number):
                raise _refused(
                    f"the terminal {self._name(number)}, which Lark's lexer tries before {self._name(terminal)} and "
                    "which matches the beginning of some of its texts, or is not known not to",
                    'Use parser="earley", or set the two apart.',
                )
        barred: list[tuple[int, int]] = []
        for following in self._follow.get(terminal, ()):
            bits = open_bits = 0
            culprit = terminal
            for number, inside in found.items():
                edge = boundary(inside, self._views[number], self._views[following])
                bits |= edge.barred
                if edge.open & ~edge.barred:
                    open_bits |= edge.open
                    culprit = number
            if open_bits & ~bits:
                raise _refused(
                    f"{self._name(following)} directly behind {self._name(terminal)}: where the one ends and the other "
                    f"begins depends on more than the next character, as {self._name(culprit)} may go on",
                    "Put something between the two that neither can hold, or join them to one terminal.",
                )
            if bits:
                barred.append((following, bits))
        out = self._barred[terminal, regex] = tuple(barred)
        return out

    def _is_keyword(self, terminal: int, regex: int) -> bool:
        return regex in self._terminals[terminal].unless

    def _name(self, terminal: int) -> str:
        return self._terminals[terminal].name

    def _variant(self, state: _State, terminal: int) -> int | None:
        """The symbol of a terminal as it may stand in a state; None if it cannot."""
        barred = dict(state.barred).get(terminal, 0)
        words = [self._text(keyword) for keyword in state.context.keywords(terminal)]
        key = ("terminal", terminal, barred, tuple(words))
        if key in self._symbols:
            symbol = self._symbols[key]
            return None if symbol < 0 else symbol
        made = self._restricted(self._terminals[terminal], barred, words)
        if made is None:
            self._symbols[key] = -1
            return None
        self._symbols[key] = len(self._made)
        self._made.append(made)
        return len(self._made) - 1

    def _text(self, keyword: int) -> bytes:
        text = self._terminals[keyword].automaton
        if not isinstance(text, bytes):
            raise _refused(f"the keyword {self._name(keyword)} with flags", "Write the keyword without flags.")
        return text

    def _restricted(self, terminal: Terminal, barred: int, words: Sequence[bytes]) -> Terminal | None:
        automaton = terminal.automaton
        if isinstance(automaton, bytes):
            if barred >> automaton[0] & 1:
                return None
            return Terminal(name=terminal.name, automaton=automaton)
        assert isinstance(automaton, ByteAutomaton)
        if barred:
            found = without_first(automaton, barred)
            if found is None:
                return None
            automaton = found
        view = TerminalView(Terminal(name=terminal.name, automaton=automaton))
        excluded: list[bytes] = []
        for word in words:
            inside = within(TerminalView(Terminal(name="", automaton=literal(word))), view)
            states = frozenset(state for reached in inside.behind for state in reached)
            if not any(map(view.accepts, states)):
                continue
            if not any(view.moves(state) for state in states):
                raise _refused(
                    f"the keyword {word.decode()!r}, which no longer text of {terminal.name} begins with",
                    'Use parser="earley", which knows no keywords.',
                )
            excluded.append(word)
        return Terminal(name=terminal.name, automaton=automaton, excluded=tuple(excluded))

    # -- the product --------------------------------------------------------------------------------------------------

    def grammar(self) -> UnorderedLarkGrammar:
        begin = _State(self._rivals.context(START))
        self._solve((begin, self._start))
        start = self._nonterminal("start")
        for state in list(self._outcomes[begin, self._start]):
            whole = self._named((begin, self._start), state)
            self._add(start, (whole,))
            for symbol, _ in self._gaps(state):
                self._add(start, (whole, symbol))
        if self._accepts_empty:
            self._add(start, ())
            for symbol, _ in self._gaps(begin):
                self._add(start, (symbol,))
        normalized = normalize(self._written, start, describe=lambda _: "start (as Lark's lexer reads texts)")
        return UnorderedLarkGrammar(
            start=normalized.start,
            rules=normalized.rules,
            terminals=tuple(self._made),
            accepts_empty=normalized.accepts_empty,
        )

    def _solve(self, start: _Key) -> None:
        """Which states each nonterminal may lead to, from where it is asked for: a least fixpoint."""
        self._outcomes[start] = {}
        changed = True
        while changed:
            changed = False
            for key in list(self._outcomes):
                before = len(self._outcomes), len(self._outcomes[key])
                for body in self._rules[key[1]]:
                    for path in self._paths(key[0], body):
                        self._outcomes[key][path[-1]] = None
                changed = changed or before != (len(self._outcomes), len(self._outcomes[key]))

    def _paths(self, state: _State, body: Production) -> list[list[_State]]:
        """The states that a right-hand side may go through, the first one included."""
        paths = [[state]]
        for symbol in body:
            longer: list[list[_State]] = []
            for path in paths:
                longer += ([*path, after] for after in self._after(path[-1], symbol))
            paths = longer
            self._looked_at += len(paths)
            if self._looked_at > _MAX_PATHS:
                raise _too_many()
        return paths

    def _after(self, state: _State, symbol: int) -> list[_State]:
        if symbol < 0:
            return list(self._outcomes.setdefault((state, ~symbol), {}))
        found: _Outcomes = {}
        for before in [state, *self._gap_states(state)]:
            if self._variant(before, symbol) is not None:
                found[self._behind(before, symbol)] = None
        return list(found)

    def _gap_states(self, state: _State) -> list[_State]:
        """The states behind what is ignored from a state on, not less than one lexeme."""
        found: _Outcomes = {}
        todo = [state]
        while todo:
            here = todo.pop()
            for terminal in self._ignored:
                if self._variant(here, terminal) is not None:
                    after = self._behind(here, terminal)
                    if after not in found:
                        found[after] = None
                        todo.append(after)
        return list(found)

    # -- rules --------------------------------------------------------------------------------------------------------

    def _nonterminal(self, key: object) -> int:
        self._symbols[key] = len(self._written)
        self._written.append([])
        return len(self._written) - 1

    def _add(self, nonterminal: int, body: Production) -> None:
        self._count += 1
        if self._count > MAX_PRODUCTIONS:
            raise _too_many()
        self._written[nonterminal].append(body)

    def _named(self, key: _Key, end: _State) -> int:
        """The symbol (p, N, q)."""
        whole = ("rule", *key, end)
        if whole in self._symbols:
            return ~self._symbols[whole]
        number = self._nonterminal(whole)
        for body in self._rules[key[1]]:
            for path in self._paths(key[0], body):
                if path[-1] == end:
                    symbols = [
                        self._named((before, ~symbol), after) if symbol < 0 else self._lexeme(before, symbol, after)
                        for before, symbol, after in zip(path, body, path[1:], strict=False)
                    ]
                    self._add(number, tuple(symbols))
        return ~number

    def _lexeme(self, state: _State, terminal: int, end: _State) -> int:
        """A terminal, and what is ignored before it."""
        whole = ("lexeme", state, terminal, end)
        if whole in self._symbols:
            return ~self._symbols[whole]
        number = self._nonterminal(whole)
        for gap, before in [((), state), *(((symbol,), reached) for symbol, reached in self._gaps(state))]:
            variant = self._variant(before, terminal)
            if variant is not None and self._behind(before, terminal) == end:
                self._add(number, (*gap, variant))
        return ~number

    def _gaps(self, state: _State) -> list[tuple[int, _State]]:
        """What may be ignored from a state on: symbols, and the states behind them."""
        return [(self._gap(state, reached), reached) for reached in self._gap_states(state)]

    def _gap(self, state: _State, end: _State) -> int:
        whole = ("gap", state, end)
        if whole in self._symbols:
            return ~self._symbols[whole]
        number = self._nonterminal(whole)
        for before in [state, *self._gap_states(state)]:
            for terminal in self._ignored:
                variant = self._variant(before, terminal)
                if variant is None or self._behind(before, terminal) != end:
                    continue
                if before == state:
                    self._add(number, (variant,))
                if before in self._gap_states(state):
                    self._add(number, (self._gap(state, before), variant))
        return ~number


def _in_pairs(rules: Sequence[Sequence[Production]]) -> list[list[Production]]:
    """The same rules with right-hand sides of at most two symbols: else the states between them would multiply."""
    out = [list(productions) for productions in rules]
    prefixes: dict[Production, int] = {}

    def prefix(body: Production) -> int:
        if body not in prefixes:
            prefixes[body] = len(out)
            out.append([])
            out[prefixes[body]].append(body if len(body) <= 2 else (~prefix(body[:-1]), body[-1]))
        return prefixes[body]

    for number, productions in enumerate(rules):
        out[number] = [body if len(body) <= 2 else (~prefix(body[:-1]), body[-1]) for body in productions]
    return out


def _followers(rules: Sequence[Sequence[Production]], ignored: Sequence[int]) -> dict[int, list[int]]:
    """Which terminals may stand directly behind each; what is ignored stands everywhere."""
    first: list[set[int]] = [set() for _ in rules]
    last: list[set[int]] = [set() for _ in rules]
    changed = True
    while changed:
        changed = False
        for number, productions in enumerate(rules):
            for body in productions:
                for found, symbol in ((first, body[0]), (last, body[-1])):
                    new = {symbol} if symbol >= 0 else found[~symbol]
                    if not new <= found[number]:
                        found[number] |= new
                        changed = True
    out: dict[int, set[int]] = {}
    everything: set[int] = set(ignored)
    for productions in rules:
        for body in productions:
            everything.update(symbol for symbol in body if symbol >= 0)
            for before, after in pairwise(body):
                for terminal in {before} if before >= 0 else last[~before]:
                    out.setdefault(terminal, set()).update({after} if after >= 0 else first[~after])
    for terminal in everything:
        out.setdefault(terminal, set()).update(ignored)
    for terminal in ignored:
        out[terminal] = set(everything)
    return {terminal: sorted(found) for terminal, found in out.items()}


def _refused(construct: str, advice: str) -> UnsupportedGrammarError:
    return UnsupportedGrammarError(construct, place=_PLACE, advice=f"{advice} Or write the region as GBNF.")


def _too_many() -> LimitExceededError:
    return LimitExceededError(
        "the Lark grammar grows too large where its lexer is written into its rules",
        limit=f"{MAX_PRODUCTIONS} productions",
        given="more",
    )
