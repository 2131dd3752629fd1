"""Random small GBNF grammars: every text up to a length against a naive recognizer, masks against brute force.

The recognizer works on the random grammar itself, before it is written as GBNF; so the parser, what is done to the
rules, the automata and the engine are all on trial. Everything is run twice: as it is, and with limits so low that
rules are cut into many terminals, loops are counted early and literals become sets of words.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from grammar_engine.compiler import char_program
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.gbnf import lowering, parser, tree
from grammar_engine.compiler.frontends.gbnf.grammar import gbnf_grammar
from grammar_engine.compiler.reference import ReferenceRecognizer
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

ALPHABET = "abc"
LENGTH = 5

Tree = tuple  # ("text", str) | ("set", str, negated) | ("rule", n) | ("seq", …) | ("or", …) | ("loop", tree, low, high)


def random_tree(rng: random.Random, rules: int, depth: int) -> Tree:
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        leaf = rng.random()
        if leaf < 0.4:
            return ("text", "".join(rng.choice(ALPHABET) for _ in range(rng.choice([0, 1, 1, 2, 3]))))
        if leaf < 0.7:
            return ("set", "".join(rng.sample(ALPHABET, rng.randint(1, 2))), rng.random() < 0.3)
        return ("rule", rng.randrange(rules))
    parts = [random_tree(rng, rules, depth - 1) for _ in range(rng.choice([1, 2, 2, 3]))]
    if kind < 0.62:
        return ("seq", *parts)
    if kind < 0.82:
        return ("or", *parts)
    low, high = rng.choice([(0, 1), (0, None), (1, None), (2, None), (0, 2), (1, 3), (2, 2), (3, 4), (0, 40), (3, 3)])
    return ("loop", parts[0], low, high)


def random_rules(rng: random.Random) -> list[Tree]:
    count = rng.randint(1, 4)
    return [random_tree(rng, count, 3) for _ in range(count)]


def written(node: Tree, rng: random.Random) -> str:
    """The tree as GBNF; every sequence and choice in parentheses."""
    kind = node[0]
    if kind == "text":
        return '"' + "".join(rng.choice([char, f"\\x{ord(char):02X}"]) for char in node[1]) + '"'
    if kind == "set":
        return f"[{'^' if node[2] else ''}{node[1]}]"
    if kind == "rule":
        return f"rule-{node[1]}" if node[1] else "root"
    if kind in ("seq", "or"):
        gap = {"seq": [" ", "\n", " # comment\n "], "or": [" | ", "|", "\n| "]}[kind]
        return "(" + rng.choice(gap).join(written(part, rng) for part in node[1:]) + ")"
    _, part, low, high = node
    quantifier = {(0, 1): "?", (0, None): "*", (1, None): "+"}.get((low, high))
    if quantifier is None or rng.random() < 0.3:
        quantifier = f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"
    return f"({written(part, rng)}){quantifier}"


class Naive:
    """Where can a rule end that begins at a place of a text? A table, computed until nothing changes."""

    def __init__(self, rules: list[Tree], text: str) -> None:
        self.rules, self.text = rules, text
        self.ends: dict[tuple[int, int], frozenset[int]] = {}
        changed = True
        while changed:
            changed = False
            for number, place in itertools.product(range(len(rules)), range(len(text) + 1)):
                found = self.of(rules[number], place)
                if found != self.ends.get((number, place), frozenset()):
                    self.ends[number, place] = found
                    changed = True

    def of(self, node: Tree, place: int) -> frozenset[int]:
        kind = node[0]
        if kind == "text":
            return frozenset([place + len(node[1])] if self.text.startswith(node[1], place) else [])
        if kind == "set":
            fits = place < len(self.text) and (self.text[place] in node[1]) != node[2]
            return frozenset([place + 1] if fits else [])
        if kind == "rule":
            return self.ends.get((node[1], place), frozenset())
        if kind == "or":
            return frozenset(end for part in node[1:] for end in self.of(part, place))
        if kind == "seq":
            return self.after(node[1:], frozenset([place]))
        _, part, low, high = node
        here = self.after([part] * low, frozenset([place]))
        found = here
        for _ in range(len(self.text) + 1 if high is None else min(high - low, len(self.text) + 1)):
            here = self.after([part], here)
            found |= here
        return found

    def after(self, parts: list[Tree] | tuple[Tree, ...], places: frozenset[int]) -> frozenset[int]:
        for part in parts:
            places = frozenset(end for place in places for end in self.of(part, place))
        return places

    def accepts(self) -> bool:
        return len(self.text) in self.ends.get((0, 0), frozenset())


def texts() -> Iterator[str]:
    for length in range(LENGTH + 1):
        yield from ("".join(chars) for chars in itertools.product(ALPHABET, repeat=length))


def check(seed: int) -> int:
    rng = random.Random(seed)
    rules = random_rules(rng)
    source = "\n".join(f"{f'rule-{n}' if n else 'root'} ::= {written(rule, rng)}" for n, rule in enumerate(rules))
    wanted = {text for text in texts() if Naive(rules, text).accepts()}
    try:
        grammar = gbnf_grammar(source)
    except UnsatisfiableGrammarError:
        assert not wanted, (seed, source)
        return 0
    tokens: list[bytes | None] = [char.encode() for char in ALPHABET]
    tokens += [bytes(rng.choice(b"abc") for _ in range(rng.randint(2, 4))) for _ in range(12)]
    stop = len(tokens)
    compiler = GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[stop]), cache_dir="")
    compiled = compiler.compile_grammar(grammar)
    for text in texts():
        matcher = Matcher(compiled)
        alive = not text or matcher.accept_bytes(text.encode())
        assert (alive and matcher.is_accepting()) == (text in wanted), (seed, source, text)
    reference = ReferenceRecognizer(grammar)
    beginnings = {text[:end] for text in wanted for end in range(len(text) + 1)}
    for text in sorted(beginnings, key=lambda text: (len(text), text))[:8]:
        matcher = Matcher(compiled)
        assert not text or matcher.accept_bytes(text.encode())
        allowed = set(matcher.allowed_token_ids().tolist())
        expected = reference.allowed_token_ids(tokens, text.encode())
        assert allowed - {stop} == expected, (seed, source, text)
        assert (stop in allowed) == (text in wanted)
        # Nothing is masked that the language needs.
        needed = {i for i, token in enumerate(tokens) if token and text + token.decode() in beginnings}
        assert needed <= allowed, (seed, source, text)
    return len(wanted)


@pytest.mark.parametrize("block", range(4))
def test_random_grammars(block: int) -> None:
    assert sum(check(seed) for seed in range(block * 80, block * 80 + 80)) > 300


@pytest.mark.parametrize("block", range(4))
def test_random_grammars_with_low_limits(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(block)
    monkeypatch.setattr(tree, "MAX_POSITIONS", rng.choice([1, 2, 3, 5]))
    monkeypatch.setattr(tree, "UNROLLED_ROUNDS", 2)
    monkeypatch.setattr(char_program, "UNROLLED_ROUNDS", 2)
    monkeypatch.setattr(lowering, "_MANY_WORDS", 1)
    monkeypatch.setattr(parser, "_NEST", 1)
    assert sum(check(seed) for seed in range(5000 + block * 80, 5000 + block * 80 + 80)) > 300
