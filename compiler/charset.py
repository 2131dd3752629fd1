"""Sets of Unicode scalar values as sorted, disjoint ranges: the labels of every automaton over characters.

The universe is the *scalar values*, 0..10FFFF without the surrogates D800..DFFF: only those have an encoding, so a
set never holds a surrogate and a complement never brings one in. An empty set therefore means an empty language,
also after the step to bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter

Range = tuple[int, int]

MAX_CODE_POINT = 0x10FFFF
FIRST_SURROGATE, LAST_SURROGATE = 0xD800, 0xDFFF
_UNIVERSE: tuple[Range, ...] = ((0, FIRST_SURROGATE - 1), (LAST_SURROGATE + 1, MAX_CODE_POINT))


class CharSet:
    """An immutable set of Unicode scalar values.

    ``ranges``: sorted, disjoint, non-adjacent inclusive ranges (equal sets have equal ranges).
    """

    __slots__ = ("_hash", "ranges")
    ranges: tuple[Range, ...]
    _hash: int

    def __init__(self, ranges: tuple[Range, ...] = ()) -> None:
        """Trusts its argument to be in normal form; use ``from_ranges`` for anything else."""
        object.__setattr__(self, "ranges", ranges)
        object.__setattr__(self, "_hash", hash(ranges))

    @staticmethod
    def from_ranges(ranges: Iterable[Range]) -> CharSet:
        """The union of inclusive ranges in any order; surrogates are dropped. ValueError beyond 10FFFF."""
        merged: list[Range] = []
        for low, high in sorted(ranges):
            if low < 0 or high > MAX_CODE_POINT:
                raise ValueError(f"not a code point range: {low}..{high}")
            if low > high:
                continue
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        if merged and merged[-1][1] >= FIRST_SURROGATE:
            return CharSet(_intersect(merged, _UNIVERSE))
        return CharSet(tuple(merged))

    @staticmethod
    def from_chars(chars: Iterable[str]) -> CharSet:
        """The characters of a string, or of an iterable of one-character strings."""
        return CharSet.from_ranges((ord(char), ord(char)) for char in chars)

    def union(self, *others: CharSet) -> CharSet:
        """The members of this set or any of the others."""
        if not others:
            return self
        collected = [self.ranges, *(other.ranges for other in others)]
        return CharSet.from_ranges(item for ranges in collected for item in ranges)

    def intersect(self, other: CharSet) -> CharSet:
        """The common members."""
        if self is other or other.ranges == _UNIVERSE:
            return self
        if self.ranges == _UNIVERSE:
            return other
        return CharSet(_intersect(self.ranges, other.ranges))

    def complement(self) -> CharSet:
        """All scalar values that are not members."""
        return CharSet(_without(_UNIVERSE, self.ranges))

    def difference(self, other: CharSet) -> CharSet:
        """The members that are not in ``other``."""
        return CharSet(_without(self.ranges, other.ranges))

    def is_empty(self) -> bool:
        """Whether there is no member."""
        return not self.ranges

    def first(self) -> int:
        """The smallest member; IndexError if there is none."""
        return self.ranges[0][0]

    def __contains__(self, item: str | int) -> bool:
        code = item if isinstance(item, int) else ord(item)
        index = bisect_right(self.ranges, (code, MAX_CODE_POINT)) - 1
        return index >= 0 and self.ranges[index][0] <= code <= self.ranges[index][1]

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, CharSet) and self.ranges == other.ranges)

    def __hash__(self) -> int:
        return self._hash

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a CharSet is immutable")

    def __repr__(self) -> str:
        return f"CharSet({', '.join(f'{low:04X}..{high:04X}' for low, high in self.ranges)})"


def _intersect(left: Sequence[Range], right: Sequence[Range]) -> tuple[Range, ...]:
    if len(left) > len(right):
        left, right = right, left
    result: list[Range] = []
    at, count = 0, len(right)
    for low, high in left:
        if at < count and right[at][1] < low:  # jump over those that end before
            at = bisect_left(right, low, at + 1, key=itemgetter(1))
        while at < count:
            first, last = right[at]
            if first > high:
                break
            result.append((max(low, first), min(high, last)))
            if last > high:
                break
            at += 1
    return tuple(result)


def _without(left: Sequence[Range], right: Sequence[Range]) -> tuple[Range, ...]:
    result: list[Range] = []
    at, count = 0, len(right)
    for start, high in left:
        low = start
        if at < count and right[at][1] < low:
            at = bisect_left(right, low, at + 1, key=itemgetter(1))
        while at < count:
            first, last = right[at]
            if first > high:
                break
            if first > low:
                result.append((low, first - 1))
            low = last + 1
            if last > high:
                break
            at += 1
        if low <= high:
            result.append((low, high))
    return tuple(result)


def nicest(charset: CharSet) -> str:
    """The member that reads best: a letter, a digit, anything printable, the first."""
    for candidates in ("abcdefghijklmnopqrstuvwxyz", "0123456789", "ABCXYZ_", " .,-+*/()[]{}<>=:;!?'\"#$%&@^|~\\\n"):
        for char in candidates:
            if char in charset:
                return char
    return chr(charset.first())


ANY = CharSet(_UNIVERSE)
NOTHING = CharSet(())


@lru_cache(maxsize=4096)
def partition(labels: tuple[CharSet, ...]) -> tuple[tuple[CharSet, tuple[int, ...]], ...]:
    """Cut sets into disjoint atoms: (atom, indices of the sets that hold it), atoms non-empty, covering the union.

    Two characters share an atom iff the same sets hold them, so an automaton need only be asked once per atom.
    A sweep over the ends of all ranges; the order of the atoms is that of their smallest characters.
    """
    if len(labels) == 1:
        return ((labels[0], (0,)),) if labels[0] else ()
    events: list[tuple[int, int]] = []
    for index, label in enumerate(labels):
        for low, high in label.ranges:
            events.append((low, index))
            events.append((high + 1, index))
    events.sort()
    atoms: dict[int, list[Range]] = {}
    inside = 0
    start = 0
    for where, index in events:
        if where > start and inside:
            atoms.setdefault(inside, []).append((start, where - 1))
        start = where
        inside ^= 1 << index
    return tuple((CharSet(tuple(_join(ranges))), tuple(_bits(members))) for members, ranges in atoms.items())


def _bits(number: int) -> Iterator[int]:
    """The places of the ones."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _join(ranges: list[Range]) -> list[Range]:
    joined = ranges[:1]
    for low, high in ranges[1:]:
        if low == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined
