"""The driver of the compiled engine: owns a grammar's arena and does what the kernels ask for.

    position = start();   position' = advance(position, bytes);   fill(position, bitmask row)

Kernels return codes for what only Python can do: expand a nonterminal, load a terminal's automaton, fetch a mask row
that the vocabulary already knows, grow. Each happens once per new thing, never once per token.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.ir import Grammar, Lexing
from grammar_engine.compiler.mask_store import MaskStore, StoredWalk
from grammar_engine.compiler.token_trie import TokenTrie
from grammar_engine.kernels import arena, lexer, masks, parser
from grammar_engine.kernels.engine import OP_ADVANCE, OP_FILL, OP_START, OP_STEP, OP_WALK, run

Int32Array = npt.NDArray[np.int32]
Uint32Array = npt.NDArray[np.uint32]

INITIAL_ARENA = 1 << 20  # ints; virtual memory until touched
INITIAL_TABLE = 1 << 9
INITIAL_ROWS = 8
NO_DATA = np.zeros(0, np.int32)
NO_BITMASK = np.zeros((0, 0), np.uint32)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one compiled grammar may use before LimitExceededError.

    arena_bytes: automata built on demand. mask_bytes: memoized mask rows; beyond it they are dropped and rebuilt.
    """

    arena_bytes: int = 1 << 30
    mask_bytes: int = 64 << 20


class EngineContext:
    """What all grammars of one vocabulary share: the trie, the store of rows, and scratch space per thread."""

    def __init__(self, trie: TokenTrie, vocabulary_size: int, store: MaskStore) -> None:
        self.trie = trie
        self.vocabulary_size = vocabulary_size
        self.words = (vocabulary_size + 31) // 32
        self.store = store
        self._local = threading.local()

    @property
    def scratch(self) -> Int32Array:
        found: Int32Array | None = getattr(self._local, "scratch", None)
        if found is None:
            found = np.zeros(masks.SCRATCH_FIXED + len(self.trie.token_ids) + 64, np.int32)
            self._local.scratch = found
        return found


