"""Preludes: what the grammars of one kind have in common, built once per vocabulary and copied into each of them.

Every JSON Schema has strings, numbers and punctuation, and most lexer states, walks and walks behind walks that a
grammar of its own would find are those that the last one found. A prelude is a small grammar whose terminals and
nonterminals have the same numbers in all of them. It is run over a few texts once; its arena, less all that knows of
its stacks, is what each grammar's own arena starts from. Addresses are offsets, so a copy is all that it takes.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.ir import Grammar
from grammar_engine.compiler.memory import Template
from grammar_engine.kernels import arena, lexer, walks

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine, EngineContext
    from grammar_engine.compiler.terminal_writer import KeyedAutomaton

Int32Array = npt.NDArray[np.int32]

_STACKS = (
    arena.T_NODE,
    arena.T_CONFIG,
    arena.T_PAIR,
    arena.T_POSITION,
    arena.M_SHIFT,
    arena.M_START,
    arena.M_TAKES,
    arena.M_EXPANSION,
)


@dataclass(frozen=True, kw_only=True)
class Prelude:
    """A grammar to start others from. ``key``: equal keys mean equal preludes.

    terminals, nonterminals: how many of them, from number 0 on, mean the same in the grammars that start from it.
    texts: of the grammar; what their bytes and masks need is what is kept.
    """

    key: Hashable
    grammar: Grammar
    terminals: int
    nonterminals: int
    texts: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """An arena's used part, where the numbered symbols lie in it, and its shared automata."""

    mem: Template
    terminals: dict[int, int]
    nonterminals: dict[int, int]
    keyed: list[KeyedAutomaton]


def take_snapshot(prelude: Prelude, context: EngineContext) -> Snapshot:
    """Run a prelude over its texts and keep what does not depend on its stacks."""
    from grammar_engine.compiler.engine import Engine

    engine = Engine(prelude.grammar, context)
    bitmask = np.zeros((1, context.words), np.uint32)
    no_ids = np.zeros(0, np.int32)
    for text in prelude.texts:
        position = engine.start_position
        data = np.frombuffer(text, np.uint8).astype(np.int32)
        for index in range(len(data)):
            engine.fill(position, bitmask, 0, no_ids)
            position = engine.advance(position, data, index, index + 1)
            if not position:
                raise ValueError(f"byte {index} of the prelude's text {text!r} is not in its language")
        engine.fill(position, bitmask, 0, no_ids)
    terminals, nonterminals = engine.symbol_addresses
    for table in _STACKS:
        slots, size = int(engine.mem[table]), int(engine.mem[table + 1]) + 1
        engine.mem[slots : slots + size * (arena.MEMO_SLOT if table in arena.MEMO_TABLES else arena.INTERN_SLOT)] = 0
        engine.mem[table + 2] = 0
    _move_rows(engine, prelude.key)
    engine.mem[arena.H_ROWS_USED] = 0
    engine.mem[arena.H_VISITS] = 0
    return Snapshot(
        mem=Template(engine.mem[: int(engine.mem[arena.H_TOP])].copy()),
        terminals={number: at for number, at in terminals.items() if number < prelude.terminals},
        nonterminals={number: at for number, at in nonterminals.items() if number < prelude.nonterminals},
        keyed=list(engine.keyed_automata),
    )


def _counts_freely(mem: Int32Array, state: int) -> bool:
    first = state + lexer.L_LIST
    counters = mem[first + 1 : first + 2 * int(mem[state + lexer.L_THREADS]) : 2]
    return bool(((counters < 0) & (counters != lexer.LOOSE)).any())


def _move_rows(engine: Engine, key: Hashable) -> None:
    """Rows of the grammar's own go to the vocabulary's pool; a walk is forgotten if there is no room for its row."""
    mem = engine.mem
    for table in (arena.M_WALK, arena.M_BEHIND):
        slots, size = int(mem[table]), int(mem[table + 1]) + 1
        memo = mem[slots : slots + 3 * size].reshape(size, 3)
        kept: list[tuple[int, int, int]] = []
        for a, b, walk in memo[memo[:, 0] != 0].tolist():
            if table == arena.M_WALK and _counts_freely(mem, a):  # a loop's common walk: its rows are in the pool
                kept.append((a, b, walk))
                continue
            row = int(mem[walk + walks.W_ROW])
            if 0 <= row < arena.SHARED:
                number = engine.context.pool.number((key, walk), engine.rows[row])
                if number is None:
                    continue
                mem[walk + walks.W_ROW] = arena.SHARED + number
            kept.append((a, b, walk))
        memo[:] = 0
        mem[table + 2] = 0
        for a, b, walk in kept:
            arena.memo_put(mem, table, a, b, walk)
