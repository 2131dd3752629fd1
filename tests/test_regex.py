"""Patterns: what is accepted, refused and counted; flags and classes against `re` over all of Unicode."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time

import pytest
from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.automaton_simulator import accepts
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.charset import ANY, CharSet
from grammar_engine.compiler.errors import (
    GrammarSyntaxError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
)
from grammar_engine.compiler.frontends.choices import choices_grammar
from grammar_engine.compiler.frontends.regex import regex_grammar
from grammar_engine.compiler.regex_ast import (
    EMPTY,
    FAIL,
    Alternate,
    Chars,
    Concat,
    Repeat,
    alt,
    chars,
    parse_regex,
    repeat,
    seq,
    text,
)
from grammar_engine.compiler.spelling import to_utf8

_EVERYTHING = ("".join(map(chr, range(0xD800))), "".join(map(chr, range(0xE000, 0x110000))))


def _single_character_language(pattern: str, flags: int) -> CharSet:
    node = parse_regex(pattern, flags=flags)
    assert isinstance(node, Chars)
    return node.charset


@pytest.mark.parametrize("flags", [0, re.ASCII, re.IGNORECASE, re.IGNORECASE | re.ASCII])
@pytest.mark.parametrize(
    "pattern",
    [
        r"\w",
        r"\W",
        r"\d",
        r"\D",
        r"\s",
        r"\S",
        ".",
        "k",
        "s",
        "ſ",
        "K",
        "ß",
        "ẞ",
        "İ",
        "ı",
        "i",
        "σ",
        "µ",
        "ǆ",
        "ǅ",
        "ᾳ",
        "ﬅ",
        "ͅ",
        "[a-z]",
        "[^a-z]",
        "[^k]",
        r"[\dk]",
        r"[^\Wx]",
        "[Α-Ω]",
        "[\U00010400-\U00010427]",
        "[^\U00010428]",
        "[é-ǿ]",
        "[_-k]",
        r"[\s\S]",
    ],
)
def test_every_class_equals_re_on_every_character(pattern: str, flags: int) -> None:
    members = _single_character_language(pattern, flags)
    # Runs of members, as ranges: `_EVERYTHING` leaves the surrogates out, so no run may cross them.
    runs = (match.group() for part in _EVERYTHING for match in re.finditer(f"(?:{pattern})+", part, flags))
    expected = CharSet.from_ranges((ord(run[0]), ord(run[-1])) for run in runs)
    assert members == expected


def test_errors_have_places() -> None:
    with pytest.raises(GrammarSyntaxError) as error:
        parse_regex("ab\n(c")
    assert (error.value.line, error.value.column) == (2, 1)
    assert "^" in str(error.value)
    for pattern in ("[", "a{3,2}", "*", "(?<=a+)b", r"\q", "(?P<a>x)(?P<a>y)", "a**"):
        with pytest.raises(re.error):
            re.compile(pattern)
        with pytest.raises(GrammarSyntaxError):
            parse_regex(pattern)
    with pytest.raises(GrammarSyntaxError) as ecma:
        parse_regex("a\n b)", dialect="ecma")
    assert (ecma.value.line, ecma.value.column) == (2, 3)


@pytest.mark.parametrize(
    ("pattern", "construct"),
    [
        (r"(a)\1", "back-reference"),
        (r"(?P<x>a)(?P=x)", "back-reference"),
        (r"(a)?(?(1)b|c)", "conditional group"),
        (r"(?<=\bfoo)", "inside a look-behind"),
    ],
)
def test_refused_by_name(pattern: str, construct: str) -> None:
    with pytest.raises(UnsupportedGrammarError) as error:
        CharAutomaton.from_regex(pattern)
    assert construct in error.value.construct
    assert error.value.advice


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in Python 3.11")
@pytest.mark.parametrize("pattern", ["(?>a+)a", "a++a", "a?+", "a{1,2}+"])
def test_what_gives_nothing_back_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedGrammarError, match=r"atomic|possessive"):
        CharAutomaton.from_regex(pattern)


def test_trees_written_in_code() -> None:
    number = seq(alt(text("-"), EMPTY), repeat(chars("0123456789"), 1, None))
    automaton = CharAutomaton.from_node(number)
    assert [value for value in ("-1", "10", "", "-", "--1") if automaton.accepts(value)] == ["-1", "10"]
    assert seq() == EMPTY == text("") == repeat(chars("a"), 0, 0)
    assert seq(seq(chars("a"), chars("b")), chars("c")) == text("abc")
    assert isinstance(text("abc"), Concat)
    assert alt(chars("a"), chars("b")) == chars("ab")
    assert isinstance(alt(text("aa"), text("b")), Alternate)
    assert repeat(repeat(chars("a"), 0, 1), 3, 5) == Repeat(chars("a"), 0, 5)
    assert CharAutomaton.from_node(alt()).is_empty()
    assert CharAutomaton.from_node(seq(FAIL, text("x"))).is_empty()
    assert chars(ANY) == Chars(ANY)


@pytest.mark.parametrize(
    ("pattern", "body", "low", "high"),
    [
        ("a{0,5000}", "a", 0, 5000),
        ("a{100,5000}", "a", 100, 5000),
        ("a{300}", "a", 300, 300),
        ("a{77,}", "a", 77, None),
        ("(ab|c){20,400}", "ab", 20, 400),
        ("(?:é[0-9]){0,1000}?", "é7", 0, 1000),
    ],
)
def test_long_loops_count(pattern: str, body: str, low: int, high: int | None) -> None:
    automaton = CharAutomaton.from_regex(pattern)
    assert automaton.has_counters()
    assert automaton.num_states < 8
    bytewise = to_utf8(automaton)
    bytewise.validate()
    edges = {low - 1, low, low + 1, 17, 1000, *((high - 1, high, high + 1) if high else ())}
    for rounds in edges:
        if rounds > 0:
            expected = low <= rounds and (high is None or rounds <= high)
            assert accepts(bytewise, (body * rounds).encode()) == expected, rounds


@pytest.mark.parametrize(
    "pattern",
    [
        "a{20,30}b{20,30}",
        "a{20,30}a{20,30}",
        "(a{20,30}b)*",
        "(a{20,30})*",
        "(a{17,18}){2}",
        "(?:a{0,20}b){0,20}",
        "a{0,20}b?a{0,20}",
        "(a|b{0,18}){0,18}",
        "(a?){0,20}b",
        "a{20,30}?a{18}",
        "(?:a{18}|b{20})*",
        "a{18,}b{18,}",
        "(ab?){17,19}$",
        r"\Aa{0,20}\Z",
        r"\b(?:a|-){0,20}\b",
        "(a$|b){0,20}",
        "(?!a{19}$)a{0,20}",
        "(?:a|b{17}){18}",
    ],
)
def test_counters_next_to_each_other(pattern: str) -> None:
    automaton = CharAutomaton.from_regex(pattern)
    for a in [*range(3), *range(16, 23), *range(29, 45, 3)]:
        for tail in ("", "b", "b" * 17, "b" * 18, "b" * 20, "b" * 31, "a" * 17, "ba", "ba" * 9, "-", "-" * 19):
            value = "a" * a + tail
            assert automaton.accepts(value) == (re.fullmatch(pattern, value) is not None), value


def test_no_thread_is_ever_stuck() -> None:
    """With a counter, "a match is reachable" must hold for every count that a thread can have."""
    for pattern in (
        "(?:a|-){0,20}\\b",
        "a(?:$|b)\n{18,20}",
        "(?:a|-){18,20}\\b-",
        "a{20,30}b{20,30}",
        "^(?:a|\n){0,18}$",
        "(?m)^a{18,20}$\nb",
    ):
        bytewise = to_utf8(CharAutomaton.from_regex(pattern))
        threads = {(0, 0)}
        seen: dict[tuple[int, int], set[tuple[int, int]]] = {}
        accepting: set[tuple[int, int]] = set()
        while threads:
            state, counter = threads.pop()
            behind, ends = _behind(bytewise, state, counter)
            seen[state, counter] = behind
            if ends:
                accepting.add((state, counter))
            threads |= behind - seen.keys()
        live = set(accepting)
        while True:
            more = {thread for thread, behind in seen.items() if behind & live} - live
            if not more:
                break
            live |= more
        assert live == set(seen), pattern


def _behind(automaton: ByteAutomaton, state: int, counter: int) -> tuple[set[tuple[int, int]], bool]:
    from grammar_engine.compiler.automaton_simulator import expand

    behind: set[tuple[int, int]] = set()
    ends = False
    for position, value in expand(automaton, state, counter):
        if position < 0:
            ends = True
        else:
            behind.add((int(automaton.positions[position, 2]), value))
    return behind, ends


@pytest.mark.parametrize(
    "pattern",
    [
        "a$",
        "a$$",
        r"a$\Z",
        "^a$|b$",
        "(a$)",
        "(?:a|b$)$",
        "$",
        "^$",
        "^",
        "b*$",
        "a{2,}$",
        "^a{2,}",
        "(?:^|b)a",
        "a(?:$|b)",
        "^(?:a|b$)",
        "",
        "a??",
        "(?:^a|b)(?:a$|b)",
        "(?m)^a$",
        "(?m)a$|^b",
        r"\Aa|b\Z",
        r"\ba",
        "a{3}",
        "(?:ab){2,3}?$",
    ],
)
def test_search_finds_what_re_finds(pattern: str) -> None:
    automaton = CharAutomaton.from_regex(pattern, search=True)
    for length in range(6):
        for letters in itertools.product("ab\n", repeat=length):
            value = "".join(letters)
            assert automaton.accepts(value) == (re.search(pattern, value) is not None), value


def test_limits_are_errors_not_hangs() -> None:
    with pytest.raises(LimitExceededError):
        CharAutomaton.from_regex("((((a{16}){16}){16}){16}){16}")
    with pytest.raises(LimitExceededError):
        CharAutomaton.from_regex("(a|b)*a(a|b){30}").determinize(limit=10_000)


def test_regex_grammar() -> None:
    grammar = regex_grammar("(ab)*")
    assert grammar.accepts_empty
    assert len(grammar.terminals) == 1
    assert not regex_grammar("a").accepts_empty
    assert regex_grammar("").accepts_empty
    with pytest.raises(UnsatisfiableGrammarError, match=r"a\$b"):
        regex_grammar("a$b")
    with pytest.raises(UnsatisfiableGrammarError):
        regex_grammar("\ud800")
    assert regex_grammar("A", flags=re.IGNORECASE).terminals


def test_choices_grammar() -> None:
    words = ["", "a", "ab", "é", "😀", "a"]
    grammar = choices_grammar(words)
    automaton = grammar.terminals[0].automaton
    assert isinstance(automaton, ByteAutomaton)
    automaton.validate()
    assert grammar.accepts_empty
    for word in ("a", "ab", "é", "😀", "b", "aba", "", "é😀"):
        assert accepts(automaton, word.encode()) == (word in words and word != "")
    assert not choices_grammar(["x"]).accepts_empty
    assert choices_grammar([""]).accepts_empty
    with pytest.raises(UnsatisfiableGrammarError):
        choices_grammar([])
    with pytest.raises(TypeError, match="choice 1 is a int"):
        choices_grammar(["a", 1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="list of texts"):
        choices_grammar("abc")
    with pytest.raises(GrammarSyntaxError, match="choice 0"):
        choices_grammar(["\ud800"])


def test_choices_share_prefixes_and_suffixes_and_compile_fast() -> None:
    words = [f"item-{number:05d}-of-the-list" for number in range(50_000)]
    start = time.perf_counter()
    automaton = choices_grammar(words).terminals[0].automaton
    assert time.perf_counter() - start < 10
    assert isinstance(automaton, ByteAutomaton)
    # "item-", five digits of which the first has five values, "-of-the-list": one state after each.
    assert automaton.num_states == 5 + 5 + 12 + 1
    assert accepts(automaton, b"item-49999-of-the-list")
    assert not accepts(automaton, b"item-50000-of-the-list")


def test_importing_is_cheap_and_computes_no_tables() -> None:
    code = (
        "import numpy, re, dataclasses, time; start = time.perf_counter();"
        "import grammar_engine.compiler.frontends.regex;"
        "from grammar_engine.compiler import unicode_classes as u; assert not u.category.cache_info().currsize;"
        "import sys; assert 'lark' not in sys.modules and 'torch' not in sys.modules;"
        "print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert float(done.stdout) < 1.0