class Engine:
    """One grammar's automata, built on demand, and the operations on positions. Thread-safe."""

    def __init__(self, grammar: Grammar, context: EngineContext, limits: Limits | None = None) -> None:
        self.grammar = grammar
        self.context = context
        self.limits = limits or Limits()
        self._lock = threading.RLock()
        self._mem = np.zeros(INITIAL_ARENA, np.int32)
        self._rows = np.zeros((INITIAL_ROWS, context.words), np.uint32)
        self._terminals: dict[int, int] = {}
        self._nonterminals: dict[int, int] = {}
        self._terminal_ids: dict[int, int] = {}
        self._nonterminal_ids: dict[int, int] = {}
        self._shadows: dict[int, int] = {}
        self._keys: list[tuple[str, int]] = [("", 0)]
        self.expansions = 0
        self.rows_evicted = 0
        self._initialize()

    # -- operations -----------------------------------------------------------------------------------------------

    def advance(self, position: int, data: Int32Array, start: int, end: int) -> int:
        """The position after ``data[start:end]`` (one byte per int32), or 0 if those bytes are impossible here."""
        return self._call(OP_ADVANCE, position, start, end, data)

    def fill(self, position: int, bitmask: Uint32Array, index: int, stop_ids: Int32Array) -> None:
        """bitmask[index] := the tokens that may follow; stop ids iff the text is complete here."""
        self._call(OP_FILL, position, index, 0, stop_ids, bitmask)

    def is_accepting(self, position: int) -> bool:
        return bool(self._mem[position + masks.O_ACCEPTING])

    def step_byte(self, position: int, byte: int) -> int:
        return self.advance(position, np.array([byte], np.int32), 0, 1)

    def candidate_bytes(self, position: int) -> list[int]:
        """Bytes that may follow: a superset of those that can (a monitor or a lookahead may still forbid one)."""
        mem = self._mem
        live = np.zeros(256, bool)
        for pair in self._pairs(position):
            state = int(mem[pair + masks.Q_FIELDS])
            live |= mem[state + lexer.L_NEXT : state + lexer.L_NEXT + 256] != 0
        return [int(byte) for byte in np.flatnonzero(live)]

    @property
    def statistics(self) -> dict[str, int]:
        """Counts for benchmarks: records by kind, trie nodes visited, rows, bytes."""
        mem = self._mem
        return {
            "lexer_states": int(mem[arena.T_LEXER + 2]),
            "lr_states": int(mem[arena.T_STATE + 2]),
            "stack_nodes": int(mem[arena.T_NODE + 2]),
            "configurations": int(mem[arena.T_CONFIG + 2]),
            "pairs": int(mem[arena.T_PAIR + 2]),
            "positions": int(mem[arena.T_POSITION + 2]),
            "walks": int(mem[arena.M_WALK + 2]),
            "trie_nodes_visited": int(mem[arena.H_VISITS]),
            "rows": int(mem[arena.H_ROWS_USED]),
            "rows_evicted": self.rows_evicted,
            "expansions": self.expansions,
            "arena_bytes_used": 4 * int(mem[arena.H_TOP]),
            "mask_bytes": self._rows.nbytes,
        }

    # -- serving the kernels --------------------------------------------------------------------------------------

    def _call(
        self, operation: int, a: int, b: int = 0, c: int = 0, data: Int32Array = NO_DATA, bitmask: Uint32Array = NO_BITMASK
    ) -> int:
        trie = self.context.trie
        with self._lock:
            while True:
                result: int = run(
                    operation, self._mem, self.context.scratch, trie.info, trie.end, trie.first, trie.token_ids,
                    self._rows, bitmask, data, a, b, c,
                )  # fmt: skip
                if result >= 0:
                    return result
                self._serve(result)

    def _serve(self, code: int) -> None:
        missing = int(self._mem[arena.H_MISS])
        if code == arena.MISS_NONTERMINAL:
            self._expand(missing)
        elif code == arena.MISS_TERMINAL:
            self._load_terminal(missing)
        elif code == arena.MISS_ROW:
            self._fetch_row(missing)
        elif code == arena.FULL:
            self._grow()
        elif code == arena.FULL_ROWS:
            self._grow_rows()
        else:
            raise LimitExceededError(
                "the grammar is too ambiguous here", limit="scratch space of one step", given="more parses or exits"
            )

    def _grow(self) -> None:
        mem = self._mem
        for table in (*arena.INTERN_TABLES, *arena.MEMO_TABLES):
            is_memo = table in arena.MEMO_TABLES
            if int(mem[table + 2]) * 2 > int(mem[table + 1]):
                capacity = 4 * (int(mem[table + 1]) + 1)
                mem = self._reserve(capacity * (3 if is_memo else 1))
                arena.grow_table(mem, table, is_memo, capacity)
        mem[arena.H_PRESSURE] = 0
        if int(mem[arena.H_TOP]) + 16 * arena.SLACK > len(mem):
            self._reserve(len(mem))

    def _reserve(self, ints: int) -> Int32Array:
        """Make sure that ``ints`` more fit, with slack."""
        needed = int(self._mem[arena.H_TOP]) + ints + 16 * arena.SLACK
        if needed > len(self._mem):
            size = max(2 * len(self._mem), needed)
            if 4 * size > self.limits.arena_bytes:
                raise LimitExceededError(
                    "the automata of this grammar grew too large", limit=f"arena of {self.limits.arena_bytes} bytes", given=4 * size
                )
            grown = np.zeros(size, np.int32)
            grown[: len(self._mem)] = self._mem
            self._mem = grown
        return self._mem

    def _grow_rows(self) -> None:
        rows = self._rows
        if 2 * rows.nbytes <= max(self.limits.mask_bytes, 4 * INITIAL_ROWS * 4 * self.context.words):
            grown = np.zeros((2 * len(rows), self.context.words), np.uint32)
            grown[: len(rows)] = rows
            self._rows = grown
            return
        # Over budget: forget every memoized mask and walk. Positions stay valid; masks are built again when asked for.
        mem = self._mem
        slots = int(mem[arena.T_PAIR])
        pairs = mem[slots : slots + int(mem[arena.T_PAIR + 1]) + 1]
        mem[pairs[pairs > 0] + masks.Q_MASK] = 0
        walks, size = int(mem[arena.M_WALK]), int(mem[arena.M_WALK + 1]) + 1
        mem[walks : walks + 3 * size] = 0
        mem[arena.M_WALK + 2] = 0
        mem[arena.H_ROWS_USED] = 0
        self.rows_evicted += len(rows)

    def _append(self, values: Sequence[int] | Int32Array) -> int:
        """Copy ints to TOP; their address."""
        count = len(values)
        mem = self._mem
        top = int(mem[arena.H_TOP])
        if top + count + 16 * arena.SLACK > len(mem):
            mem = self._reserve(count)
        mem[top : top + count] = values
        mem[arena.H_TOP] = top + count
        return top

    # -- the grammar in the arena ---------------------------------------------------------------------------------

    def _initialize(self) -> None:
        mem = self._mem
        mem[arena.H_TOP] = arena.HEADER_SIZE
        mem[arena.H_ORDERED] = self.grammar.lexing is Lexing.LEFTMOST
        for table in (*arena.INTERN_TABLES, *arena.MEMO_TABLES):
            arena.grow_table(mem, table, table in arena.MEMO_TABLES, INITIAL_TABLE)
        start = self._append([0] * parser.NONTERMINAL_SIZE)
        right = self._append([-self._nonterminal(self.grammar.start), 0, start, 1])
        mem[start + parser.N_PRODUCTIONS] = self._append([1, right])
        mem[arena.H_START] = start
        ignored = [self._terminal(t) for t in self.grammar.ignored]
        for terminal in ignored:
            mem[terminal + lexer.X_IGNORED] = 1
        mem[arena.H_IGNORED] = self._append([len(ignored), *ignored])
        # The root: one LR state with the augmented item, one node, one configuration, interned by hand.
        top = int(mem[arena.H_TOP])
        mem[top + parser.S_FIELDS] = right
        state = int(arena.intern(mem, arena.T_STATE, parser.S_FIELDS, 1))
        top = int(mem[arena.H_TOP])
        mem[top + parser.G_FIELDS] = state
        node = int(arena.intern(mem, arena.T_NODE, parser.G_FIELDS, 1))
        top = int(mem[arena.H_TOP])
        mem[top + parser.C_FIELDS] = self.grammar.accepts_empty
        mem[top + parser.C_FIELDS + 1] = node
        configuration = int(arena.intern(mem, arena.T_CONFIG, parser.C_FIELDS, 2))
        self.start_position = self._call(OP_START, configuration)

    def _nonterminal(self, number: int) -> int:
        found = self._nonterminals.get(number)
        if found is None:
            found = self._append([0] * parser.NONTERMINAL_SIZE)
            self._nonterminals[number] = found
            self._nonterminal_ids[found] = number
        return found

    def _terminal(self, number: int) -> int:
        found = self._terminals.get(number)
        if found is None:
            found = self._append([number, 0, 0, 0, 0, 0, 0])
            self._terminals[number] = found
            self._terminal_ids[found] = number
        return found

    def _expand(self, address: int) -> None:
        """Write the productions of a nonterminal: right-hand sides first, then the list of their addresses."""
        productions = self.grammar.productions(self._nonterminal_ids[address])
        number = self._nonterminal_ids[address]
        if not productions and not (number == self.grammar.start and self.grammar.accepts_empty):
            raise ValueError(f"nonterminal {number} has no productions")
        self.expansions += 1
        terminals, nonterminals = self._terminals, self._nonterminals
        flat: list[int] = []
        offsets: list[int] = []
        for production in productions:
            offsets.append(len(flat))
            for symbol in production:
                if symbol >= 0:
                    flat.append(terminals.get(symbol) or self._terminal(symbol))
                else:
                    flat.append(-(nonterminals.get(~symbol) or self._nonterminal(~symbol)))
            flat += (0, address, len(production))
        base = self._append(flat)
        table = [len(offsets)]
        table += [base + offset for offset in offsets]
        self._mem[address + parser.N_PRODUCTIONS] = self._append(table)

    def _load_terminal(self, address: int) -> None:
        terminal = self.grammar.terminal(self._terminal_ids[address])
        closure = self._write_automaton(terminal.automaton, address, shadow=False)
        if terminal.unless:
            # The shadow ends in a pseudo terminal that only says whose shadow it is.
            pseudo = self._append([0, 0, 0, 0, 0, address, 0])
            shadow = self._write_automaton(terminal.automaton, pseudo, shadow=True)
            unless = self._append([len(terminal.unless), *(self._terminal(t) for t in terminal.unless)])
            self._mem[address + lexer.X_SHADOW] = shadow
            self._mem[address + lexer.X_UNLESS] = unless
        self._mem[address + lexer.X_CLOSURE] = closure

    def _write_automaton(self, automaton: bytes | ByteAutomaton, terminal: int, *, shadow: bool) -> int:
        """Positions and closures of a terminal; the address of its start closure."""
        if isinstance(automaton, bytes):
            return self._write_literal(automaton, terminal, shadow=shadow)
        count, states = len(automaton.positions), automaton.num_states
        key = 0
        if automaton.key and not shadow:
            key = len(self._keys)
        base = int(self._mem[arena.H_TOP])
        # Entries take three ints, and each closure's length stands before them.
        closures = base + count * lexer.POSITION_SIZE
        addresses = closures + 3 * automaton.offsets + np.arange(states + 1)
        block = np.empty(count * lexer.POSITION_SIZE + 3 * len(automaton.entries) + states, np.int32)
        positions = block[: count * lexer.POSITION_SIZE].reshape(count, lexer.POSITION_SIZE)
        positions[:, lexer.P_LOW] = automaton.positions[:, 0]
        positions[:, lexer.P_HIGH] = automaton.positions[:, 1]
        positions[:, lexer.P_NEXT] = addresses[automaton.positions[:, 2]]
        positions[:, lexer.P_KEY] = key
        positions[:, lexer.P_SHADOW] = shadow
        entries = automaton.entries.copy()
        matches = entries[:, 0] < 0
        entries[:, 0] = base + entries[:, 0] * lexer.POSITION_SIZE
        entries[matches, 0] = -terminal
        lengths_at = addresses[:-1] - base
        block[lengths_at] = np.diff(automaton.offsets)
        rest = np.ones(len(block), bool)
        rest[: count * lexer.POSITION_SIZE] = False
        rest[lengths_at] = False
        block[rest] = entries.ravel()
        if key:
            self._keys.append((automaton.key, base))
        written = self._append(block)
        if written != base:
            raise AssertionError("the arena moved while a terminal was written")
        return int(addresses[0])

    def _write_literal(self, text: bytes, terminal: int, *, shadow: bool) -> int:
        """A literal is a chain: closure, position, closure, position, ..., closure with MATCH."""
        at = int(self._mem[arena.H_TOP])
        start = at
        block: list[int] = []
        for byte in text:
            block += (1, at + 4, 0, 0, byte, byte, at + 9, 0, int(shadow))
            at += 9
        block += (1, -terminal, 0, 0)
        self._append(block)
        return start

    # -- rows shared through the vocabulary's store ---------------------------------------------------------------

    def _signature(self, state: int) -> tuple[object, ...]:
        """What a lexer state's walks depend on, in terms that other grammars share."""
        mem = self._mem
        threads = int(mem[state + lexer.L_THREADS])
        first = state + lexer.L_LIST
        parts: list[object] = [bool(mem[arena.H_ORDERED])]
        for position, counter in mem[first : first + 2 * threads].reshape(threads, 2).tolist():
            key, base = self._keys[int(mem[position + lexer.P_KEY])]
            parts.append((key, (position - base) // lexer.POSITION_SIZE, counter))
        if not parts[0]:
            parts[1:] = sorted(parts[1:])  # type: ignore[type-var]
        return tuple(parts)

    def _fetch_row(self, state: int) -> None:
        signature = self._signature(state)
        stored = self.context.store.get(signature)
        if stored is None:
            self._mem[arena.H_NO_ROW_MISS] = 1
            walk = self._call(OP_WALK, state, 0)
            self._mem[arena.H_NO_ROW_MISS] = 0
            self.context.store.put(signature, self._export_walk(walk))
        else:
            self._import_walk(state, stored)

    def _export_walk(self, walk: int) -> StoredWalk:
        mem = self._mem
        row, tokens, exits = (int(mem[walk + i]) for i in range(3))
        first = walk + masks.W_LIST
        listed = mem[first : first + tokens].copy()
        pairs = mem[first + tokens : first + tokens + 2 * exits].reshape(exits, 2)
        _, witnesses, groups = np.unique(pairs[:, 1], return_index=True, return_inverse=True)
        nodes = pairs[:, 0].copy()
        return StoredWalk(
            row=self._rows[row].copy() if row >= 0 else None,
            tokens=listed,
            exit_nodes=nodes,
            exit_groups=groups.astype(np.int32),
            witnesses=tuple(self.context.trie.path(int(nodes[w])) for w in witnesses),
        )

    def _import_walk(self, state: int, stored: StoredWalk) -> None:
        mem = self._mem
        if stored.row is not None and int(mem[arena.H_ROWS_USED]) >= len(self._rows):
            self._grow_rows()
        states = np.zeros(len(stored.witnesses), np.int32)
        for group, witness in enumerate(stored.witnesses):
            after = state
            for byte in witness:
                after = self._call(OP_STEP, after, byte)
            states[group] = after
        mem = self._mem
        row = -1
        if stored.row is not None:
            row = int(mem[arena.H_ROWS_USED])
            self._rows[row] = stored.row
            mem[arena.H_ROWS_USED] = row + 1
        exits = np.empty((len(stored.exit_nodes), 2), np.int32)
        exits[:, 0] = stored.exit_nodes
        exits[:, 1] = states[stored.exit_groups]
        head = np.array([row, len(stored.tokens), len(exits)], np.int32)
        if int(mem[arena.M_WALK + 2]) * 2 > int(mem[arena.M_WALK + 1]):
            self._grow()
        walk = self._append(np.concatenate([head, stored.tokens, exits.ravel()]))
        arena.memo_put(self._mem, arena.M_WALK, state, 0, walk)

    def _pairs(self, position: int) -> list[int]:
        mem = self._mem
        first = position + masks.O_FIELDS
        return [int(pair) for pair in mem[first : first + int(mem[position + 1])]]
