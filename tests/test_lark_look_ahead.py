"""Look-around beyond a lexeme: Lark's verdicts, and masks by brute force, on random grammars whose terminals use it."""

from __future__ import annotations

import random

import lark
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.reference import recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary
from lark_grammars import lark_verdict, random_grammar, rules_that_never_complete

from grammar_engine.matcher import Matcher

PATTERNS = [
    "/a(?=b)/", "/a+(?!b)/", "/ab?(?=c|$)/", "/(?!ab)[ab]c?/", r"/[abc]\b/", "/a(?=.*c)/", "/b(?![ac]b)/",
    "/(?:a|b(?=c))+/", r"/[abA]+\b/", "/.(?=[^a]|$)/", "/a$/", "/aa?(?!a)|b/", r"/(?!(?:ab|c)\b)[abc]+/",
    "/c(?!c(?!c))/", "/ab??(?=b|c)/", "/(?=ab)a/", "/[^c](?=.$)/", r"/\w\B/", "/a*?(?=b)b?c?(?!a)/", "/(?=a)./",
    r"/\ba+/", "/(?<!a)b+/", "/^[ab]/", "/(?<=[bé])c|a/", "/(?m:^.)/", r"/(?<=a)[abc]\b/", r"/\B[ab]/", r"/\bé\b|b/",
    "/é?b(?!é|a)/", "/[aé](?=[é])/", "/a(?![^b])/",
    '"a"', '"ab"', '"c"', "/[a-c]+/", "/a+/", "/[bé]/", "/./",
]  # fmt: skip
MODES = [
    ("lalr", "contextual"), ("lalr", "basic"), ("lalr", "contextual"), ("lalr", "basic"),
    ("earley", "dynamic"), ("earley", "dynamic_complete"), ("earley", "basic"),
]  # fmt: skip
ALPHABET = "aaabbbccé "


@pytest.fixture(autouse=True)
def _no_collision_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lark asks interegular whether terminals collide, only to warn, and interegular fails on some look-aheads."""
    monkeypatch.setattr("lark.lexer.has_interegular", False)


def random_case(rng: random.Random) -> tuple[LarkGrammar, lark.Lark] | None:
    source = random_grammar(rng, PATTERNS)
    parser, lexer = rng.choice(MODES)
    try:
        oracle = lark.Lark(source, parser=parser, lexer=lexer)
        grammar = lark_grammar(source, parser=parser, lexer=lexer)
    except (lark.exceptions.LarkError, UnsatisfiableGrammarError):
        return None
    except UnsupportedGrammarError as error:
        if not error.construct.startswith(("the keyword", "lexer='dynamic_complete'")):
            raise
        return None
    return None if lexer == "contextual" and rules_that_never_complete(grammar, source) else (grammar, oracle)


def check(grammar: LarkGrammar, oracle: lark.Lark, compiler: GrammarCompiler, tokens: list[bytes], text: bytes) -> bool:
    """Follow a text token by token as far as it goes; was it accepted?"""
    reference = recognizer_of(grammar)
    matcher = Matcher(compiler.compile_grammar(grammar))
    at = 0
    while True:
        verdict = lark_verdict(oracle, text[:at].decode(errors="surrogateescape"))
        if verdict is None:
            return False
        assert matcher.is_accepting() == verdict == reference.accepts(text[:at]), (oracle.source_grammar, text[:at])
        expected = reference.allowed_token_ids([*tokens, None], text[:at])
        allowed = set(matcher.allowed_token_ids().tolist()) - {len(tokens)}
        names = [tokens[token] for token in allowed ^ expected]
        assert allowed == expected, (oracle.source_grammar, text[:at], names)
        fitting = [index for index in sorted(allowed) if text.startswith(tokens[index], at)]
        if not fitting:
            return verdict and at == len(text)
        matcher.accept_token(fitting[-1])
        at += len(tokens[fitting[-1]])


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_and_masks(seed: int) -> None:
    rng = random.Random(seed)
    tokens = [char.encode() for char in sorted(set(ALPHABET))]
    tokens += sorted({"".join(rng.choice(ALPHABET) for _ in range(rng.randint(2, 4))).encode() for _ in range(60)})
    compiler = GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[len(tokens)]), cache_size=1, cache_dir="")
    accepted = 0
    cases = 0
    while cases < 40:
        case = random_case(rng)
        if case is None:
            continue
        cases += 1
        for _ in range(4):
            text = "".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 7)))
            accepted += check(*case, compiler, tokens, text.encode())
    assert accepted > 5
