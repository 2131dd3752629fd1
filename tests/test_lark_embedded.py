"""Lark grammars with unordered lexing: text by text what ``lark.Lark`` accepts, or refused."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import lark
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import UnsatisfiableGrammarError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark_embedded import embedded_lark_grammar
from grammar_engine.compiler.ir import Lexing
from grammar_engine.compiler.vocabulary import Vocabulary
from lark_grammars import lark_verdict, random_grammar

from grammar_engine.matcher import Matcher

OPTIONS: list[dict[str, str]] = [
    {"parser": "lalr", "lexer": "contextual"},
    {"parser": "lalr", "lexer": "basic"},
    {"parser": "earley", "lexer": "dynamic"},
    {"parser": "earley", "lexer": "dynamic_complete"},
    {"parser": "earley", "lexer": "basic"},
]
GRAMMARS: dict[str, tuple[str, Sequence[str]]] = {
    "arithmetic": (
        """
        ?start: product | start "+" product | start "-" product
        ?product: atom | product "*" atom
        ?atom: NUMBER | "-" atom | "(" start ")"
        NUMBER: /[0-9]+(\\.[0-9]+)?/
        WS: /[ \\n]+/
        %ignore WS
        """,
        ["0", "1.5", ".", "+", "-", "*", "(", ")", " ", "\n"],
    ),
    "keywords and names": (
        """
        start: (stmt ";")*
        stmt: "let" NAME "=" expr | "print" expr
        expr: NAME | NUMBER | expr "+" NAME
        NAME: /[a-z_][a-z0-9_]*/
        NUMBER: /[0-9]+/
        COMMENT: /#[^\\n]*/
        %ignore /[ \\n]+/
        %ignore COMMENT
        """,
        ["let", "print", "x", "let x", "1", "=", "+", ";", " ", "\n", "# c", "lett"],
    ),
    "strings and comments": (
        """
        start: (STRING | NAME | "," )*
        STRING: /"([^"\\\\]|\\\\.)*?"/
        NAME: /[a-z]+/
        %ignore /\\/\\*.*?\\*\\//
        %ignore " "
        """,
        ['"a"', '"', "\\", "a", ",", " ", "/*", "*/", "*", '"\\""', "b"],
    ),
    "operators that begin others": (
        """
        start: NAME (op NAME)*
        op: "<" | "<=" | "<<" | "=" | "=="
        NAME: "x" | "y"
        """,
        ["x", "y", "<", "=", "<=", "==", "<<"],
    ),
    "characters of several bytes": (
        """
        start: (WORD | "×" | NUMBER)+
        WORD: /[a-zà-ö]+/
        NUMBER: /[0-9]+/
        %ignore " "
        """,
        ["a", "é", "×", "1", " ", "ö"],
    ),
    "empty or ignored only": ("start: A?\nA: /a+/\n%ignore /[ ]+/", ["a", " "]),
}


def texts(pieces: Sequence[str], rng: random.Random, count: int) -> Iterator[str]:
    for size in range(4):
        yield from ("".join(chosen) for chosen in itertools.product(pieces, repeat=size))
    for _ in range(count):
        yield "".join(rng.choice(pieces) for _ in range(rng.randint(4, 12)))


def accepts(compiled: Any, text: str) -> bool:
    matcher = Matcher(compiled)
    return (not text or matcher.accept_bytes(text.encode())) and matcher.is_accepting()


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256]), cache_dir="")


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options.values()))
@pytest.mark.parametrize("name", GRAMMARS)
def test_common_grammars_are_larks_language(name: str, options: dict[str, str], compiler: GrammarCompiler) -> None:
    source, pieces = GRAMMARS[name]
    grammar = embedded_lark_grammar(source, **options)
    assert grammar.lexing is Lexing.UNORDERED
    assert not grammar.ignored
    compiled = compiler.compile_grammar(grammar)
    oracle = lark.Lark(source, **options)  # type: ignore[arg-type]
    accepted = 0
    for text in itertools.islice(texts(pieces, random.Random(name), 400), 1500):
        expected = lark_verdict(oracle, text)
        if expected is not None:
            assert accepts(compiled, text) == expected, text
            accepted += expected
    assert accepted > 5


PATTERNS = ["/a+/", "/a+?/", "/[ab]+/", '"ab"', "/b?a/", "/a|ab/", '"a"', "/[ab]*?b/", "/(ab)+/", "/a[^b]/", "/a{1,2}/"]


@pytest.mark.parametrize("seed", range(30))
def test_random_grammars_are_larks_language_or_refused(seed: int, compiler: GrammarCompiler) -> None:
    rng = random.Random(seed)
    words = ["".join(letters) for size in range(6) for letters in itertools.product("ab ", repeat=size)]
    checked = 0
    for _ in range(14):
        source = random_grammar(rng, PATTERNS)
        options = rng.choice(OPTIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                oracle = lark.Lark(source, **options)  # type: ignore[arg-type]
                grammar = embedded_lark_grammar(source, **options)
            except (UnsupportedGrammarError, lark.exceptions.LarkError):
                continue
            except UnsatisfiableGrammarError:
                assert not any(lark_verdict(oracle, text) for text in words), (source, options)
                continue
        compiled = compiler.compile_grammar(grammar)
        checked += 1
        for text in rng.sample(words, 110):
            expected = lark_verdict(oracle, text)
            if expected is not None:
                assert accepts(compiled, text) == expected, (source, options, text)
    assert checked > 1


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ('start: A "b"\nA: /a+?b?/', {}, "prefers neither"),
        ("start: A B\nA: /a+/\nB: /b(?=c)/", {}, "looks beyond its text"),
        ("start: (?:A | B)+\nA: /a/\nB: /a+/".replace("?:", ""), {}, "tries before"),
        ("start: N W\nN: /[0-9]+(e[0-9]+)?/\nW: /[a-z]+/", {}, "depends on more than the next character"),
        ('start: e\ne: e "+" e | "1"', {"parser": "lalr"}, "conflict"),
        ('start: "if"\n', {"parser": "glr"}, "parser='glr'"),
        (
            'start: (NAME "=" | "if")? (NAME | "if" NAME)\nNAME: /[a-z]+/\n',
            {"parser": "lalr"},
            "tried beside NAME in some",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(source: str, options: dict[str, str], message: str | None) -> None:
    if message is None:
        embedded_lark_grammar(source, **options)
        return
    with pytest.raises(UnsupportedGrammarError, match=message) as caught:
        embedded_lark_grammar(source, **options)
    assert caught.value.advice


CALLS = r"""
    start: NAME "(" [arg ("," arg)*] ")"
    arg: NAME "=" (NAME | NUMBER | STRING)
    NAME: /[a-z]+/
    NUMBER: /[0-9]+/
    STRING: /'.*?'/
    %ignore " "
