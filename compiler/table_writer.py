"""A given LR table into the arena: records of terminals, states and rules (see kernels.table_parser), in one block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from grammar_engine.kernels import arena, lexer, table_parser
from grammar_engine.kernels.parser import S_CLOSURE, S_TERMINALS

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine
    from grammar_engine.compiler.ir import Layout, ParseTable

Int32Array = npt.NDArray[np.int32]


def write_terminals(engine: Engine, count: int, layout: Layout | None) -> list[int]:
    """Records for terminals 0 to count - 1, ascending; that of a newline is followed by one for each column."""
    size = lexer.TERMINAL_SIZE
    at = engine.top
    addresses: list[int] = []
    block: list[int] = []
    for number in range(count):
        addresses.append(at + len(block))
        block += [number] + [0] * (size - 1)
        if layout is not None and number == layout.newline:
            for column in range(layout.columns + 1):
                record = [number] + [0] * (size - 1)
                record[lexer.X_FAMILY] = addresses[-1]
                record[lexer.X_LAYOUT] = column + 1
                block += record
    engine.append(np.array(block, np.int32))
    if layout is not None:
        for kind, terminals in ((table_parser.OPENS, layout.opens), (table_parser.CLOSES, layout.closes)):
            for terminal in terminals:
                engine.mem[addresses[terminal] + lexer.X_LAYOUT] = kind
    return addresses


def write_table(engine: Engine, table: ParseTable, terminals: list[int]) -> int:
    """The table's records; returns the address of the node at the bottom of every stack."""
    address_of = np.array([*terminals, table_parser.END], np.int32)  # (-1 is the end of the text)
    base = engine.top
    rules = base + table.num_states * table_parser.TABLE_STATE_SIZE
    rule_records = table.rules.ravel()
    ints: list[Int32Array] = []
    top = rules + len(rule_records)

    def put(values: Int32Array) -> int:
        nonlocal top
        ints.append(values)
        top += len(values)
        return top - len(values)

    def state_address(states: Int32Array) -> Int32Array:
        return base + table_parser.TABLE_STATE_SIZE * states

    records = np.zeros((table.num_states, table_parser.TABLE_STATE_SIZE), np.int32)
    records[:, S_CLOSURE] = 1
    action_bounds = np.searchsorted(table.actions[:, 0], np.arange(table.num_states + 1))
    goto_bounds = np.searchsorted(table.gotos[:, 0], np.arange(table.num_states + 1))
    values = np.where(table.actions[:, 2] >= 0, state_address(table.actions[:, 2]), -(rules + 2 * ~table.actions[:, 2]))
    symbols = address_of[table.actions[:, 1]]
    targets = state_address(table.gotos[:, 2])
    hidden = {-1, *table.silent}
    for state in range(table.num_states):
        first, last = action_bounds[state], action_bounds[state + 1]
        offered = {*table.actions[first:last, 1].tolist(), *table.everywhere} - hidden
        listed = [len(offered), *(terminals[terminal] for terminal in sorted(offered))]
        records[state, S_TERMINALS] = put(np.array(listed, np.int32))
        pairs = np.empty(1 + 2 * (last - first), np.int32)
        pairs[0] = last - first
        pairs[1::2], pairs[2::2] = symbols[first:last], values[first:last]
        records[state, table_parser.S_ACTIONS] = put(pairs)
        first, last = goto_bounds[state], goto_bounds[state + 1]
        pairs = np.empty(1 + 2 * (last - first), np.int32)
        pairs[0] = last - first
        pairs[1::2], pairs[2::2] = table.gotos[first:last, 1], targets[first:last]
        records[state, table_parser.S_GOTOS] = put(pairs)
    engine.append(np.concatenate([records.ravel(), rule_records, *ints]).astype(np.int32))
    mem = engine.mem
    mem[arena.H_TABLE] = engine.append([base + table_parser.TABLE_STATE_SIZE * table.end, table.num_terminals])
    layout = 0
    if table.layout is not None:
        layout = engine.interned(arena.T_NODE, table_parser.LAYOUT_COLUMN, [0, 0])
        of = table.layout
        mem[arena.H_LAYOUT] = engine.append([*(terminals[t] for t in (of.newline, of.indent, of.dedent)), of.columns])
    start = base + table_parser.TABLE_STATE_SIZE * table.start
    return engine.interned(arena.T_NODE, table_parser.NODE_STATE, [start, 0, layout])
