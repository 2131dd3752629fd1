"""Grammars that follow Lark's LALR table: conflicts, lookaheads that lead nowhere, indentation, masks.

Verdicts are Lark's own. Masks are compared with ``TableRecognizer``, byte by byte, at every prefix of accepted texts.
"""

from __future__ import annotations

import random

import lark
import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import GrammarSyntaxError, UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.reference import recognizer_of
from grammar_engine.compiler.vocabulary import Vocabulary
from lark.indenter import Indenter

from grammar_engine.matcher import Matcher


class Blocks(Indenter):
    NL_type = "_NL"
    OPEN_PAREN_types = ["LPAR"]  # noqa: RUF012 (Lark's interface)
    CLOSE_PAREN_types = ["RPAR"]  # noqa: RUF012
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 4


BLOCKS = r"""
start: (_NL | stmt)*
stmt: simple _NL | "if" expr ":" suite ["else" ":" suite]
suite: simple _NL | _NL _INDENT stmt+ _DEDENT
simple: "pass" | expr
expr: NAME | expr "+" NAME | "(" [expr ("," expr)*] ")"
NAME: /[a-z]+/
COMMENT: /#[^\n]*/
_NL: (/\r?\n[\t ]*/ | COMMENT)+
%declare _INDENT _DEDENT
%ignore /[ \t]+/
%ignore COMMENT
"""
PIECES = [
    "if a:\n",
    "  b\n",
    "    c\n",
    "\tc\n",
    "else:\n",
    "pass\n",
    "(a,\n b)\n",
    "# x y\n",
    "\n",
    "  ",
    "if a: b\n",
    "a+b\n",
    ")",
]
GRAMMARS = {
    "dangling else": ('start: "if" start | "if" start "else" start | "x"', ["if", "else", "x"]),
    "lookaheads of another context": (
        'start: "a" e "]" | "b" e ")"\ne: NAME\nNAME: /[a-z]/\nCLOSE.2: ")" "]"\n%ignore " "',
        ["an]", "bn)", "a", "b", "n", "]", ")", " "],
    ),
    "a keyword that only blocks": (
        'start: "(" e ")" | "[" e "in" NAME "]"\ne: NAME | e NAME "!"\nNAME: /[a-z]+/\n%ignore " "',
        ["(x)", "[x in y]", "(", ")", "[", "]", "in", "x", " ", "!", "inn", "[in in in]"],
    ),
    "rules that are empty": ('start: a b "c"\na: "a" |\nb: "b" | "bb" |', ["a", "b", "c", "bb"]),
}


WORDS = r"""
start: (stmt ";")+
stmt: "assert" e | "return" | "match" e | e AS NAME | e
e: t | e IN t | e NOT IN t
t: name | "(" e ")" | NUM
name: NAME | "match"
IN: /in(?!\w)/
NOT: /not(?!\w)/
AS: /as(?!\w)/
NUM: /[0-9]+/
NAME: /(?!(?:assert|as|in|not|return)\b)[^\W\d]\w*/
%ignore " "
"""


def accepted_by(oracle: lark.Lark, text: str) -> bool:
    try:
        oracle.parse(text)
    except (lark.exceptions.LarkError, AssertionError, IndexError):  # the Indenter has no errors of its own for these
        return False
    return True


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    words = [
        b"if ",
        b":\n",
        b"\n  ",
        b"\n    ",
        b"\n\n",
        b"else",
        b"  if",
        b"a+",
        b"(\n",
        b"\n)",
        b"pass\n",
        b" #",
        b"in",
    ]
    tokens = [*(bytes([byte]) for byte in range(256)), *words]
    return GrammarCompiler(Vocabulary([*tokens, b""], stop_token_ids=[len(tokens)]), cache_size=1, cache_dir="")


@pytest.mark.parametrize("lexer", ["contextual", "basic"])
@pytest.mark.parametrize("name", GRAMMARS)
def test_verdicts_and_masks(compiler: GrammarCompiler, name: str, lexer: str) -> None:
    source, pieces = GRAMMARS[name]
    oracle = lark.Lark(source, parser="lalr", lexer=lexer)
    grammar = lark_grammar(source, parser="lalr", lexer=lexer)
    compare(compiler, oracle, grammar, pieces, seed=3)


def test_reserved_words_that_are_not_split(compiler: GrammarCompiler) -> None:
    """``as`` is reserved, the beginning of ``assert``, and where no name is expected not the beginning of ``asx``."""
    words = ["in", "as", "assert", "ass", " ", " x", "not", "1", "(", ")", ";", "match", "int", "1in ", "1inx ", "é"]
    sentences = ["x as y;", "x in y;", "match x;", "1 not in x;", "assert x as match;", "return;"]
    oracle = lark.Lark(WORDS, parser="lalr")
    compare(compiler, oracle, lark_grammar(WORDS, parser="lalr"), [*words, *sentences], seed=6)


