"""The algebra of automata against the logic of Python's sets and `re`, on random trees and all short texts."""

from __future__ import annotations

import itertools
import re

import pytest
from grammar_engine.compiler.automaton import KEEP, MATCH
from grammar_engine.compiler.automaton_algebra import combine, is_possible
from grammar_engine.compiler.automaton_product import All, Formula, Is, Not, Some, settle
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.errors import LimitExceededError
from hypothesis import given, settings
from hypothesis import strategies as st

_TEXTS = ["".join(letters) for length in range(6) for letters in itertools.product("abé", repeat=length)]


def patterns() -> st.SearchStrategy[str]:
    """Random patterns over a few characters, as text, so that `re` reads the same thing."""
    leaves = st.sampled_from(["a", "b", "é", "[ab]", "[^a]", ".", "", "ab", "a{2}", r"[\s\S]"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: f"{pair[0]}(?:{pair[1]})"),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{0,2}", "{2,}", "{1,3}?"])).map(
                lambda pair: f"(?:{pair[0]}){pair[1]}"
            ),
        ),
        max_leaves=6,
    )


def language(pattern: str) -> set[str]:
    compiled = re.compile(pattern)
    return {text for text in _TEXTS if compiled.fullmatch(text)}


def accepted(automaton: CharAutomaton) -> set[str]:
    return {text for text in _TEXTS if automaton.accepts(text)}


def is_deterministic(automaton: CharAutomaton) -> bool:
    for edges in automaton.states:
        seen: set[int] = set()
        for edge in edges:
            members = {code for code in map(ord, "ab\u00e9\nz\U0001f600") if code in edge.label}
            if edge.op != KEEP or members & seen:
                return False
            seen |= members
    return True


@settings(max_examples=150, deadline=None)
@given(patterns(), patterns())
def test_boolean_operations(first: str, second: str) -> None:
    a, b = CharAutomaton.from_regex(first), CharAutomaton.from_regex(second)
    left, right, everything = language(first), language(second), set(_TEXTS)
    for result, expected in (
        (a, left),
        (a.determinize(), left),
        (a.minimize(), left),
        (a.intersect(b), left & right),
        (a.union(b), left | right),
        (a.difference(b), left - right),
        (a.complement(), everything - left),
    ):
        assert accepted(result) == expected
        assert result is a or is_deterministic(result)


@settings(max_examples=150, deadline=None)
@given(patterns(), patterns())
def test_laws(first: str, second: str) -> None:
    a, b = CharAutomaton.from_regex(first), CharAutomaton.from_regex(second)
    assert a.intersect(a.complement()).is_empty()
    assert a.difference(a).is_empty()
    assert a.union(a.complement()).minimize().num_states == 1
    assert a.complement().complement().minimize().num_states == a.minimize().num_states
    # A difference is empty iff every text of one is in the other; minimal automata of equal languages are equal.
    same = a.difference(b).is_empty() and b.difference(a).is_empty()
    small, other = a.minimize(), b.minimize()
    assert same == (_shape(small) == _shape(other))
    assert small.num_states <= a.determinize().num_states


def _shape(automaton: CharAutomaton) -> list[frozenset[tuple[object, int]]]:
    """The states numbered breadth first along increasing characters: equal for isomorphic automata."""
    order, number = [0], {0: 0}
    shape: list[frozenset[tuple[object, int]]] = []
    for state in order:
        edges = sorted(automaton.states[state], key=lambda edge: edge.label.ranges)
        for edge in edges:
            if edge.target != MATCH and edge.target not in number:
                number[edge.target] = len(order)
                order.append(edge.target)
        shape.append(frozenset((edge.label, number.get(edge.target, MATCH)) for edge in edges))
    return shape


@settings(max_examples=150, deadline=None)
@given(patterns())
def test_minimal_has_one_state_per_residual(pattern: str) -> None:
    """Myhill and Nerode: short prefixes with different futures need different states; the number is a lower bound."""
    texts = language(pattern)
    prefixes = ["".join(letters) for length in range(3) for letters in itertools.product("abé", repeat=length)]
    futures = {
        frozenset(text[len(prefix) :] for text in texts if text.startswith(prefix) and len(text) <= len(prefix) + 3)
        for prefix in prefixes
    }
    live = len(futures - {frozenset()})
    minimal = CharAutomaton.from_regex(pattern).minimize()
    assert minimal.num_states >= live
    assert minimal.minimize().num_states == minimal.num_states


