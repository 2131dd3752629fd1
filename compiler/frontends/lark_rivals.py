"""What Lark's lexer may make of a place where a terminal stands: which terminals it tries before that one, and where.

Contextual lexers try what the parser's state offers, so that it matters behind which terminal a place is: behind ``=``
only names are expected, where a statement begins names and keywords. A keyword that is tried beside its regex is one of
its matches and wins (see ``lark_terminals``); beside no regex it is a literal like others. A *context* says which is
the case behind a terminal. Where that does not follow from the terminal alone, UnsupportedGrammarError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.ir import ParseTable, Terminal

START = -1
"""Instead of a terminal: the beginning of the text."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """keyword_of: per keyword that is tried as a match of a regex, that regex. keywords: per regex its keywords."""

    keyword_of: tuple[tuple[int, int], ...] = ()

    def regex_of(self, keyword: int) -> int | None:
        """The regex of which a keyword is a match here."""
        return dict(self.keyword_of).get(keyword)

    def keywords(self, regex: int) -> list[int]:
        """The keywords that a regex loses its matches to here."""
        return [keyword for keyword, of in self.keyword_of if of == regex]


@dataclass(kw_only=True)
class Rivals:
    """before: per terminal those that are tried before it somewhere. own: does its own longer match count?

    contexts: behind each terminal, and at the START. The context behind an ignored terminal is the one before it.
    """

    before: Mapping[int, frozenset[int]] = field(default_factory=dict)
    own: frozenset[int] = frozenset()
    contexts: Mapping[int, Context] = field(default_factory=dict)

    def context(self, terminal: int) -> Context:
        """The context behind a terminal."""
        return self.contexts.get(terminal, Context())


def one_by_one(terminals: Sequence[Terminal], ignored: Sequence[int], *, complete: bool) -> Rivals:
    """Of Lark's dynamic lexers: every terminal is tried by itself. complete: so are its shorter matches."""
    return Rivals(own=frozenset(ignored if complete else range(len(terminals))))


def alternation(
    terminals: Sequence[Terminal], ignored: Sequence[int], table: ParseTable | None, lost: frozenset[int]
) -> Rivals:
    """Of Lark's basic and contextual lexers. table: the parser's, if its states decide what is tried; else all is."""
    everything = frozenset(range(len(terminals)))
    offered: dict[int, frozenset[int]] = {0: everything}
    behind: dict[int, set[int]] = {START: {0}, **{terminal: {0} for terminal in everything}}
    if table is not None:
        found: dict[int, set[int]] = {state: {*ignored, *table.everywhere} for state in range(table.num_states)}
        behind = {START: {table.start}}
        for state, terminal, action in table.actions.tolist():
            if terminal >= 0:
                found[state].add(terminal)
                if action >= 0:
                    behind.setdefault(terminal, set()).add(action)
        offered = {state: frozenset(tried) for state, tried in found.items()}
    before: dict[int, set[int]] = {terminal: set() for terminal in everything}
    for tried in offered.values():
        for terminal in tried:
            embedding = [regex for regex in terminals[terminal].unless if regex in tried]
            rank = min([terminal, *embedding]) if not embedding else min(embedding)
            for other in tried:
                if other < rank and not any(regex in tried for regex in terminals[other].unless):
                    before[terminal].add(other)
    contexts = {
        last: _context(terminals, [offered[state] for state in states], lost) for last, states in behind.items()
    }
    return Rivals(before={key: frozenset(value) for key, value in before.items()}, own=everything, contexts=contexts)


def _context(terminals: Sequence[Terminal], offers: Sequence[frozenset[int]], lost: frozenset[int]) -> Context:
    pairs: list[tuple[int, int]] = []
    for keyword, terminal in enumerate(terminals):
        beside = {
            tuple(regex for regex in terminal.unless if regex in tried)
            for tried in offers
            if keyword in tried and terminal.unless
        }
        if not beside or beside == {()}:
            continue
        regexes = {regex for found in beside for regex in found}
        alone = any(
            regex in tried and keyword not in tried and regex not in lost for regex in regexes for tried in offers
        )
        if len(beside) > 1 or len(regexes) > 1 or alone:
            names = " and ".join(sorted(terminals[regex].name for regex in regexes))
            raise UnsupportedGrammarError(
                f"the keyword {terminal.name}, which is tried beside {names} in some places and not in others",
                place="the Lark grammar",
                advice='Use lexer="basic", or parser="earley", which knows no keywords.',
            )
        regex = regexes.pop()
        for other, of in pairs:
            if of == regex and terminals[other].automaton == terminal.automaton:
                raise UnsupportedGrammarError(
                    f"two keywords of one text, {terminals[other].name} and {terminal.name}",
                    place="the Lark grammar",
                    advice="Give both places one name.",
                )
        pairs.append((keyword, regex))
    return Context(keyword_of=tuple(pairs))
