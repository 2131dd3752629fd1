"""A parser with a given LALR(1) table (``kernels.table_parser``), over sets of stacks.

Reductions come before a shift, as the table has them for the terminal at hand: stacks without an action for it are left
out. Indentation is a chain of open levels beside the stack; a newline of some column then stands for several symbols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammar_engine.compiler.canvas.shifts import Parser, Targets
from grammar_engine.compiler.canvas.stacks import BOTTOM, NONE, Stacks
from grammar_engine.kernels import arena, lexer, table_parser

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine


class TableParser(Parser):
    """A given LALR(1) table (``kernels.table_parser``), with indentation."""

    def __init__(self, engine: Engine, stacks: Stacks, start: int) -> None:
        """start: the engine's node at the bottom of every stack."""
        super().__init__(stacks)
        self._engine = engine
        mem = engine.mem
        self._end_state = int(mem[int(mem[arena.H_TABLE])])
        settings = int(mem[arena.H_LAYOUT])
        read: list[int] = mem[settings : settings + 4].tolist() if settings else [0] * 4
        self._newline, self._indent, self._dedent, self._columns = read
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
        """See ``Parser``."""
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
        """See ``Parser``."""
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
        """See ``Parser``."""
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
        """See ``Parser``."""
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
