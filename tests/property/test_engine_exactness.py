"""Masks equal brute force: random grammars, random vocabularies, random walks, against the plain reference recognizer.

The reference (compiler.reference) has no interning, no memo and no masks: it tries every token byte by byte.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from grammar_engine.compiler import engine
from grammar_engine.compiler.automaton import AGAIN, ENTER, EXIT, KEEP, MATCH, ByteAutomaton
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.ir import EagerGrammar, Lexing, Terminal
from grammar_engine.compiler.normalize import normalize
from grammar_engine.compiler.reference import ReferenceRecognizer
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

ALPHABET = b"ab(),"


def random_automaton(rng: random.Random, key: str) -> ByteAutomaton:
    """A trimmed random ordered automaton of a few states, sometimes with a counted loop, never matching empty."""
    while True:
        states = rng.randint(2, 4)
        positions, entries, offsets = [], [], [0]
        for state in range(states):
            for _ in range(rng.randint(0, 3)):
                low = rng.choice(ALPHABET)
                high = min(255, low + rng.choice([0, 0, 1]))
                entries.append((len(positions), KEEP, 0))
                positions.append((low, high, rng.randrange(states)))
            if state and rng.random() < 0.5:
                entries.insert(rng.randint(offsets[-1], len(entries)), (MATCH, KEEP, 0))
            offsets.append(len(entries))
        automaton = ByteAutomaton(
            positions=np.array(positions, np.int32).reshape(-1, 3),
            offsets=np.array(offsets, np.int32),
            entries=np.array(entries, np.int32).reshape(-1, 3),
            key=key,
        )
        try:
            automaton.validate()
        except ValueError:
            continue
        return automaton


def counted_automaton(rng: random.Random) -> ByteAutomaton:
    """``"`` body{low,high} ``"`` with a counter, as JSON strings have it."""
    low = rng.randint(1, 3)
    high = rng.choice([low + rng.randint(0, 3), None])
    body = rng.choice(b"ab")
    again = (1, AGAIN, high if high is not None else -low)
    return ByteAutomaton(
        positions=np.array([(40, 40, 1), (body, body, 2), (40, 40, 3)], np.int32),
        offsets=np.array([0, 1, 2, 4, 5], np.int32),
        entries=np.array([(0, KEEP, 0), (1, ENTER, 0), again, (2, EXIT, low), (MATCH, KEEP, 0)], np.int32),
    )


def wide_terminal(rng: random.Random, number: int) -> Terminal:
    """``(`` any printable characters ``)``: wide enough to share its rows, maybe counted, maybe with excluded texts."""
    low = rng.randint(0, 3)
    high = rng.choice([low + rng.randint(1, 4), None])
    counted = rng.random() < 0.7
    enter, again, leave = (
        ((ENTER, 0), (AGAIN, high if high is not None else -low), (EXIT, low)) if counted else ((KEEP, 0),) * 3
    )
    if counted and high is None and low == 0:
        enter = again = leave = (KEEP, 0)
    # A round is one character, or sometimes also the pair "ab": then one text has several counts.
    rounds = [1, 2, 4] if rng.random() < 0.3 else [1, 2]
    first = [(p, *enter) for p in rounds] + ([(3, KEEP, 0)] if low == 0 or not counted else [])
    inside = [(p, *again) for p in rounds] + [(3, *leave)]
    states = [[(0, KEEP, 0)], first, inside, [(MATCH, KEEP, 0)]] + ([[(5, KEEP, 0)]] if len(rounds) > 2 else [])
    positions = [(40, 40, 1), (32, 39, 2), (42, 127, 2), (41, 41, 3)]
    positions += [(97, 97, 4), (98, 98, 2)] if len(rounds) > 2 else []
    automaton = ByteAutomaton(
        positions=np.array(positions, np.int32),
        offsets=np.cumsum([0] + [len(entries) for entries in states]).astype(np.int32),
        entries=np.array([entry for entries in states for entry in entries], np.int32),
        key=f"wide:{counted}:{low}:{high}:{len(rounds)}",
    )
    automaton.validate()
    excluded = set()
    for _ in range(rng.choice([0, 0, 2])):
        excluded.add(b"(" + bytes(rng.choice(b"ab,") for _ in range(rng.randint(0, 3))) + b")")
    if counted and high is not None and high < 5:
        excluded.clear()  # a prefix of an excluded text might have no longer match, which the contract forbids
    return Terminal(name=f"W{number}", automaton=automaton, excluded=tuple(sorted(excluded)))


def random_terminal(rng: random.Random, number: int) -> Terminal:
    kind = rng.random()
    if kind < 0.25:
        return wide_terminal(rng, number)
    if kind < 0.5:
        automaton: bytes | ByteAutomaton = bytes(rng.choice(ALPHABET) for _ in range(rng.randint(1, 3)))
    elif kind < 0.65:
        automaton = counted_automaton(rng)
    else:
        automaton = random_automaton(rng, rng.choice(["", f"k{rng.random()}"]))
    return Terminal(name=f"T{number}", automaton=automaton)


def random_grammar(rng: random.Random, lexing: Lexing) -> EagerGrammar | None:
    terminals = [random_terminal(rng, i) for i in range(rng.randint(1, 4))]
    if lexing is not Lexing.UNORDERED:
        terminals = [Terminal(name=t.name, automaton=t.automaton) for t in terminals]
    if lexing is Lexing.LEFTMOST:
        regexes = [i for i, t in enumerate(terminals) if not isinstance(t.automaton, bytes)]
        terminals = [
            Terminal(
                name=t.name,
                automaton=t.automaton,
                unless=tuple(regexes) if isinstance(t.automaton, bytes) and rng.random() < 0.4 else (),
            )
            for t in terminals
        ]
    nonterminals = rng.randint(1, 4)
    rules = []
    for _ in range(nonterminals):
        productions = []
        for _ in range(rng.randint(1, 3)):
            length = rng.choice([0, 1, 1, 2, 2, 3])
            productions.append(
                tuple(
                    rng.randrange(len(terminals)) if rng.random() < 0.6 else ~rng.randrange(nonterminals)
                    for _ in range(length)
                )
            )
        rules.append(productions)
    try:
        normal = normalize(rules, 0)
    except UnsatisfiableGrammarError:
        return None
    ignored = (len(terminals) - 1,) if rng.random() < 0.3 else ()
    tried = range(len(terminals)) if lexing is Lexing.LEFTMOST and rng.random() < 0.3 else ()
    if lexing is Lexing.ONE_BY_ONE:
        terminals = [with_all_matches(t) if rng.random() < 0.3 else t for t in terminals]
    return EagerGrammar(
        start=normal.start,
        rules=normal.rules,
        terminals=terminals,
        lexing=lexing,
        accepts_empty=normal.accepts_empty,
        ignored=ignored,
        tried=tuple(tried),
    )


def with_all_matches(terminal: Terminal) -> Terminal:
    automaton = terminal.automaton
    if isinstance(automaton, ByteAutomaton):
        automaton = replace(automaton, key="")
    return Terminal(name=terminal.name, automaton=automaton, all_matches=True)


def random_tokens(rng: random.Random) -> list[bytes | None]:
    tokens: list[bytes | None] = [bytes([byte]) for byte in ALPHABET]
    tokens += [bytes(rng.choice(ALPHABET) for _ in range(rng.randint(2, 6))) for _ in range(40)]
    tokens += [None, None]
    return tokens


def check(seed: int, lexing: Lexing, steps: int, tokens: list[bytes | None], compiler: GrammarCompiler) -> int:
    rng = random.Random(seed)
    grammar = random_grammar(rng, lexing)
    if grammar is None:
        return 0
    stop = len(tokens) - 1
    matcher = Matcher(compiler.compile_grammar(grammar))
    reference = ReferenceRecognizer(grammar)
    text = b""
    checked = 0
    for _ in range(steps):
        expected = reference.allowed_token_ids(tokens, text)
        if reference.accepts(text):
            expected = expected | {stop}
        allowed = set(matcher.allowed_token_ids().tolist())
        assert allowed == expected, (seed, text, [tokens[t] for t in allowed ^ expected])
        assert matcher.is_accepting() == reference.accepts(text)
        for token, data in enumerate(tokens):
            if data and rng.random() < 0.2:
                probe = matcher.fork()
                assert probe.accept_token(token) == (token in expected), (seed, text, data)
        checked += 1
        choices = sorted(expected - {stop})
        if not choices:
            break
        token = rng.choice(choices)
        assert matcher.accept_token(token)
        text += tokens[token] or b""
    return checked


def check_block(first_seed: int, lexing: Lexing) -> int:
    """Fifty grammars over one vocabulary, compiled by one compiler, so that what grammars share is tested too."""
    tokens = random_tokens(random.Random(first_seed))
    compiler = GrammarCompiler(Vocabulary(tokens, stop_token_ids=[len(tokens) - 1]), cache_dir="")
    return sum(check(seed, lexing, 6, tokens, compiler) for seed in range(first_seed, first_seed + 50))


@pytest.mark.parametrize("block", range(8))
def test_masks_equal_brute_force_unordered(block: int) -> None:
    assert check_block(block * 50, Lexing.UNORDERED) > 50


@pytest.mark.parametrize("block", range(4))
def test_masks_equal_brute_force_one_by_one(block: int) -> None:
    assert check_block(30_000 + block * 50, Lexing.ONE_BY_ONE) > 50


@pytest.mark.parametrize("block", range(8))
def test_masks_equal_brute_force_leftmost(block: int) -> None:
    assert check_block(10_000 + block * 50, Lexing.LEFTMOST) > 50


@pytest.mark.parametrize("lexing", list(Lexing))
def test_masks_are_the_same_when_everything_has_to_grow(lexing: Lexing, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arena, tables and a pool of rows that start too small: every operation is interrupted and called again."""
    monkeypatch.setattr(engine, "INITIAL_ARENA", 1 << 15)
    monkeypatch.setattr(engine, "RESERVED_ARENA", 1 << 40)
    monkeypatch.setattr(engine, "INITIAL_TABLE", 4)
    monkeypatch.setattr(engine, "INITIAL_ROWS", 1)
    monkeypatch.setattr(engine, "NUM_SLACKS", 1)
    assert check_block(20_000, lexing) > 50


