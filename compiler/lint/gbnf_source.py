"""A GBNF grammar as a plain one over single characters: its terminals are sets of characters, told apart by overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grammar_engine.compiler.charset import CharSet, nicest
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.gbnf.parser import ParsedGrammar
from grammar_engine.compiler.frontends.gbnf.tree import Chars, Choice, Literal, Node, Reference, Repeat, Seq
from grammar_engine.compiler.ir import Production, Symbol
from grammar_engine.compiler.lint.plain import Place, PlainGrammar

_HEAD = re.compile(r"^[ \t]*([A-Za-z0-9_.-]+)[ \t]*::=", re.MULTILINE)
_MAX_ROUNDS = 16
"""Rounds of a counted loop that are written out; longer loops are taken as endless, which changes nothing about single
rules, but adds sentences."""
_MAX_SYMBOLS = 50_000


def plain_gbnf(parsed: ParsedGrammar, source: str) -> PlainGrammar:
    """The rules of a parsed grammar, with helpers for what has no name. LimitExceededError if there are too many."""
    return _Writer(parsed).write(source)


class _Writer:
    def __init__(self, parsed: ParsedGrammar) -> None:
        self._parsed = parsed
        self._names = list(parsed.names)
        self._owners = list(parsed.names)
        self._rules: list[list[Production]] = [[] for _ in parsed.rules]
        self._helpers: dict[Node, Symbol] = {}
        self._terminals: dict[CharSet, int] = {}
        self._written = 0
        self._exact = True

    def write(self, source: str) -> PlainGrammar:
        parsed = self._parsed
        seen: set[str] = set()
        written: set[int] = set()
        for number, node in enumerate(parsed.rules):
            self._rules[number] = self._alternatives(node, self._owners[number])
            if parsed.names[number] not in seen:
                seen.add(parsed.names[number])
                written.add(number)
        sets = list(self._terminals)
        return PlainGrammar(
            names=self._names,
            rules=[tuple(alternatives) for alternatives in self._rules],
            owners=self._owners,
            terminals=[label(charset) for charset in sets],
            start=parsed.root,
            written=frozenset(written),
            overlaps=overlaps_of(sets),
            charsets=sets,
            exact=self._exact,
            places=places_of(source),
        )

    def _alternatives(self, node: Node, owner: str) -> list[Production]:
        parts = node.parts if isinstance(node, Choice) else (node,)
        return list(dict.fromkeys(self._symbols(part, owner) for part in parts))

    def _symbols(self, node: Node, owner: str) -> Production:
        """A node as symbols in a row."""
        self._written += 1
        if self._written > _MAX_SYMBOLS:
            raise LimitExceededError("too many symbols to lint", limit=str(_MAX_SYMBOLS), given="more")
        if isinstance(node, Literal):
            return tuple(self._terminal(CharSet.from_chars(char)) for char in node.text)
        if isinstance(node, Chars):
            return (self._terminal(node.charset),)
        if isinstance(node, Reference):
            return (~node.rule,)
        if isinstance(node, Seq):
            return tuple(symbol for part in node.parts for symbol in self._symbols(part, owner))
        return (self._helper(node, owner),)

    def _helper(self, node: Node, owner: str) -> Symbol:
        """The nonterminal of a choice or a loop."""
        found = self._helpers.get(node)
        if found is None:
            found = self._helpers[node] = self._new(owner)
            if isinstance(node, Repeat):
                self._rules[~found] = self._rounds(node, found, owner)
            else:
                self._rules[~found] = self._alternatives(node, owner)
        return found

    def _rounds(self, node: Repeat, here: Symbol, owner: str) -> list[Production]:
        part = self._symbols(node.part, owner)
        least = min(node.low, _MAX_ROUNDS)
        if node.high is not None and node.high <= _MAX_ROUNDS:
            return [part * rounds for rounds in range(least, node.high + 1)]
        self._exact = self._exact and node.high is None and node.low == least
        if least == 0:
            return [(), (here, *part)]
        return [part * least, (here, *part)]

    def _new(self, owner: str) -> Symbol:
        self._names.append(f"{owner}#{len(self._names)}")
        self._owners.append(owner)
        self._rules.append([])
        return ~(len(self._names) - 1)

    def _terminal(self, charset: CharSet) -> int:
        return self._terminals.setdefault(charset, len(self._terminals))


def overlaps_of(sets: Sequence[CharSet]) -> list[int]:
    """Per set of characters those that share one with it, as bits."""
    found = [1 << number for number in range(len(sets))]
    for number, charset in enumerate(sets):
        for other in range(number):
            if charset.intersect(sets[other]):
                found[number] |= 1 << other
                found[other] |= 1 << number
    return found


def label(charset: CharSet) -> str:
    """A set of characters for people, by its nicest member."""
    return repr(nicest(charset)) if len(charset) == 1 else f"[{nicest(charset)!r}…]"


def places_of(source: str) -> dict[str, Place]:
    """Where each rule is defined."""
    found: dict[str, Place] = {}
    for head in _HEAD.finditer(source):
        begin = head.start(1)
        found.setdefault(head[1], (source.count("\n", 0, begin) + 1, begin - source.rfind("\n", 0, begin)))
    return found
