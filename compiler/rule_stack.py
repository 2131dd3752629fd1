"""Where a text stands in its grammar: which terminals may go on or begin, and inside of which rules.

Read out of the arena (``kernels/parser.py``, ``table_parser.py``) for one position, for people: where several parses
are alive, the rules of one of them. Costs what one look costs; nothing is kept.

A stack holds what has been read of rules that are not complete. From the top down: an item A → α·β on top says that the
text is inside A; |α| symbols further down is where A began, in a state with an item B → γ·Cδ such that C begins with A
(left corners); so the text is inside B; and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from grammar_engine.compiler.ir import ParseTable, Production, Symbol
from grammar_engine.kernels import arena, lexer, masks, parser, positions, table_parser

if TYPE_CHECKING:
    from grammar_engine.compiler.engine import Engine

Rules = Callable[[int], Sequence[Production]]


class Item(NamedTuple):
    """A production with a dot."""

    left: int
    right: Production
    dot: int


Kernel = Sequence[Item]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """begins: terminals that may begin here. goes_on: those of which something has been read."""

    begins: tuple[int, ...]
    goes_on: tuple[int, ...]


def offer(engine: Engine, position: int) -> Offer:
    """The terminals that a position takes bytes of, by number, ignored ones left out."""
    mem = engine.mem
    begins: set[int] = set()
    goes_on: set[int] = set()
    for pair in _payload(engine, position, positions.O_FIELDS):
        state = int(mem[pair + masks.Q_FIELDS])
        first = state + lexer.L_LIST
        threads = mem[first : first + 2 * int(mem[state + lexer.L_THREADS]) : 2].tolist()
        found = begins if _is_start(engine, state) else goes_on
        for thread in threads:
            terminal = _terminal_of(engine, thread)
            if terminal is not None:
                found.add(terminal)
    hidden = set(engine.grammar.ignored)
    return Offer(begins=tuple(sorted(begins - hidden)), goes_on=tuple(sorted(goes_on - begins - hidden)))


def _is_start(engine: Engine, state: int) -> bool:
    """Does a lexeme begin in this lexer state?"""
    return int(engine.mem[state + lexer.L_KIND]) in (lexer.AT_START, lexer.NOT_AT_END)


def _terminal_of(engine: Engine, thread: int) -> int | None:
    """The number of the terminal that a thread can match; None for those that match nothing."""
    mem = engine.mem
    if mem[thread + lexer.P_SHADOW] not in (0, lexer.KEYWORD):
        return None
    todo, seen = [thread], {thread}
    while todo:
        here = todo.pop()
        closure = int(mem[here + lexer.P_NEXT])
        for entry in range(closure + 1, closure + 1 + 3 * int(mem[closure]), 3):
            target = int(mem[entry])
            if target < 0:
                if mem[-target + lexer.X_LAYOUT] == lexer.BLOCKS:
                    return None
                shadowed = int(mem[-target + lexer.X_SHADOW_OF])
                return int(mem[(shadowed or -target) + lexer.X_ORDER])
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return None


def stack_of_rules(engine: Engine, position: int) -> list[int]:
    """The nonterminals that a position of a grammar without a table is inside of, the outermost first."""
    grammar = engine.grammar
    top = _deepest(engine, position)
    return rules_around(_kernels(engine, top), grammar.productions) if top else []


def stack_of_symbols(engine: Engine, position: int, table: ParseTable) -> list[Symbol]:
    """What lies on the stack of a position of a grammar with a table, the bottom first."""
    mem = engine.mem
    access: dict[int, Symbol] = {state: symbol for _, symbol, state in table.actions.tolist() if state >= 0}
    access.update((state, ~nonterminal) for _, nonterminal, state in table.gotos.tolist())
    node = _deepest(engine, position)
    states: list[int] = []
    while node:
        states.append(int(mem[node + table_parser.NODE_STATE]))
        node = int(mem[node + table_parser.NODE_BELOW])
    first = states[-1] - table_parser.TABLE_STATE_SIZE * table.start
    return [access[(state - first) // table_parser.TABLE_STATE_SIZE] for state in reversed(states[:-1])]


def kernels_along(rules: Rules, start: int, symbols: Sequence[Symbol]) -> list[Kernel]:
    """The items of each state on a stack of symbols, worked out anew from the rules."""
    kernels: list[Kernel] = [(Item(-1, (~start,), 0),)]
    for symbol in symbols:
        items = list(kernels[-1])
        seen: set[int] = set()
        for item in items:  # grows while it is read
            if item.dot < len(item.right) and item.right[item.dot] < 0 and ~item.right[item.dot] not in seen:
                nonterminal = ~item.right[item.dot]
                seen.add(nonterminal)
                items += (Item(nonterminal, right, 0) for right in rules(nonterminal))
        kernels.append(
            [
                item._replace(dot=item.dot + 1)
                for item in items
                if item.dot < len(item.right) and item.right[item.dot] == symbol
            ]
        )
    return kernels


def rules_around(kernels: Sequence[Kernel], rules: Rules) -> list[int]:
    """The nonterminals that the top of a stack is inside of, the outermost first."""
    found: list[int] = []
    depth = len(kernels) - 1
    if not kernels[depth]:
        return []
    item = max(kernels[depth], key=lambda item: item.dot)
    while item.left >= 0 and item.dot <= depth:
        depth -= item.dot
        found.append(item.left)
        item, between = _owner(kernels[depth], item.left, rules)
        found += between
    return found[::-1]


def _owner(kernel: Kernel, nonterminal: int, rules: Rules) -> tuple[Item, list[int]]:
    """The item of a state because of which a nonterminal may begin there, and the nonterminals that begin with it on
    the way, the innermost first.
    """
    for item in kernel:
        if item.dot < len(item.right) and item.right[item.dot] < 0:
            first = ~item.right[item.dot]
            came, todo = {first: first}, [first]
            for here in todo:  # grows while it is read
                if here == nonterminal:
                    way: list[int] = []
                    while here != first:
                        here = came[here]
                        way.append(here)
                    return item, way
                for right in rules(here):
                    for symbol in right[:1]:
                        if symbol < 0 and ~symbol not in came:
                            came[~symbol] = here
                            todo.append(~symbol)
    return Item(-1, (), 0), []


def _deepest(engine: Engine, position: int) -> int:
    """The top of a stack of a position, of the parse whose lexeme has been going on if any; 0 if none can go on."""
    mem = engine.mem
    pairs = _payload(engine, position, positions.O_FIELDS)
    pair = min(pairs, key=lambda pair: _is_start(engine, int(mem[pair + masks.Q_FIELDS])))
    tops = _payload(engine, int(mem[pair + masks.Q_FIELDS + 1]), parser.C_FIELDS)[1:]
    return tops[0] if tops else 0


def _kernels(engine: Engine, node: int) -> list[Kernel]:
    """The items of each state on one stack below a node, the bottom first."""
    kernels: list[Kernel] = []
    while node:
        state, *parents = _payload(engine, node, parser.G_FIELDS)
        kernels.append(list(_items(engine, state)))
        node = parents[0] if parents else 0
    return kernels[::-1]


def _items(engine: Engine, state: int) -> Iterator[Item]:
    mem = engine.mem
    terminals, nonterminals = engine.symbol_numbers
    for item in _payload(engine, state, parser.S_FIELDS):
        end = item
        while mem[end]:
            end += 1
        length = int(mem[end + 2])
        right = tuple(
            terminals[symbol] if symbol > 0 else ~nonterminals.get(-symbol, -1)
            for symbol in mem[end - length : end].tolist()
        )
        yield Item(nonterminals.get(int(mem[end + 1]), -1), right, item - (end - length))


def _payload(engine: Engine, record: int, fields: int) -> list[int]:
    first = record + fields
    found: list[int] = engine.mem[first : first + int(engine.mem[record + arena.R_LENGTH])].tolist()
    return found
