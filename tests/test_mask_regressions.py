"""Small grammars whose masks were once wrong. Expected: what the reference recognizer says of every token."""

from __future__ import annotations

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.reference import recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher


def assert_masks(source: str, words: list[bytes], texts: list[bytes], *, parser: str = "lalr", lexer: str) -> None:
    """At each of the texts, for every byte and each of the words."""
    tokens = [*(bytes([byte]) for byte in range(256)), *words]
    grammar = lark_grammar(source, parser=parser, lexer=lexer)
    reference = recognizer_of(grammar)
    compiler = GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[len(tokens)]), cache_dir="")
    compiled = compiler.compile_grammar(grammar)
    for text in texts:
        matcher = Matcher(compiled)
        assert not text or matcher.accept_bytes(text), text
        allowed = set(matcher.allowed_token_ids().tolist()) - {len(tokens)}
        expected = reference.allowed_token_ids(tokens, text)
        assert expected, text
        assert {tokens[token] for token in allowed} == {tokens[token] for token in expected}, text


@pytest.mark.parametrize("parser", ["lalr", "glr"])
@pytest.mark.parametrize("other", ["/.*?c/", "/[(a-z]+c/", "/[(][a-p]+c./"])
def test_an_earlier_lexeme_that_may_still_match(other: str, parser: str) -> None:
    """Behind "(" the other terminal, which is preferred, may still match; not all letters are alike to it."""
    source = f'start: "(" NAME ";" | OTHER ";"\nOTHER: {other}\nNAME: /[a-z]+/\n'
    words = [b"a", b"ab", b"abc", b"acc", b"accc", b"abcd", b"acdcd", b"accx", b"ax;", b"ac;", b"xyzzy", b"accca;"]
    assert_masks(source, words, [b"", b"(", b"(a", b"(ab", b"(ac", b"(x"], parser=parser, lexer="contextual")


@pytest.mark.parametrize("count", [70, 130])
@pytest.mark.parametrize("lexer", ["contextual", "basic"])
def test_lookaheads_of_many_terminals(count: int, lexer: str) -> None:
    """Which of a table's lookaheads a stack takes is a set of several words; several reductions are in it."""
    words = [f"k{number:03}" for number in range(count)]
    pairs = [f"a{number % 3} " + f'"{word}"' for number, word in enumerate(words)]
    source = (
        'start: "<" one ">" | "[" two "]"\n'
        f"one: {' | '.join(pairs[: count // 2])}\ntwo: {' | '.join(pairs[count // 3 :])}\n"
        'a0: x\na1: x | y\na2: y "!"?\nx: "x" z?\ny: "y" z?\nz: "z"\n'
    )
    tokens = [word.encode() for word in words[:: max(1, count // 40)]]
    tokens += [b"x" + token for token in tokens] + [b"z" + token + b">" for token in tokens] + [b"!" + tokens[0]]
    assert_masks(source, tokens, [b"", b"<", b"<x", b"<xz", b"<y", b"<yz", b"[x", b"[xz", b"[y", b"[y!"], lexer=lexer)
