"""Terminals into the arena: positions and closures (see kernels.lexer for the records).

A terminal's block is written relative to its own start and kept with the automaton, so that a grammar which uses a
known automaton (every JSON Schema's strings, numbers and punctuation) pays for a copy and two additions.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.automaton import (
    AGAIN,
    CONDITION,
    DECIDED,
    EXIT,
    KEEP,
    MATCH,
    ByteAutomaton,
    deciding_states,
)
from grammar_engine.compiler.given_strings import given_json_strings
from grammar_engine.compiler.ir import JsonStrings, Terminal
from grammar_engine.kernels import lexer, terminals

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

Int32Array = npt.NDArray[np.int32]

WIDE_BYTES = 64  # an automaton with a state that reads so many bytes is worth a shared row


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The counted loop of an automaton whose exits lead straight to a match (a JSON string of bounded length, say).

    signature: equal for automata that differ in their bounds only. most: None = no upper bound.
    """

    signature: str
    least: int
    most: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A terminal's ints, relative: add the block's address at ``addresses``, put minus the terminal at ``matches``.

    decided: where a condition is; deciding: the positions that do. conditional: where a match is conditional, and which
    condition; conditions: per condition the closures that start to decide it.
    start: where its start closure is; starts: see ``ByteAutomaton``.
    wide: see WIDE_BYTES. digest: of the automaton, if it has a key. loop: its
    counted loop, if rows can be shared over bounds. enough, tight: from the one count on no loop is left too early, up
    to the other none ends. settled: where the closures of settled states begin. anything: the positions read by each
    settled state between two characters. spelling: of the automaton.
    """

    ints: Int32Array
    addresses: Int32Array
    matches: Int32Array
    decided: Int32Array
    deciding: Int32Array
    conditional: Int32Array
    conditions: Int32Array
    start: int
    starts: Int32Array
    wide: bool
    digest: str
    loop: Loop | None
    enough: int
    tight: int
    settled: int
    anything: frozenset[tuple[int, ...]]
    spelling: str


@dataclass(frozen=True, kw_only=True)
class KeyedAutomaton:
    """Where a shared automaton lies in one grammar's arena, and what sharing its rows takes (see ``Block``)."""

    address: int
    digest: str
    loop: Loop | None
    anything: frozenset[tuple[int, ...]]
    spelling: str


@lru_cache(maxsize=512)
def block_of(automaton: ByteAutomaton) -> Block:
    """The block of an automaton: all positions, then each state's closure."""
    count, states, size = len(automaton.positions), automaton.num_states, lexer.POSITION_SIZE
    closures = count * size + 3 * automaton.offsets + np.arange(states + 1)
    ints = np.zeros(count * size + 3 * len(automaton.entries) + states, np.int32)
    positions = ints[: count * size].reshape(count, size)
    positions[:, lexer.P_LOW] = automaton.positions[:, 0]
    positions[:, lexer.P_HIGH] = automaton.positions[:, 1]
    positions[:, lexer.P_NEXT] = closures[automaton.positions[:, 2]]
    ints[closures[:-1]] = np.diff(automaton.offsets)
    state_of_entry = np.repeat(np.arange(states), np.diff(automaton.offsets))
    targets_at = count * size + 3 * np.arange(len(automaton.entries)) + state_of_entry + 1
    indices = automaton.entries[:, 0]
    ints[targets_at] = indices * size
    ints[targets_at + 1] = automaton.entries[:, 1]
    ints[targets_at + 2] = automaton.entries[:, 2]
    enough, tight = _counts_that_matter(automaton)
    next_at = np.arange(count) * size + lexer.P_NEXT
    asked = np.array(automaton.conditions, np.int32).reshape(-1, 2)
    of_deciding = np.repeat(deciding_states(automaton), np.diff(automaton.offsets)) & (indices >= 0)
    chosen = np.array(automaton.starts, np.int32)
    return Block(
        ints=ints,
        addresses=np.concatenate([next_at, targets_at[indices >= 0]]).astype(np.int32),
        matches=targets_at[indices == MATCH].astype(np.int32),
        decided=targets_at[indices == DECIDED].astype(np.int32),
        deciding=(indices[of_deciding] * size).astype(np.int32),
        conditional=np.stack([targets_at, CONDITION - indices], 1)[indices <= CONDITION].astype(np.int32),
        conditions=closures[asked].astype(np.int32),
        start=int(closures[0]),
        starts=np.where(chosen >= 0, closures[chosen], -1).astype(np.int32),
        wide=_is_wide(automaton),
        digest=_digest(automaton.positions, automaton.offsets, automaton.entries) if automaton.key else "",
        loop=_loop_of(automaton),
        enough=enough,
        tight=tight,
        settled=int(closures[automaton.settled]) if automaton.settled >= 0 else len(ints),
        anything=_anything(automaton),
        spelling=automaton.spelling,
    )


def _digest(*arrays: Int32Array) -> str:
    return hashlib.sha256(b"|".join(array.tobytes() for array in arrays)).hexdigest()[:32]


