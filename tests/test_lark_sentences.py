"""Random sentences and mutations of small Lark grammars: Lark's verdict is the reference's and the engine's."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

import lark
import pytest
from grammar_engine.compiler.automaton import literal
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkGrammar
from grammar_engine.compiler.reference import recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary
from lark_fuzzing.texts import random_lexeme, random_sentence

from grammar_engine import grammars
from grammar_engine.matcher import Matcher

GRAMMARS = {
    "arithmetic": (
        """
        ?start: product | start "+" product | start "-" product
        ?product: atom | product "*" atom
        ?atom: NUMBER | "-" atom | "(" start ")"
        NUMBER: /[0-9]+/
        WS: /[ ]+/
        %ignore WS
        """,
        "0+-*() 1",
    ),
    "left and right recursion": ('start: l "-" r\nl: "a" | l "b"\nr: "a" | "c" r', "abc-"),
    "empty and optional": ('start: a? b~2..4 [c]\na: "x"\nb: "y" "x"?\nc: "z"', "xyz"),
    "keywords": (
        """
        start: stmt*
        stmt: "if" NAME "then" stmt | NAME "=" NAME ";"
        NAME: /[a-z]+/
        %ignore " "
        """,
        ["if", "then", "x", "i", "f", "=", ";", " ", "ifx"],
    ),
    "keyword where no name is expected": (
        """
        start: "(" "do" NAME ")" | NAME "do"? ")"
        NAME: /[a-z]+/
        %ignore " "
        """,
        ["(do", "do", "d", "x", ")", " "],
    ),
    "keyword of other flags": (
        """
        start: (kw | NAME)+
        kw: "if"i "!"
        NAME: /[a-z]+/
        %ignore " "
        """,
        ["if", "IF", "iF", "!", "x", " "],
    ),
    "reserved words": (
        r"""
        start: stmt*
        stmt: "if" NAME "then" stmt | "(" NAME* ")" | NAME "=" NAME ";"
        NAME: /(?!(?:if|then)\b)[^\W\d]\w*/
        %ignore " "
        """,
        ["if", "then", "x", "i", "f", "=", ";", " ", "ifx", "(", ")", "th"],
    ),
    "operators that go on": (
        """
        start: value | value "++" | start ";" value
        value: item | value (PLUS | MINUS) item
        item: "x" | MINUS item
        PLUS: /[+](?![+=])/
        MINUS: /-(?!-)/
        %ignore " "
        """,
        ["x", "+", "-", "++", "--", ";", " ", "+="],
    ),
    "priorities": (
        """
        start: (p | Q)+
        p: P "b"
        P.2: "a"
        Q: "ab" | "c"
        """,
        "abc",
    ),
    "lazy": (
        """
        start: (COMMENT | LAZY "b")+
        COMMENT: "<" /.*?/ ">"
        LAZY: /a+?/
        """,
        "<>ab",
    ),
    "ordered alternation": ('start: A "c"? | A A\nA: /a|ab/', "abc"),
    "overlapping terminals": (
        """
        start: item*
        item: DOT NAME | ELLIPSIS | NAME | FLOAT
        DOT: "."
        ELLIPSIS: "..."
        FLOAT: /[0-9]+\\.[0-9]*/
        NAME: /[a-z]/
        """,
        ".a1",
    ),
    "contextual": (
        """
        start: "<" TEXT ">" | "[" WORD "]"
        TEXT: /[a-z ]+/
        WORD: /[a-z]+/
        %ignore /[ ]+/
        """,
        "<>[]a ",
    ),
    "comments": (
        """
        start: ("a" "b")*
        COMMENT: /#[^\\n]*/
        %ignore COMMENT
        %ignore /[ \\n]+/
        """,
        "ab# \n",
    ),
    "long count": ('start: A "c" A\nA: /a{2,4}|b{3}/', "abc"),
    "unicode": ('start: (WORD | "é" | "→")+\nWORD: /\\w+/\n%ignore " "', "aéß→ 中!-"),
    "templates": (
        """
        start: list{x, ","} | list{y, ";"}
        list{item, sep}: item (sep item)*
        x: "x"
        y: "y" | "z" y
        """,
        "xyz,;",
    ),
    "ignored terminal in a rule": ('start: "a" WS "b" | "a" "b"\nWS: " "\n%ignore WS', "ab "),
    "calc": (grammars.source("calc"), ["1", "2.5", "x", "f(", ")", "+", "-", "**", "*", " ", ",", ".", "e"]),
    "json": (grammars.source("json"), ["[", "]", "{", "}", ",", ":", '"a"', '"', "1", "0", "-", ".", "e", "true", " "]),
}


def lark_accepts(parser: lark.Lark, text: str) -> bool:
    try:
        parser.parse(text)
    except lark.exceptions.UnexpectedInput:
        return False
    return True


def texts_for(grammar: LarkGrammar, pieces: Sequence[str], rng: random.Random, count: int) -> list[str]:
    """Sentences, their mutations, and random strings of pieces."""
    found: dict[str, None] = {"": None}
    for _ in range(count):
        sentence = random_sentence(grammar, rng)
        if sentence is not None and len(sentence) <= 24:
            found[sentence] = None
            place = rng.randrange(len(sentence) + 1)
            found[sentence[:place] + sentence[place + 1 :]] = None
            found[sentence[:place] + rng.choice(pieces) + sentence[place:]] = None
        found["".join(rng.choice(pieces) for _ in range(rng.randrange(1, 8)))] = None
    return list(found)


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    """A compiler whose tokens are the bytes."""
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256], special_token_ids=[256]), cache_dir="")


def engine_accepts(compiled: CompiledGrammar, text: bytes) -> bool:
    matcher = Matcher(compiled)
    return (not text or matcher.accept_bytes(text)) and matcher.is_accepting()


def compare(
    compiler: GrammarCompiler, source: str, pieces: Sequence[str], *, seed: int, count: int, **options: str
) -> tuple[int, int]:
    oracle = lark.Lark(source, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grammar = lark_grammar(source, parser=options["parser"], lexer=options.get("lexer", "auto"))
    reference = recognizer_of(grammar)
    compiled = compiler.compile_grammar(grammar)
    verdicts = [0, 0]
    derived = grammar if grammar.table is None else lark_grammar(source, parser="glr")
    for text in texts_for(derived, pieces, random.Random(seed), count):
        expected = lark_accepts(oracle, text)
        assert reference.accepts(text.encode()) == expected, (text, expected)
        assert engine_accepts(compiled, text.encode()) == expected, (text, expected)
        verdicts[expected] += 1
    return verdicts[0], verdicts[1]


@pytest.mark.parametrize("name", GRAMMARS)
def test_contextual(compiler: GrammarCompiler, name: str) -> None:
    source, pieces = GRAMMARS[name]
    rejected, accepted = compare(compiler, source, pieces, seed=1, count=60, parser="lalr")
    assert rejected >= 5
    assert accepted >= 2


DYNAMIC = {
    "one match per terminal": ('start: A B | B A\nA: /a+/\nB: /b+?/ | "cb"', "abc"),
    "ambiguous": ('start: start start | "a" | "b" start "b"', "ab"),
    "prefixes of each other": ('start: (x | y)+ "aa"\nx: "a" "b"\ny: "aab"', "ab"),
    "not LALR": ('start: a "x" "y" | b "x" "z"\na: "q"\nb: "q"\n%ignore " "', "qxyz "),
    "spaces": ('start: ("a" | "aa" | "b")* "!"\n%ignore /[ \\n]+/', "ab! \n"),
    "ignored terminal in a rule": ('start: "a" WS "b" | "a" "b" WS "c"\nWS: " "\n%ignore WS', "abc "),
}


@pytest.mark.parametrize("lexer", ["dynamic", "dynamic_complete"])
@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic(compiler: GrammarCompiler, name: str, lexer: str) -> None:
    source, pieces = DYNAMIC[name]
    if (name, lexer) == ("one match per terminal", "dynamic_complete"):
        pytest.skip("a lazy terminal is refused there")
    compare(compiler, source, pieces, seed=2, count=60, parser="earley", lexer=lexer)


BASIC = {
    "apart": ('start: (A | B "x")*\nA: /a+/\nB: "b"\n%ignore /[ ]+/', "abx "),
    "lazy": ('start: A+ "b"?\nA: /ac*?/ "c"', "abc"),
}


@pytest.mark.parametrize("parser", ["lalr", "earley"])
@pytest.mark.parametrize("name", BASIC)
def test_basic(compiler: GrammarCompiler, name: str, parser: str) -> None:
    source, pieces = BASIC[name]
    compare(compiler, source, pieces, seed=3, count=60, parser=parser, lexer="basic")


def test_the_walk_itself() -> None:
    """The sentence generator spells words: a literal comes out as it is."""
    grammar = lark_grammar('start: "ab" /c{2}/')
    assert random_lexeme(grammar, 0, random.Random(0)) in (b"ab", b"cc", b"c", b"ccc")
    assert literal(b"ab").num_states == 3