def test_a_walk_larger_than_the_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    """One walk with exits at tens of thousands of nodes needs more than the arena has: it grows until that fits."""
    monkeypatch.setattr(engine, "INITIAL_ARENA", 1 << 17)
    monkeypatch.setattr(engine, "RESERVED_ARENA", 1 << 40)
    short: list[bytes | None] = [bytes([i & 63, i >> 6 & 63, i >> 12]) for i in range(1 << 16)]
    tokens = [*short, *((token or b"") + b"\x07" for token in short)]
    vocabulary = Vocabulary([*tokens, None], stop_token_ids=[len(tokens)])
    anything = ByteAutomaton(
        positions=np.array([(0, 63, 1)], np.int32),
        offsets=np.array([0, 1, 3], np.int32),
        entries=np.array([(0, KEEP, 0), (0, KEEP, 0), (MATCH, KEEP, 0)], np.int32),
    )
    terminals = [Terminal(name="any", automaton=anything), Terminal(name="end", automaton=b"\x00\x01\x02")]
    grammar = EagerGrammar(start=0, rules=[[(0, 1), (0,)]], terminals=terminals)
    compiled = GrammarCompiler(vocabulary, cache_dir="").compile_grammar(grammar)
    assert len(Matcher(compiled).allowed_token_ids()) == len(tokens)