@settings(max_examples=150, deadline=None)
@given(patterns())
def test_shortest(pattern: str) -> None:
    automaton = CharAutomaton.from_regex(pattern)
    found = automaton.shortest()
    assert (found is None) == automaton.is_empty()
    if found is not None:
        assert re.fullmatch(pattern, found)
        texts = language(pattern)
        assert not texts or len(found) <= min(map(len, texts))
        assert all(not automaton.intersect(CharAutomaton.any_string(0, len(found) - 1)).accepts(text) for text in texts)


@given(st.lists(st.text("abé😀", max_size=5), max_size=12))
def test_finite_sets(strings: list[str]) -> None:
    automaton = CharAutomaton.from_strings(strings)
    assert accepted(automaton) == set(strings) & set(_TEXTS)
    assert all(automaton.accepts(string) for string in strings)
    assert automaton.is_empty() == (not strings)
    # It is minimal as it is.
    assert automaton.minimize().num_states == automaton.num_states
    assert automaton.shortest() == min(sorted(set(strings)), key=len, default=None)


@given(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 5)))
def test_any_string(low: int, high: int | None) -> None:
    expected = {text for text in _TEXTS if low <= len(text) and (high is None or len(text) <= high)}
    assert accepted(CharAutomaton.any_string(low, high)) == expected
    if high is None or high >= low:
        assert accepted(CharAutomaton.any_string(low, high).minimize()) == expected


def test_counted_loops_are_unfolded_by_the_algebra() -> None:
    pattern = CharAutomaton.from_regex("(?:ab|c){0,500}")
    bounded = pattern.intersect(CharAutomaton.any_string(100, 120))
    for text, expected in (
        ("ab" * 50, True),
        ("c" * 120, True),
        ("c" * 121, False),
        ("c" * 99, False),
        ("ab" * 60, True),
    ):
        assert bounded.accepts(text) == expected
    assert not bounded.has_counters()
    assert CharAutomaton.from_regex("a{0,3000}").minimize().num_states == 3001
    with pytest.raises(LimitExceededError):
        CharAutomaton.from_regex("a{0,3000}").determinize(limit=1000)


def formulas() -> st.SearchStrategy[Formula]:
    """Random formulas over three operands."""
    return st.recursive(
        st.integers(0, 2).map(Is) | st.sampled_from([All(), Some()]),
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, max_size=3).map(lambda parts: All(tuple(parts))),
            st.lists(inner, max_size=3).map(lambda parts: Some(tuple(parts))),
        ),
        max_leaves=8,
    )


def truth(formula: Formula, values: tuple[bool, ...]) -> bool:
    if isinstance(formula, Is):
        return values[int(str(formula.operand))]
    if isinstance(formula, Not):
        return not truth(formula.part, values)
    found = [truth(part, values) for part in formula.parts]
    return all(found) if isinstance(formula, All) else any(found)


@settings(max_examples=150, deadline=None)
@given(formulas(), st.lists(patterns(), min_size=3, max_size=3), st.integers(0, 5), st.booleans())
def test_formulas_over_automata(formula: Formula, texts: list[str], longest: int, search: bool) -> None:
    automata = [CharAutomaton.from_regex(text, search=search) for text in texts]
    compiled = [re.compile(text) for text in texts]
    operands = {index: automaton.states for index, automaton in enumerate(automata)}
    result = CharAutomaton(combine(operands, formula), deterministic=True)
    expected = {
        text
        for text in _TEXTS
        if truth(formula, tuple(bool(c.search(text) if search else c.fullmatch(text)) for c in compiled))
    }
    assert accepted(result) == expected
    assert is_deterministic(result)
    assert is_possible(operands, formula) == (not result.is_empty())
    shortest = result.shortest()
    assert is_possible(operands, formula, longest=longest) == (shortest is not None and len(shortest) <= longest)


@settings(max_examples=100, deadline=None)
@given(formulas(), st.tuples(st.booleans(), st.booleans(), st.booleans()), st.integers(0, 3))
def test_settling(formula: Formula, values: tuple[bool, bool, bool], count: int) -> None:
    settled = settle(formula, {index: values[index] for index in range(count)})
    assert truth(settled, values) == truth(formula, values)
