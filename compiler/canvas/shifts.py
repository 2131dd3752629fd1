"""What parsers do to sets of stacks: shift a terminal, and back: of which stacks does that lead into a given set?

    shift(n, t)      the stacks behind t, of all stacks of n
    before(n, t, A)  the stacks of n of which some stack behind t is in A

Both follow the same reductions. A stack of n is taken apart only as far down as the reductions look; what lies below is
one node, and stays one. ``A`` gives for each LR state on top one node (``Targets``). The way back intersects where a
terminal has been shifted, and puts together again, with fewer stacks, what was taken apart:

    before_push(s, n, A)     the stacks w of n such that s · w leads into A
    before_pop(k, n, ...)    the same, where the k states on top of w are popped first

Here is the parser without lookahead, in which all reductions follow a shift (``kernels.parser``); that with a given
table is in ``table_shifts``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from grammar_engine.compiler.canvas.stacks import BOTTOM, NONE, Stacks
from grammar_engine.kernels import arena
from grammar_engine.kernels.engine import OP_EXPAND, OP_GOTO
from grammar_engine.kernels.parser import S_COMPLETE, S_TERMINALS

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

ACCEPTED = 0  # in place of an LR state, on top of the one stack that says that the text may end

Targets = tuple[int, ...]
"""A set of stacks: nodes, one for each state, by ascending state."""


class Parser(ABC):
    """What a lattice asks of a parser. ``layout``: what indentation is open beside the stack, 0 where none is kept."""

    def __init__(self, stacks: Stacks) -> None:
        self.stacks = stacks
        self.start: tuple[int, int]
        """The layout and the node of the stack at the start of a text."""

    @abstractmethod
    def top(self, state: int) -> list[int]:
        """The LR states to ask the lexer for, where this one is on top."""

    @abstractmethod
    def shift(self, layout: int, node: int, terminal: int) -> tuple[tuple[int, int], ...]:
        """(layout, node) behind a terminal, one for each layout and state on top."""

    @abstractmethod
    def before(self, layout: int, node: int, terminal: int, targets: dict[int, Targets]) -> int:
        """The stacks of a node that a terminal leads into the targets, which are given for each layout."""

    @abstractmethod
    def ends(self, layout: int, node: int) -> int:
        """The stacks of a node with which the text may end."""


class OpenParser(Parser):
    """LR(0) without lookahead (``kernels.parser``): configurations are reduced as far as they go after each shift."""

    def __init__(self, engine: Engine, stacks: Stacks) -> None:
        super().__init__(stacks)
        self._engine = engine
        self._start_symbol = int(engine.mem[arena.H_START])
        self._gotos: dict[tuple[int, int], int] = {}
        self._rules: dict[int, tuple[tuple[int, int], ...]] = {}
        self._shifts: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
        self._pushed: dict[tuple[int, int, Targets], int] = {}
        self._before: dict[tuple[int, int, Targets], int] = {}
        self.accepted = stacks.node(ACCEPTED, (BOTTOM,))

    def begin(self, state: int) -> int:
        """The node of the stack that holds the start state alone."""
        return self.stacks.node(state, (BOTTOM,))

    def top(self, state: int) -> list[int]:
        """See ``Parser``."""
        return [] if state == ACCEPTED else [state]

    def _goto(self, state: int, symbol: int) -> int:
        found = self._gotos.get((state, symbol))
        if found is None:
            found = self._gotos[state, symbol] = self._engine.call(OP_GOTO, state, symbol)
        return found

    def _rules_of(self, state: int) -> tuple[tuple[int, int], ...]:
        """(left-hand side, length) of the rules that are complete in a state."""
        found = self._rules.get(state)
        if found is None:
            self._engine.call(OP_EXPAND, state)
            mem = self._engine.mem
            complete = int(mem[state + S_COMPLETE])
            items = mem[complete + 1 : complete + 1 + int(mem[complete])].tolist()
            found = self._rules[state] = tuple((int(mem[item + 1]), int(mem[item + 2])) for item in items)
        return found

    def can_shift(self, state: int) -> bool:
        """Whether any terminal can be read with a state on top."""
        self._rules_of(state)
        mem = self._engine.mem
        return bool(mem[int(mem[state + S_TERMINALS])])

    def shift(self, layout: int, node: int, terminal: int) -> tuple[tuple[int, int], ...]:
        """See ``Parser``."""
        found = self._shifts.get((node, terminal))
        if found is None:
            found = self._shifts[node, terminal] = tuple((layout, after) for after in self._shift(node, terminal))
        return found

    def _shift(self, node: int, terminal: int) -> list[int]:
        stacks = self.stacks
        states, below = stacks.states, stacks.below
        if states[node] == ACCEPTED:
            return []
        state = self._goto(states[node], terminal)
        if state == 0:
            return []
        edges = {(state, node): None}
        pending = [(state, node)]
        is_accepted = False
        while pending:
            state, parent = pending.pop()
            for left, length in self._rules_of(state):
                bases = {parent}
                for _ in range(length - 1):
                    bases = set(stacks.group({node for base in bases for node in below[base]}).values())
                for base in bases:
                    if left == self._start_symbol:
                        is_accepted = True
                        continue
                    edge = (self._goto(states[base], -left), base)
                    if edge[0] and edge not in edges:
                        edges[edge] = None
                        pending.append(edge)
        pushed: dict[int, set[int]] = {}
        for state, parent in edges:
            if self.can_shift(state):
                pushed.setdefault(state, set()).add(parent)
        result = []
        for state in sorted(pushed):
            grouped = stacks.group(pushed[state])
            result.append(stacks.node(state, tuple(grouped[key] for key in sorted(grouped))))
        if is_accepted:
            result.append(self.accepted)
        return result

    def before(self, layout: int, node: int, terminal: int, targets: dict[int, Targets]) -> int:
        """See ``Parser``."""
        nodes = targets.get(layout, ())
        key = (node, terminal, nodes)
        found = self._before.get(key)
        if found is None:
            after = tuple(behind for _, behind in self.shift(layout, node, terminal))
            if set(after) <= set(nodes):
                found = node if after else NONE
            else:
                state = self._goto(self.stacks.states[node], terminal)
                found = self._before_push(state, node, nodes)
            self._before[key] = found
        return found

    def _before_push(self, state: int, node: int, nodes: Targets) -> int:
        key = (state, node, nodes)
        found = self._pushed.get(key)
        if found is not None:
            return found
        stacks = self.stacks
        states, below = stacks.states, stacks.below
        own = states[node]
        found = NONE
        for target in nodes:
            if states[target] == state:
                for under in below[target]:
                    if states[under] == own:
                        found = stacks.union(found, stacks.intersection(node, under))
        for left, length in self._rules_of(state):
            if found == node:
                break
            found = stacks.union(found, self._before_pop(length - 1, node, left, nodes))
        self._pushed[key] = found
        return found

    def _before_pop(self, count: int, node: int, left: int, nodes: Targets) -> int:
        stacks = self.stacks
        if count == 0:
            if left == self._start_symbol:
                return node if self.accepted in nodes else NONE
            state = self._goto(stacks.states[node], -left)
            return self._before_push(state, node, nodes) if state else NONE
        kept = (self._before_pop(count - 1, under, left, nodes) for under in stacks.below[node])
        return stacks.node(stacks.states[node], tuple(under for under in kept if under != NONE))

    def ends(self, layout: int, node: int) -> int:  # noqa: ARG002 (layout: of parsers that keep one)
        """See ``Parser``."""
        return node if node == self.accepted else NONE
