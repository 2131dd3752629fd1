"""The automaton of canvases: what all fillings of the slots so far can have led to, as one interned state.

    boundary   = { (lexer state, layout, set of stacks) }, and whether the text has ended           interned
    start      = the boundary before the first slot
    step(B, s) = the boundary behind a slot: of one token, or open (any token)                       memoized

    step(B, open):
        crossing (l, y, g) := stacks, first those of B with g the root of the trie
        for each crossing, those that have read less first:
            tokens that end inside the lexeme, in l':    their stacks join (l', y) of B'
            the lexeme ends as t behind the nodes g':    for (y', n') in shift(y, stacks, t), for each start l' of a
                                                         lexeme above n': n' joins crossing (l', y', g')

Sets of stacks join where lexer state, layout and LR state on top are the same: what follows depends on nothing else, so
nothing is lost by it, and there are few boundaries' worth of everything. This is the engine's position (``kernels.
positions``) for all texts at once; it is the reachable part of the product of a pushdown automaton with the finite
automaton of the canvas (Bar-Hillel, Perles and Shamir 1961), kept by slots, so that "so many slots are left" is exact.

Going back from the end, ``alive`` gives the part of a boundary that can be completed, and with it the tokens of the
slot before that lead there.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grammar_engine.compiler.canvas.lexemes import IGNORED, ROOT, Lexemes
from grammar_engine.compiler.canvas.shifts import OpenParser, Parser, Targets
from grammar_engine.compiler.canvas.stacks import NONE, Stacks
from grammar_engine.compiler.canvas.table_shifts import TableParser
from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_lexing import TerminalView, compete
from grammar_engine.compiler.ir import EagerGrammar, Grammar, Lexing
from grammar_engine.kernels import arena, masks, parser, positions

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

RENEWED_FROM = 400_000
"""Nodes from which on new canvases begin with a new automaton."""

OPEN = -1
"""A slot that may hold any token."""

Boundary = tuple[tuple[int, int, int], ...]
"""(lexer state, layout, node), ascending, one node for each lexer state, layout and LR state on top."""
Crossing = tuple[int, int, int]
"""(lexer state, layout, group)."""
ByState = dict[int, int]
"""LR state on top to node."""


@dataclass(eq=False)
class Slot:
    """What one step did, for the way back: its crossings, in the order in which they were worked on."""

    crossings: list[tuple[Crossing, ByState]]
    behind: int


class CanvasAutomaton:
    """All that is known of the canvases of one engine. Grows; the caller holds the engine's lock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        if not _lexes_alike(engine.grammar):
            raise UnsupportedGrammarError(
                "a canvas of a grammar with a contextual lexer and a parser that is not LALR",
                place="terminals that compete: which of them are tried depends on all parses of a text at once",
                advice='Use parser="lalr", or parser="earley".',
            )
        self.lexemes = Lexemes(engine)
        self.stacks = Stacks()
        self.boundaries: list[Boundary] = []
        self._numbers: dict[Boundary, int] = {}
        self._slots: dict[tuple[int, int], Slot] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._ends: dict[int, int] = {}
        self._alive: dict[tuple[int, int, int], tuple[int, tuple[int, ...]]] = {}
        self._shapes: dict[int, int] = {}
        self.empty = self._number(())
        self.parser, first = self._begin()
        self.start = self._number(first)
        self.num_crossings = 0
        """How many crossings all steps together have looked at: their work."""

    @property
    def is_large(self) -> bool:
        """Whether new canvases had better begin anew."""
        return len(self.stacks.states) > RENEWED_FROM

    def _begin(self) -> tuple[Parser, Boundary]:
        mem, stacks = self.engine.mem, self.stacks
        pair = int(mem[self.engine.start_position + positions.O_FIELDS])
        configuration = int(mem[pair + masks.Q_FIELDS + 1])
        nodes = configuration + parser.C_FIELDS + 1
        first = int(mem[nodes])
        if mem[arena.H_TABLE]:
            table = TableParser(self.engine, stacks, first)
            return table, self._first(table, [table.start])
        free = OpenParser(self.engine, stacks)
        tops = [(0, free.begin(int(mem[first + parser.G_FIELDS])))]
        if mem[configuration + parser.C_FIELDS]:
            tops.append((0, free.accepted))
        return free, self._first(free, tops)

    def _first(self, parser: Parser, tops: list[tuple[int, int]]) -> Boundary:
        parts = [
            (state, layout, node)
            for layout, node in tops
            for state in self.lexemes.starts(self.lexemes.shape(parser.top(self.stacks.states[node])), 0)
        ]
        return tuple(sorted(parts))

    def _number(self, boundary: Boundary) -> int:
        number = self._numbers.setdefault(boundary, len(self.boundaries))
        if number == len(self.boundaries):
            self.boundaries.append(boundary)
        return number

    def _starts(self, node: int, before: int) -> tuple[int, ...]:
        """The lexer states in which a lexeme begins above a node's stacks."""
        state = self.stacks.states[node]
        shape = self._shapes.get(state)
        if shape is None:
            shape = self._shapes[state] = self.lexemes.shape(self.parser.top(state))
        return self.lexemes.starts(shape, before)

    def _join(self, parts: ByState, node: int) -> None:
        state = self.stacks.states[node]
        parts[state] = self.stacks.union(parts.get(state, NONE), node)

    def _boundary(self, parts: dict[tuple[int, int], ByState]) -> int:
        listed = [
            (state, layout, node) for (state, layout), nodes in parts.items() for node in nodes.values() if node != NONE
        ]
        return self._number(tuple(sorted(listed)))

    # -- forwards -------------------------------------------------------------------------------------------------

    def step(self, boundary: int, slot: int) -> int:
        """The boundary behind a slot that holds a token, or is OPEN."""
        known = self._steps.get((boundary, slot))
        if known is None:
            known = self._steps[boundary, slot] = self.slot(boundary, slot).behind
        return known

    def slot(self, boundary: int, slot: int) -> Slot:
        """The same with what happened on the way."""
        found = self._slots.get((boundary, slot))
        if found is None:
            found = self._slots[boundary, slot] = self._cross(boundary, slot)
        return found

    def _cross(self, boundary: int, slot: int) -> Slot:
        lexemes, stacks, ranks = self.lexemes, self.stacks, self.lexemes.ranks
        group = ROOT if slot == OPEN else lexemes.group_of_token(slot)
        if group is None:
            return Slot([], self.empty)
        crossings: dict[Crossing, set[int]] = {}
        pending: list[tuple[int, Crossing]] = []
        for state, layout, node in self.boundaries[boundary]:
            crossing = (state, layout, group)
            if crossing not in crossings:
                crossings[crossing] = set()
                heapq.heappush(pending, (ranks[group], crossing))
            crossings[crossing].add(node)
        behind: dict[tuple[int, int], set[int]] = {}
        order = []
        while pending:
            _, crossing = heapq.heappop(pending)
            state, layout, group = crossing
            nodes = stacks.group(crossings[crossing])
            order.append((crossing, nodes))
            inside, exits = lexemes.crossings(state, group)
            for after, _ in inside:
                behind.setdefault((after, layout), set()).update(nodes.values())
            for (terminal, before), then in exits:
                for node in nodes.values():
                    shifted = ((layout, node),) if terminal == IGNORED else self.parser.shift(layout, node, terminal)
                    for new_layout, top in shifted:
                        for start in self._starts(top, before):
                            next_crossing = (start, new_layout, then)
                            parts = crossings.get(next_crossing)
                            if parts is None:
                                parts = crossings[next_crossing] = set()
                                heapq.heappush(pending, (ranks[then], next_crossing))
                            parts.add(top)
        self.num_crossings += len(order)
        return Slot(order, self._boundary({key: stacks.group(nodes) for key, nodes in behind.items()}))

    def ends(self, boundary: int) -> int:
        """The part of a boundary with which a text may end."""
        found = self._ends.get(boundary)
        if found is None:
            parts = (
                (state, layout, self.parser.ends(layout, node))
                for state, layout, node in self.boundaries[boundary]
                if self.lexemes.at_start[state]
            )
            found = self._ends[boundary] = self._number(tuple(sorted(part for part in parts if part[2] != NONE)))
        return found

    def join(self, a: int, b: int) -> int:
        """All that is in either of two boundaries."""
        if b in {a, self.empty}:
            return a
        parts: dict[tuple[int, int], ByState] = {}
        for state, layout, node in (*self.boundaries[a], *self.boundaries[b]):
            self._join(parts.setdefault((state, layout), {}), node)
        return self._boundary(parts)

    # -- backwards ------------------------------------------------------------------------------------------------

    def alive(self, boundary: int, slot: int, behind: int) -> tuple[int, tuple[int, ...]]:
        """The part of a boundary that a slot leads into part of the boundary ``behind``, and by which sets of tokens.

        (Numbers in ``lexemes.token_sets``.)
        """
        key = (boundary, slot, behind)
        found = self._alive.get(key)
        if found is None:
            found = self._alive[key] = self._go_back(boundary, self.slot(boundary, slot), behind)
        return found

    def _go_back(self, boundary: int, slot: Slot, behind: int) -> tuple[int, tuple[int, ...]]:
        stacks, states = self.stacks, self.stacks.states
        wanted: dict[tuple[int, int], ByState] = {}
        for state, layout, node in self.boundaries[behind]:
            wanted.setdefault((state, layout), {})[states[node]] = node
        alive: dict[Crossing, ByState] = {}
        tokens: dict[int, None] = {}
        nothing: ByState = {}
        for crossing, nodes in reversed(slot.crossings):
            state, layout, group = crossing
            inside, exits = self.lexemes.crossings(state, group)
            kept: ByState = {}
            for after, token_set in inside:
                ending_here = wanted.get((after, layout), nothing)
                if not ending_here:
                    continue
                for top, node in nodes.items():
                    part = stacks.intersection(node, ending_here.get(top, NONE))
                    if part != NONE:
                        kept[top] = stacks.union(kept.get(top, NONE), part)
                        tokens[token_set] = None
            for (terminal, before), then in exits:
                for top, node in nodes.items():
                    part = self._before_exit(alive, layout, node, terminal, before, then)
                    if part != NONE:
                        kept[top] = stacks.union(kept.get(top, NONE), part)
            if kept:
                alive[crossing] = kept
        group = slot.crossings[0][0][2] if slot.crossings else ROOT
        parts = [
            (state, layout, alive.get((state, layout, group), nothing).get(states[node], NONE))
            for state, layout, node in self.boundaries[boundary]
        ]
        return self._number(tuple(sorted(part for part in parts if part[2] != NONE))), tuple(tokens)

    def _before_exit(
        self, alive: dict[Crossing, ByState], layout: int, node: int, terminal: int, before: int, then: int
    ) -> int:
        """The stacks of a node that live on behind an exit."""
        stacks, states = self.stacks, self.stacks.states
        if terminal == IGNORED:
            live = self._live(alive, layout, node, before, then)
            return stacks.intersection(node, live)
        targets: dict[int, dict[int, int]] = {}
        for new_layout, top in self.parser.shift(layout, node, terminal):
            live = self._live(alive, new_layout, top, before, then)
            if live != NONE:
                targets.setdefault(new_layout, {})[states[top]] = live
        if not targets:
            return NONE
        ordered: dict[int, Targets] = {
            new_layout: tuple(nodes[state] for state in sorted(nodes)) for new_layout, nodes in targets.items()
        }
        return self.parser.before(layout, node, terminal, ordered)

    def _live(self, alive: dict[Crossing, ByState], layout: int, top: int, before: int, then: int) -> int:
        state = self.stacks.states[top]
        live = NONE
        for start in self._starts(top, before):
            live = self.stacks.union(live, alive.get((start, layout, then), {}).get(state, NONE))
        return live


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
