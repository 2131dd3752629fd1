"""Spellings of JSON strings against Python's ``json``."""

from __future__ import annotations

import json
import random
import re

import pytest
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.charset import CharSet
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.regex_ast import Repeat, chars
from grammar_engine.compiler.spelling import any_json_string, to_json_string, to_plain_json_string
from hypothesis import example, given, settings
from hypothesis import strategies as st

_SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CHARS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from('"\\/\b\f\n\r\t\0\x1f\x7fab\u00e9\u2028\ud7ff\ue000\uffff\U00010000\U0001f600\U0010ffff'),
)
_TEXTS = st.text(_CHARS, max_size=6)
_ANY = any_json_string()


def _units(char: str) -> list[int]:
    data = char.encode("utf-16-be")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def respell(text: str, rng: random.Random) -> str:
    """A random legal JSON spelling of a text."""
    pieces: list[str] = []
    for char in text:
        hexes = "".join("\\u" + "".join(rng.choice((d.upper(), d)) for d in f"{unit:04x}") for unit in _units(char))
        options = [hexes]
        if char in _SHORT:
            options.append(_SHORT[char])
        if char >= " " and char not in '"\\':
            options.append(char)
        pieces.append(rng.choice(options))
    return f'"{"".join(pieces)}"'


def is_json_string(data: bytes) -> bool:
    """Whether ``json.loads`` reads a string of scalar values that starts and ends with the data."""
    try:
        text = data.decode()
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, str) and text == text.strip() and not re.search("[\ud800-\udfff]", value)


@given(_TEXTS, st.integers(0, 2**32))
def test_every_spelling_of_every_text_is_a_json_string(text: str, seed: int) -> None:
    spelling = respell(text, random.Random(seed))
    assert json.loads(spelling) == text
    assert accepts(_ANY, spelling.encode())


@settings(max_examples=500)
@given(_TEXTS, st.integers(0, 2**32), st.data())
@example("", 0, None)
def test_what_json_does_not_read_is_no_json_string(text: str, seed: int, data: st.DataObject | None) -> None:
    spelling = bytearray(respell(text, random.Random(seed)).encode())
    if data is not None:
        # One byte is changed, dropped or added: half of the results are no strings any more.
        place = data.draw(st.integers(0, len(spelling) - 1))
        byte = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'"\\u0dD8cC')))
        how = data.draw(st.sampled_from(["change", "drop", "add"]))
        spelling[place : place + (how != "add")] = b"" if how == "drop" else bytes([byte])
    assert accepts(_ANY, bytes(spelling)) == is_json_string(bytes(spelling))


@pytest.mark.parametrize(
    "spelling",
    [
        r'"\ud800"',
        r'"\udc00"',
        r'"\ud83d\ud83d"',
        r'"\ud83dx"',
        r'"\udc00\ud800"',
        r'"\ud83d\u0041"',
        r'"\x41"',
        r'"\u00g0"',
        r'"\u004"',
        '"\x1f"',
        '"a',
        'a"',
        '""a',
        r'"\"',
        "''",
        r'"\U0041"',
        '"\ta"',
    ],
)
def test_refused(spelling: str) -> None:
    assert not accepts(_ANY, spelling.encode())


def test_the_unbounded_string_is_small_and_has_the_known_key() -> None:
    _ANY.validate()
    assert _ANY.key == "json-string"
    assert _ANY.num_states <= 24
    assert len(_ANY.positions) <= 64


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 1), (1, 1), (0, 3), (2, 3), (3, 3), (2, None), (1, None), (0, None), (4, 9)]
)
@given(text=_TEXTS, seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_lengths_count_values(low: int, high: int | None, text: str, seed: int) -> None:
    automaton = any_json_string(low, high)
    spelling = respell(text, random.Random(seed)).encode()
    assert accepts(automaton, spelling) == (low <= len(text) and (high is None or len(text) <= high))


def test_long_bounds_are_counted_not_unrolled() -> None:
    automaton = any_json_string(10, 100_000)
    automaton.validate()
    assert automaton.num_states <= _ANY.num_states + 2
    assert automaton.key not in ("", "json-string", any_json_string(11, 100_000).key, any_json_string(10, None).key)
    short, long = any_json_string(300, 400), '"' + "\\u0041é😀\\ud83d\\ude00" * 100 + '"'
    assert accepts(short, long.encode())
    assert not accepts(short, (long[:-1] + 'a"').encode())
    assert not accepts(any_json_string(500, None), long.encode())
    with pytest.raises(UnsatisfiableGrammarError):
        any_json_string(5, 4)


_CODES = st.one_of(
    st.integers(0, 0x10FFFF),
    st.sampled_from([0xFFF, 0xCFFF, 0xD000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x103FF, 0x10400, 0xFFFFF, 0x10FFFF]),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(_CODES, _CODES), min_size=1, max_size=4), st.lists(_CODES, max_size=20), st.integers(0, 99))
def test_a_set_is_spelled_by_its_members_only(pairs: list[tuple[int, int]], codes: list[int], seed: int) -> None:
    charset = CharSet.from_ranges((min(pair), max(pair)) for pair in pairs)
    if charset.is_empty():
        return
    automaton = to_json_string(CharAutomaton.from_node(chars(charset)))
    automaton.validate()
    rng = random.Random(seed)
    ends = [end + step for ends in charset.ranges for end in ends for step in (-1, 0, 1)]
    for code in codes + ends:
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            assert accepts(automaton, respell(chr(code), rng).encode()) == (code in charset), hex(code)


@pytest.mark.parametrize(
    "pattern", [r"[a-c]{2,4}", r"\w+ \w+", r'("|\\|/)*', "(é|😀)?x", r"[^a]*", r"(?!foo).*", r"a{0,300}"]
)
@given(data=st.data())
@settings(max_examples=30)
def test_patterns_are_spelled_like_any_text(pattern: str, data: st.DataObject) -> None:
    automaton = to_json_string(CharAutomaton.from_regex(pattern))
    text = data.draw(st.one_of(st.from_regex(pattern, fullmatch=True), _TEXTS))
    if re.search("[\ud800-\udfff]", text):
        return
    spelling = respell(text, random.Random(data.draw(st.integers(0, 99)))).encode()
    assert accepts(automaton, spelling) == (re.fullmatch(pattern, text) is not None)


@settings(max_examples=200)
@given(st.lists(st.tuples(_CODES, _CODES), min_size=1, max_size=4), _TEXTS, st.integers(0, 99))
def test_plain_spelling_is_that_of_json(pairs: list[tuple[int, int]], text: str, seed: int) -> None:
    charset = CharSet.from_ranges([*((min(pair), max(pair)) for pair in pairs), (0, 0x7F)])
    automaton = to_plain_json_string(CharAutomaton.from_node(Repeat(chars(charset), 0, None)))
    automaton.validate()
    plain, other = json.dumps(text, ensure_ascii=False), respell(text, random.Random(seed))
    inside = all(ord(char) in charset for char in text)
    assert accepts(automaton, plain.encode()) == inside
    assert accepts(automaton, other.encode()) == (inside and other == plain)
