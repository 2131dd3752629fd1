"""The automaton of canvases: what all fillings of the slots so far can have led to, as one interned state.

    boundary   = { (lexer state, layout, set of stacks) }                                           interned
    start      = the boundary before the first slot
    step(B, s) = the boundary behind a slot: of one token, or open (any token)                       memoized

    step(B, open):
        crossing (l, y, g) := stacks, first those of B with g the root of the trie
        for each crossing, those that have read less first:
            tokens that end inside the lexeme, in l':    their stacks join (l', y) of B'
            the lexeme ends as t behind the nodes g':    for (y', n') in shift(y, stacks, t), for each start l' of a
                                                         lexeme above n': n' joins crossing (l', y', g')

Sets of stacks join where lexer state, layout and LR state on top are the same: what follows depends on nothing else,
so nothing is lost. This is the engine's position (``kernels.positions``) for all texts at once; it is the reachable
part of the product of a pushdown automaton with the finite automaton of the canvas (Bar-Hillel, Perles and Shamir
1961), kept by slots, so that "so many slots are left" is exact.

**Sets of stacks.** Where slots are open, one boundary is reached with as many stacks as there are ways to nest. They
differ below and agree on top, so a set is an automaton that reads stacks from the top down:

    node = (LR state, nodes below: at most one for each LR state)         interned
    L(node) = { state · w : w in L(below) for some node below, or w empty at the bottom }

Deterministic and interned, so equal sets are equal integers (hash-consing; an acyclic automaton built bottom up is
minimal: Revuz 1992; Daciuk et al. 2000), and all that is ever computed of one is remembered: union and intersection
recur into pairs of nodes below, most of which were met one slot before. In a graph-structured stack whose nodes are
slots (Tomita 1987) an open run of L slots has O(L²) edges and reductions walk O(L³) paths; here a slot adds a few
nodes, because what lies below is what it was.

**Going back** from the end, ``alive`` gives the part of a boundary that can be completed: the same crossings in
reverse, where unions become intersections and a shift is undone (``kernels.canvas.open_shifts``). It is asked of
boundaries made ``wide``, with all stacks that there could be: so the part depends on the slots behind alone, is the
same for all open tails of one length, and is not multiplied with what came before. Forwards and backwards meet once: a
token may stand in a slot if what it leads to has a stack in common with what can be completed (``tokens``, ``meets``).
Where reductions can go down a stack for ever (right recursion), the part of a wide boundary has no finite form: then
boundaries stay as they are, and what can be completed is worked out among the stacks that have been reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.compiler.canvas.lexemes import ROOT, Lexemes
from grammar_engine.compiler.errors import LimitExceededError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_lexing import TerminalView, compete
from grammar_engine.compiler.ir import EagerGrammar, Grammar, Lexing
from grammar_engine.kernels import arena, masks, parser, positions, table_parser
from grammar_engine.kernels.canvas import stacks, steps

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

Int32Array = npt.NDArray[np.int32]

OPEN = -1
"""A slot that may hold any token."""
MAX_BYTES = 1 << 29
"""Memory of one automaton, of which canvases of one grammar share one."""
RENEWED_FROM = 1 << 26
"""Bytes from which on new canvases begin with a new automaton."""
MOST_TOKEN_SETS = 1 << 17
"""Classes of tokens that may stand in one slot."""
_FIRST_SIZE, _FIRST_TABLE = 1 << 16, 1 << 9
_NO_LAYOUT = 0


class EndlessError(Exception):
    """What can be completed of a boundary that was made wide has no finite form."""


class CanvasAutomaton:
    """All that is known of the canvases of one engine. Grows; the caller holds the engine's lock."""

    def __init__(self, engine: Engine, lexemes: Lexemes | None = None) -> None:
        """lexemes: of an older automaton of this engine."""
        self.engine = engine
        if not _lexes_alike(engine.grammar):
            raise UnsupportedGrammarError(
                "a canvas of a grammar with a contextual lexer and a parser that is not LALR",
                place="terminals that compete: which of them are tried depends on all parses of a text at once",
                advice='Use parser="lalr", or parser="earley".',
            )
        self.lexemes = lexemes or Lexemes(engine)
        self._mem = np.zeros(_FIRST_SIZE, np.int32)
        self._mem[arena.H_TOP] = stacks.CANVAS_HEADER
        for table in (*stacks.CANVAS_INTERN, *stacks.CANVAS_MEMO):
            arena.grow_table(self._mem, table, table in stacks.CANVAS_MEMO, _FIRST_TABLE)
        self._stack = np.zeros(steps.SCRATCH_SIZE, np.int32)
        self._token_sets = np.zeros(MOST_TOKEN_SETS, np.int32)
        self._steps: dict[tuple[int, int], int] = {}
        self._ends: dict[int, int] = {}
        self._alive: dict[tuple[int, int, int], int] = {}
        self._tokens: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self._universal: dict[int, int] = {}
        self._wide: dict[int, int] = {}
        self._num_under = 0
        self._is_endless = False
        bottom = self._record(stacks.T_NODES, [stacks.BOTTOM_STATE])
        self._accepted = self._record(stacks.T_NODES, [stacks.ACCEPTED, bottom])
        self._note_under(stacks.ACCEPTED)
        self.empty = self._record(stacks.T_LISTS, [])
        """The boundary that nothing leads to."""
        self.start = self._record(stacks.T_LISTS, self._first(bottom))

    @property
    def num_nodes(self) -> int:
        """Sets of stacks met so far."""
        return int(self._mem[stacks.T_NODES + 2])

    @property
    def can_be_wide(self) -> bool:
        """False once ``wide`` has turned out to lead nowhere."""
        return not self._is_endless

    @property
    def has_table(self) -> bool:
        """Whether all LR states are there from the beginning, so that the universe soon stays what it is."""
        return bool(self.engine.mem[arena.H_TABLE])

    @property
    def universe(self) -> int:
        """How much is known of what may lie under states: wide boundaries of before it grew have become too narrow."""
        return int(self._mem[stacks.M_UNDER + 2])

    @property
    def is_large(self) -> bool:
        """Whether new canvases had better begin anew."""
        return 4 * int(self._mem[arena.H_TOP]) > RENEWED_FROM or self.lexemes.is_large

    def _first(self, bottom: int) -> list[int]:
        """The boundary before the first slot, as a list of (lexer state, layout, node)."""
        mem = self.engine.mem
        pair = int(mem[self.engine.start_position + positions.O_FIELDS])
        configuration = int(mem[pair + masks.Q_FIELDS + 1])
        node = int(mem[configuration + parser.C_FIELDS + 1])
        layout = _NO_LAYOUT
        field = parser.G_FIELDS
        tops = []
        if mem[arena.H_TABLE]:
            field = table_parser.NODE_STATE
            if mem[arena.H_LAYOUT]:
                layout = self._record(stacks.T_LISTS, [0, _NO_LAYOUT])
        elif mem[configuration + parser.C_FIELDS]:
            tops.append(self._accepted)
        tops.append(self._record(stacks.T_NODES, [int(mem[node + field]), bottom]))
        self._note_under(int(mem[node + field]))
        triples = sorted(
            (state, layout, top) for top in tops for state in self._starts(int(self._mem[top + stacks.N_STATE]), 0)
        )
        return [number for triple in triples for number in triple]

    def _note_under(self, state: int) -> None:
        """Nothing lies under this state."""
        arena.memo_put(self._mem, stacks.M_UNDER, state + 2, stacks.BOTTOM_STATE + 2, 1)

    def _starts(self, state: int, before: int) -> Sequence[int]:
        """The lexer states in which a lexeme begins above an LR state."""
        return self.lexemes.starts(self.lexemes.shape([] if state == stacks.ACCEPTED else [state]), before)

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(self, boundary: int, slot: int) -> int:
        """The boundary behind a slot that holds a token, or is OPEN."""
        found = self._steps.get((boundary, slot))
        if found is None:
            group = self._group(slot)
            found = self.empty if group is None else self._call(steps.OP_CROSS, boundary, group)
            self._steps[boundary, slot] = found
        return found

    def ends(self, boundary: int) -> int:
        """The part of a boundary with which a text may end."""
        found = self._ends.get(boundary)
        if found is None:
            found = self._ends[boundary] = self._call(steps.OP_ENDS, boundary)
        return found

    def join(self, a: int, b: int) -> int:
        """All that is in either of two boundaries."""
        return a if b in {a, self.empty} else self._call(steps.OP_JOIN, a, b)

    def wide(self, boundary: int) -> int:
        """A boundary with all stacks of the same lexer states, layouts and LR states on top: only that is left of what
        came before it, so that going back from the end is the same behind all beginnings.

        Until all steps forward have been taken, from wide boundaries too, not all is known that may lie under a state
        (see ``universe``).
        """
        if self._is_endless:
            return boundary
        if self.universe != self._num_under:
            self._num_under = self.universe
            self._make_universal()
        found = self._wide.get(boundary)
        if found is None:
            first = boundary + stacks.L_ITEMS
            triples = self._mem[first : first + int(self._mem[boundary + stacks.P_LENGTH])].reshape(-1, 3).tolist()
            states = self._mem[[node + stacks.N_STATE for _, _, node in triples]].tolist() if triples else []
            pairs = zip(triples, states, strict=True)
            wide = sorted((state, layout, self._universal[top]) for (state, layout, _), top in pairs)
            found = self._record(stacks.T_LISTS, [number for triple in wide for number in triple])
            self._wide[boundary] = found
        return found

    def _make_universal(self) -> None:
        """New nodes for all stacks of each state, of what is known by now."""
        mem = self._mem
        slots = int(mem[stacks.M_UNDER])
        pairs = mem[slots : slots + arena.MEMO_SLOT * (int(mem[stacks.M_UNDER + 1]) + 1)].reshape(-1, arena.MEMO_SLOT)
        below: dict[int, list[int]] = {}
        for state, under in (pairs[pairs[:, 0] != 0, :2] - 2).tolist():
            below.setdefault(state, []).append(under)
        bottom = self._record(stacks.T_NODES, [stacks.BOTTOM_STATE])
        addresses: dict[int, int] = {stacks.BOTTOM_STATE: bottom}
        top = int(self._mem[arena.H_TOP])
        for state, under in below.items():
            addresses[state] = top
            top += stacks.N_BELOW + len(under)
        records: list[int] = []
        for state, under in below.items():
            records += [stacks.UNIVERSAL, 1 + len(under), state, *(addresses[one] for one in sorted(under))]
        self._make_room(len(records))
        self._mem[top - len(records) : top] = records
        self._mem[arena.H_TOP] = top
        self._universal = addresses
        self._wide.clear()

    def alive(self, boundary: int, slot: int, behind: int) -> int:
        """The part of a boundary that a slot leads into part of the boundary ``behind``.

        Raises EndlessError if the boundary was made wide and must not be (then ``wide`` does so no more).
        """
        key = (boundary, slot, behind)
        found = self._alive.get(key)
        if found is None:
            group = self._group(slot)
            dead = group is None or behind == self.empty
            found = self.empty if dead else self._call(steps.OP_BACK, boundary, group or ROOT, behind)
            self._alive[key] = found
        return found

    def meets(self, a: int, b: int) -> bool:
        """Whether two boundaries have anything in common."""
        return self._call(steps.OP_MEETS, a, b) != 0

    def tokens(self, boundary: int, slot: int, behind: int) -> tuple[int, ...]:
        """The sets of tokens (by number in ``lexemes.token_sets``) by which any of a boundary gets to ``behind``."""
        key = (boundary, slot, behind)
        found = self._tokens.get(key)
        if found is None:
            group = self._group(slot)
            found = ()
            if group is not None and behind != self.empty:
                self._call(steps.OP_TOKENS, boundary, group, behind)
                found = tuple(np.unique(self._token_sets[1 : 1 + int(self._token_sets[0])]).tolist())
            self._tokens[key] = found
        return found

    def _group(self, slot: int) -> int | None:
        return ROOT if slot == OPEN else self.lexemes.group_of_token(slot)

    # -- serving the kernels --------------------------------------------------------------------------------------

    def _call(self, operation: int, a: int, b: int = 0, c: int = 0) -> int:
        """Run an operation (see kernels.canvas.steps) until it has an answer."""
        engine = self.engine
        engine.grammar.begin_step()
        while True:
            result = int(
                steps.call(
                    operation, self._mem, self._stack, engine.mem, self.lexemes.at_start, self._token_sets,
                    self._accepted, a, b, c,
                )
            )  # fmt: skip
            if result >= 0:
                return result
            first, second = self._mem[stacks.H_FIRST : stacks.H_FIRST + 2].tolist()
            if result == stacks.FULL_CANVAS:
                self._grow()
            elif result == stacks.MISS_STARTS:
                states = self._starts(first, second)
                self._remember(stacks.M_STARTS, first, second, [len(states), *states])
            elif result == stacks.MISS_CROSSINGS:
                self._remember(stacks.M_CROSSINGS, first, second, self._crossings(first, second))
            elif result == stacks.ENDLESS:
                self._is_endless = True
                raise EndlessError
            elif result == stacks.LIMIT_CANVAS:
                raise LimitExceededError(
                    "one slot of this canvas has too many parses", limit="scratch space of a step", given="more"
                )
            else:
                engine.serve(result)

    def _crossings(self, state: int, group: int) -> list[int]:
        inside, exits = self.lexemes.crossings(state, group)
        record = [len(inside)]
        for after, token_set in inside:
            record += [after, token_set]
        record.append(len(exits))
        for (terminal, before), then in exits:
            record += [terminal, before, then, self.lexemes.ranks[then]]
        return record

    def _remember(self, memo: int, first: int, second: int, record: list[int]) -> None:
        self._make_room(len(record))
        top = int(self._mem[arena.H_TOP])
        self._mem[top : top + len(record)] = record
        self._mem[arena.H_TOP] = top + len(record)
        arena.memo_put(self._mem, memo, first + 1, second, top)

    def _record(self, table: int, payload: list[int]) -> int:
        """The record of a node or of a list."""
        self._make_room(len(payload))
        top = int(self._mem[arena.H_TOP])
        self._mem[top + stacks.L_ITEMS : top + stacks.L_ITEMS + len(payload)] = payload
        return int(arena.intern(self._mem, table, stacks.L_ITEMS, len(payload)))

    def _make_room(self, more: int) -> None:
        while self._mem[arena.H_PRESSURE] or int(self._mem[arena.H_TOP]) + more + 2 * arena.SLACK > len(self._mem):
            self._grow()

    def _grow(self) -> None:
        """Enlarge what is too small: hash tables that are more than half full, else all."""
        mem = self._mem
        has_grown = False
        for table in (*stacks.CANVAS_INTERN, *stacks.CANVAS_MEMO):
            is_memo = table in stacks.CANVAS_MEMO
            if 2 * int(mem[table + 2]) > int(mem[table + 1]):
                capacity = 4 * (int(mem[table + 1]) + 1)
                mem = self._lengthened(capacity * (arena.MEMO_SLOT if is_memo else arena.INTERN_SLOT))
                arena.grow_table(mem, table, is_memo, capacity)
                has_grown = True
        mem[arena.H_PRESSURE] = 0
        if not has_grown:
            self._lengthened(len(mem))

    def _lengthened(self, more: int) -> Int32Array:
        """An arena with room for so many numbers more."""
        needed = int(self._mem[arena.H_TOP]) + more + 4 * arena.SLACK
        if needed > len(self._mem):
            size = min(max(2 * len(self._mem), needed), MAX_BYTES // 4)
            if size < needed:
                limit = f"{MAX_BYTES} bytes"
                raise LimitExceededError(
                    "the canvases of this grammar have too many different stacks", limit=limit, given="more"
                )
            longer = np.empty(size, np.int32)
            longer[: len(self._mem)] = self._mem
            self._mem = longer
        return self._mem


def _lexes_alike(grammar: Grammar) -> bool:
    """Whether the lexemes found above one stack do not depend on what other stacks the same text has.

    Unordered lexing and that terminal by terminal never look at other terminals, a table has one stack, and a basic
    lexer tries everything everywhere.
    """
    if grammar.lexing != Lexing.LEFTMOST or grammar.table is not None or grammar.tried:
        return True
    if not isinstance(grammar, EagerGrammar) or grammar.behind:
        return False
    return not compete([TerminalView(terminal) for terminal in grammar.terminals])
