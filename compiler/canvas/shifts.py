"""What parsers do to sets of stacks: shift a terminal, and back: of which stacks does that lead into a given set?

    shift(n, t)      the stacks behind t, of all stacks of n
    before(n, t, A)  the stacks of n of which some stack behind t is in A

Both follow the same reductions. A stack of n is taken apart only as far down as the reductions look; what lies below is
one node, and stays one. ``A`` gives for each LR state on top one node (``Targets``). The way back intersects where a
terminal has been shifted, and puts together again, with fewer stacks, what was taken apart:

    before_push(s, n, A)     the stacks w of n such that s · w leads into A
    before_pop(k, n, ...)    the same, where the k states on top of w are popped first

Two parsers: ``kernels.parser`` (no lookahead: all reductions follow a shift) and ``kernels.table_parser`` (a given
table: reductions come before the shift; indentation beside the stack).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from grammar_engine.compiler.canvas.stacks import BOTTOM, NONE, Stacks
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.kernels import arena, lexer, table_parser
from grammar_engine.kernels.engine import OP_EXPAND, OP_GOTO
from grammar_engine.kernels.parser import G_FIELDS, S_COMPLETE, S_TERMINALS

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

    def ends(self, layout: int, node: int) -> int:
        return node if node == self.accepted else NONE


class TableParser(Parser):
    """A given LALR(1) table (``kernels.table_parser``), with indentation."""

    def __init__(self, engine: Engine, stacks: Stacks, start: int) -> None:
        """start: the engine's node at the bottom of every stack."""
        super().__init__(stacks)
        self._engine = engine
        mem = engine.mem
        self._end_state = int(mem[int(mem[arena.H_TABLE])])
        settings = int(mem[arena.H_LAYOUT])
        self._newline, self._indent, self._dedent, self._columns = (
            mem[settings : settings + 4].tolist() if settings else (0, 0, 0, 0)
        )
        self._actions: dict[int, dict[int, int]] = {}
        self._gotos: dict[int, dict[int, int]] = {}
        self._levels: list[tuple[int, int]] = [(0, 0)]  # (column, layout below); a layout's number is its place
        self._level_numbers: dict[tuple[int, int], int] = {}
        layout = self._level(0, 0) if settings else 0
        self.start = (layout, stacks.node(int(mem[start + table_parser.NODE_STATE]), (BOTTOM,)))
        self._fed: dict[tuple[int, int], tuple[int, ...]] = {}
        self._shifts: dict[tuple[int, int, int], tuple[tuple[int, int], ...]] = {}
        self._before_fed: dict[tuple[int, int, Targets], int] = {}
        self._ends: dict[tuple[int, int], int] = {}

    def top(self, state: int) -> list[int]:
        return [state]

    def _level(self, column: int, layout: int) -> int:
        found = self._level_numbers.setdefault((column, layout), len(self._levels))
        if found == len(self._levels):
            self._levels.append((column, layout))
        return found

    def _pairs(self, state: int, field: int) -> dict[int, int]:
        mem = self._engine.mem
        at = int(mem[state + field])
        listed = mem[at + 1 : at + 1 + 2 * int(mem[at])].tolist()
        return dict(zip(listed[::2], listed[1::2], strict=True))

    def _action(self, state: int, symbol: int) -> tuple[int, int, int]:
        """(state to shift to, 0, 0), or (0, left-hand side, length) of a rule to reduce by; (0, 0, 0) if neither."""
        actions = self._actions.get(state)
        if actions is None:
            actions = self._actions[state] = self._pairs(state, table_parser.S_ACTIONS)
        action = actions.get(symbol, 0)
        if action >= 0:
            return action, 0, 0
        mem = self._engine.mem
        return 0, 1 + int(mem[-action]), int(mem[1 - action])

    def _goto(self, state: int, left: int) -> int:
        gotos = self._gotos.get(state)
        if gotos is None:
            gotos = self._gotos[state] = self._pairs(state, table_parser.S_GOTOS)
        return gotos.get(left - 1, 0)

    # -- one symbol -----------------------------------------------------------------------------------------------

    def _feed(self, node: int, symbol: int) -> tuple[int, ...]:
        """The nodes behind a symbol, one for each state; behind END what stands on the end state."""
        found = self._fed.get((node, symbol))
        if found is None:
            stacks = self.stacks
            results: set[int] = set()
            seen = {node}
            pending = [node]
            while pending:
                top = pending.pop()
                target, left, length = self._action(stacks.states[top], symbol)
                if target:
                    results.add(stacks.node(target, (top,)))
                if not left:
                    continue
                bases = {top}
                for _ in range(length):
                    bases = set(stacks.group({under for base in bases for under in stacks.below[base]}).values())
                for base in bases:
                    pushed = stacks.node(self._goto(stacks.states[base], left), (base,))
                    if symbol == table_parser.END and stacks.states[pushed] == self._end_state:
                        results.add(pushed)
                    elif pushed not in seen:
                        seen.add(pushed)
                        pending.append(pushed)
            grouped = stacks.group(results)
            found = self._fed[node, symbol] = tuple(grouped[state] for state in sorted(grouped))
        return found

    def _before_feed(self, node: int, symbol: int, nodes: Targets) -> int:
        """The stacks of a node that a symbol leads into the given ones."""
        key = (node, symbol, nodes)
        found = self._before_fed.get(key)
        if found is not None:
            return found
        target, left, length = self._action(self.stacks.states[node], symbol)
        found = NONE
        if target:
            found = self._under(target, node, nodes)
        elif left:
            found = self._before_pop(length, node, left, symbol, nodes)
        self._before_fed[key] = found
        return found

    def _under(self, state: int, node: int, nodes: Targets) -> int:
        """The stacks of a node that stand under a state in the given ones."""
        stacks = self.stacks
        for target in nodes:
            if stacks.states[target] == state:
                for under in stacks.below[target]:
                    if stacks.states[under] == stacks.states[node]:
                        return stacks.intersection(node, under)
        return NONE

    def _before_pop(self, count: int, node: int, left: int, symbol: int, nodes: Targets) -> int:
        stacks = self.stacks
        if count == 0:
            state = self._goto(stacks.states[node], left)
            if not state:
                return NONE
            if symbol == table_parser.END and state == self._end_state:
                return self._under(state, node, nodes)
            kept = self._before_feed(stacks.node(state, (node,)), symbol, nodes)
            return stacks.below[kept][0] if kept != NONE else NONE
        less = (self._before_pop(count - 1, under, left, symbol, nodes) for under in stacks.below[node])
        return stacks.node(stacks.states[node], tuple(under for under in less if under != NONE))

    # -- terminals and the end ------------------------------------------------------------------------------------

    def _symbols(self, layout: int, terminal: int) -> tuple[list[int], int] | None:
        """The symbols that a terminal stands for beside a layout, and the layout then; None where it can't stand."""
        kind = int(self._engine.mem[terminal + lexer.X_LAYOUT])
        column, below = self._levels[layout]
        inside = column == table_parser.PARENTHESIS
        if kind > 0:
            if inside:
                return [], layout
            symbols = [self._newline]
            wanted = kind - 1
            if wanted == self._columns:
                return None
            if wanted > column:
                return [*symbols, self._indent], self._level(wanted, layout)
            while wanted < column:
                symbols.append(self._dedent)
                layout = below
                column, below = self._levels[layout]
            return (symbols, layout) if wanted == column else None
        if kind == table_parser.OPENS:
            return [terminal], self._level(table_parser.PARENTHESIS, layout)
        if kind == table_parser.CLOSES:
            return ([terminal], below) if inside else None
        return [terminal], layout

    def _feed_all(self, node: int, symbols: list[int]) -> list[set[int]]:
        """The nodes before each of the symbols, and behind them all."""
        stages = [{node}]
        for symbol in symbols:
            behind = {after for before in stages[-1] for after in self._feed(before, symbol)}
            stages.append(set(self.stacks.group(behind).values()))
        return stages

    def shift(self, layout: int, node: int, terminal: int) -> tuple[tuple[int, int], ...]:
        key = (layout, node, terminal)
        found = self._shifts.get(key)
        if found is None:
            meant = self._symbols(layout, terminal)
            found = ()
            if meant is not None:
                symbols, after = meant
                found = tuple((after, behind) for behind in sorted(self._feed_all(node, symbols)[-1]))
            self._shifts[key] = found
        return found

    def before(self, layout: int, node: int, terminal: int, targets: dict[int, Targets]) -> int:
        meant = self._symbols(layout, terminal)
        if meant is None:
            return NONE
        symbols, after = meant
        return self._before_all(node, symbols, targets.get(after, ()))

    def _before_all(self, node: int, symbols: list[int], nodes: Targets) -> int:
        if not nodes:
            return NONE
        stages = self._feed_all(node, symbols)
        stacks = self.stacks
        for symbol, stage in zip(reversed(symbols), reversed(stages[:-1]), strict=True):
            kept = {self._before_feed(top, symbol, nodes) for top in stage} - {NONE}
            grouped = stacks.group(kept)
            nodes = tuple(grouped[state] for state in sorted(grouped))
        return self._under_all(node, nodes)

    def _under_all(self, node: int, nodes: Targets) -> int:
        for target in nodes:
            if self.stacks.states[target] == self.stacks.states[node]:
                return self.stacks.intersection(node, target)
        return NONE

    def ends(self, layout: int, node: int) -> int:
        found = self._ends.get((layout, node))
        if found is None:
            symbols = []
            column, below = self._levels[layout]
            while below:
                if column != table_parser.PARENTHESIS:
                    symbols.append(self._dedent)
                column, below = self._levels[below]
            symbols.append(table_parser.END)
            found = self._before_all(node, symbols, tuple(sorted(self._feed_all(node, symbols)[-1])))
            self._ends[layout, node] = found
        return found
