"""The automaton of a terminal in Graphviz's language, for ``dot -Tsvg``."""

from __future__ import annotations

import json

from grammar_engine.compiler.automaton import AGAIN, CONDITION, ENTER, EXIT, KEEP, MATCH, ByteAutomaton, literal
from grammar_engine.compiler.given_strings import given_json_strings
from grammar_engine.compiler.ir import JsonStrings, Terminal

_OPERATIONS = {KEEP: "", ENTER: " /c=1", AGAIN: " /c+1≤{}", EXIT: " /c≥{}"}


def terminal_graph(terminal: Terminal) -> str:
    """States are circles, doubled where the lexeme may end (if what follows allows it); edges read bytes, best first;
    counters stand behind /.
    """
    automaton = terminal.automaton
    if isinstance(automaton, bytes):
        automaton = literal(automaton)
    if isinstance(automaton, JsonStrings):
        automaton = given_json_strings(list(automaton.texts))
    assert isinstance(automaton, ByteAutomaton)
    positions, offsets, entries = (
        array.tolist() for array in (automaton.positions, automaton.offsets, automaton.entries)
    )
    lines = [f"digraph {json.dumps(terminal.name)} {{", "  rankdir=LR;", "  node [shape=circle];"]
    for state in range(automaton.num_states):
        own = entries[offsets[state] : offsets[state + 1]]
        if any(index == MATCH or index <= CONDITION for index, _, _ in own):
            lines.append(f"  {state} [shape=doublecircle];")
        for index, operation, bound in own:
            if index >= 0:
                low, high, target = positions[index]
                label = "end" if low > high else _byte(low) if low == high else f"{_byte(low)}–{_byte(high)}"
                label += _OPERATIONS[operation].format(abs(bound))
                lines.append(f"  {state} -> {target} [label={json.dumps(label, ensure_ascii=False)}];")
    return "\n".join([*lines, "}"]) + "\n"


def _byte(value: int) -> str:
    return chr(value) if 0x20 < value < 0x7F else f"{value:02x}"
