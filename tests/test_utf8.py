"""Tries of UTF-8 sequences against Python's encoder, and automata over characters against their bytes."""

from __future__ import annotations

import random

import pytest
from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.charset import ANY, CharSet
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.regex_ast import chars, repeat
from grammar_engine.compiler.spelling import to_utf8
from grammar_engine.compiler.utf8 import Branches, utf8_trie
from hypothesis import given, settings
from hypothesis import strategies as st

_EDGES = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0x10FFFF]
_CODES = st.one_of(
    st.sampled_from(_EDGES),
    st.integers(0, 0x10FFFF),
    st.sampled_from(_EDGES).flatmap(lambda edge: st.integers(max(edge - 70, 0), min(edge + 70, 0x10FFFF))),
)
_CHARSETS = st.lists(st.tuples(_CODES, _CODES).map(lambda pair: (min(pair), max(pair))), min_size=1, max_size=6).map(
    CharSet.from_ranges
)


def spelled(branches: Branches, prefix: bytes = b"") -> set[bytes]:
    """Every byte sequence of a trie, written out."""
    found: set[bytes] = set()
    for low, high, below in branches:
        for byte in range(low, high + 1):
            here = prefix + bytes([byte])
            found |= {here} if below is None else spelled(below.branches, here)
    return found


def reads(branches: Branches, data: bytes) -> bool:
    """Whether a trie has exactly this sequence."""
    for index, byte in enumerate(data):
        behind = [below for low, high, below in branches if low <= byte <= high]
        assert len(behind) <= 1, "two branches read the same byte"
        if not behind:
            return False
        if behind[0] is None:
            return index == len(data) - 1
        branches = behind[0].branches
    return False


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 0x2FF),
        (0x7C0, 0x8FF),
        (0xD7F0, 0xE010),
        (0xFF00, 0x100FF),
        (0x10FF80, 0x10FFFF),
        (0x3FF, 0x400),
        (0x800, 0x83E),
        (0x1000, 0x1FFE),
        (0x10000, 0x10FBE),
    ],
)
def test_a_range_has_the_encodings_of_its_members_and_no_others(low: int, high: int) -> None:
    expected = {chr(code).encode() for code in range(low, high + 1) if not 0xD800 <= code <= 0xDFFF}
    assert spelled(utf8_trie(CharSet.from_ranges([(low, high)]))) == expected


@settings(max_examples=200)
@given(_CHARSETS, st.lists(_CODES, max_size=30))
def test_any_set_reads_its_members_only(charset: CharSet, codes: list[int]) -> None:
    branches = utf8_trie(charset)
    ends = [end + step for ends in charset.ranges for end in ends for step in (-1, 0, 1)]
    for code in codes + _EDGES + ends:
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            assert reads(branches, chr(code).encode()) == (code in charset)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
    ],
)
def test_what_is_no_utf8_is_in_no_trie(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert not reads(utf8_trie(ANY), data)


def test_random_bytes_are_accepted_iff_they_decode() -> None:
    automaton = to_utf8(CharAutomaton.from_node(repeat(chars(ANY), 1, None)))
    automaton.validate()
    rng = random.Random(7)
    leads = [0x41, 0x7F, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF4, 0xC0, 0xF5, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF]
    verdicts = {True: 0, False: 0}
    for _ in range(4000):
        data = bytes(rng.choices(leads, k=rng.randint(1, 4)))
        try:
            data.decode()
            valid = True
        except UnicodeDecodeError:
            valid = False
        verdicts[valid] += 1
        assert accepts(automaton, data) == valid, data
    assert min(verdicts.values()) > 100


def test_any_text_takes_few_states() -> None:
    # Lead bytes share what is behind them: 1 start, 3 counts of continuation bytes, and 4 restricted second bytes.
    automaton = to_utf8(CharAutomaton.any_string())
    assert automaton.num_states <= 9
    assert isinstance(automaton, ByteAutomaton)


def test_the_empty_text_is_left_out() -> None:
    automaton = to_utf8(CharAutomaton.from_regex("(ab)*"))
    automaton.validate()
    assert not accepts(automaton, b"")
    assert accepts(automaton, b"ab")
    assert accepts(automaton, b"abab")
    for pattern in ("", "(?!)", "a{0}"):
        with pytest.raises(UnsatisfiableGrammarError):
            to_utf8(CharAutomaton.from_regex(pattern))
