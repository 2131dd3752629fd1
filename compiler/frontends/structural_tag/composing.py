"""A structural tag's formats → one grammar, in which the grammars of other front ends are parts.

Symbols of a part get numbers of their own when they are first named, so a part is expanded on demand as it would be
alone. JSON Schemas share the symbols that all of them begin with, and what is known of those (``compiler.prelude``).
All lexing is UNORDERED: where a region ends, every continuation that its grammar allows is tried.

    nullable(X)     X may be the empty text; the rules themselves have no empty productions (``ir.Grammar``)
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import replace
from typing import NamedTuple

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.errors import NotEnforced, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.choices import strings_automaton
from grammar_engine.compiler.frontends.json_schema.grammar import JsonSchemaGrammar
from grammar_engine.compiler.frontends.structural_tag.formats import (
    Choice,
    Dispatch,
    Format,
    Free,
    Part,
    Repeat,
    Sequence,
    Text,
)
from grammar_engine.compiler.frontends.structural_tag.free_text import FreeText, free_text_of
from grammar_engine.compiler.frontends.structural_tag.special_names import spelled_token
from grammar_engine.compiler.ir import Grammar, Guarding, Members, Production, Symbol, Terminal


class Piece(NamedTuple):
    """The symbol of a format's non-empty texts (None: there are none), and whether the empty text is one."""

    symbol: Symbol | None
    nullable: bool


_EMPTY = Piece(None, True)
_Owned = tuple[int, int]
"""A part, and a number in it."""


