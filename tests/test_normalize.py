"""Normalization keeps the language. The oracle is the definition: the least fixpoint of sets of short sentences."""

from __future__ import annotations

import random
import time

import pytest
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.ir import Production
from grammar_engine.compiler.normalize import NormalizedRules, Rules, normalize
from hypothesis import example, given, settings
from hypothesis import strategies as st

LENGTH = 4


def sentences(rules: Rules, start: int, length: int = LENGTH) -> set[tuple[int, ...]]:
    """All sentences of at most ``length`` terminals: iterate the grammar's equations until nothing is new."""
    language: list[set[tuple[int, ...]]] = [set() for _ in rules]
    changed = True
    while changed:
        changed = False
        for nonterminal, alternatives in enumerate(rules):
            for rhs in alternatives:
                texts = {()}
                for symbol in rhs:
                    parts = {(symbol,)} if symbol >= 0 else language[~symbol]
                    texts = {text + part for text in texts for part in parts if len(text) + len(part) <= length}
                if not texts <= language[nonterminal]:
                    language[nonterminal] |= texts
                    changed = True
    return language[start]


def check_contract(result: NormalizedRules) -> None:
    """What ``ir.Grammar`` demands."""
    assert len(result.origins) == len(result.rules)
    reached, todo = {result.start}, [result.start]
    while todo:
        for rhs in result.rules[todo.pop()]:
            assert rhs, "an empty production is left"
            for symbol in rhs:
                if symbol < 0 and ~symbol not in reached:
                    reached.add(~symbol)
                    todo.append(~symbol)
    assert reached == set(range(len(result.rules)))
    productive: set[int] = set()
    changed = True
    while changed:
        changed = False
        for nonterminal, alternatives in enumerate(result.rules):
            if nonterminal not in productive and any(
                all(symbol >= 0 or ~symbol in productive for symbol in rhs) for rhs in alternatives
            ):
                productive.add(nonterminal)
                changed = True
    assert productive == reached or (result.rules == ((),) and result.accepts_empty)
    for alternatives in result.rules:
        assert len(set(alternatives)) == len(alternatives)


def check(rules: Rules, start: int = 0) -> NormalizedRules | None:
    expected = sentences(rules, start)
    try:
        result = normalize(rules, start)
    except UnsatisfiableGrammarError:
        assert not expected
        return None
    check_contract(result)
    assert result.accepts_empty == (() in expected)
    assert sentences(result.rules, result.start) == expected - {()}
    return result


@st.composite
def grammars(draw: st.DrawFn) -> list[list[Production]]:
    nonterminals = draw(st.integers(1, 5))
    symbols = st.one_of(st.integers(0, 1), st.integers(-nonterminals, -1))
    rhs = st.lists(symbols, max_size=5).map(tuple)
    return [draw(st.lists(rhs, max_size=3)) for _ in range(nonterminals)]


@given(grammars())
@settings(max_examples=600, deadline=None)
@example([[(~0,), ()]])
@example([[(~1, ~0, 0), (1,)], [(), (~1, ~1)]])
@example([[(~1, ~1, ~1, ~1, ~1)], [(0,), ()]])
@example([[(~1,)], [(~2,)], [(~0,), (), (0,)]])
def test_language_is_kept(rules: Rules) -> None:
    check(rules)


@given(grammars())
@settings(max_examples=100, deadline=None)
def test_is_deterministic_and_idempotent(rules: Rules) -> None:
    try:
        first = normalize(rules, 0)
    except UnsatisfiableGrammarError:
        return
    assert first == normalize(rules, 0)
    if first.rules != ((),):
        again = normalize(first.rules, first.start)
        assert again.rules == first.rules
        assert not again.accepts_empty


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([[(~1, ~0, 0), (1,)], [()]], id="hidden left recursion"),
        pytest.param([[(~1,), ()], [(~0,), (0,)]], id="cycle through units"),
        pytest.param([[(~1, ~2)], [(~2, ~2), ()], [(~1, ~1), (0,)]], id="cycle through empty siblings"),
        pytest.param([[(~1, ~1, ~1)], [(), (0, ~0, 1)]], id="nullable everything"),
        pytest.param([[(0, ~1), (1,)], [(~1, 0)]], id="unproductive alternative"),
    ],
)
def test_known_shapes(rules: Rules) -> None:
    assert check(rules) is not None


def test_only_the_empty_text() -> None:
    result = check([[(~1, ~1)], [()]])
    assert result is not None
    assert result.accepts_empty
    assert result.rules == ((),)


def test_unsatisfiable_start_is_named() -> None:
    with pytest.raises(UnsatisfiableGrammarError, match="rule value"):
        normalize([[(0, ~0)]], 0, describe=lambda _: "value")


def test_optional_parts_cost_linearly() -> None:
    def size(count: int) -> int:
        rules = [[tuple(~(1 + part) for part in range(count))], *([(part,), ()] for part in range(count))]
        return sum(1 + len(rhs) for alternatives in normalize(rules, 0).rules for rhs in alternatives)

    assert size(400) < 2.2 * size(200)
    assert size(200) < 12 * 200


def test_prefixes_are_shared() -> None:
    optional = [(*(~(2 + index) for index in range(6)), part) for part in (7, 8)]
    rules = [optional, [], *([(part,), ()] for part in range(6))]
    added = [origin for origin in normalize(rules, 0).origins if origin is None]
    assert len(added) == 4


def test_origins_name_the_given_nonterminals() -> None:
    result = normalize([[(5,)], [(~2, 1)], [(2,), ()]], 1)
    assert result.origins == (1, 2)
    assert result.rules == (((~1, 1), (1,)), ((2,),))


def test_ten_thousand_rules_take_about_a_second() -> None:
    rng = random.Random(0)
    count = 10_000
    rules = [
        [
            tuple(rng.randrange(200) if rng.random() < 0.5 else ~rng.randrange(count) for _ in range(rng.randrange(6)))
            for _ in range(3)
        ]
        for _ in range(count)
    ]
    rules[0] = [tuple(~nonterminal for nonterminal in range(1, count))]
    begin = time.process_time()
    normalize(rules, 0)
    assert time.process_time() - begin < 4  # about 0.3 s when nothing else runs
