"""Character sets against Python's own sets."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from grammar_engine.compiler.charset import ANY, NOTHING, CharSet, partition
from grammar_engine.compiler.unicode_classes import general_category
from hypothesis import given
from hypothesis import strategies as st

# Small numbers meet often; the others stand around the surrogates and the end.
_CODES = st.one_of(st.integers(0, 30), st.sampled_from([0xD7FE, 0xD7FF, 0xE000, 0xE001, 0x10FFFE, 0x10FFFF]))
_SETS = st.frozensets(_CODES, max_size=12)
_SAMPLE = frozenset(range(32)) | {0xD7FE, 0xD7FF, 0xE000, 0xE001, 0x10FFFE, 0x10FFFF}


def _charset(codes: frozenset[int]) -> CharSet:
    return CharSet.from_ranges((code, code) for code in codes)


@given(_SETS, _SETS)
def test_operations_equal_those_of_sets(left: frozenset[int], right: frozenset[int]) -> None:
    a, b = _charset(left), _charset(right)
    assert frozenset(a) == left
    assert frozenset(a.union(b)) == left | right
    assert frozenset(a.intersect(b)) == left & right
    assert frozenset(a.difference(b)) == left - right
    assert {code for code in _SAMPLE if code in a.complement()} == _SAMPLE - left
    assert len(a) == len(left)
    assert len(a.complement()) == 0x110000 - 0x800 - len(left)
    assert a.complement().complement() == a
    assert (a == b) == (left == right)
    assert a.is_empty() == (not left)


@given(_SETS, st.integers(0, 40))
def test_normal_form_is_sorted_and_apart(codes: frozenset[int], width: int) -> None:
    ranges = CharSet.from_ranges((code, min(code + width, 0x10FFFF)) for code in codes).ranges
    assert all(low <= high for low, high in ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@given(st.lists(_SETS, min_size=1, max_size=5))
def test_partition_is_the_coarsest_that_tells_the_sets_apart(members: list[frozenset[int]]) -> None:
    expected: dict[tuple[int, ...], set[int]] = {}
    for code in frozenset().union(*members):
        inside = tuple(index for index, codes in enumerate(members) if code in codes)
        expected.setdefault(inside, set()).add(code)
    atoms = partition(tuple(map(_charset, members)))
    assert {inside: set(atom) for atom, inside in atoms} == expected
    assert len(atoms) == len(expected)


def test_surrogates_are_never_members() -> None:
    assert CharSet.from_ranges([(0xD800, 0xDFFF)]) == NOTHING
    assert 0xD800 not in CharSet.from_ranges([(0, 0x10FFFF)])
    assert 0xD800 not in NOTHING.complement()
    assert CharSet.from_ranges([(0, 0x10FFFF)]) == ANY == NOTHING.complement()
    assert "\ud800" not in ANY


def test_bounds_and_immutability() -> None:
    with pytest.raises(ValueError, match="not a code point range"):
        CharSet.from_ranges([(0, 0x110000)])
    with pytest.raises(AttributeError, match="immutable"):
        ANY.ranges = ()  # type: ignore[misc]
    assert CharSet.from_ranges([(5, 3)]) == NOTHING
    assert "b" in CharSet.from_chars("abc")
    assert CharSet.from_chars("cba").ranges == ((97, 99),)


def test_general_categories_are_those_of_unicodedata() -> None:
    members: dict[str, list[tuple[int, int]]] = {}
    for code in range(0x110000):
        members.setdefault(unicodedata.category(chr(code)), []).append((code, code))
    assert {name: general_category(name) for name in members} == {
        name: CharSet.from_ranges(ranges) for name, ranges in members.items()
    }
