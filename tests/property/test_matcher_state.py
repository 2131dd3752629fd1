"""Rollback, fork and reset leave no trace: a stateful test against replaying the text from the start."""

from __future__ import annotations

import random

import numpy as np
import pytest
from grammar_engine.compiler.char_automaton import CharAutomaton
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.errors import LimitExceededError
from grammar_engine.compiler.frontends.regex import regex_grammar
from grammar_engine.compiler.ir import EagerGrammar, Terminal
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.mask_store import RowPool
from grammar_engine.compiler.spelling import to_utf8
from grammar_engine.compiler.vocabulary import Vocabulary
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from grammar_engine.matcher import Matcher

TOKENS = [b"(", b")", b"a", b"+", b"((", b"a)", b"a+a", b"+a", b")+(", b"a+(", b"x", None, None]
STOP = len(TOKENS) - 1


def arithmetic() -> CompiledGrammar:
    terminals = [Terminal(name=chr(c), automaton=bytes([c])) for c in b"+()a"]
    grammar = EagerGrammar(start=0, rules=[[(~0, 0, ~1), (~1,)], [(1, ~0, 2), (3,)]], terminals=terminals)
    return GrammarCompiler(Vocabulary(TOKENS, stop_token_ids=[STOP]), cache_dir="").compile_grammar(grammar)


class MatcherMachine(RuleBasedStateMachine):
    """Every matcher is paired with the list of tokens that it should have accepted."""

    matchers = Bundle("matchers")

    @initialize(target=matchers)
    def start(self) -> tuple[Matcher, list[int]]:
        self.compiled = arithmetic()
        self.all: list[tuple[Matcher, list[int]]] = []
        return self._track(Matcher(self.compiled), [])

    def _track(self, matcher: Matcher, tokens: list[int]) -> tuple[Matcher, list[int]]:
        self.all.append((matcher, tokens))
        return matcher, tokens

    @rule(pair=matchers, token=st.integers(0, len(TOKENS) - 1))
    def accept(self, pair: tuple[Matcher, list[int]], token: int) -> None:
        matcher, tokens = pair
        allowed = token in matcher.allowed_token_ids().tolist() and not matcher.is_terminated()
        assert matcher.validate_tokens([token]) == int(allowed)
        assert matcher.accept_token(token) == allowed
        if allowed:
            tokens.append(token)

    @rule(pair=matchers, count=st.integers(0, 5))
    def rollback(self, pair: tuple[Matcher, list[int]], count: int) -> None:
        matcher, tokens = pair
        if count > len(tokens):
            with pytest.raises(ValueError, match="cannot take back"):
                matcher.rollback(count)
        else:
            matcher.rollback(count)
            del tokens[len(tokens) - count :]

    @rule(target=matchers, pair=matchers)
    def fork(self, pair: tuple[Matcher, list[int]]) -> tuple[Matcher, list[int]]:
        return self._track(pair[0].fork(), pair[1].copy())

    @rule(pair=matchers)
    def reset(self, pair: tuple[Matcher, list[int]]) -> None:
        pair[0].reset()
        pair[1].clear()

    @invariant()
    def same_as_replayed(self) -> None:
        for matcher, tokens in getattr(self, "all", [])[-3:]:
            fresh = Matcher(self.compiled)
            assert all(fresh.accept_token(token) for token in tokens)
            assert fresh.position == matcher.position
            assert fresh.is_terminated() == matcher.is_terminated()
            assert fresh.is_accepting() == matcher.is_accepting()
            assert np.array_equal(fresh.allowed_token_ids(), matcher.allowed_token_ids())


TestMatcher = MatcherMachine.TestCase
TestMatcher.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_refused_input_changes_nothing() -> None:
    matcher = Matcher(arithmetic())
    assert matcher.accept_token(0)
    before = matcher.position
    assert not matcher.accept_token(1)
    assert not matcher.accept_token(STOP)
    assert not matcher.accept_token(STOP - 1)
    assert not matcher.accept_bytes(b"a+)")
    assert (matcher.position, matcher.num_tokens) == (before, 1)
    for wrong in (-1, len(TOKENS)):
        with pytest.raises(IndexError):
            matcher.accept_token(wrong)


def test_jump_forward_is_the_longest_forced_text() -> None:
    terminals = [
        Terminal(name="k", automaton=b"key: "),
        Terminal(name="a", automaton=b"apple"),
        Terminal(name="b", automaton=b"apricot"),
    ]
    grammar = EagerGrammar(start=0, rules=[[(0, 1), (0, 2)]], terminals=terminals)
    compiled = GrammarCompiler(
        Vocabulary([bytes([b]) for b in range(256)] + [None], stop_token_ids=[256]), cache_dir=""
    ).compile_grammar(grammar)
    matcher = Matcher(compiled)
    assert matcher.jump_forward_bytes() == b"key: ap"
    assert matcher.accept_bytes(b"key: apr")
    assert matcher.jump_forward_bytes() == b"icot"
    assert matcher.accept_bytes(b"icot")
    assert matcher.jump_forward_bytes() == b""
    assert matcher.is_accepting()


