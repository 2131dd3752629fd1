"""Rows from the vocabulary's store into one grammar's arena (see compiler.mask_store), or back if they are new.

Two ways of sharing:

    by key      lexer states whose threads all belong to keyed automata: equal signature, equal walk; where they count,
                this is asked for the state without counts (see kernels.loosened_walks)
    counted     lexer states inside a counted loop: the walk is done once in free counting, whatever bounds and counter;
                with r rounds left the row holds the tokens that begin at most r (see kernels.counted_walks)
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.mask_store import CountedWalk, StoredWalk
from grammar_engine.kernels import arena, counted_walks, lexer, walks
from grammar_engine.kernels.engine import OP_COUNTED_WALK, OP_EXIT, OP_FREE_STATE, OP_STEP, OP_WALK

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine
    from grammar_engine.compiler.terminal_writer import Loop, TerminalWriter

Int32Array = npt.NDArray[np.int32]
Signature = tuple[object, ...]


class RowLoader:
    """Serves MISS_ROW for one engine."""

    def __init__(self, engine: Engine, writer: TerminalWriter, rows: dict[tuple[Signature, int], int]) -> None:
        """rows: the engine's rows that came from the store, by the signatures of their walks."""
        # The engine owns this: without a cycle its memory comes back at once.
        self._engine: Engine = weakref.proxy(engine)
        self._writer = writer
        self._rows = rows

    @property
    def named_rows(self) -> Mapping[tuple[Signature, int], int]:
        """The engine's rows that came from the store, by the signatures of their walks."""
        return self._rows

    def forget_rows(self) -> None:
        """The pool was emptied: row numbers are void."""
        self._rows.clear()

    def load(self, state: int) -> None:
        """Provide the walk of a lexer state from the root of the trie, or what the kernels need to make it."""
        mem = self._engine.mem
        count = int(mem[state + lexer.L_THREADS])
        first = state + lexer.L_LIST
        threads = mem[first : first + 2 * count].reshape(count, 2).tolist()
        keyed = [
            self._writer.keyed[int(mem[mem[position + lexer.P_KEY] + lexer.KEY_NUMBER])] for position, _ in threads
        ]
        counter = int(counted_walks.counter_in_loop(mem, state))
        loop = keyed[0].loop
        if counter and loop is not None:
            parts = sorted((position - keyed[0].address, c != 0) for position, c in threads)
            self._load_counted(state, (loop.signature, *parts), loop, counter)
        elif any(c not in (0, lexer.LOOSE) for _, c in threads):
            self._walk_here(state)
        else:
            if tuple(position - keyed[0].address for position, _ in threads) in keyed[0].anything:
                self._load_shared(state, ("anything", keyed[0].spelling))
                return
            named = [
                (automaton.digest, position - automaton.address, c != 0)
                for automaton, (position, c) in zip(keyed, threads, strict=True)
            ]
            if mem[arena.H_ORDERED]:
                self._load_shared(state, ("ordered", *named))
            else:
                self._load_shared(state, ("unordered", *sorted(named)))

    def _walk_here(self, state: int) -> int:
        """Walk without asking the store."""
        engine = self._engine
        engine.mem[arena.H_NO_ROW_MISS] = 1
        try:
            return engine.call(OP_WALK, state)
        finally:
            engine.mem[arena.H_NO_ROW_MISS] = 0

    # -- by key ---------------------------------------------------------------------------------------------------

    def _load_shared(self, state: int, signature: Signature) -> None:
        store = self._engine.context.store.walks
        stored = store.get(signature)
        if stored is None:
            store.put(signature, self._export(self._walk_here(state)))
        else:
            self._import(state, signature, stored)

    def _export(self, walk: int) -> StoredWalk:
        engine = self._engine
        mem = engine.mem
        row, tokens, groups = (int(mem[walk + i]) for i in range(3))
        at = walk + walks.W_LIST + tokens
        exits: list[tuple[bytes, Int32Array]] = []
        for _ in range(groups):
            first = at + walks.E_NODES
            nodes = mem[first : first + int(mem[at + walks.E_COUNT])].copy()
            exits.append((engine.context.trie.path(int(nodes[0])), nodes))
            at = first + len(nodes)
        return StoredWalk(
            row=engine.rows[row].copy() if row >= 0 else None,
            tokens=mem[walk + walks.W_LIST : walk + walks.W_LIST + tokens].copy(),
            exits=tuple(exits),
        )

    def _import(self, state: int, signature: Signature, stored: StoredWalk) -> None:
        row = -1 if stored.row is None else self._row(signature, -1, stored.row)
        parts = [np.array([row, len(stored.tokens), len(stored.exits)], np.int32), stored.tokens]
        for witness, nodes in stored.exits:
            end = self._engine.call(OP_EXIT, self._after(state, witness))
            parts += [np.array([end, len(nodes), 0], np.int32), nodes]
        self._remember(state, self._engine.append(np.concatenate(parts)))

    # -- counted --------------------------------------------------------------------------------------------------

    def _load_counted(self, state: int, signature: Signature, loop: Loop, counter: int) -> None:
        engine = self._engine
        free = engine.call(OP_FREE_STATE, state)
        common = int(arena.memo_get(engine.mem, arena.M_WALK, free, 0))
        store = engine.context.store.counted
        stored = store.get(signature)
        if stored is None:
            stored = self._walk_counted(free)
            if stored is None:  # not one count per exit: from now on such states are walked one by one
                key = int(engine.mem[int(engine.mem[state + lexer.L_LIST]) + lexer.P_KEY])
                engine.mem[key + lexer.KEY_COUNTED] = 0
                return
            store.put(signature, stored)
        most = stored.most_rounds
        if common == arena.UNKNOWN:
            nodes = stored.exit_nodes
            behind = self._uncounted(self._after(free, engine.context.trie.path(int(nodes[0])))) if len(nodes) else 0
            block = np.full(counted_walks.B_ROWS + most + 1 + 2 * len(nodes), -1, np.int32)
            block[counted_walks.B_EXITS], block[counted_walks.B_AFTER], block[counted_walks.B_ROUNDS] = (
                len(nodes),
                behind,
                most,
            )
            block[counted_walks.B_ROWS + most + 1 :: 2] = nodes
            block[counted_walks.B_ROWS + most + 2 :: 2] = stored.exit_rounds
            common = engine.append(block)
            self._remember(free, common)
        left = most if loop.most is None else min(loop.most - counter, most)
        row = self._row(signature, left, stored.row(left))
        engine.mem[common + counted_walks.B_ROWS + left] = row

    def _uncounted(self, state: int) -> int:
        """The lexer state behind the loop as bounded counting reaches it: its match without the free counter."""
        engine = self._engine
        mem = engine.mem
        top = int(mem[arena.H_TOP])
        length = int(mem[state + arena.R_LENGTH])
        engine.append(mem[state : state + lexer.L_FIELDS + length].copy())
        mem = engine.mem
        mem[arena.H_TOP] = top
        matches = top + lexer.L_LIST + 2 * int(mem[state + lexer.L_THREADS]) + 2 * int(mem[state + lexer.L_MONITORS])
        mem[matches + 1 : matches + 2 * int(mem[state + lexer.L_MATCHES]) : 2] = 0
        return int(lexer.intern_lexer_state(mem, length))

    def _walk_counted(self, free: int) -> CountedWalk | None:
        engine = self._engine
        if not engine.call(OP_COUNTED_WALK, free):
            return None
        scratch = engine.context.scratch
        tokens, exits, tokens_at, exits_at = scratch[:4].tolist()
        pairs = scratch[tokens_at : tokens_at + 2 * tokens].reshape(tokens, 2)
        triples = scratch[exits_at : exits_at + 3 * exits].reshape(exits, 3)
        order = np.argsort(pairs[:, 1].astype(np.int16), kind="stable")  # 16 bits: a radix sort, 1 ms instead of 8
        return CountedWalk(
            tokens=np.ascontiguousarray(pairs[order, 0]),
            token_rounds=pairs[order, 1],
            exit_nodes=triples[:, 0].copy(),
            exit_rounds=triples[:, 2].copy(),
            words=engine.context.words,
        )

    # -- shared ---------------------------------------------------------------------------------------------------

    def _row(self, signature: Signature, rounds: int, row: npt.NDArray[np.uint32]) -> int:
        """The number of a row: in the vocabulary's pool, or copied to this grammar's own once, if that is full or all
        rows are to be the grammar's own.
        """
        name = (signature, rounds)
        common = None if self._engine.portable else self._engine.context.pool.number(name, row)
        if common is not None:
            return arena.SHARED + common
        found = self._rows.get(name)
        if found is None:
            engine = self._engine
            if int(engine.mem[arena.H_ROWS_USED]) >= len(engine.rows):
                engine.grow_rows()
            found = int(engine.mem[arena.H_ROWS_USED])
            engine.rows[found] = row
            engine.mem[arena.H_ROWS_USED] = found + 1
            self._rows[name] = found
        return found

    def _after(self, state: int, data: bytes) -> int:
        for byte in data:
            state = self._engine.call(OP_STEP, state, byte)
        return state

    def _remember(self, state: int, walk: int) -> None:
        engine = self._engine
        if int(engine.mem[arena.M_WALK + 2]) * 2 > int(engine.mem[arena.M_WALK + 1]):
            engine.grow()
        arena.memo_put(engine.mem, arena.M_WALK, state, 0, walk)
