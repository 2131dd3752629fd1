"""The engine's specification for grammars that follow an LR table (``ir.ParseTable``), executable like ``reference``.

A history's last entry is a ``Stack``: the states of the table and the open levels of indentation, as plain tuples. The
lexer tries what the state on top offers; a lexeme that the parser can't take ends the text. Columns are counted in the
lexeme's text, as Lark's Indenter counts them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from grammar_engine.compiler.ir import Grammar, ParseTable
from grammar_engine.compiler.reference import (
    EarleySet,
    History,
    ReferenceRecognizer,
    State,
)

_END = -1
_PARENTHESIS = -1


@dataclass(frozen=True, kw_only=True)
class Stack:
    """states: from the bottom. levels: columns and parentheses (-1), from the bottom."""

    states: tuple[int, ...]
    levels: tuple[int, ...] = (0,)


class TableRecognizer(ReferenceRecognizer):
    """Decides membership, viability and masks for a grammar with a table."""

    def __init__(self, grammar: Grammar, table: ParseTable) -> None:
        super().__init__(grammar)
        self._table = table
        self._actions = {(state, symbol): value for state, symbol, value in table.actions.tolist()}
        self._gotos = {(state, symbol): value for state, symbol, value in table.gotos.tolist()}
        self._rules_of_table: list[list[int]] = table.rules.tolist()

    def start(self) -> State:
        """See ``ReferenceRecognizer``."""
        history = (Stack(states=(self._table.start,)),)
        return self._live(self._at_boundary(cast("History", history), frozenset()))

    # -- what the rules decide elsewhere ----------------------------------------------------------------------------

    def _takes(self, items: EarleySet, terminal: int) -> bool:
        stack = cast("Stack", items)
        if terminal in self.grammar.ignored:
            return True
        layout = self._table.layout
        if layout is not None and terminal == layout.newline:
            return stack.levels[-1] == _PARENTHESIS or self._fed(stack, terminal) is not None
        return self._shifted(stack, terminal, b"") is not None

    def _offered(self, items: EarleySet) -> set[int]:
        state = cast("Stack", items).states[-1]
        known = {symbol for at, symbol in self._actions if at == state and symbol != _END}
        return known.union(self._table.everywhere).difference(self._table.silent).union(self.grammar.ignored)

    def _is_complete(self, items: EarleySet) -> bool:
        stack: Stack | None = cast("Stack", items)
        layout = self._table.layout
        if layout is not None:
            for level in reversed(cast("Stack", items).levels[1:]):
                stack = self._fed(stack, layout.dedent) if stack is not None and level != _PARENTHESIS else stack
        return stack is not None and self._fed(stack, _END) is not None

    def _after_lexeme(self, history: History, terminal: int, text: bytes) -> History | None:
        for keyword in sorted(self._offered(history[-1])):
            if terminal in self._terminal(keyword).unless and self._matches(keyword, text):
                terminal = keyword
                break
        else:
            if self._is_reserved(terminal, text):
                return None
        if terminal in self.grammar.ignored:
            return history
        stack = self._shifted(cast("Stack", history[-1]), terminal, text)
        return None if stack is None else cast("History", (stack,))

    # -- the parser -------------------------------------------------------------------------------------------------

    def _fed(self, stack: Stack, symbol: int) -> Stack | None:
        """The stack after a terminal, or after the end of the text; None if the table has an error there."""
        states = list(stack.states)
        while True:
            action = self._actions.get((states[-1], symbol))
            if action is None:
                return None
            if action >= 0:
                return replace(stack, states=(*states, action))
            left, length = self._rules_of_table[~action]
            del states[len(states) - length :]
            states.append(self._gotos[states[-1], left])
            if symbol == _END and states[-1] == self._table.end:
                return stack

    def _shifted(self, stack: Stack, terminal: int, text: bytes) -> Stack | None:
        layout = self._table.layout
        if layout is None:
            return self._fed(stack, terminal)
        if terminal == layout.newline:
            return stack if stack.levels[-1] == _PARENTHESIS else self._indented(stack, text)
        after = self._fed(stack, terminal)
        if after is not None and terminal in layout.opens:
            return replace(after, levels=(*after.levels, _PARENTHESIS))
        if after is not None and terminal in layout.closes:
            return replace(after, levels=after.levels[:-1]) if after.levels[-1] == _PARENTHESIS else None
        return after

    def _indented(self, stack: Stack, text: bytes) -> Stack | None:
        layout = self._table.layout
        if layout is None:
            return None
        after = self._fed(stack, layout.newline)
        _, line_feed, blanks = text.rpartition(b"\n")
        if not line_feed or blanks.strip(b" \t\r"):  # a column that is not known
            return None
        column = blanks.count(b" ") + layout.tab_len * blanks.count(b"\t")
        if column >= layout.columns:
            return None
        if after is not None and column > after.levels[-1]:
            deeper = self._fed(after, layout.indent)
            return None if deeper is None else replace(deeper, levels=(*deeper.levels, column))
        while after is not None and column < after.levels[-1]:
            after = self._fed(replace(after, levels=after.levels[:-1]), layout.dedent)
        return after if after is not None and column == after.levels[-1] else None