def test_a_mask_that_never_fits_the_pool_is_an_error() -> None:
    """Sixty wide terminals at one place, each without another character, need sixty rows at once; the smallest pool of
    a grammar has 32, and here the vocabulary's has one.
    """
    tokens: list[bytes | None] = [bytes([b]) for b in range(256)]
    tokens += [bytes([first, second]) for first in range(97, 123) for second in range(97, 123)]
    vocabulary = Vocabulary([*tokens, None], stop_token_ids=[len(tokens)])
    patterns = [rf"[ -\x{33 + n:02x}\x{35 + n:02x}-~]+#{n}#" for n in range(60)]
    terminals = [
        Terminal(name=f"T{n}", automaton=to_utf8(CharAutomaton.from_regex(pattern), key=f"wide {n}"))
        for n, pattern in enumerate(patterns)
    ]
    grammar = EagerGrammar(start=0, rules=[[(n,) for n in range(60)]], terminals=terminals)
    large = Matcher(GrammarCompiler(vocabulary, cache_dir="").compile_grammar(grammar))
    assert len(large.allowed_token_ids()) > 700
    compiler = GrammarCompiler(vocabulary, limits=Limits(mask_bytes=0), cache_dir="")
    small_compiled = compiler.compile_grammar(grammar)
    small_compiled.engine.context.pool = RowPool(small_compiled.engine.context.words, budget_bytes=0)
    small = Matcher(small_compiled)
    with pytest.raises(LimitExceededError, match="more rows than the pool has"):
        small.allowed_token_ids()
    assert small.accept_bytes(b"ab#59#")
    assert small.is_accepting()


def test_masks_survive_eviction() -> None:
    """With a budget of a few rows the pool is emptied again and again; masks must not change."""
    rng = random.Random(5)
    tokens: list[bytes | None] = [bytes([b]) for b in range(256)]
    tokens += sorted({bytes(rng.choice(b"abcdefgh") for _ in range(rng.randint(2, 4))) for _ in range(3000)})
    tokens.append(None)
    vocabulary = Vocabulary(tokens, stop_token_ids=[len(tokens) - 1])
    letters = [rng.sample("abcdefgh", rng.randint(6, 8)) for _ in range(200)]  # (equal rows would be kept once)
    grammar = regex_grammar("".join(f"[{''.join(sorted(some))}]" for some in letters))
    small = GrammarCompiler(vocabulary, limits=Limits(mask_bytes=1), cache_dir="").compile_grammar(grammar)
    large = GrammarCompiler(vocabulary, cache_dir="").compile_grammar(grammar)
    for _ in range(3):
        one, other = Matcher(small), Matcher(large)
        for _ in range(200):
            allowed = other.allowed_token_ids()
            assert np.array_equal(one.allowed_token_ids(), allowed)
            if one.is_accepting():
                break
            token = int(rng.choice(allowed))
            assert one.accept_token(token)
            assert other.accept_token(token)
    assert small.statistics["evictions"] > 0
    assert large.statistics["evictions"] == 0


def test_an_expansion_that_finds_no_room_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arena's limit is met while a block of productions is written; asked again with room, all is as ever."""
    vocabulary = Vocabulary([bytes([b]) for b in range(256)] + [None], stop_token_ids=[256])
    terminals = [Terminal(name=text, automaton=text.encode()) for text in ("a", "b", "c")]
    grammar = EagerGrammar(start=0, rules=[[(0, ~1)], [(1, ~2)], [(2,), (2, ~0)]], terminals=terminals)
    matcher = Matcher(GrammarCompiler(vocabulary, cache_dir="").compile_grammar(grammar))
    engine = matcher.compiled.engine
    append = type(engine).append

    def refuse(*_arguments: object) -> int:
        raise LimitExceededError("no room", limit="none", given="more")

    assert matcher.accept_bytes(b"a")
    before = [len(names) for names in engine.symbol_addresses]
    monkeypatch.setattr(type(engine), "append", refuse)
    with pytest.raises(LimitExceededError):
        matcher.accept_bytes(b"bc")
    assert [len(names) for names in engine.symbol_addresses] == before
    monkeypatch.setattr(type(engine), "append", append)
    assert matcher.accept_bytes(b"bcabc")
    assert matcher.is_accepting()
    assert not matcher.accept_bytes(b"b")
