"""Random Lark grammars, random texts: wherever a grammar is accepted in some mode of Lark's, the verdicts agree.

One documented difference is kept out (``frontends/lark.py``): rules that can never be completed but still make Lark's
contextual lexer try their terminals.
"""

from __future__ import annotations

import logging
import random

import lark
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import GrammarEngineError, GrammarSyntaxError, UnsatisfiableGrammarError
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.reference import recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary
from lark_grammars import lark_verdict, random_grammar, rules_that_never_complete

from grammar_engine.matcher import Matcher

PATTERNS = [
    '"a"', '"b"', '"c"', '"ab"', '"abc"', '"aa"', '"a"i', '"AB"i', '"b" "c"', '/a/ | "bb"', "/a+/", "/[ab]+/",
    "/[a-c]+/", "/a+?b/", "/a|ab/", "/ab?/", "/b+c?/", "/[^a]/", "/(?:ab)+/", "/c{2,3}/", "/./", "/a.?c/", "/[ab]/i",
    "/(a|b)*?c/", "/(?!(?:ab|c|ca)(?![a-c]))[a-c]+/", "/(?!b(?![abc]))[ab][a-c]*/",
    "/b(?!c)/", "/[ab](?!a|bb)/",
]  # fmt: skip
MODES = [
    ("lalr", "contextual"),
    ("lalr", "basic"),
    ("earley", "dynamic"),
    ("earley", "dynamic_complete"),
    ("earley", "basic"),
]


def compile_quietly(source: str, parser: str, lexer: str) -> LarkGrammar | GrammarEngineError:
    try:
        return lark_grammar(source, parser=parser, lexer=lexer)
    except GrammarEngineError as error:
        return error


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[256]), cache_size=1, cache_dir="")


@pytest.mark.parametrize("seed", range(6))
def test_random_grammars(seed: int, compiler: GrammarCompiler) -> None:
    rng = random.Random(seed)
    logging.getLogger("lark").setLevel(logging.CRITICAL)
    verdicts = {True: 0, False: 0}
    for _ in range(40):
        source = random_grammar(rng, PATTERNS)
        texts = ["".join(rng.choice("aaabbbccA ") for _ in range(rng.randint(0, 7))) for _ in range(12)]
        for parser, lexer in MODES:
            ours = compile_quietly(source, parser, lexer)
            try:
                oracle = lark.Lark(source, parser=parser, lexer=lexer)
            except lark.exceptions.LarkError:
                assert isinstance(ours, GrammarEngineError), source
                continue
            assert not isinstance(ours, GrammarSyntaxError), (source, parser, lexer)
            if isinstance(ours, UnsatisfiableGrammarError):
                assert not any(lark_verdict(oracle, text) for text in texts), source
            if isinstance(ours, GrammarEngineError):
                continue
            if lexer == "contextual" and rules_that_never_complete(ours, source):
                continue
            matcher = Matcher(compiler.compile_grammar(ours))
            reference = recognizer_of(ours)
            for text in texts:
                expected = lark_verdict(oracle, text)
                if expected is not None:
                    matcher.reset()
                    accepted = matcher.accept_bytes(text.encode()) and matcher.is_accepting()
                    assert accepted == expected, (source, parser, lexer, text, expected)
                    verdicts[expected] += 1
                if expected is not None:
                    assert reference.accepts(text.encode()) == expected, (source, parser, lexer, text, expected)
    assert verdicts[True] > 20
    assert verdicts[False] > 200
