"""What a slot of a canvas does to a lexer state: tokens in classes by what they do, for all the vocabulary at once.

    crossings(l, g)   l: a lexer state; g: a group of trie nodes that have been read when it is reached (at first: the
                      root)
        inside        (l', tokens): those that end in this lexeme, by the state that they leave it in
        exits         (terminal, what the next lexeme must know of its end, g'): behind the nodes g' it may have ended

What follows an exit is the parser's to say; then the next lexeme is read on from g' on. So a token that spans many
lexemes is a path of crossings, and tokens that do the same share all of it: what a slot costs is classes, not tokens.
A slot that holds a token is a group too: that token from some byte on.

Lexer states are those of the engine (``kernels.lexer``), numbered here, with a row of steps for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.kernels import arena, lexer
from grammar_engine.kernels.engine import OP_STARTS, OP_STEP
from grammar_engine.kernels.export.class_walks import ALIVE, LISTED, MATCHES, lexeme_walk
from grammar_engine.kernels.parser import C_FIELDS, C_SHAPE, S_TERMINALS

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

Int32Array = npt.NDArray[np.int32]

MOST_STATES = 10_000
"""Lexer states that canvases of one grammar may meet; a row of steps takes 1 KiB."""

RENEWED_FROM_CROSSINGS = 200_000
"""Crossings from which on new canvases begin with none; tokens that were committed have some of their own."""

ROOT = 0  # the group of the trie's root
_FEW_TOKENS = 512  # fewer are set one by one
_MOST_ROWS = 512  # that are remembered
IGNORED = 0  # in place of a terminal: a match that the parser does not see
_ANY_STATE = 7  # in place of "accepting": of configurations that only stand for what is on top of a stack


class Exit(NamedTuple):
    """A lexeme's end: what matched, and an ending that the next lexeme must know of, or 0."""

    terminal: int
    before: int


class Crossings(NamedTuple):
    """See above. inside: (state, number of a set of tokens)."""

    inside: tuple[tuple[int, int], ...]
    exits: tuple[tuple[Exit, int], ...]