class StructuralTagGrammar(Grammar):
    """See the module. Build it with ``structural_tag_grammar``."""

    def __init__(self, tag: Format, *, guarded: bool) -> None:
        """guarded: does JSON in it ask for a guard?"""
        self._parts: list[Grammar] = []
        self._part_pieces: dict[int, Piece] = {}
        self._terminals: list[Terminal | _Owned] = []
        self._rules: list[list[Production] | _Owned] = []
        self._numbers: dict[tuple[int, Symbol], Symbol] = {}  # (part, its symbol) → symbol
        self._texts: dict[object, Symbol] = {}
        self.prelude = None
        self.guarding: Guarding | None = Guarding(opens=self._opens) if guarded else None
        for part in _json_parts(tag):
            if part.prelude is not None:  # its symbols come first
                self.prelude = part.prelude
                number = self._part_number(part)
                self._terminals += [(number, local) for local in range(part.prelude.terminals)]
                self._rules += [(number, local) for local in range(part.prelude.nonterminals)]
                break
        self.not_enforced: tuple[NotEnforced, ...] = ()
        whole = self._piece(tag)
        self.accepts_empty = whole.nullable
        if whole.symbol is None and not whole.nullable:
            raise UnsatisfiableGrammarError("no text is in it", place="the structural tag")
        self.start = ~self._rule([] if whole.symbol is None else [(whole.symbol,)])

    # -- the interface of ir.Grammar ----------------------------------------------------------------------------------

    def begin_step(self) -> None:
        """See ``Grammar``."""
        for part in self._parts:
            part.begin_step()

    def productions(self, nonterminal: int) -> Items[Production]:
        """See ``Grammar``."""
        rule = self._rules[nonterminal]
        if isinstance(rule, list):
            return rule
        part, local = rule
        found = [self._renamed(part, production) for production in self._parts[part].productions(local)]
        self._note_guarding(part)
        return found

    def expand(self, nonterminal: int) -> list[tuple[int, Items[Production] | Members]]:
        """See ``Grammar``."""
        rule = self._rules[nonterminal]
        if isinstance(rule, list):
            return [(nonterminal, rule)]
        part, local = rule
        out: list[tuple[int, Items[Production] | Members]] = []
        for left, productions in self._parts[part].expand(local):
            number = ~self._symbol(part, ~left)
            if isinstance(productions, Members):
                out.append((number, self._renamed_members(part, productions)))
            else:
                out.append((number, [self._renamed(part, production) for production in productions]))
        self._note_guarding(part)
        return out

    def terminal(self, terminal: int) -> Terminal:
        """See ``Grammar``."""
        found = self._terminals[terminal]
        if isinstance(found, Terminal):
            return found
        part, local = found
        return self._parts[part].terminal(local)

    def literal(self, terminal: int) -> bytes | None:
        """See ``Grammar``."""
        found = self._terminals[terminal]
        if isinstance(found, Terminal):
            return found.automaton if isinstance(found.automaton, bytes) else None
        part, local = found
        return self._parts[part].literal(local)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _part_number(self, grammar: Grammar) -> int:
        for number, part in enumerate(self._parts):
            if part is grammar:
                return number
        self._parts.append(grammar)
        return len(self._parts) - 1

    def _symbol(self, part: int, symbol: Symbol) -> Symbol:
        """A part's symbol in this grammar."""
        found = self._numbers.get((part, symbol))
        if found is None:
            prelude = self.prelude
            of_part = self._parts[part].prelude
            if prelude is not None and of_part is not None and of_part.key == prelude.key and _is_in(symbol, prelude):
                found = symbol
            elif symbol >= 0:
                found = len(self._terminals)
                self._terminals.append((part, symbol))
            else:
                found = ~len(self._rules)
                self._rules.append((part, ~symbol))
            self._numbers[part, symbol] = found
        return found

    def _renamed(self, part: int, production: Production) -> Production:
        return tuple([self._symbol(part, symbol) for symbol in production])

    def _renamed_members(self, part: int, members: Members) -> Members:
        name = self._symbol
        return members._replace(
            heads=[(name(part, a), name(part, b), name(part, c)) for a, b, c in members.heads],
            last=self._renamed(part, members.last),
            separator=name(part, members.separator),
            closer=name(part, members.closer),
        )

    def _note_guarding(self, part: int) -> None:
        """Ask for what a part asks for by now (see ``ir.Guarding``)."""
        asked, wanted = self.guarding, self._parts[part].guarding
        if wanted is None or asked is None:
            return
        asked.names |= wanted.names
        asked.thin |= wanted.thin
        asked.counted |= wanted.counted
        asked.narrow |= wanted.narrow
        asked.scarce |= wanted.scarce
        asked.fewest = min(asked.fewest, wanted.fewest)
        for bracket in wanted.distinct:
            asked.distinct.add(self._symbol(part, bracket))

    def _opens(self, terminal: int) -> bool:
        found = self._terminals[terminal]
        if isinstance(found, Terminal):
            return False
        part, local = found
        grammar = self._parts[part]
        return isinstance(grammar, JsonSchemaGrammar) and grammar.opens_container(local)

    # -- formats ------------------------------------------------------------------------------------------------------

    def _rule(self, productions: list[Production]) -> Symbol:
        self._rules.append(productions)
        return ~(len(self._rules) - 1)

    def _terminal(self, key: object, automaton: bytes | ByteAutomaton, name: str) -> Symbol:
        """The terminal of a key, made when first asked for."""
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = len(self._terminals)
            self._terminals.append(Terminal(name=name, automaton=automaton))
        return found

    def _piece(self, tag: Format) -> Piece:
        if isinstance(tag, Text):
            return self._text(tag)
        if isinstance(tag, Free):
            free = FreeText(excludes=frozenset(tag.excludes))
            return Piece(self._automaton(free.texts(max_chars=tag.max_chars)), nullable=True)
        if isinstance(tag, Part):
            return self._part(tag)
        if isinstance(tag, Sequence):
            return self._sequence([self._piece(element) for element in tag.elements])
        if isinstance(tag, Choice):
            return self._choice([self._piece(element) for element in tag.elements])
        if isinstance(tag, Repeat):
            return self._repeat(self._piece(tag.content), tag.least, tag.most)
        return self._dispatch(tag)

    def _automaton(self, automaton: ByteAutomaton | None) -> Symbol | None:
        if automaton is None:
            return None
        return self._terminal(automaton.key, automaton, "free text")

    def _text(self, tag: Text) -> Piece:
        texts = sorted({text for text in tag.texts if text})
        if not texts:
            return _EMPTY
        automaton = texts[0] if len(texts) == 1 else strings_automaton(texts)
        return Piece(self._terminal(tuple(texts), automaton, "text"), nullable=b"" in tag.texts)

    def _part(self, tag: Part) -> Piece:
        number = self._part_number(tag.grammar)
        found = self._part_pieces.get(number)
        if found is None:
            grammar = tag.grammar
            self.not_enforced += tuple(
                replace(left_out, pointer=tag.pointer + left_out.pointer) for left_out in grammar.not_enforced
            )
            is_empty = grammar.accepts_empty and not grammar.productions(grammar.start)
            symbol = None if is_empty else self._symbol(number, ~grammar.start)
            found = self._part_pieces[number] = Piece(symbol, grammar.accepts_empty)
            self._note_guarding(number)
        return found

    def _sequence(self, pieces: Items[Piece]) -> Piece:
        """Rules from the right: the pieces up to a nullable one make one production with what follows."""
        rest: list[Production] = [()]  # the ways to write what stands to the right
        for piece in reversed(pieces):
            if piece.symbol is None:
                if not piece.nullable:
                    return Piece(None, nullable=False)
                continue
            if len(rest) > 1:
                named = self._rule([production for production in rest if production])
                rest = [(named,), *([()] if () in rest else [])]
            longer = [(piece.symbol, *production) for production in rest]
            rest = longer + rest if piece.nullable else longer
        productions = [production for production in dict.fromkeys(rest) if production]
        if not productions:
            return Piece(None, nullable=() in rest)
        if len(productions) == 1 and len(productions[0]) == 1:
            return Piece(productions[0][0], nullable=() in rest)
        return Piece(self._rule(productions), nullable=() in rest)

    def _choice(self, pieces: Items[Piece]) -> Piece:
        symbols = list(dict.fromkeys(piece.symbol for piece in pieces if piece.symbol is not None))
        nullable = any(piece.nullable for piece in pieces)
        if len(symbols) < 2:
            return Piece(symbols[0] if symbols else None, nullable)
        return Piece(self._rule([(symbol,) for symbol in symbols]), nullable)

    def _repeat(self, piece: Piece, least: int, most: int | None) -> Piece:
        symbol = piece.symbol
        if symbol is None or most == 0:
            return Piece(None, nullable=least == 0 or piece.nullable)
        if piece.nullable:
            least = 0
        if most is None:
            more = self._rule([])
            self._extend(more, [(symbol,), (more, symbol)])
            tail = Piece(more, nullable=True)
        else:
            tail = _EMPTY
            for _ in range(most - least):
                ways: list[Production] = [(symbol,)] if tail.symbol is None else [(symbol,), (symbol, tail.symbol)]
                tail = Piece(self._rule(ways), nullable=True)
        return self._sequence([*[Piece(symbol, nullable=False)] * least, tail])

    def _extend(self, symbol: Symbol, productions: list[Production]) -> None:
        rule = self._rules[~symbol]
        if isinstance(rule, list):
            rule += productions

    def _dispatch(self, tag: Dispatch) -> Piece:
        """FREE | (SCAN way)+ FREE? with ``loop``, else FREE | SCAN way; SCAN: up to the end of the trigger."""
        free = free_text_of(tag)
        anything = Piece(self._automaton(free.texts()), nullable=True)
        items: list[Piece] = []
        for rule in tag.rules:
            trigger = rule.trigger
            if trigger.token is None:
                scan = Piece(self._automaton(free.up_to(trigger.text)), nullable=False)
            else:
                before = anything
                if trigger.text:
                    before = Piece(self._automaton(free.ending(trigger.text)), nullable=False)
                scan = self._sequence([before, self._text(Text(texts=(spelled_token(trigger.token),)))])
            if scan.symbol is None:
                raise UnsatisfiableGrammarError(
                    f"another trigger, or what is excluded, always stands before {trigger.text!r} is complete",
                    place=rule.pointer,
                )
            items.append(self._sequence([scan, self._choice([self._piece(way) for way in rule.ways])]))
        item = self._choice(items)
        if item.symbol is None:
            return anything
        if not tag.loop:
            return self._choice([anything, item])
        body = self._repeat(item, 1, None)
        return self._choice([anything, self._sequence([body, anything])])


def _is_in(symbol: Symbol, prelude: object) -> bool:
    return symbol < prelude.terminals if symbol >= 0 else ~symbol < prelude.nonterminals  # type: ignore[attr-defined, no-any-return]


def _json_parts(tag: Format) -> list[Grammar]:
    """The grammars of JSON Schemas in a format."""
    if isinstance(tag, Part):
        return [tag.grammar] if tag.is_json else []
    if isinstance(tag, (Sequence, Choice)):
        return [part for element in tag.elements for part in _json_parts(element)]
    if isinstance(tag, Repeat):
        return _json_parts(tag.content)
    if isinstance(tag, Dispatch):
        return [part for rule in tag.rules for way in rule.ways for part in _json_parts(way)]
    return []