"""


def regions(text: str, begin: str, end: str, oracle: lark.Lark) -> bool:
    """Free text without ``begin``, and regions that Lark accepts between ``begin`` and ``end``: by definition."""
    todo, seen = [0], {0}
    while todo:
        at = todo.pop()
        opening = text.find(begin, at)
        if opening < 0:
            return True
        inside = opening + len(begin)
        for close in range(inside, len(text) + 1):
            behind = close + len(end)
            if text.startswith(end, close) and behind not in seen and lark_verdict(oracle, text[inside:close]):
                seen.add(behind)
                todo.append(behind)
    return False


@pytest.mark.parametrize("options", [{}, {"parser": "lalr", "lexer": "basic"}, {"parser": "earley"}], ids=str)
def test_regions_in_free_text(options: dict[str, str], compiler: GrammarCompiler) -> None:
    content = {"type": "grammar", "grammar": CALLS, **options}
    tag = {"type": "tag", "begin": "<<", "content": content, "end": ">"}
    whole = {"type": "triggered_tags", "triggers": ["<<"], "tags": [tag]}
    compiled = compiler.compile_structural_tag({"type": "structural_tag", "format": whole})
    oracle = lark.Lark(CALLS, **{"parser": "lalr", **options})  # type: ignore[arg-type]
    rng = random.Random(str(options))
    good = [
        "<<f()>",
        "<<f(a=1)>",
        "<<g ( a = b,c='>' )>",
        "<<f(a=ab)>",
        "x <<f()>, <<f()> y",
        "<<f(a='x>y')>",
        "<",
        "a>",
    ]
    pieces = ["<<", ">", "f", "(", ")", "a", "=", "1", "'", ",", " ", "<<f(", "a='", "'>", "<<f()>", "x"]
    counts = [0, 0]
    for _ in range(1200):
        text = rng.choice(good) if rng.random() < 0.4 else ""
        text += "".join(rng.choice(pieces) for _ in range(rng.randint(0, 5)))
        if rng.random() < 0.5 and text:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(pieces) + text[at + rng.randint(0, 1) :]
        expected = regions(text, "<<", ">", oracle)
        assert accepts(compiled, text) == expected, text
        counts[expected] += "<<" in text
    assert min(counts) > 80


def test_masks_inside_of_a_region_are_those_of_every_token() -> None:
    content = {"type": "grammar", "grammar": CALLS}
    whole = {"type": "tag", "begin": "<<", "content": content, "end": ">"}
    spelled = [b"<<", b"<<f(", b"f(a=", b"1)", b"1)>", b"aa", b"=a b", b"'x", b"'>'", b" ", b"1a", b"a1", b"),"]
    tokens = [*spelled, *(bytes([byte]) for byte in b"<>fa=1'(), "), None]
    compiled = GrammarCompiler(
        Vocabulary(tokens, stop_token_ids=[len(tokens) - 1]), cache_dir=""
    ).compile_structural_tag({"type": "structural_tag", "format": whole})
    for prefix in ("", "<<f", "<<f(a=", "<<f(a=1", "<<f(a=a", "<<f(a='", "<<f(a=1) ", "<<f()>"):
        matcher = Matcher(compiled)
        assert not prefix or matcher.accept_bytes(prefix.encode())
        allowed = set(matcher.allowed_token_ids().tolist())
        for number, token in enumerate(tokens[:-1]):
            assert (number in allowed) == matcher.fork().accept_bytes(token or b""), (prefix, token)


def test_nothing_is_read_from_files(compiler: GrammarCompiler) -> None:
    for source in ("%import .other.A\nstart: A", "python", "other.lark"):
        with pytest.raises(UnsupportedGrammarError, match="/format/grammar"):
            compiler.compile_structural_tag(
                {"type": "structural_tag", "format": {"type": "grammar", "grammar": source}}
            )