class Lexemes:
    """The lexer of one engine over one vocabulary, seen by canvases. Grows; the caller holds the engine's lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trie = engine.context.trie
        self._ordered = bool(engine.mem[arena.H_ORDERED])
        self._numbers: dict[int, int] = {}
        self._addresses: list[int] = []
        self._steps = np.full((64, 256), -1, np.int32)
        self._kinds = np.zeros(64, np.uint8)
        self._exits: list[tuple[Exit, ...]] = []
        self.at_start = np.zeros(64, np.int32)
        """Of each lexer state, 1 where a text may end if the parser lets it."""
        self._starts: dict[tuple[int, int], tuple[int, ...]] = {}
        self._groups: list[Int32Array | tuple[int, int]] = [np.zeros(1, np.int32)]
        self._group_numbers: dict[bytes | tuple[int, int], int] = {self._groups[0].tobytes(): ROOT}  # type: ignore[union-attr]
        self.ranks = [0]
        """Of each group the fewest bytes that have been read: less than those of groups that it leads to."""
        self.token_sets: list[Int32Array] = []
        self._rows: dict[int, npt.NDArray[np.uint32]] = {}
        self._unions: dict[tuple[int, ...], npt.NDArray[np.uint32]] = {}
        self._crossings: dict[tuple[int, int], Crossings] = {}
        self._path = np.zeros(4096, np.int32)
        self._tokens, self._targets = np.zeros((2, 0), np.int32)
        self._exit_nodes, self._exit_states = np.zeros((2, 0), np.int32)
        self._data = self._trie.data

    @property
    def is_large(self) -> bool:
        """Whether new canvases had better begin with new classes."""
        return len(self._crossings) > RENEWED_FROM_CROSSINGS

    # -- lexer states ---------------------------------------------------------------------------------------------

    def number(self, address: int) -> int:
        """The number of a lexer state of the engine."""
        found = self._numbers.get(address)
        if found is not None:
            return found
        engine = self._engine
        if len(self._addresses) >= MOST_STATES:
            raise LimitExceededError(
                "the lexemes of this grammar have too many states for a canvas (counted loops have one per count)",
                limit=f"{MOST_STATES} lexer states",
                given="more",
            )
        number = self._numbers[address] = len(self._addresses)
        self._addresses.append(address)
        if number == len(self._kinds):
            self._steps = np.concatenate([self._steps, np.full_like(self._steps, -1)])
            self._kinds = np.concatenate([self._kinds, np.zeros_like(self._kinds)])
            self.at_start = np.concatenate([self.at_start, np.zeros_like(self.at_start)])
        mem = engine.mem
        exits: list[Exit] = []
        matches = address + lexer.L_LIST + 2 * int(mem[address + lexer.L_THREADS] + mem[address + lexer.L_MONITORS])
        for match in range(int(mem[address + lexer.L_MATCHES])):
            terminal = int(mem[matches + 2 * match])
            before = self._remembered(address, int(mem[matches + 2 * match + 1])) if self._ordered else 0
            ignored = bool(mem[terminal + lexer.X_IGNORED])
            if ignored:
                exits.append(Exit(IGNORED, before))
            if not (ignored and self._ordered):
                exits.append(Exit(terminal, before))
        self._exits.append(tuple(dict.fromkeys(exits)))
        self.at_start[number] = int(mem[address + lexer.L_KIND]) == lexer.AT_START
        self._kinds[number] = (ALIVE if mem[address + lexer.L_THREADS] else 0) | (MATCHES if exits else 0)
        return number

    def _remembered(self, state: int, ending: int) -> int:
        """What the next lexeme must know of an ending: the ending itself, or 0 (``kernels.lexer_views``)."""
        mem = self._engine.mem
        ending = ending if ending > 0 else state
        return ending if mem[ending + lexer.L_MONITORS] or mem[arena.H_BEHIND] else 0

    def starts(self, shape: int, before: int) -> tuple[int, ...]:
        """Where a lexeme begins above a stack of which ``shape`` tells the top (see ``shape``)."""
        found = self._starts.get((shape, before))
        if found is None:
            engine = self._engine
            record = engine.interned(arena.T_CONFIG, C_FIELDS, [_ANY_STATE, shape])
            engine.mem[record + C_SHAPE] = shape
            states = engine.call(OP_STARTS, record, before)
            mem = engine.mem
            listed = mem[states + 1 : states + 1 + int(mem[states])].tolist()
            found = self._starts[shape, before] = tuple(self.number(state) for state in listed)
        return found

    def shape(self, states: list[int]) -> int:
        """The engine's record for "these LR states (or, with a table, this one and all its lookaheads) are on top"."""
        engine = self._engine
        mem = engine.mem
        if mem[arena.H_TABLE]:
            (state,) = states
            count = int(mem[int(mem[state + S_TERMINALS])])
            return engine.interned(arena.T_CONFIG, C_FIELDS, [-2, state] + [-1] * ((count + 31) // 32))
        return engine.interned(arena.T_CONFIG, C_FIELDS, [-1 if states else -2, *sorted(states)])

    def _list_steps(self, number: int) -> None:
        engine, address = self._engine, self._addresses[number]
        mem = engine.mem
        first = address + lexer.L_LIST
        threads = mem[first : first + 2 * int(mem[address + lexer.L_THREADS]) : 2]
        read: set[int] = set()
        for low, high in zip(mem[threads + lexer.P_LOW].tolist(), mem[threads + lexer.P_HIGH].tolist(), strict=True):
            read.update(range(low, min(high, 255) + 1))
        for byte in read:
            after = engine.call(OP_STEP, address, byte)
            if after:
                state = self.number(after)  # (which may lengthen the table)
                self._steps[number, byte] = state
        self._kinds[number] |= LISTED

    def step(self, state: int, byte: int) -> int:
        """The state after a byte, or -1."""
        if not self._kinds[state] & LISTED:
            self._list_steps(state)
        return int(self._steps[state, byte])

    # -- groups ---------------------------------------------------------------------------------------------------

    def group_of_token(self, token: int, offset: int = 0) -> int | None:
        """The group of a slot that holds a token, from some byte on; None if it has no bytes."""
        if self._trie.starts[token] == self._trie.starts[token + 1]:
            return None
        return self._group((token, offset), offset)

    def _group(self, group: Int32Array | tuple[int, int], rank: int) -> int:
        key = group if isinstance(group, tuple) else group.tobytes()
        number = self._group_numbers.setdefault(key, len(self._groups))
        if number == len(self._groups):
            self._groups.append(group)
            self.ranks.append(rank)
        return number

    # -- crossings ------------------------------------------------------------------------------------------------

    def crossings(self, state: int, group: int) -> Crossings:
        """What the tokens of a group do that have got to a lexer state."""
        found = self._crossings.get((state, group))
        if found is None:
            content = self._groups[group]
            walk = self._of_token(state, *content) if isinstance(content, tuple) else self._of_nodes(state, content)
            found = self._crossings[state, group] = walk
        return found

    def _of_token(self, state: int, token: int, offset: int) -> Crossings:
        first, last = int(self._trie.starts[token]), int(self._trie.starts[token + 1])
        exits: dict[tuple[Exit, int], None] = {}
        for at in range(first + offset, last):
            state = self.step(state, int(self._data[at]))
            if state < 0:
                return Crossings((), tuple(exits))
            for exit_ in self._exits[state]:
                behind = at + 1 - first
                exits[exit_, self._group((token, behind), behind)] = None
            if not self._kinds[state] & ALIVE:
                return Crossings((), tuple(exits))
        return Crossings(((state, self._token_set(np.array([token], np.int32))),), tuple(exits))

    def _of_nodes(self, state: int, nodes: Int32Array) -> Crossings:
        trie = self._trie
        counts = np.zeros(2, np.int32)
        self._make_room(nodes)
        while True:
            code = int(
                lexeme_walk(
                    trie.info, trie.end, trie.first, trie.token_ids, self._steps, self._kinds, state, nodes,
                    self._path, self._tokens, self._targets, self._exit_nodes, self._exit_states, counts,
                )
            )  # fmt: skip
            if code == 0:
                break
            self._list_steps(-1 - code)
        tokens, targets = self._tokens[: counts[0]], self._targets[: counts[0]]
        order = np.argsort(targets, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(targets[order])) + 1)
        inside = [(int(targets[part[0]]), self._token_set(np.sort(tokens[part]))) for part in parts if len(part)]
        behind: dict[Exit, list[Int32Array]] = {}
        exit_nodes, exit_states = self._exit_nodes[: counts[1]], self._exit_states[: counts[1]]
        for exit_state in np.unique(exit_states).tolist():
            where = exit_nodes[exit_states == exit_state]
            for exit_ in self._exits[exit_state]:
                behind.setdefault(exit_, []).append(where)
        exits = []
        for exit_, nodes_behind in behind.items():
            group: Int32Array = np.unique(np.concatenate(nodes_behind))
            rank = int(((trie.info[group] >> 8) & 0xFFF).min())
            exits.append((exit_, self._group(group, rank)))
        return Crossings(tuple(inside), tuple(exits))

    def row_of(self, token_sets: tuple[int, ...], others: Iterable[int], size: int) -> Int32Array:
        """The packed row, int32 ``(ceil(size/32),)``, of all tokens of some sets, and of others."""
        found = self._unions.get(token_sets)
        if found is None:
            if len(self._unions) >= _MOST_ROWS:
                self._unions.clear()
            found = self._unions[token_sets] = self._union(token_sets, (size + 31) // 32)
        row = found.copy()
        for token in others:
            row[token >> 5] |= np.uint32(1) << np.uint32(token & 31)
        signed: Int32Array = row.view(np.int32)
        return signed

    def _union(self, token_sets: tuple[int, ...], words: int) -> npt.NDArray[np.uint32]:
        flags = np.zeros(32 * words, np.uint8)
        wide = np.zeros(words, np.uint32)
        for number in token_sets:
            tokens = self.token_sets[number]
            if len(tokens) < _FEW_TOKENS:
                flags[tokens] = 1
                continue
            row = self._rows.get(number)
            if row is None:
                own = np.zeros(32 * words, np.uint8)
                own[tokens] = 1
                row = self._rows[number] = np.packbits(own, bitorder="little").view(np.uint32)
            wide |= row
        wide |= np.packbits(flags, bitorder="little").view(np.uint32)
        return wide

    def _make_room(self, nodes: Int32Array) -> None:
        """For all that one walk may list. (A node of a group may lie below another.)"""
        trie = self._trie
        num_nodes = int((trie.end[nodes] - nodes).sum())
        firsts = np.append(trie.first, len(trie.token_ids))
        num_tokens = int((firsts[trie.end[nodes]] - trie.first[nodes]).sum())
        if num_tokens > len(self._tokens):
            self._tokens, self._targets = np.zeros((2, num_tokens), np.int32)
        if num_nodes > len(self._exit_nodes):
            self._exit_nodes, self._exit_states = np.zeros((2, num_nodes), np.int32)

    def _token_set(self, tokens: Int32Array) -> int:
        self.token_sets.append(tokens)
        return len(self.token_sets) - 1
