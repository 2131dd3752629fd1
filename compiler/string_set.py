"""Finite sets of strings as minimal acyclic automata (Daciuk, Mihov, Watson and Watson 2000, from sorted input)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

#: Per state: whether a string ends here, and (symbol, state behind) pairs in increasing order of the symbols.
Shape = list[tuple[bool, tuple[tuple[int, int], ...]]]


def minimal_trie(strings: Iterable[tuple[int, ...]] | Iterable[bytes]) -> Shape:
    """The minimal deterministic acyclic automaton of some strings over ints; state 0 is the start.

    Linear in the total length: a state is looked up in the register once, when no later string can change it.
    """
    register: dict[tuple[bool, tuple[tuple[int, int], ...]], int] = {}
    path: list[list[tuple[int, int]]] = [[]]
    ends = [False]
    previous: Sequence[int] = ()

    def close(depth: int) -> None:
        while len(path) > depth + 1:
            frozen = (ends.pop(), tuple(path.pop()))
            number = register.setdefault(frozen, len(register))
            path[-1].append((previous[len(path) - 1], number))

    unique: set[Any] = set(strings)
    for string in sorted(unique):
        common = 0
        for left, right in zip(previous, string):
            if left != right:
                break
            common += 1
        close(common)
        previous = string
        for _ in range(len(string) - common):
            path.append([])
            ends.append(False)
        ends[-1] = True
    close(0)
    # The start is nobody's target; it takes number 0 and moves the others up.
    shape: Shape = [(ends[0], tuple((symbol, target + 1) for symbol, target in path[0]))]
    shape.extend((end, tuple((symbol, target + 1) for symbol, target in children)) for end, children in register)
    return shape