def test_a_text_with_several_counts_may_leave_a_loop_by_any_of_them() -> None:
    """``(`` of two or three rounds, each a character or "ab" ``)``: behind ``(``, "ab)" is one round or two."""
    automaton = ByteAutomaton(
        positions=np.array([(40, 40, 1), (32, 39, 2), (42, 127, 2), (41, 41, 3), (97, 97, 4), (98, 98, 2)], np.int32),
        offsets=np.array([0, 1, 4, 8, 9, 10], np.int32),
        entries=np.array(
            [
                (0, KEEP, 0),
                (1, ENTER, 0),
                (2, ENTER, 0),
                (4, ENTER, 0),
                (1, AGAIN, 3),
                (2, AGAIN, 3),
                (4, AGAIN, 3),
                (3, EXIT, 2),
                (MATCH, KEEP, 0),
                (5, KEEP, 0),
            ],
            np.int32,
        ),
        key="pairs",
    )
    automaton.validate()
    grammar = EagerGrammar(start=0, rules=[[(0,)]], terminals=[Terminal(name="pairs", automaton=automaton)])
    tokens: list[bytes | None] = [
        b"(",
        b")",
        b"a",
        b"b",
        b"ab)",
        b"a)",
        b"abab)",
        b"abababab)",
        b"ababa",
        b"xyzw",
        None,
    ]
    compiler = GrammarCompiler(Vocabulary(tokens, stop_token_ids=[10]), cache_dir="")
    reference = ReferenceRecognizer(grammar)
    for text in (b"(", b"(a", b"(ab", b"(aba"):
        matcher = Matcher(compiler.compile_grammar(grammar))
        assert matcher.accept_bytes(text)
        assert set(matcher.allowed_token_ids().tolist()) == reference.allowed_token_ids(tokens, text)
