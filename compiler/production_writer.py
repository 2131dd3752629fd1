"""Productions into the arena: records of symbols, right-hand sides and lists of them (see kernels.parser).

A grammar answers with what it has at hand, so that the kernels ask less often; all of it is written as one block of
ints. Of objects whose members stand in a given order (``ir.Members``) only the members cost time of their own: their
right-hand sides are written down once and copied, as slices, to each of the nonterminals that begin with them.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.ir import Members, Production, Symbol
from grammar_engine.kernels import lexer, parser

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

_WIDTH = 7  # ints of a member's right-hand side: three symbols and AFTER, 0, the left-hand side, the length
_LEFT = 5  # where the left-hand side stands among them
_UP_TO_TEXTS = (0,) * (lexer.X_TEXTS - 1)  # a terminal is its number and zeros, but for its text
_BEHIND_TEXTS = (0,) * (lexer.TERMINAL_SIZE - lexer.X_TEXTS - 1)


class ProductionWriter:
    """Writes one engine's productions, and knows where its symbols are.

    terminals, nonterminals: address by number; those in the arena already are given.
    """

    def __init__(self, engine: Engine, terminals: dict[int, int], nonterminals: dict[int, int]) -> None:
        # The engine owns this: without a cycle its memory comes back at once.
        self._engine: Engine = weakref.proxy(engine)
        self.terminals = terminals
        self.nonterminals = nonterminals
        self.terminal_numbers = {address: number for number, address in terminals.items()}
        self.nonterminal_numbers = {address: number for number, address in nonterminals.items()}
        self._block: list[int] = []
        self._base = 0
        self._lists: list[tuple[int, int]] = []

    def terminal(self, number: int) -> int:
        """The record of a terminal, made when first named; its automaton is loaded when first needed."""
        found = self.terminals.get(number)
        if found is None:
            found = self.terminals[number] = self._engine.append([number] + [0] * (lexer.TERMINAL_SIZE - 1))
            self.terminal_numbers[found] = number
        return found

    def name_terminals(self, addresses: Sequence[int]) -> None:
        """Take over records of terminals, by number."""
        self.terminals.update(enumerate(addresses))
        self.terminal_numbers.update((address, number) for number, address in enumerate(addresses))

    def nonterminal(self, number: int) -> int:
        """The record of a nonterminal, made when first named."""
        found = self.nonterminals.get(number)
        if found is None:
            found = self.nonterminals[number] = self._engine.append([0] * parser.NONTERMINAL_SIZE)
            self.nonterminal_numbers[found] = number
        return found

    def expand(self, address: int) -> dict[int, int]:
        """Write the productions of a nonterminal, and of those that the grammar has at hand.

        Returns the terminals that begin one of them, by address: they are asked for next.
        """
        engine = self._engine
        grammar = engine.grammar
        expanded = grammar.expand(self.nonterminal_numbers[address])
        for left, productions in expanded:
            if not productions and not (left == grammar.start and grammar.accepts_empty):
                raise ValueError(f"nonterminal {left} has no productions")
        self._block, self._lists = [], []
        self._base = base = engine.top
        first: dict[int, int] = {}
        for left, productions in expanded:
            at = self.nonterminals.get(left) or self._new_nonterminal(left)
            if at < base and engine.mem[at + parser.N_PRODUCTIONS]:
                continue
            engine.expansions += 1
            if isinstance(productions, Members):
                self._write_members(at, productions)
            else:
                self._write(at, productions, first)
        try:
            # (a buffer is copied faster than a list)
            engine.append(np.frombuffer(array("i", self._block), np.int32))
        except LimitExceededError:
            self._forget(base)
            raise
        mem = engine.mem
        for at, productions_at in self._lists:
            mem[at + parser.N_PRODUCTIONS] = productions_at
        return first

    def _write(self, at: int, productions: Sequence[Production], first: dict[int, int]) -> None:
        block, base = self._block, self._base
        begins: list[int] = []
        for production in productions:
            symbols = [self._symbol(symbol) for symbol in production]
            begins.append(base + len(block))
            block += symbols
            block += (0, at, len(symbols))
            if symbols[0] > 0:
                first[symbols[0]] = production[0]
        self._list(at, begins)

    def _write_members(self, at: int, members: Members) -> None:
        """MEMBERS(i) and AFTER(i) for all members; ``at``: MEMBERS(0)."""
        block, base, count, size = self._block, self._base, len(members.heads), parser.NONTERMINAL_SIZE
        symbol = self._symbol
        heads = [(symbol(name), symbol(colon), symbol(value)) for name, colon, value in members.heads]
        last = tuple(map(symbol, members.last))
        separator, closer = symbol(members.separator), symbol(members.closer)
        after = base + len(block)
        rest = after + (count - 1) * size  # the record of MEMBERS(i), but for the first
        block += (0,) * ((2 * count - 1) * size)
        flat: list[int] = []
        for index, (name, colon, value) in enumerate(heads):
            flat += (name, colon, value, -(after + index * size), 0, 0, _WIDTH - 3)
        for index, stop in enumerate(members.stops):
            here = rest + index * size if index else at
            end = min(stop, count)
            part = flat[_WIDTH * index : _WIDTH * end]
            part[_LEFT::_WIDTH] = (here,) * (end - index)
            begin = base + len(block)
            block += part
            begins = [*range(begin, base + len(block), _WIDTH)]
            if stop > count and last:
                begins.append(base + len(block))
                block += (*last, 0, here, len(last))
            self._list(here, begins)
        for index in range(count):
            here = after + index * size
            begins = []
            following = (-(rest + (index + 1) * size),) if index + 1 < count else last
            if following:
                begins.append(base + len(block))
                block += (separator, *following, 0, here, 1 + len(following))
            if index >= members.closable:
                begins.append(base + len(block))
                block += (closer, 0, here, 1)
            self._list(here, begins)

    def _list(self, at: int, begins: Sequence[int]) -> None:
        """The list of right-hand sides of the nonterminal at ``at``."""
        block, base = self._block, self._base
        if at < base:
            self._lists.append((at, base + len(block)))
        else:
            block[at - base] = base + len(block)
        block.append(len(begins))
        block += begins

    def _symbol(self, symbol: Symbol) -> int:
        """A symbol of the grammar as one of the arena."""
        if symbol >= 0:
            return self.terminals.get(symbol) or self._new_terminal(symbol)
        return -(self.nonterminals.get(~symbol) or self._new_nonterminal(~symbol))

    def _new_nonterminal(self, number: int) -> int:
        """A nonterminal's record in the block; its address."""
        address = self.nonterminals[number] = self._base + len(self._block)
        self.nonterminal_numbers[address] = number
        self._block += (0,) * parser.NONTERMINAL_SIZE
        return address

    def _new_terminal(self, number: int) -> int:
        """A terminal's record in the block, behind its text if a literal; its address."""
        block = self._block
        text = self._engine.grammar.literal(number)
        texts = 0
        if text:
            texts = self._base + len(block)
            block += (1, len(text))
            block += text
        address = self.terminals[number] = self._base + len(block)
        self.terminal_numbers[address] = number
        block += (number, *_UP_TO_TEXTS, texts, *_BEHIND_TEXTS)
        return address

    def _forget(self, base: int) -> None:
        """Take back the symbols of a block that was to stand at ``base``."""
        for addresses, numbers in (
            (self.terminals, self.terminal_numbers),
            (self.nonterminals, self.nonterminal_numbers),
        ):
            for address in [address for address in numbers if address >= base]:
                del addresses[numbers.pop(address)]
