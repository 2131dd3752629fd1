"""Budget steering against the definition: the fewest tokens to the end, by breadth-first search over all tokens."""

from __future__ import annotations

import random
import re
from collections import deque

import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar_engine.budget import BudgetGuard
from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.matcher import Matcher

_WORDS = [b"ab", b"abc", b'":', b'{"', b'"}', b"}}", b"]]", b"[[", b"aa", b"aaaa", b"00", b" a", b"\xc3\xa9", b"end"]
VOCABULARY = Vocabulary([bytes([i]) for i in range(256)] + _WORDS + [None], stop_token_ids=[256 + len(_WORDS)])
COMPILER = GrammarCompiler(VOCABULARY, cache_dir="")
SPELLING = SpellingTable(VOCABULARY)

PATTERNS = [
    "a{7}|b",
    r"\{\"[a-z]+\":(0|\"[a-zé]*\")\}",
    "(ab)*end",
    "é[a-z]+ 🎉",
    r"\[\[a(,a)*\]\]",
    "x(a{30}|b)y",
    '"[^"]{0,20}"',
    "(a|bc{9})z+",
]


def fewest_tokens(matcher: Matcher, limit: int) -> int | None:
    """The definition: breadth-first over every allowed token."""
    todo, seen = deque([(matcher.fork(), 0)]), {matcher.position}
    while todo:
        walker, count = todo.popleft()
        if walker.is_accepting():
            return count
        if count == limit:
            continue
        for token_id in walker.allowed_token_ids().tolist():
            child = walker.fork()
            assert child.accept_token(token_id)
            if child.position not in seen:
                seen.add(child.position)
                todo.append((child, count + 1))
    return None


def compiled(pattern: str) -> CompiledGrammar:
    return COMPILER.compile_regex(pattern)


@given(st.binary(max_size=12), st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_split_uses_the_fewest_tokens(data: bytes, repeats: int) -> None:
    text = data + b'{"abcaaaa":"}}' * repeats
    token_ids = SPELLING.split(text)
    assert token_ids is not None
    assert VOCABULARY.decode(token_ids) == text
    tokens = {token for token in VOCABULARY.tokens if token}
    best = [0] + [len(text) + 1] * len(text)
    for end in range(1, len(text) + 1):
        best[end] = min(best[end - len(t)] + 1 for t in tokens if text[:end].endswith(t))
    assert len(token_ids) == best[-1]


def test_split_says_when_the_vocabulary_cannot_spell() -> None:
    assert SpellingTable(Vocabulary([b"ab", b"c"])).split(b"abb") is None


@pytest.mark.parametrize("pattern", PATTERNS)
def test_both_tiers_find_texts_of_the_language_from_anywhere(pattern: str) -> None:
    rng = random.Random(7)
    for _ in range(10):
        matcher, text = Matcher(compiled(pattern)), b""
        search = CompletionSearch(SPELLING)
        for _ in range(rng.randrange(12)):
            allowed = [i for i in matcher.allowed_token_ids().tolist() if i not in VOCABULARY.stop_token_ids]
            if not allowed:
                break
            token_id = rng.choice(allowed)
            assert matcher.accept_token(token_id)
            text += VOCABULARY.tokens[token_id] or b""
        for completion in (search.quick(matcher), search.thorough(matcher)):
            assert completion is not None
            assert re.fullmatch(pattern, (text + completion).decode())
        assert search.quick_length(matcher) == len(search.quick(matcher) or b"")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_thorough_finds_fewest_bytes(pattern: str) -> None:
    bytes_only = Vocabulary([bytes([i]) for i in range(256)] + [None], stop_token_ids=[256])
    start = Matcher(GrammarCompiler(bytes_only, cache_dir="").compile_regex(pattern))
    found = CompletionSearch(SpellingTable(bytes_only)).thorough(start)
    assert found is not None
    assert len(found) == fewest_tokens(start, 64)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("extra", [0, 1, 3, 10])
def test_random_choices_under_guard_always_complete(pattern: str, extra: int) -> None:
    """Choosing adversarially (the longest way, at random) among what the guard admits never runs out of budget."""
    shortest = fewest_tokens(Matcher(compiled(pattern)), 64)
    assert shortest is not None
    rng = random.Random(extra)
    for _ in range(10):
        matcher, budget = Matcher(compiled(pattern)), shortest + extra
        guard = BudgetGuard(CompletionSearch(SPELLING), matcher, budget)
        assert guard.active
        for _ in range(budget):
            allowed = matcher.allowed_token_ids().tolist()
            rng.shuffle(allowed)
            token_id = next((i for i in allowed if guard.admits(matcher, i)), None)
            if token_id is None:
                break
            assert matcher.accept_token(token_id)
            guard.take(token_id)
            if matcher.is_terminated():
                break
        assert matcher.is_terminated() or matcher.is_accepting()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_planned_token_is_admitted_down_to_the_last(pattern: str) -> None:
    matcher = Matcher(compiled(pattern))
    shortest = fewest_tokens(matcher, 64)
    assert shortest is not None
    guard = BudgetGuard(CompletionSearch(SPELLING), matcher, shortest)
    taken = 0
    while (token_id := guard.planned(matcher)) is not None:
        assert guard.admits(matcher, token_id)
        assert matcher.accept_token(token_id)
        guard.take(token_id)
        taken += 1
    assert matcher.is_accepting()
    assert taken <= shortest


def test_idle_where_no_completion_fits() -> None:
    matcher = Matcher(compiled("a{40}b"))
    guard = BudgetGuard(CompletionSearch(SPELLING), matcher, 5)
    assert not guard.active
    assert guard.planned(matcher) is None
    assert guard.admits(matcher, ord("a"))


def test_nothing_is_refused_while_there_is_room() -> None:
    matcher = Matcher(compiled('"[^"]{0,20}"'))
    guard = BudgetGuard(CompletionSearch(SPELLING), matcher, 100)
    for _ in range(10):
        allowed = matcher.allowed_token_ids().tolist()
        assert all(guard.admits(matcher, token_id) for token_id in allowed)
        token_id = ord('"') if matcher.num_tokens == 0 else ord("q")
        assert guard.admits(matcher, token_id)
        assert matcher.accept_token(token_id)
        guard.take(token_id)


def test_the_first_token_is_free_where_only_a_search_finds_an_end() -> None:
    """Descending on ``x`` never ends, so the first tier gives up, at the start and behind every first token."""
    grammar = COMPILER.compile_lark('start: "(" start ")" | "x" start | "y"', parser="glr")
    for byte in b"(xy":
        matcher = Matcher(grammar)
        guard = BudgetGuard(CompletionSearch(SPELLING), matcher, 50)
        assert guard.active
        assert guard.admits(matcher, byte)
