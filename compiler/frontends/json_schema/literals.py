"""Values that are given: ``enum`` and ``const``, spelled out.

Scalars of one enumeration become a single terminal (a trie of their spellings), because the lexer then keeps one
thread and not one per member. Objects and arrays become sequences of terminals, so that whitespace stays free in them;
their properties stand in the order in which the schema wrote them.

An integral float is also spelled as an integer; other values have their plain spelling only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
from grammar_engine.compiler.automaton import MATCH, ByteAutomaton
from grammar_engine.compiler.frontends.json_schema.names import is_spellable

_LARGEST_EXACT = 1e15


def is_scalar(value: object) -> bool:
    """Is the value no object and no array?"""
    return not isinstance(value, dict | list)


def is_writable(value: object) -> bool:
    """Can the value be written as JSON text in UTF-8 (no lone surrogate, no infinity)?"""
    if isinstance(value, str):
        return is_spellable(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_writable, value))
    if isinstance(value, dict):
        return all(map(is_writable, value)) and all(map(is_writable, value.values()))
    return True


def spellings(value: object) -> list[bytes]:
    """The texts of a scalar."""
    texts = [json.dumps(value, ensure_ascii=False).encode()]
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        texts.append(str(int(value)).encode())
    return texts


def trie(texts: Iterable[bytes]) -> bytes | ByteAutomaton:
    """The automaton of a finite set of non-empty texts; a single one stays a plain literal."""
    words = sorted(set(texts))
    if len(words) == 1:
        return words[0]
    children: list[dict[int, int]] = [{}]
    final: set[int] = set()
    for word in words:
        node = 0
        for byte in word:
            child = children[node].get(byte)
            if child is None:
                child = children[node][byte] = len(children)
                children.append({})
            node = child
        final.add(node)
    positions: list[tuple[int, int, int]] = []
    entries: list[tuple[int, int, int]] = []
    offsets = [0]
    for node, edges in enumerate(children):
        for byte, child in edges.items():
            entries.append((len(positions), 0, 0))
            positions.append((byte, byte, child))
        if node in final:
            entries.append((MATCH, 0, 0))
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(positions, np.int32),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32),
    )