def _is_wide(automaton: ByteAutomaton) -> bool:
    widths = np.append(automaton.positions[:, 1] - automaton.positions[:, 0] + 1, 0)
    read = np.cumsum(np.append(0, widths[np.maximum(automaton.entries[:, 0], MATCH)]))
    return bool((np.diff(read[automaton.offsets]) >= WIDE_BYTES).any())


def _loop_of(automaton: ByteAutomaton) -> Loop | None:
    entries = automaton.entries
    again, left = entries[entries[:, 1] == AGAIN, 2], entries[entries[:, 1] == EXIT]
    if not len(again) or not len(left) or len(set(again.tolist())) > 1 or len(set(left[:, 2].tolist())) > 1:
        return None
    if (left[:, 0] == MATCH).any() or not _ends_at_once(automaton, left):
        return None
    bound = int(again[0])
    unbound = entries.copy()
    unbound[:, 2] = 0
    signature = _digest(automaton.positions, automaton.offsets, unbound)
    return Loop(signature=signature, least=int(left[0, 2]), most=bound if bound >= 0 else None)


def _anything(automaton: ByteAutomaton) -> frozenset[tuple[int, ...]]:
    """The positions read by each settled state between two characters of a JSON string, as they lie in a block, sorted.

    There stands the quote.
    """
    found: list[tuple[int, ...]] = []
    if automaton.spelling and automaton.settled >= 0:
        for state in range(automaton.settled, automaton.num_states):
            read = automaton.entries[automaton.offsets[state] : automaton.offsets[state + 1], 0]
            if (automaton.positions[read, 0] == ord('"')).any() and (automaton.positions[read, 0] == ord(" ")).any():
                found.append(tuple(sorted((lexer.POSITION_SIZE * read).tolist())))
    return frozenset(found)


def _ends_at_once(automaton: ByteAutomaton, entries: Int32Array) -> bool:
    """Do entries match, or lead straight to a match and nothing else?"""
    reading = entries[entries[:, 0] != MATCH, 0]
    for state in set(automaton.positions[reading, 2].tolist()):
        first, last = automaton.offsets[state], automaton.offsets[state + 1]
        if last - first != 1 or automaton.entries[first, 0] != MATCH:
            return False
    return True


def _counts_that_matter(automaton: ByteAutomaton) -> tuple[int, int]:
    """From which count on no loop is left too early, and up to which none ends.

    A loop that is entered after another was left begins to count anew: if it may be left too early then, every count
    matters.
    """
    entries = automaton.entries
    again, left = entries[entries[:, 1] == AGAIN, 2], entries[entries[:, 1] == EXIT]
    most = again[again >= 0]
    tight = int(most.min()) if len(most) else lexer.ENDLESS
    enough = int(left[:, 2].max()) if len(left) else 0
    if enough > 1 and not _ends_at_once(automaton, left):
        enough = lexer.ENDLESS
    return enough, tight


