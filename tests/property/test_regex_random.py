"""Random patterns against `re`: whole matches, searches, and the priorities of a backtracking engine."""

from __future__ import annotations

import re

from grammar_engine.compiler.automaton import ByteAutomaton
from grammar_engine.compiler.automaton_simulator import accepts, leftmost_first
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.spelling import to_json_string, to_utf8
from hypothesis import given, settings
from hypothesis import strategies as st

_TEXTS = st.lists(st.sampled_from("aab\n é_-😀"), max_size=9).map("".join)
_LEAVES = ["a", "b", "ab", "ba", "[ab]", "[^a]", ".", "é", "[é-😀]", r"\w", r"\W", r"\s", "-", "\n", "(?i:A)", "(?s:.)"]
_LOOPS = ["*", "+", "?", "*?", "+?", "??", "{0,2}", "{2}", "{2,}", "{1,3}?", "{0,19}", "{18,20}?"]
_ASSERTIONS = [
    "^",
    "$",
    r"\A",
    r"\Z",
    r"\b",
    r"\B",
    "(?m:^)",
    "(?m:$)",
    "(?=a)",
    "(?!b)",
    "(?<=a)",
    "(?<!ab)",
    "(?=.*a$)",
    r"(?!.*\bb)",
    "(?!^a|ba)",
    "(?<=^a)",
    "(?<!\n)",
    "(?=(?!ab)a)",
    "",
]


def patterns(leaves: list[str], *, nullable_loops: bool = True) -> st.SearchStrategy[str]:
    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        looped = st.tuples(inner, st.sampled_from(_LOOPS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
        if not nullable_loops:
            looped = st.tuples(inner, st.sampled_from(_LOOPS)).map(
                lambda pair: f"(?:{pair[0]}){pair[1]}" if not re.fullmatch(pair[0], "") else pair[0]
            )
        return st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            looped,
        )

    return st.recursive(st.sampled_from(leaves), grow, max_leaves=7)


def compiled(automaton: CharAutomaton) -> ByteAutomaton | None:
    if not any(edge.label for edge in automaton.states[0]):
        return None
    result = to_utf8(automaton)
    result.validate()
    return result


@settings(max_examples=200, deadline=None)
@given(
    patterns(_LEAVES + _ASSERTIONS),
    st.lists(_TEXTS, min_size=1, max_size=8),
    st.sampled_from([0, re.MULTILINE, re.DOTALL]),
)
def test_fullmatch_and_search(pattern: str, texts: list[str], flags: int) -> None:
    whole = CharAutomaton.from_regex(pattern, flags=flags)
    anywhere = CharAutomaton.from_regex(pattern, flags=flags, search=True)
    whole_bytes, anywhere_bytes = compiled(whole), compiled(anywhere)
    for text in texts:
        expected = re.fullmatch(pattern, text, flags) is not None
        assert whole.accepts(text) == expected, text
        if text:
            assert (whole_bytes is not None and accepts(whole_bytes, text.encode())) == expected, text
        expected = re.search(pattern, text, flags) is not None
        assert anywhere.accepts(text) == expected, text
        if text:
            assert (anywhere_bytes is not None and accepts(anywhere_bytes, text.encode())) == expected, text


@settings(max_examples=100, deadline=None)
@given(patterns(_LEAVES), st.data())
def test_what_hypothesis_draws_from_a_pattern_is_accepted(pattern: str, data: st.DataObject) -> None:
    automaton = compiled(CharAutomaton.from_regex(pattern))
    text = data.draw(st.from_regex(pattern, fullmatch=True))
    if text and automaton is not None and not re.search("[\ud800-\udfff]", text):
        assert accepts(automaton, text.encode())


@settings(max_examples=200, deadline=None)
@given(patterns(_LEAVES, nullable_loops=False), st.lists(_TEXTS, min_size=1, max_size=8))
def test_leftmost_first_is_what_a_backtracking_engine_matches(pattern: str, texts: list[str]) -> None:
    if re.fullmatch(pattern, ""):
        return  # a terminal never matches the empty text
    automaton = to_utf8(CharAutomaton.from_regex(pattern))
    for text in texts:
        found = re.match(pattern, text)
        expected = None if found is None else len(found.group().encode())
        assert leftmost_first(automaton, text.encode()) == expected, text


@settings(max_examples=50, deadline=None)
@given(patterns(_LEAVES + _ASSERTIONS))
def test_states_are_reachable_and_live(pattern: str) -> None:
    automaton = CharAutomaton.from_regex(pattern, search=True)
    if not automaton.is_empty():
        to_json_string(automaton).validate()
