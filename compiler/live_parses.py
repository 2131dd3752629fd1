"""The live parses of a position: what the tops of their stacks are, and the position without some of them.

A position holds the stacks of all parses of the text so far (``kernels/parser.py``). A parse that stands on a node that
must not be there any more dies: stacks are rebuilt without it, from the bottom up, interned like all others, so that a
position with fewer parses is a position like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from grammar_engine.compiler.ir import Guarding
from grammar_engine.kernels import arena, lexer, masks, parser, positions

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

MAX_KNOWN = 8192
"""Positions of which is remembered which bytes may come next, or what a bracket opened."""
_BYTES = np.arange(256, dtype=np.int32)


class LiveParses:
    """The parses of one grammar's positions."""

    def __init__(self, engine: Engine, asked: Guarding) -> None:
        self._engine = engine
        self._asked = asked
        self._live: dict[int, tuple[list[int], list[int]]] = {}  # bytes that may come next, and those not yet tried
        self._known: dict[int, tuple[frozenset[int], bool]] = {}
        self._opens: dict[int, bool] = {}
        self._last = 0x61  # a byte that was the answer once, and often is again

    def advance(self, position: int, data: bytes) -> int:
        """The engine's position behind bytes, or 0."""
        values = np.frombuffer(data, np.uint8).astype(np.int32)
        return self._engine.advance(position, values, 0, len(values))

    def step(self, position: int, byte: int) -> int:
        """The engine's position behind a byte, or 0."""
        return self._engine.advance(position, _BYTES, byte, byte + 1)

    def has_other(self, position: int, bytes_: frozenset[int]) -> bool:
        """May any byte come next but these?"""
        if self._last not in bytes_ and self.step(position, self._last):
            return True
        known = self._live.get(position)
        if known is None:
            if len(self._live) >= MAX_KNOWN:
                self._live.clear()
            known = self._live[position] = [], self._engine.candidate_bytes(position)
        live, left = known
        if not bytes_.issuperset(live):
            return True
        while left:
            byte = left.pop()
            if self.step(position, byte):
                live.append(byte)
                if byte not in bytes_:
                    self._last = byte
                    return True
        return False

    def brackets(self, position: int) -> tuple[frozenset[int], bool]:
        """Where an array's first item begins: the nodes behind brackets of distinct items; are there no others?"""
        known = self._known.get(position)
        if known is None:
            known = self._known[position] = self._find_brackets(position)
        return known

    def _find_brackets(self, position: int) -> tuple[frozenset[int], bool]:
        addresses = self._engine.symbol_addresses[0]
        wanted = {addresses[number] for number in self._asked.distinct if number in addresses}
        found: set[int] = set()
        sure = True
        for node, symbol in self._last_symbols(position):
            if symbol in wanted:
                found.add(node)
            else:
                sure = False
        return frozenset(found), sure

    def opens(self, position: int) -> bool:
        """Behind a bracket: does it open an object or array of embedded JSON (``ir.Guarding.opens``)?"""
        known = self._opens.get(position)
        if known is None:
            opens = self._asked.opens
            assert opens is not None
            numbers = self._engine.symbol_numbers[0]
            known = any(symbol in numbers and opens(numbers[symbol]) for _, symbol in self._last_symbols(position))
            if len(self._opens) >= MAX_KNOWN:
                self._opens.clear()
            self._opens[position] = known
        return known

    def _last_symbols(self, position: int) -> Iterator[tuple[int, int]]:
        """The tops of the stacks where a lexeme begins, with the symbol that was shifted last."""
        mem = self._engine.mem
        for pair in _payload(mem, position, positions.O_FIELDS):
            state, configuration = _payload(mem, pair, masks.Q_FIELDS)
            if not mem[state + lexer.L_KIND]:
                continue  # a lexeme that began before the bracket, such as that of an empty array
            for node in _payload(mem, configuration, parser.C_FIELDS)[1:]:
                lr_state = int(mem[node + parser.G_FIELDS])
                item = int(mem[lr_state + parser.S_FIELDS])
                yield node, int(mem[item - 1])  # what stands before the dot

    def without(self, position: int, nodes: frozenset[int]) -> int:
        """The position less the parses that stand on one of the nodes; 0 if none is left."""
        engine = self._engine
        mem = engine.mem
        rebuilt: dict[int, int] = dict.fromkeys(nodes, 0)
        pairs: list[int] = []
        for pair in _payload(mem, position, positions.O_FIELDS):
            state, configuration = _payload(engine.mem, pair, masks.Q_FIELDS)
            accepting, *tops = _payload(engine.mem, configuration, parser.C_FIELDS)
            left = sorted(top for top in (self._rebuild(top, rebuilt) for top in tops) if top)
            if left == tops:
                pairs.append(pair)
            elif left:
                following = engine.interned(arena.T_CONFIG, parser.C_FIELDS, [accepting, *left])
                pairs.append(engine.interned(arena.T_PAIR, masks.Q_FIELDS, [state, following]))
        if not pairs:
            return 0
        return engine.interned(arena.T_POSITION, positions.O_FIELDS, sorted(set(pairs)))

    def _rebuild(self, top: int, rebuilt: dict[int, int]) -> int:
        """A node above what is left of its parents; 0 if nothing is."""
        todo = [top]
        while todo:
            node = todo[-1]
            if node in rebuilt:
                todo.pop()
                continue
            state, *parents = _payload(self._engine.mem, node, parser.G_FIELDS)
            missing = [parent for parent in parents if parent not in rebuilt]
            if missing:
                todo += missing
                continue
            todo.pop()
            left = sorted({rebuilt[parent] for parent in parents} - {0})
            if left == parents:
                rebuilt[node] = node
            elif left:
                rebuilt[node] = self._engine.interned(arena.T_NODE, parser.G_FIELDS, [state, *left])
            else:
                rebuilt[node] = 0
        return rebuilt[top]


def _payload(mem: object, record: int, fields: int) -> list[int]:
    first = record + fields
    out: list[int] = mem[first : first + int(mem[record + arena.R_LENGTH])].tolist()  # type: ignore[index]
    return out