class TerminalWriter:
    """Loads terminals into one engine's arena, and remembers which addresses belong to shared automata."""

    def __init__(self, engine: Engine, keyed: Sequence[KeyedAutomaton]) -> None:
        """keyed: automata that are in the arena already."""
        # The engine owns this: without a cycle its memory comes back at once.
        self._engine: Engine = weakref.proxy(engine)
        self.keyed = list(keyed)

    def load(self, address: int, terminal: Terminal) -> None:
        """Write the automaton of the terminal at ``address``, its shadow and what it is excluded by."""
        self._load(address, terminal, 0)

    def _load(self, address: int, terminal: Terminal, kind: int) -> None:
        engine = self._engine
        shadow = unless = 0
        if terminal.unless:
            of = lexer.SHADOW if kind else lexer.KEYWORD
            shadow = self._write(terminal.automaton, self._shadow_of(address), shadow=of)[0]
            unless = engine.append([len(terminal.unless), *(engine.terminal_address(t) for t in terminal.unless)])
        elif terminal.excluded:
            shadow = self._write_texts(terminal.excluded, self._shadow_of(address), shadow=lexer.SHADOW)
        closure, wide = self._write(terminal.automaton, address, shadow=kind)
        if terminal.longer is not None:
            closure = self._joined(self._write(terminal.longer, address, shadow=kind)[0], closure)
        for texts in (terminal.reserved, terminal.longer):
            if texts is not None:
                closure = self._joined(self._write(texts, self._shadow_of(address), shadow=lexer.SHADOW)[0], closure)
        mem = engine.mem
        if terminal.all_matches:
            mem[address + lexer.X_LAYOUT] = lexer.ALL_MATCHES
        mem[address + lexer.X_SHADOW] = shadow
        mem[address + lexer.X_UNLESS] = unless
        mem[address + lexer.X_WIDE] = wide
        mem[address + lexer.X_CLOSURE] = closure

    def load_blocker(self, address: int, terminal: Terminal) -> None:
        """Make the twin of a terminal that blocks (see kernels.lexer), with its automaton."""
        engine = self._engine
        record = [0] * lexer.TERMINAL_SIZE
        record[lexer.X_ORDER] = int(engine.mem[address + lexer.X_ORDER])
        record[lexer.X_FAMILY] = address
        record[lexer.X_LAYOUT] = lexer.BLOCKS
        twin = engine.append(record)
        self._load(twin, replace(terminal, automaton=without_labels(terminal.automaton)), lexer.BLOCKER)
        engine.mem[address + lexer.X_BLOCKER] = twin

    def _shadow_of(self, address: int) -> int:
        """A pseudo terminal that says whose shadow it is."""
        record = [0] * lexer.TERMINAL_SIZE
        record[lexer.X_SHADOW_OF] = address
        return self._engine.append(record)

    def _write(self, automaton: bytes | ByteAutomaton | JsonStrings, terminal: int, *, shadow: int) -> tuple[int, bool]:
        """The address of the start closure, and whether the automaton is wide."""
        if isinstance(automaton, bytes):
            return self._write_texts((automaton,), terminal, shadow=shadow), False
        if isinstance(automaton, JsonStrings):
            if not shadow:
                return self._write_json_strings(automaton, terminal), False
            automaton = given_json_strings(list(automaton.texts))
        block = block_of(automaton)
        shared = bool(automaton.key) and block.wide
        key = 0
        if shared and not shadow:
            loop = block.loop
            bounds = (0, 0, 0) if loop is None else (1, loop.least, -1 if loop.most is None else loop.most)
            key = self._engine.append([len(self.keyed), *bounds, block.enough, block.tight, 0])
        base = self._when_there_is_room(
            lambda mem: terminals.write_block(
                mem, block.ints, block.addresses, block.matches, terminal, len(automaton.positions), shadow, key
            )
        )
        if len(block.conditions):
            self._write_conditions(block, base, terminal)
        if len(block.starts):
            starts = self._engine.append(np.where(block.starts >= 0, base + block.starts, 0))
            self._engine.mem[terminal + lexer.X_STARTS] = starts
        if key:
            self._engine.mem[key + lexer.KEY_SETTLED] = base + block.settled
            self.keyed.append(
                KeyedAutomaton(
                    address=base,
                    digest=block.digest,
                    loop=block.loop,
                    anything=block.anything,
                    spelling=block.spelling,
                )
            )
        return base + block.start, shared

    def _write_conditions(self, block: Block, base: int, terminal: int) -> None:
        """A record for each condition of a match of the terminal (see kernels.lexer), and references to them."""
        record = np.zeros(lexer.TERMINAL_SIZE, np.int32)
        record[lexer.X_LAYOUT] = lexer.BLOCKS
        self._engine.mem[base + block.decided] = -self._engine.append(record)
        record[lexer.X_LAYOUT] = 0
        records = np.tile(record, (len(block.conditions), 1))
        records[:, lexer.X_CONDITION_OF] = terminal
        records[:, [lexer.X_HOLDS, lexer.X_FAILS]] = base + block.conditions
        first = self._engine.append(records.ravel())
        mem = self._engine.mem
        mem[base + block.conditional[:, 0]] = -(first + lexer.TERMINAL_SIZE * block.conditional[:, 1])
        mem[base + block.deciding + lexer.P_SHADOW] = lexer.DECIDING

    def _write_json_strings(self, strings: JsonStrings, terminal: int) -> int:
        """The closure that starts them."""
        texts = sorted(strings.texts)
        codes = np.frombuffer(bytearray("".join(texts).encode("utf-32-le")), np.int32)
        starts = np.array([0, *accumulate(map(len, texts))], np.int32)
        return self._when_there_is_room(lambda mem: terminals.write_json_strings(mem, codes, starts, terminal))

    def _when_there_is_room(self, write: Callable[[Int32Array], int]) -> int:
        """What a kernel wrote that says FULL if it can't."""
        while True:
            address = int(write(self._engine.mem))
            if address > 0:
                return address
            self._engine.grow()

    def _joined(self, *closures: int) -> int:
        """A closure with the entries of all, in this order."""
        mem = self._engine.mem
        entries = [entry for at in closures for entry in mem[at + 1 : at + 1 + 3 * int(mem[at])].tolist()]
        return self._engine.append([len(entries) // 3, *entries])

    def _write_texts(self, texts: Sequence[bytes], terminal: int, *, shadow: int) -> int:
        """The closure that starts all the texts, as literals."""
        engine = self._engine
        packed = engine.append(pack_texts(texts))
        return self._when_there_is_room(lambda mem: lexer.write_texts(mem, packed, terminal, shadow))


def without_labels(automaton: bytes | ByteAutomaton | JsonStrings) -> bytes | ByteAutomaton | JsonStrings:
    """An automaton whose matches are all of one terminal. (What they tell of the last character stays.)"""
    if not isinstance(automaton, ByteAutomaton):
        return automaton
    entries = automaton.entries.copy()
    entries[(entries[:, 0] == MATCH) & (entries[:, 1] == KEEP) & (entries[:, 2] > 0), 2] = 0
    return replace(automaton, entries=entries)


def pack_texts(texts: Sequence[bytes]) -> list[int]:
    """Texts as ``kernels.lexer.write_texts`` reads them: [n, (length, bytes...)...]."""
    packed = [len(texts)]
    for text in texts:
        packed.append(len(text))
        packed += text
    return packed
