"""The structural terminals of JSON: braces, brackets, commas, colons, and the whitespace that goes with them.

Whitespace belongs to the punctuation: behind an opener, on both sides of a comma or colon, before a closer. So a key
or a value always begins with its own first byte, and no gap can be derived in two ways. Empty containers are terminals
of their own for the same reason.

With ``indent`` the layout depends on the depth; otherwise depth is always 0, and nonterminals are shared by all depths.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.frontends.json_schema.options import JsonSchemaOptions

_WHITESPACE = ((9, 10), (13, 13), (32, 32))


@lru_cache(maxsize=256)
def gap_automaton(parts: tuple[bytes | None, ...], limit: int) -> ByteAutomaton:
    """The automaton of single bytes with gaps (None) of at most ``limit`` whitespace characters between them.

    ``(None, b",", None)`` is a comma with a gap on both sides. Gaps are counted loops; two never stand side by side.
    """
    if limit == 0:
        parts = tuple(part for part in parts if part is not None)
    positions: list[tuple[int, int, int]] = []
    first: list[list[int]] = []  # positions that begin part i
    for state, part in enumerate(parts, 1):
        ranges = _WHITESPACE if part is None else ((part[0], part[0]),)
        first.append(list(range(len(positions), len(positions) + len(ranges))))
        positions += [(low, high, state) for low, high in ranges]
    entries: list[tuple[int, int, int]] = []
    offsets = [0]
    for state in range(len(parts) + 1):
        in_gap = state > 0 and parts[state - 1] is None
        leave = (EXIT, 1) if in_gap else (KEEP, 0)
        if in_gap:
            entries += [(index, AGAIN, limit) for index in first[state - 1]]
        following = state
        if following < len(parts) and parts[following] is None:
            entries += [(index, ENTER, 0) for index in first[following]]
            following += 1
        if following < len(parts):
            entries += [(index, *leave) for index in first[following]]
        else:
            entries.append((MATCH, *leave))
        offsets.append(len(entries))
    name = "".join("_" if part is None else part.decode("ascii") for part in parts)
    return ByteAutomaton(
        positions=np.array(positions, np.int32),
        offsets=np.array(offsets, np.int32),
        entries=np.array(entries, np.int32),
        key=f"json-gap:{name}:{limit}",
    )


class Layout:
    """Names and automata of the structural terminals; the grammar interns them by name."""

    def __init__(self, options: JsonSchemaOptions) -> None:
        self._exact = options.exact
        self._limit = options.max_whitespace
        indent = options.indent
        self._indent = " " * indent if isinstance(indent, int) else indent
        item, key = options.separators or (("," if indent is not None else ", "), ": ")
        self._item, self._colon = item, key
        self.depth_matters = self._indent is not None

    def automaton(self, mark: str, depth: int) -> bytes | ByteAutomaton:
        """The automaton of ``{ } [ ] , : {} []``; ``depth`` counts the containers around the content it stands in."""
        if not self._exact:
            if mark in ("{", "["):
                return gap_automaton((mark.encode(), None), self._limit)
            if mark in ("}", "]"):
                return gap_automaton((None, mark.encode()), self._limit)
            if mark in ("{}", "[]"):
                return gap_automaton((mark[:1].encode(), None, mark[1:].encode()), self._limit)
            return gap_automaton((None, mark.encode(), None), self._limit)
        if mark == ":":
            return self._colon.encode()
        line = "" if self._indent is None else "\n" + self._indent * depth
        if mark == ",":
            return (self._item + line).encode()
        if mark in ("{", "["):
            return (mark + line).encode()
        if mark in ("}", "]"):
            return ((line and "\n" + (self._indent or "") * (depth - 1)) + mark).encode()
        return mark.encode()