@pytest.mark.parametrize("lexer", ["contextual", "basic"])
def test_indentation(compiler: GrammarCompiler, lexer: str) -> None:
    oracle = lark.Lark(BLOCKS, parser="lalr", lexer=lexer, postlex=Blocks())
    grammar = lark_grammar(BLOCKS, parser="lalr", lexer=lexer, postlex=Blocks)
    compare(compiler, oracle, grammar, PIECES, seed=5, length=9)


def compare(
    compiler: GrammarCompiler, oracle: lark.Lark, grammar: object, pieces: list[str], *, seed: int, length: int = 7
) -> None:
    reference = recognizer_of(grammar)  # type: ignore[arg-type]
    compiled = compiler.compile_grammar(grammar)  # type: ignore[arg-type]
    rng = random.Random(seed)
    texts = {"".join(rng.choice(pieces) for _ in range(rng.randint(0, length))) for _ in range(400)}
    texts.update(pieces)
    verdicts = {True: 0, False: 0}
    for text in sorted(texts):
        matcher = Matcher(compiled)
        accepted = matcher.accept_bytes(text.encode()) and matcher.is_accepting()
        expected = accepted_by(oracle, text) and not ends_in_a_comment(text)
        assert reference.accepts(text.encode()) == expected, text
        assert accepted == expected, text
        verdicts[expected] += 1
        if rng.random() < 0.1:
            compare_masks(compiler, Matcher(compiled), reference, text.encode())
    assert verdicts[True] >= 3
    assert verdicts[False] >= 20


def ends_in_a_comment(text: str) -> bool:
    """The one restriction: a comment that a newline terminal has swallowed is followed by a line feed."""
    return "#" in text.rpartition("\n")[2]


def compare_masks(compiler: GrammarCompiler, matcher: Matcher, reference: object, text: bytes) -> None:
    """At every prefix of a text, as far as it goes."""
    tokens = compiler.vocabulary.tokens
    for end in range(len(text) + 1):
        allowed = set(matcher.allowed_token_ids().tolist()) - {len(tokens) - 1}
        assert allowed == reference.allowed_token_ids(tokens, text[:end]), text[:end]  # type: ignore[attr-defined]
        if not matcher.accept_bytes(text[end : end + 1]):
            return


def test_every_prefix_of_an_indented_text_lives(compiler: GrammarCompiler) -> None:
    text = b"if a:\n  if b:\n\tc\n\n# d\n  else:\n    pass\n(f,\n g)\n"
    matcher = Matcher(compiler.compile_lark(BLOCKS, postlex=Blocks()))
    for byte in text:
        assert matcher.accept_bytes(bytes([byte])), byte
    assert matcher.is_accepting()
    matcher.rollback(10)
    assert not matcher.is_accepting()


def test_fork_and_rollback_keep_the_indentation(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_lark(BLOCKS, postlex=Blocks()))
    assert matcher.accept_bytes(b"if a:\n   b\n")
    other = matcher.fork()
    assert other.accept_bytes(b"   if c:\n      d\n")
    assert not matcher.fork().accept_bytes(b"  b\n")
    assert other.accept_bytes(b"e\n")
    assert other.is_accepting()
    assert matcher.accept_bytes(b"   b\n")


def test_indentation_has_a_limit(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_lark(BLOCKS, postlex=Blocks()))
    assert matcher.accept_bytes(b"if a:\n" + b" " * 255 + b"b\n")
    matcher.reset()
    assert not matcher.accept_bytes(b"if a:\n" + b" " * 256 + b"b\n")


@pytest.mark.parametrize(
    ("source", "postlex", "construct"),
    [
        (BLOCKS, lark.lark.PostLex, "postlex"),
        (BLOCKS, object(), "postlex"),
        (BLOCKS.replace("(/\\r?\\n[\\t ]*/ | COMMENT)+", "/\\n[ ]*(#[a-z]*)?/"), Blocks(), "another line feed"),
        (BLOCKS.replace("%declare _INDENT", '_INDENT: "x"\n%declare'), Blocks(), "defines itself"),
    ],
)
def test_what_is_unsupported_is_named(source: str, postlex: object, construct: str) -> None:
    with pytest.raises(UnsupportedGrammarError) as caught:
        lark_grammar(source, postlex=postlex)
    assert construct in str(caught.value)
    with pytest.raises(UnsupportedGrammarError, match="parser='earley'"):
        lark_grammar(BLOCKS, parser="earley", postlex=Blocks())
    with pytest.raises(GrammarSyntaxError, match="not defined"):
        lark_grammar('start: "a" _INDENT\n%declare _INDENT', postlex=Blocks())
