"""Property names that are not declared: any JSON string except a finite set, as one automaton over bytes.

The automaton is the one of all JSON strings (``_BODY``) minus a trie of the excluded spellings: a node of the trie
goes back to the plain automaton as soon as a byte leaves the trie. Building it costs the length of the names, so that
an object that is open to more properties has its first mask as fast as a closed one; a difference of two general
automata would cost a hundred times that.

While what has been read may still become an excluded name, characters are spelled plainly: of the escapes only the
two-character ones for characters that need them are offered, because ``"\\u0061"`` is also a spelling of ``"a"``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from grammar_engine.compiler.automaton import MATCH, ByteAutomaton

_QUOTE, _BACKSLASH = 0x22, 0x5C
_END, _TEXT, _ESCAPE, _PLAIN_ESCAPE = 1, 2, 3, 4
_HEX = ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))
_CONTROL = 30  # behind ``\\u`` of a control character in a name; 31, 32, 33: so many digits later
_FIRST_NODE = 40

# What a JSON string may hold between its quotes (RFC 8259, well-formed UTF-8 by RFC 3629): state → (low, high, target).
# An escaped surrogate stands in a pair: a lone one is no character, and several JSON readers refuse it.
# A node of the trie never stands for 12 to 22: no plain spelling goes there.
_BODY: dict[int, tuple[tuple[int, int, int], ...]] = {
    _END: (),
    _TEXT: (
        (0x20, 0x21, _TEXT),
        (_QUOTE, _QUOTE, _END),
        (0x23, 0x5B, _TEXT),
        (_BACKSLASH, _BACKSLASH, _ESCAPE),
        (0x5D, 0x7F, _TEXT),
        (0xC2, 0xDF, 5),
        (0xE0, 0xE0, 6),
        (0xE1, 0xEC, 7),
        (0xED, 0xED, 8),
        (0xEE, 0xEF, 7),
        (0xF0, 0xF0, 9),
        (0xF1, 0xF3, 10),
        (0xF4, 0xF4, 11),
    ),
    _ESCAPE: (*((byte, byte, _TEXT) for byte in b'"\\/bfnrt'), (0x75, 0x75, 12)),
    _PLAIN_ESCAPE: tuple((byte, byte, _TEXT) for byte in b'"\\bfnrt'),
    5: ((0x80, 0xBF, _TEXT),),
    6: ((0xA0, 0xBF, 5),),
    7: ((0x80, 0xBF, 5),),
    8: ((0x80, 0x9F, 5),),
    9: ((0x90, 0xBF, 7),),
    10: ((0x80, 0xBF, 7),),
    11: ((0x80, 0x8F, 7),),
    # behind \u: 12 the first digit, 13 to 15 the other three, 16 the second of a surrogate, 17 to 22 its partner
    12: ((0x30, 0x39, 13), (0x41, 0x43, 13), (0x44, 0x44, 16), (0x45, 0x46, 13), (0x61, 0x63, 13), (0x64, 0x64, 16),
         (0x65, 0x66, 13)),
    13: tuple((low, high, 14) for low, high in _HEX),
    14: tuple((low, high, 15) for low, high in _HEX),
    15: tuple((low, high, _TEXT) for low, high in _HEX),
    16: ((0x30, 0x37, 14), (0x38, 0x39, 17), (0x41, 0x42, 17), (0x61, 0x62, 17)),
    17: tuple((low, high, 18) for low, high in _HEX),
    18: tuple((low, high, 19) for low, high in _HEX),
    19: ((_BACKSLASH, _BACKSLASH, 20),),
    20: ((0x75, 0x75, 21),),
    21: ((0x44, 0x44, 22), (0x64, 0x64, 22)),
    22: ((0x43, 0x46, 14), (0x63, 0x66, 14)),
    30: (), 31: (), 32: (), 33: (),
}  # fmt: skip


def spelling_of(name: str) -> bytes:
    """The plain JSON spelling of a string, with quotes: escapes only where JSON asks for them."""
    return json.dumps(name, ensure_ascii=False).encode()


def is_spellable(name: str) -> bool:
    """Is there a spelling at all? A lone surrogate has none in UTF-8."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)


def other_names(excluded: Iterable[str]) -> ByteAutomaton:
    """All JSON strings, with their quotes, whose value is none of ``excluded``."""
    names = sorted(name for name in set(excluded) if is_spellable(name))
    states = {state: list(ranges) for state, ranges in _BODY.items()}
    states[0] = [(_QUOTE, _QUOTE, _FIRST_NODE)]
    children: dict[int, dict[int, int]] = {_FIRST_NODE: {}}
    behind = {_FIRST_NODE: _TEXT}  # the state of _BODY that a node of the trie stands for
    for name in names:
        node = _FIRST_NODE
        for byte in spelling_of(name)[1:-1]:
            child = children[node].get(byte)
            if child is None:
                child = children[node][byte] = _FIRST_NODE + len(children)
                behind[child] = _plain_target(behind[node], byte)
                children[child] = {}
            node = child
        children[node][_QUOTE] = -1
    for node, edges in children.items():
        ranges: list[tuple[int, int, int]] = [(byte, byte, child) for byte, child in edges.items() if child >= 0]
        for low, high, target in _BODY[behind[node]]:
            if low == _BACKSLASH == high:
                target = _PLAIN_ESCAPE
            for byte in sorted(b for b in edges if low <= b <= high):
                if low < byte:
                    ranges.append((low, byte - 1, target))
                low = byte + 1
            if low <= high:
                ranges.append((low, high, target))
        states[node] = ranges
    return _assemble(states, key="json-name-not:" + json.dumps(names))


def _plain_target(state: int, byte: int) -> int:
    """The state behind one byte of a plain spelling."""
    if state >= _CONTROL:
        return state + 1 if state < _CONTROL + 3 else _TEXT
    if state == _PLAIN_ESCAPE and byte == 0x75:
        return _CONTROL
    for low, high, target in _BODY[state]:
        if low <= byte <= high:
            return _PLAIN_ESCAPE if target == _ESCAPE else target
    raise ValueError(f"byte {byte} cannot stand here in a JSON string")


def _assemble(states: dict[int, list[tuple[int, int, int]]], key: str) -> ByteAutomaton:
    """Number the reachable states densely and flatten them; state 1 is the only one that matches."""
    order = {0: 0}
    todo = [0]
    for state in todo:
        for _, _, target in states[state]:
            if target not in order:
                order[target] = len(order)
                todo.append(target)
    positions: list[tuple[int, int, int]] = []
    entries: list[tuple[int, int, int]] = []
    offsets = [0]
    for state in todo:
        if state == _END:
            entries.append((MATCH, 0, 0))
        for low, high, target in states[state]:
            entries.append((len(positions), 0, 0))
            positions.append((low, high, order[target]))
        offsets.append(len(entries))
    return ByteAutomaton(
        positions=np.array(positions, np.int32),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32),
        key=key,
    )
