"""``regex=True``: patterns of the package regex, judged by Lark with that package."""

from __future__ import annotations

import re

import lark
import pytest
from grammar_engine.compiler.errors import UnsupportedGrammarError
from grammar_engine.compiler.frontends.lark import lark_grammar
from grammar_engine.compiler.reference import recognizer_of

regex = pytest.importorskip("regex")

TEXTS = [
    "a", "ab", "abc", "1", "12a", "123abc",
    "_", "é", "É", "ſ", "s", "K", "\u212a", "க்", "க", "\u0bcd", "\u200d", "٣", " ",
    "\x1c", "\u180e", "ß", "ẞ", "ss",
    "ǆ", "ǅ", "Σ", "ς", "İ", "i", "ı", "b", "ba", "a1", "1a", "{", "a{", "ⅷ", "①", "\u0345",
]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w+", r"[\w]+", r"\W", r"\d+", r"\D", r"\s", r"\S+", r"(?i:[a-z]+)", r"(?i:É|s|k|σ|i)", r"(?i:[^s])",
        r"\w\b.?",
        r"(?(?=\d)\d+|\w+)", r"(?(?!\d)\w+|\d)", r"[b1](?(?<=b)a|.?)", r"(?(?=a)ab|(?(?=1)12a|.))", r"a(?(?=b)b)",
        r"[({](?(?=\))a)?", r"a\{", r"a{1,2}b?", r"(?a:\w+)", r"(?(?=[(|])x|a)",
    ],
)  # fmt: skip
def test_verdicts_are_those_of_lark_with_the_package(pattern: str) -> None:
    source = f"start: A\nA: /{pattern}/"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lark.lexer.has_interegular", False)
        oracle = lark.Lark(source, parser="lalr", regex=True)
    recognizer = recognizer_of(lark_grammar(source, parser="lalr", regex=True))
    for text in TEXTS:
        assert recognizer.accepts(text.encode()) == _accepts(oracle, text), (pattern, text)


def _accepts(oracle: lark.Lark, text: str) -> bool:
    try:
        oracle.parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"\p{L}+", "re has not"), (r"a{e<=1}", "fuzzy"), (r"[[:alpha:]]+", "POSIX"), (r"(?V1)[a-z--b]", "re has not"),
        (r"(?x: a #c\n)", "comment"), (r"a++", "possessive"), (r"(?<=bc)a", "look-behind"),
    ],
)  # fmt: skip
def test_what_only_the_package_has_is_refused(pattern: str, what: str) -> None:
    with pytest.raises(UnsupportedGrammarError, match=what):
        lark_grammar(f"start: A\nA: /{pattern}/", regex=True)


def test_flags() -> None:
    assert recognizer_of(lark_grammar("start: A\nA: /\\w+/", g_regex_flags=regex.I, regex=True)).accepts(b"aB")
    ascii_only = recognizer_of(lark_grammar("start: A\nA: /\\w+/", g_regex_flags=regex.ASCII, regex=True))
    assert not ascii_only.accepts("é".encode())
    assert ascii_only.accepts(b"e")
    with pytest.raises(UnsupportedGrammarError, match="g_regex_flags"):
        lark_grammar("start: A\nA: /a/", g_regex_flags=regex.V1, regex=True)
    assert not recognizer_of(lark_grammar("start: A\nA: /\\w+/", g_regex_flags=re.ASCII)).accepts("é".encode())
