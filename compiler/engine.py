"""The driver of the compiled engine: owns a grammar's arena and does what the kernels ask for.

    position = start_position;   position' = advance(position, bytes);   fill(position, bitmask row)

Kernels return codes for what only Python can do: expand a nonterminal, load a terminal's automaton, fetch a mask row
that the vocabulary already knows, grow. Each happens once per new thing, never once per token.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.engine_image import EngineImage, leaves_room
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.ir import Grammar, ParseTable
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.mask_parts import MaskParts, read_mask_parts
from grammar_engine.compiler.mask_store import MaskStore, RowPool
from grammar_engine.compiler.memory import Template, longer, reserve
from grammar_engine.compiler.prelude import Prelude, Snapshot, take_snapshot
from grammar_engine.compiler.production_writer import ProductionWriter
from grammar_engine.compiler.row_loader import RowLoader
from grammar_engine.compiler.table_writer import write_table, write_terminals
from grammar_engine.compiler.terminal_writer import KeyedAutomaton, TerminalWriter
from grammar_engine.compiler.token_trie import TokenTrie
from grammar_engine.kernels import arena, lexer, masks, parser, positions, scratch, walks
from grammar_engine.kernels.engine import OP_ADVANCE, OP_FILL, OP_START
from grammar_engine.kernels.engine import call as run_kernel

Int32Array = npt.NDArray[np.int32]
Uint32Array = npt.NDArray[np.uint32]

INITIAL_ARENA = 1 << 18  # ints, where the limit allows no more
RESERVED_ARENA = 1 << 22  # ints: addresses only; memory is what is touched
INITIAL_TABLE = 1 << 9
INITIAL_ROWS = 8
RESERVED_ROWS_BYTES = 1 << 24
SPARE_ARENAS = 4  # kept of grammars that are gone
SPARE_BYTES = 1 << 25  # an arena and its rows larger than this are not kept
NUM_SLACKS = 16  # room that is left when the arena grows, in units of what one step may use unchecked
NO_DATA = np.zeros(0, np.int32)
NO_BITMASK = np.zeros((0, 0), np.uint32)


class EngineContext:
    """What all grammars of one vocabulary share: the trie, the store of rows, and scratch space per thread."""

    def __init__(self, trie: TokenTrie, vocabulary_size: int, store: MaskStore) -> None:
        self.trie = trie
        self.vocabulary_size = vocabulary_size
        self.words = (vocabulary_size + 31) // 32
        self.store = store
        self.pool = RowPool(self.words)
        self._local = threading.local()
        self.empty_arena = Template(_empty_arena())
        self._maps = self.empty_arena.is_mapped
        self._snapshots: dict[Hashable, Snapshot] = {}
        self._snapshot_lock = threading.Lock()
        self._spare: list[tuple[Int32Array | None, Uint32Array]] = []

    @property
    def scratch(self) -> Int32Array:
        """The calling thread's scratch space (see kernels.scratch)."""
        try:
            found: Int32Array = self._local.scratch
        except AttributeError:
            found = np.zeros(scratch.scratch_size(len(self.trie.info), len(self.trie.token_ids)), np.int32)
            self._local.scratch = found
        return found

    def snapshot(self, prelude: Prelude) -> Snapshot:
        """What grammars with a prelude start from; built when first asked for."""
        with self._snapshot_lock:  # twice at a time would name two rows of the pool alike
            found = self._snapshots.get(prelude.key)
            if found is None:
                found = self._snapshots[prelude.key] = take_snapshot(prelude, self)
            return found

    def take_memory(self, beginning: Template, limits: Limits) -> tuple[Int32Array, Uint32Array]:
        """An arena that begins with what is given, and a pool of rows: those of a grammar that is gone if any.

        (A page of fresh memory costs more than what is written to it, see ``memory.py``.)
        """
        content = beginning.content
        if limits.arena_bytes < 4 * RESERVED_ARENA or limits.mask_bytes < RESERVED_ROWS_BYTES:
            mem = np.empty(max(INITIAL_ARENA, 2 * len(content)), np.int32)
            rows = np.empty((INITIAL_ROWS, self.words), np.uint32)
        else:
            spare, rows = self._spare.pop() if self._spare else (None, self._new_rows(limits))
            if spare is None:
                return reserve(RESERVED_ARENA, beginning, limits.arena_bytes // 4), rows
            mem = spare
        mem[: len(content)] = content
        return mem, rows

    def map_image(self, image: EngineImage, limits: Limits) -> tuple[Int32Array, Uint32Array]:
        """An arena and a pool of rows that begin with what an image holds."""
        mem = reserve(max(RESERVED_ARENA, 2 * len(image.arena.content)), image.arena, limits.arena_bytes // 4)
        # (a pool that is nearly full would soon be emptied: here it is as large as it may be)
        most = max(limits.mask_bytes, image.rows.content.nbytes + 4 * INITIAL_ROWS * self.words)
        return mem, self._new_rows(
            limits, most if 2 * image.rows.content.nbytes > RESERVED_ROWS_BYTES else 0, image.rows
        )

    def _new_rows(self, limits: Limits, size: int = 0, beginning: Template | None = None) -> Uint32Array:
        num_rows = max(RESERVED_ROWS_BYTES, size) // (4 * self.words)
        memory = reserve(num_rows * self.words, beginning, limits.mask_bytes // 4)
        return memory.view(np.uint32).reshape(num_rows, self.words)

    def give_memory(self, mem: Int32Array, rows: Uint32Array) -> None:
        """Keep what a grammar leaves for the next one, unless there is enough or it is large."""
        if len(self._spare) < SPARE_ARENAS and mem.nbytes + rows.nbytes <= SPARE_BYTES:
            # Where templates are mapped, a fresh arena costs less than to copy one into an old arena.
            self._spare.append((None if self._maps else mem, rows))


def _empty_arena() -> Int32Array:
    """Header and empty tables, to start every grammar's arena from."""
    mem = np.zeros(1 << 16, np.int32)
    mem[arena.H_TOP] = arena.HEADER_SIZE
    mem[arena.H_ROOT_GROUP + walks.E_COUNT] = 1
    for table in (*arena.INTERN_TABLES, *arena.MEMO_TABLES):
        arena.grow_table(mem, table, table in arena.MEMO_TABLES, INITIAL_TABLE)
    used: Int32Array = mem[: mem[arena.H_TOP]].copy()
    return used


class Engine:
    """One grammar's automata, built on demand, and the operations on positions. Thread-safe."""

    def __init__(
        self,
        grammar: Grammar,
        context: EngineContext,
        limits: Limits | None = None,
        *,
        portable: bool = False,
        image: EngineImage | None = None,
        lock: threading.RLock | None = None,
    ) -> None:
        """portable: its rows are all its own, so that images of it can be taken; it has no prelude.

        image: to begin with; of a portable engine of this grammar. lock: of another engine of this very grammar.
        """
        self.grammar = grammar
        self.context = context
        self.limits = limits or Limits()
        self.portable = portable
        self.lock = lock or threading.RLock()
        self._trie = context.trie.packed
        self._shared = context.pool.rows
        self.expansions = 0
        self.evictions = 0
        if image is not None:
            self._begin_with(image)
            return
        prelude = grammar.prelude
        snapshot = None if prelude is None else context.snapshot(prelude)
        self.mem, self.rows = context.take_memory(
            context.empty_arena if snapshot is None else snapshot.mem, self.limits
        )
        self._productions = ProductionWriter(
            self,
            {} if snapshot is None else snapshot.terminals.copy(),
            {} if snapshot is None else snapshot.nonterminals.copy(),
        )
        self._writer = TerminalWriter(self, [] if snapshot is None else snapshot.keyed)
        self._row_loader = RowLoader(self, self._writer, {})
        self._initialize()

    def _begin_with(self, image: EngineImage) -> None:
        self.mem, self.rows = self.context.map_image(image, self.limits)
        self.expansions = image.expansions
        self._productions = ProductionWriter(self, dict(image.terminals), dict(image.nonterminals))
        self._writer = TerminalWriter(self, image.keyed)
        self._row_loader = RowLoader(self, self._writer, dict(image.named_rows))
        self.start_position = image.start

    def image(self) -> EngineImage:
        """All that has been built so far; of a portable engine."""
        if not self.portable:
            raise ValueError("rows of this engine are the vocabulary's")
        with self.lock:
            terminals, nonterminals = self.symbol_addresses
            used = int(self.mem[arena.H_ROWS_USED])
            return EngineImage(
                arena=Template(self.mem[: self.top].copy()),
                rows=Template(self.rows[:used].copy().view(np.int32).ravel()),
                start=self.start_position,
                terminals=terminals.copy(),
                nonterminals=nonterminals.copy(),
                keyed=tuple(self._writer.keyed),
                named_rows=dict(self._row_loader.named_rows),
                expansions=self.expansions,
            )

    @property
    def used_bytes(self) -> int:
        """Memory that the automata take."""
        return 4 * self.top

    @property
    def row_bytes(self) -> int:
        """Memory that its own rows take."""
        return 4 * self.context.words * int(self.mem[arena.H_ROWS_USED])

    @property
    def image_bytes(self) -> int:
        """The size of an image."""
        return self.used_bytes + self.row_bytes

    def leaves_room(self, share: float = 1) -> bool:
        """May others begin with an image of it? See ``engine_image.leaves_room``."""
        return leaves_room(self.used_bytes, self.row_bytes, self.limits, share=share)

    def __del__(self) -> None:
        """Leave the memory to the next grammar."""
        if hasattr(self, "rows") and SPARE_ARENAS:  # (None at the end of the process)
            self.context.give_memory(self.mem, self.rows)

    # -- operations -----------------------------------------------------------------------------------------------

    def advance(self, position: int, data: Int32Array, start: int, end: int) -> int:
        """The position after ``data[start:end]`` (one byte per int32), or 0 if those bytes are impossible here."""
        return self.call(OP_ADVANCE, position, start, end, data)

    def fill(self, position: int, bitmask: Uint32Array, index: int, stop_ids: Int32Array) -> None:
        """bitmask[index] := the tokens that may follow; stop ids iff the text is complete here."""
        self.call(OP_FILL, position, index, 0, stop_ids, bitmask)

    def mask_parts(self, position: int) -> MaskParts:
        """What the mask of a position is the union of, stop ids aside."""
        with self.lock:
            self.fill(position, np.zeros((1, self.context.words), np.uint32), 0, NO_DATA)
            return read_mask_parts(self.mem, self.rows, self._shared, position, self.evictions)

    def is_accepting(self, position: int) -> bool:
        """Whether the text so far is in the language."""
        return bool(self.mem[position + positions.O_ACCEPTING])

    def step_byte(self, position: int, byte: int) -> int:
        """The position after one byte, or 0."""
        return self.advance(position, np.array([byte], np.int32), 0, 1)

    def candidate_bytes(self, position: int) -> list[int]:
        """Bytes that may follow: a superset of those that can (a monitor or a lookahead may still forbid one)."""
        mem = self.mem
        live = bytearray(256)
        for pair in self._pairs(position):
            state = int(mem[pair + masks.Q_FIELDS])
            first = state + lexer.L_LIST
            threads = mem[first : first + 2 * int(mem[state + lexer.L_THREADS]) : 2]
            ranges = zip(mem[threads + lexer.P_LOW].tolist(), mem[threads + lexer.P_HIGH].tolist(), strict=True)
            for low, high in set(ranges):
                live[low : high + 1] = b"\1" * (high + 1 - low)
        return list(compress(range(256), live))

    @property
    def statistics(self) -> dict[str, int]:
        """Counts for benchmarks: records by kind, trie nodes visited, rows, bytes."""
        mem = self.mem
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
            "evictions": self.evictions,
            "expansions": self.expansions,
            "arena_bytes_used": 4 * int(mem[arena.H_TOP]),
            "mask_bytes": self.rows.nbytes,
        }

    @property
    def symbol_addresses(self) -> tuple[dict[int, int], dict[int, int]]:
        """Where terminals and nonterminals lie, by number."""
        return self._productions.terminals, self._productions.nonterminals

    @property
    def symbol_numbers(self) -> tuple[dict[int, int], dict[int, int]]:
        """Which terminals and nonterminals lie where."""
        return self._productions.terminal_numbers, self._productions.nonterminal_numbers

    def terminal_address(self, number: int) -> int:
        """The record of a terminal, made when first named; its automaton is loaded when first needed."""
        return self._productions.terminal(number)

    @property
    def top(self) -> int:
        """Where the next block goes."""
        return int(self.mem[arena.H_TOP])

    @property
    def keyed_automata(self) -> list[KeyedAutomaton]:
        """The shared automata in the arena."""
        return self._writer.keyed

    # -- serving the kernels --------------------------------------------------------------------------------------

    def call(
        self,
        operation: int,
        a: int,
        b: int = 0,
        c: int = 0,
        data: Int32Array = NO_DATA,
        bitmask: Uint32Array = NO_BITMASK,
    ) -> int:
        """Run an operation (see kernels.engine) until it has an answer: an address, or 0 for "none"."""
        with self.lock:
            result: int = run_kernel(
                operation, self.mem, self.context.scratch, self._trie, self._shared, self.rows, bitmask, data, a, b, c
            )
            if result >= 0:
                return result
            self.grammar.begin_step()
            evictions = self.evictions
            while True:
                self.serve(result)
                if self.evictions > evictions + 2:
                    limit = f"mask_bytes {self.limits.mask_bytes}"
                    raise LimitExceededError("one mask needs more rows than the pool has", limit=limit, given="more")
                result = run_kernel(
                    operation, self.mem, self.context.scratch, self._trie, self._shared, self.rows,
                    bitmask, data, a, b, c,
                )  # fmt: skip
                if result >= 0:
                    return result

    def serve(self, code: int) -> None:
        """Do what a kernel asks for (see kernels.arena)."""
        missing = int(self.mem[arena.H_MISS])
        if code == arena.MISS_NONTERMINAL:
            self._expand(missing)
        elif code == arena.MISS_TERMINAL:
            self._writer.load(missing, self.grammar.terminal(self._productions.terminal_numbers[missing]))
        elif code == arena.MISS_ROW:
            self._row_loader.load(missing)
        elif code == arena.MISS_BLOCKER:
            self._writer.load_blocker(missing, self.grammar.terminal(self._productions.terminal_numbers[missing]))
        elif code == arena.FULL:
            self.grow()
        elif code == arena.FULL_ROWS:
            self.grow_rows()
        else:
            raise LimitExceededError(
                "the grammar is too ambiguous here", limit="scratch space of one step", given="more parses or exits"
            )

    def grow(self) -> None:
        """Enlarge what a kernel found too small: hash tables that are more than half full, else the arena."""
        mem = self.mem
        grown = False
        for table in (*arena.INTERN_TABLES, *arena.MEMO_TABLES):
            is_memo = table in arena.MEMO_TABLES
            if int(mem[table + 2]) * 2 > int(mem[table + 1]):
                capacity = 2 * (int(mem[table + 1]) + 1)
                mem = self._reserve(capacity * (arena.MEMO_SLOT if is_memo else arena.INTERN_SLOT))
                arena.grow_table(mem, table, is_memo, capacity)
                grown = True
        mem[arena.H_PRESSURE] = 0
        if not grown or int(mem[arena.H_TOP]) + NUM_SLACKS * arena.SLACK > len(mem):
            self._enlarge(len(mem) + 1)

    def _reserve(self, ints: int) -> Int32Array:
        """Make sure that ``ints`` more fit, with slack."""
        needed = int(self.mem[arena.H_TOP]) + ints + NUM_SLACKS * arena.SLACK
        if needed > len(self.mem):
            self._enlarge(needed)
        return self.mem

    def _enlarge(self, ints: int) -> None:
        """Move to an arena of at least so many ints."""
        size = min(max(2 * len(self.mem), ints), self.limits.arena_bytes // 4)
        if size < ints:
            limit = f"arena of {self.limits.arena_bytes} bytes"
            raise LimitExceededError("the automata of this grammar grew too large", limit=limit, given=4 * ints)
        self.mem = longer(self.mem, size)

    def grow_rows(self) -> None:
        """Double the pool of rows, or empty it (and forget the masks built on it) when it is at its budget."""
        rows = self.rows
        if 2 * rows.nbytes <= max(self.limits.mask_bytes, 4 * INITIAL_ROWS * 4 * self.context.words):
            grown = longer(rows.reshape(-1).view(np.int32), 2 * rows.size)
            self.rows = grown.view(np.uint32).reshape(2 * len(rows), self.context.words)
            return
        # Positions stay valid; masks are built again when asked for.
        mem = self.mem
        slots = int(mem[arena.T_PAIR])
        pairs = mem[slots : slots + arena.INTERN_SLOT * (int(mem[arena.T_PAIR + 1]) + 1) : arena.INTERN_SLOT]
        mem[pairs[pairs > 0] + masks.Q_MASK] = 0
        for table in (arena.M_WALK, arena.M_BEHIND, arena.M_EXPANSION):
            memo, size = int(mem[table]), int(mem[table + 1]) + 1
            mem[memo : memo + 3 * size] = 0
            mem[table + 2] = 0
        mem[arena.H_ROWS_USED] = 0
        self._row_loader.forget_rows()
        self.evictions += 1

    def append(self, values: Sequence[int] | Int32Array) -> int:
        """Copy ints to TOP; their address."""
        count = len(values)
        mem = self.mem
        top = int(mem[arena.H_TOP])
        if top + count + NUM_SLACKS * arena.SLACK > len(mem):
            mem = self._reserve(count)
        mem[top : top + count] = values
        mem[arena.H_TOP] = top + count
        return top

    def interned(self, table: int, fields: int, payload: Sequence[int]) -> int:
        """The record of a payload that no kernel made; what is known about a new one is nothing."""
        with self.lock:
            if self.mem[arena.H_PRESSURE]:
                self.grow()
            mem = self._reserve(fields + len(payload))
            top = int(mem[arena.H_TOP])
            mem[top + fields : top + fields + len(payload)] = payload
            record = int(arena.intern(mem, table, fields, len(payload)))
            if record == top:
                mem[top + arena.R_LENGTH + 1 : top + fields] = 0
            return record

    # -- the grammar in the arena ---------------------------------------------------------------------------------

    def _initialize(self) -> None:
        mem = self.mem
        mem[arena.H_ORDERED] = self.grammar.lexing.value
        mem[arena.H_BEHIND] = bool(self.grammar.behind)
        if self.grammar.table is not None:
            self._initialize_table(self.grammar.table)
            return
        start = self.append([0] * parser.NONTERMINAL_SIZE)
        right = self.append([-self._productions.nonterminal(self.grammar.start), 0, start, 1])
        mem[start + parser.N_PRODUCTIONS] = self.append([1, right])
        mem[arena.H_START] = start
        ignored = [self._productions.terminal(t) for t in self.grammar.ignored]
        for terminal in ignored:
            mem[terminal + lexer.X_IGNORED] = 1
        mem[arena.H_IGNORED] = self.append([len(ignored), *ignored])
        if self.grammar.tried:
            tried = [self._productions.terminal(t) for t in self.grammar.tried]
            self.mem[arena.H_TRIED] = self.append([len(tried), *tried])
        # The root: one LR state with the augmented item, one node, one configuration, interned by hand.
        top = int(mem[arena.H_TOP])
        mem[top + parser.S_FIELDS] = right
        state = int(arena.intern(mem, arena.T_STATE, parser.S_FIELDS, 1))
        mem[state + parser.S_CLOSURE] = mem[state + parser.S_TERMINALS] = mem[state + parser.S_COMPLETE] = 0
        top = int(mem[arena.H_TOP])
        mem[top + parser.G_FIELDS] = state
        node = int(arena.intern(mem, arena.T_NODE, parser.G_FIELDS, 1))
        top = int(mem[arena.H_TOP])
        mem[top + parser.C_FIELDS] = self.grammar.accepts_empty
        mem[top + parser.C_FIELDS + 1] = node
        configuration = int(arena.intern(mem, arena.T_CONFIG, parser.C_FIELDS, 2))
        mem[configuration + arena.R_LENGTH + 1 : configuration + parser.C_FIELDS] = 0
        self.start_position = self.call(OP_START, configuration)

    def _initialize_table(self, table: ParseTable) -> None:
        terminals = write_terminals(self, table.num_terminals, table.layout)
        self._productions.name_terminals(terminals)
        for terminal in self.grammar.ignored:
            self.mem[terminals[terminal] + lexer.X_IGNORED] = 1
        ignored = [terminals[terminal] for terminal in self.grammar.ignored]
        self.mem[arena.H_IGNORED] = self.append([len(ignored), *ignored])
        node = write_table(self, table, terminals)
        configuration = self.interned(arena.T_CONFIG, parser.C_FIELDS, [int(self.grammar.accepts_empty), node])
        self.start_position = self.call(OP_START, configuration)

    def _expand(self, address: int) -> None:
        # Terminals that begin a production are asked for next: load them without being asked one by one.
        for terminal, number in self._productions.expand(address).items():
            if not self.mem[terminal + lexer.X_CLOSURE] and not self.mem[terminal + lexer.X_TEXTS]:
                self._writer.load(terminal, self.grammar.terminal(number))

    def _pairs(self, position: int) -> list[int]:
        mem = self.mem
        first = position + positions.O_FIELDS
        pairs: list[int] = mem[first : first + int(mem[position + 1])].tolist()
        return pairs
