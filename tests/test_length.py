"""``limit_length`` against the intersection with all texts of that length, and texts against ``re`` and ``len``."""

from __future__ import annotations

import itertools
import re

import pytest
from grammar_engine.compiler.automaton import MATCH
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.char_states import apply_counter
from grammar_engine.compiler.formats import format_automaton
from grammar_engine.compiler.length import limit_length, require_length
from hypothesis import given, settings
from hypothesis import strategies as st

PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "ab"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=6,
)


def has_no_dead_end(automaton: CharAutomaton) -> bool:
    """Whether every (state, counter) that can be reached can be completed."""
    successors: dict[tuple[int, int], list[tuple[int, int]]] = {}
    good: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        node = todo.pop()
        if node in successors:
            continue
        successors[node] = []
        for edge in automaton.states[node[0]]:
            counter = apply_counter(edge.op, edge.bound, node[1])
            if counter >= 0 and edge.target == MATCH:
                good.add(node)
            elif counter >= 0:
                successors[node].append((edge.target, counter))
        todo.extend(successors[node])
    while fresh := {node for node, behind in successors.items() if node not in good and good.intersection(behind)}:
        good |= fresh
    return len(good) == len(successors)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.integers(0, 6), st.integers(0, 6))
def test_limits(pattern: str, longest: int, again: int) -> None:
    automaton = CharAutomaton.from_regex(pattern)
    limited = limit_length(automaton, longest)
    twice = limit_length(limited, again)
    for text in ("".join(chars) for n in range(7) for chars in itertools.product("ab", repeat=n)):
        matches = re.fullmatch(pattern, text) is not None
        assert limited.accepts(text) == (matches and len(text) <= longest), text
        assert twice.accepts(text) == (matches and len(text) <= min(longest, again)), text
    for result in (limited, twice):
        assert result.is_empty() or has_no_dead_end(result)


@pytest.mark.parametrize(
    ("name", "longest"),
    [("email", 1024), ("uri", 2000), ("date", 255), ("hostname", 255), ("hostname", 20), ("uuid", 36)],
)
def test_formats_stay_small(name: str, longest: int) -> None:
    automaton = format_automaton(name)
    assert automaton is not None
    limited = limit_length(automaton, longest)
    assert limited.num_states <= automaton.num_states + 1
    assert limited.has_counters() == (name not in ("date", "uuid"))
    assert has_no_dead_end(limit_length(automaton, 40))


def test_long_texts() -> None:
    limited = limit_length(CharAutomaton.from_regex("[a-z]+@[a-z]+"), 1000)
    for length, expected in ((999, True), (1000, True), (1001, False)):
        assert limited.accepts("a@" + "b" * (length - 2)) == expected
        assert limited.accepts("a" * (length - 2) + "@b") == expected


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.integers(0, 6), st.none() | st.integers(0, 6))
def test_least_lengths(pattern: str, least: int, longest: int | None) -> None:
    automaton = CharAutomaton.from_regex(pattern).minimize()
    counted = require_length(automaton, least, longest)
    if counted is None:
        return
    for text in ("".join(chars) for n in range(8) for chars in itertools.product("ab", repeat=n)):
        matches = re.fullmatch(pattern, text) is not None
        assert counted.accepts(text) == (matches and least <= len(text) <= (8 if longest is None else longest)), text
    assert counted.is_empty() or has_no_dead_end(counted)


@pytest.mark.parametrize(
    ("pattern", "least", "longest"),
    [("[ab]*", 5000, 9000), ("(ab)*", 5000, None), ("a[ab]*", 3, None), ("(a|b){2,}", 7, 7)],
)
def test_counted_where_texts_go_on(pattern: str, least: int, longest: int | None) -> None:
    counted = require_length(CharAutomaton.from_regex(pattern).minimize(), least, longest)
    assert counted is not None
    assert counted.num_states <= 8


def test_not_counted_where_texts_end() -> None:
    # "ab" may not be followed by anything, and (ab)* has no text of 5 characters.
    assert require_length(CharAutomaton.from_regex("a*b").minimize(), 5) is None
    assert require_length(CharAutomaton.from_regex("(ab)*").minimize(), 5, 5) is None
