"""GBNF and EBNF: how texts are read, what is refused and where, hostile grammars."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.errors import (
    GrammarEngineError,
    GrammarSyntaxError,
    LimitExceededError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
)
from grammar_engine.compiler.frontends.gbnf.grammar import gbnf_grammar, is_gbnf, load_gbnf_grammar
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine import grammars
from grammar_engine.matcher import Matcher


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [bytes([byte]) for byte in range(256)]
    return GrammarCompiler(Vocabulary([*tokens, None], stop_token_ids=[256], special_token_ids=[256]), cache_dir="")


def verdict(compiler: GrammarCompiler, source: str, text: str, root: str = "root") -> bool:
    matcher = Matcher(compiler.compile_gbnf(source, root=root))
    return (not text or matcher.accept_bytes(text.encode())) and matcher.is_accepting()


ACCEPTED: list[tuple[str, list[str], list[str]]] = [
    # layout: comments, newlines in parentheses and behind |, no spaces at all, Windows line ends
    ('root::="a"|"b"', ["a", "b"], ["", "ab"]),
    ('# first\nroot ::= # what\n  "a" |\n  "b" # more\n\n# end', ["a", "b"], ["ab"]),
    ('root ::= ("a"\n  # inside\n  "b")\r\nx ::= "c"\r\n', ["ab"], ["a", "c"]),
    ('root ::= | "a"', ["", "a"], ["aa"]),
    ('root ::= "a" ()', ["a"], [""]),
    ('root ::= ("a" | )', ["", "a"], ["b"]),
    ("root ::=", [""], ["a"]),
    # names: dashes, digits first, underscores
    ('root ::= a-b 1st x_y\na-b ::= "1"\n1st ::= "2"\nx_y ::= "3"', ["123"], ["12"]),
    ("root ::= number-\nnumber- ::= [0-9]", ["5"], ["-", "5-"]),
    # escapes
    (r'root ::= "\x41\u00e9\U0001F600\n\t\r\\\"\[\]"', ['Aé😀\n\t\r\\"[]'], ["A"]),
    (r'root ::= "\x0A0"', ["\n0"], ["\xa0"]),
    (r"root ::= [\]\[\\\"\-]+", ['][\\"-'], ["a"]),
    (r"root ::= [\x41-\x43\u00e9]{2}", ["AC", "éB"], ["D", "A"]),
    # sets: dashes at the ends, negation, ranges, code points
    ("root ::= [+-] [-+] [a-]", ["+-a", "-+-"], ["a+a", "++b"]),
    ('root ::= [^"\\\\\\x00-\\x1F]', ["a", "é", "😀", "'"], ['"', "\\", "\n", ""]),
    ("root ::= [^^]", ["a"], ["^"]),
    ("root ::= [^é-ü]", ["a", "日"], ["ö"]),
    ("root ::= [あ-ん]+", ["ひらがな"], ["カ"]),
    ("root ::= . .", ["ab", "é\n", "😀日"], ["a", "abc"]),
    (r"root ::= [a\uD800-\uDFFF]", ["a"], ["b"]),
    # repetitions
    ('root ::= "a"* "b"+ "c"?', ["b", "aabbc"], ["a", "c"]),
    ('root ::= ("a"|"b"){2} "c"{1,} "d"{0,2} "e"{ 2 , 3 }', ["abcee", "bbcccddeee"], ["abcdddee", "abcdde"]),
    ('root ::= "ab"{2}', ["abab"], ["abb"]),
    ('root ::= "a"+{2}', ["aa", "aaa"], ["a"]),
    ('root ::= "a"{0} "b"', ["b"], ["ab"]),
    ('root ::= "a"{2,-1}', ["aa", "aaaa"], ["a"]),
    ('root ::= ""* "a"', ["a"], [""]),
    # recursion: left, right, both, hidden, mutual
    ('root ::= root "+" n | n\nn ::= [0-9]', ["1", "1+2+3"], ["1+", "+1"]),
    ('root ::= n ("," root)?\nn ::= [0-9]', ["1", "1,2,3"], ["1,"]),
    ('root ::= root root | "a"', ["a", "aaaaa"], [""]),
    ('root ::= e root "b" | "a"\ne ::= "x"?', ["a", "xab", "xxabb", "abb"], ["b", "xa"]),
    ('root ::= "a" r2 | "x"\nr2 ::= "b" root | "y"', ["x", "ay", "abx", "abay"], ["ab", "by"]),
    ('root ::= r2 "a" | "x"\nr2 ::= root "b" | "y"', ["x", "ya", "xba"], ["xb"]),
    ('root ::= "(" root? ")"', ["()", "((()))"], ["(", "())"]),
    ('ws ::= ([ \\n] ws)?\nroot ::= "a" ws "b"', ["ab", "a \n b"], ["a"]),
    ('root ::= a\na ::= b\nb ::= a | "x"', ["x"], [""]),
    ('root ::= a? a?\na ::= root | "x"', ["", "x", "xxx"], ["y"]),
    # XGrammar's EBNF: sequences over lines, dots in names, escapes
    ('root ::= "a"\n  "b"\n  | "c"\nx.y ::= "d"', ["ab", "c"], ["a", "d"]),
    ('root ::= x.y "e"\nx.y ::= "d"', ["de"], ["dxe"]),
    ('root ::= x.y\nx ::= "d"\ny ::= "e"', ["d-e", "dde"], ["de"]),
    (r'root ::= "\a\b\f\v\e\0\?" [\^\$\.\*\+\(\)\{\}\|\/]', ["\a\b\f\v\x1b\0?^"], ["a"]),
]


@pytest.mark.parametrize(("source", "good", "bad"), ACCEPTED, ids=[source for source, _, _ in ACCEPTED])
def test_what_grammars_mean(compiler: GrammarCompiler, source: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert verdict(compiler, source, text), text
    for text in bad:
        assert not verdict(compiler, source, text), text


MALFORMED = [
    ("", 1, 1, "there is no rule 'root'"),
    ('start ::= "a"', 1, 1, "there is no rule 'root' to start from; there is start"),
    ('root "a"', 1, 6, "expected ::="),
    ('root ::= "a', 1, 10, "never closed"),
    ("root ::= [a-z", 1, 10, "never closed"),
    ('root ::= "a"\n    ("b" | "c"\nx ::= "d"', 2, 5, "never closed"),
    ('root ::= "a")', 1, 13, "no open parenthesis"),
    ("root ::= *", 1, 10, "nothing before *"),
    ('root ::= "a"{,3}', 1, 14, "{0,"),
    ('root ::= "a"{x}', 1, 14, "least number"),
    ('root ::= "a"{1,x}', 1, 16, "greatest number"),
    ('root ::= "a"{1', 1, 15, "expected }"),
    ('root ::= "a"{3,2}', 1, 13, "at least 3 and at most 2"),
    ("root ::= b\n\nc ::= b b", 1, 10, "rule 'b' is not defined"),
    ('root ::= "a"\nroot ::= "b"', 2, 1, "defined already, in line 1"),
    ('root ::= "a" b ::= "c"', 1, 16, "beginning of its line"),
    ('root ::=\nb ::= "c"', 2, 1, "is empty"),
    (r'root ::= "é\q"', 1, 12, r"unknown escape \q"),
    (r'root ::= "\x4"', 1, 11, "2 hexadecimal digits"),
    (r'root ::= "\u12"', 1, 11, "4 hexadecimal digits"),
    (r'root ::= "\U00110000"', 1, 11, "last code point"),
    (r'root ::= "\uD83D\uDE00"', 1, 11, "surrogate"),
    ("root ::= [z-a]", 1, 11, "ends before it begins"),
    ("root ::= []", 1, 10, "empty set"),
    ("root ::= [^]", 1, 10, "empty set"),
    ("root ::= 'a'", 1, 10, "double quotes"),
    ('root ::= "a" // comment', 1, 14, "comments begin with #"),
    ('root ::= "a" ;', 1, 14, "unexpected ';'"),
    ('root = "a"', 1, 6, "expected ::="),
    ("# nothing\n\n  ::= x", 3, 3, "expected the name"),
]


@pytest.mark.parametrize(("source", "line", "column", "reason"), MALFORMED, ids=[case[0] for case in MALFORMED])
def test_mistakes_have_a_place(source: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(GrammarSyntaxError) as caught:
        gbnf_grammar(source)
    error = caught.value
    assert reason in error.reason
    assert (error.line, error.column, error.source) == (line, column, source)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ('root ::= "a" (="b")', "line 1, column 14"),
        ('root ::= "a"\n  (?="b")', "line 2, column 3"),
        ("root ::= <think> .*", "line 1, column 10"),
        ("root ::= !<[17]>", "line 1, column 10"),
        ('root ::= Regex("a+")', "line 1, column 10"),
        ('root[max_tokens=3] ::= "a"', "line 1, column 1"),
        ('root ::= "a" x\nx[capture] ::= "b"', "line 2, column 1"),
        (r"root ::= [\d]", "line 1, column 11"),
    ],
)
def test_what_is_not_supported_is_named(source: str, place: str) -> None:
    with pytest.raises(UnsupportedGrammarError) as caught:
        gbnf_grammar(source)
    assert caught.value.place == place


def test_rules_that_are_named_like_macros_are_rules(compiler: GrammarCompiler) -> None:
    assert verdict(compiler, 'root ::= Token ("x" | "y")\nToken ::= "t"', "ty")


@pytest.mark.parametrize(
    "source", ['root ::= "a" root', "root ::= root", 'root ::= a\na ::= b "x"\nb ::= a', r"root ::= [\uD800-\uDFFF]"]
)
def test_empty_languages(source: str) -> None:
    with pytest.raises(UnsatisfiableGrammarError):
        gbnf_grammar(source)


def test_a_rule_without_texts_is_no_way_out(compiler: GrammarCompiler) -> None:
    source = 'root ::= "a" (never | "b")\nnever ::= "a" never'
    matcher = Matcher(compiler.compile_gbnf(source))
    assert matcher.accept_bytes(b"a")
    assert matcher.jump_forward_bytes() == b"b"
    assert verdict(compiler, 'root ::= never?\nnever ::= "a" never', "")


def test_another_root(compiler: GrammarCompiler) -> None:
    source = 'root ::= item+\nitem ::= "x"'
    assert verdict(compiler, source, "x", root="item")
    assert not verdict(compiler, source, "xx", root="item")


def test_text_path_and_shipped_name(compiler: GrammarCompiler, tmp_path: Path) -> None:
    path = tmp_path / "pair.gbnf"
    path.write_text('root ::= "é" "b"', "utf-8")
    for source in (path, str(path)):
        assert Matcher(compiler.compile_gbnf(source)).accept_bytes("éb".encode())
    path.write_text('root ::= "c"', "utf-8")
    assert Matcher(compiler.compile_gbnf(path)).accept_bytes(b"c")
    for name in grammars.shipped_names(".gbnf"):
        assert Matcher(compiler.compile_gbnf(name)).allowed_token_ids().size
    assert verdict(compiler, "json", '{"a": [1, -2.5e3, "x\\n"], "b": {}}')
    assert not verdict(compiler, "json", '{"a": [1,]}')
    assert verdict(compiler, "arithmetic", "f(x, 1) ^ 2 = -(a + 3) * b\n")
    with pytest.raises(GrammarSyntaxError, match="neither a GBNF grammar nor a shipped one"):
        compiler.compile_gbnf("nonsense")
    with pytest.raises(FileNotFoundError):
        compiler.compile_gbnf("missing.gbnf")


def test_gbnf_is_told_from_lark() -> None:
    assert is_gbnf('# comment\n\n  root ::= "a"')
    assert is_gbnf("folder/x.gbnf")
    assert is_gbnf("arithmetic")
    assert not is_gbnf("json")  # the shipped Lark grammar of that name
    assert not is_gbnf('start: "::="')
    assert not is_gbnf(" " * 10_000 + "x")


def test_long_texts_of_deep_and_listing_rules(compiler: GrammarCompiler) -> None:
    began = time.thread_time()
    deep = quick("root ::= " + '("a" ' * 2_000 + ")?" * 2_000, compiler)
    assert deep is not None
    assert deep.accept_bytes(b"a" * 2_000)
    assert deep.is_accepting()
    assert not deep.accept_bytes(b"a")
    for source in ('root ::= item ("," root)?', 'root ::= (root ",")? item'):
        listing = Matcher(compiler.compile_gbnf(source + '\nitem ::= "x" | "(" root ")"'))
        assert listing.accept_bytes(b"(x,x)," * 1_000 + b"x")
        configurations = compiler.compile_gbnf(source + '\nitem ::= "x" | "(" root ")"').statistics["configurations"]
        assert configurations < 30  # the stack is the same after every element
    assert time.thread_time() - began < 20


# -- hostile grammars ---------------------------------------------------------------------------------------------


def quick(source: str, compiler: GrammarCompiler) -> Matcher | None:
    """A matcher with its first mask, or None for a named error; within seconds either way."""
    began = time.thread_time()
    try:
        matcher = Matcher(compiler.compile_grammar(load_gbnf_grammar(source)))
        matcher.allowed_token_ids()
    except GrammarEngineError:
        matcher = None
    assert time.thread_time() - began < 5
    return matcher


def test_counts_of_any_size(compiler: GrammarCompiler) -> None:
    matcher = quick('root ::= "a"{3,1000000} "b"', compiler)
    assert matcher is not None
    assert matcher.accept_bytes(b"a" * 5000 + b"b")
    matcher = quick('root ::= item{5,70000}\nitem ::= "(" item? ")"', compiler)
    assert matcher is not None
    assert matcher.accept_bytes(b"()" * 4)
    assert not matcher.is_accepting()
    assert matcher.accept_bytes(b"(())" * 300)
    assert matcher.is_accepting()
    for count, good, bad in ((7, [7], [6, 8]), (1, [1], [2])):
        source = f'root ::= item{{{count}}}\nitem ::= "(" item? ")"'
        assert all(verdict(compiler, source, "()" * rounds) for rounds in good)
        assert not any(verdict(compiler, source, "()" * rounds) for rounds in bad)
    source = 'root ::= item{2,5}\nitem ::= "(" item? ")"'
    assert [verdict(compiler, source, "()" * rounds) for rounds in range(8)] == [2 <= n <= 5 for n in range(8)]
    assert quick('root ::= ((("a"{1000}){1000}){1000}){1000}', compiler) is not None
    assert quick('root ::= ("a" ("b"{0,5000} "c"?){0,5000}){0,5000}', compiler) is not None
    assert quick('root ::= "a"{999999999999999999}', compiler) is not None
    with pytest.raises(LimitExceededError):
        gbnf_grammar('root ::= "a"{' + "9" * 5000 + "}")


@pytest.mark.parametrize(
    "source",
    [
        "root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000,
        "root ::= " + '("a" ' * 5_000 + ")?" * 5_000,
        "root ::= " + '("a" | "b" ' * 5_000 + ")*" * 5_000,
        "root ::= " + "(" * 3_000 + '"a"' + ")*" * 3_000,
        "root ::= " + '"a"? ' * 5_000,
        "root ::= " + "[a-z]* " * 3_000,
        "root ::= a0\n" + "".join(f"a{n} ::= a{n + 1} a{n + 1}\n" for n in range(200)) + 'a200 ::= "x"',
        "root ::= a0\n" + "".join(f'a{n} ::= a{n + 1} a{n + 1} | "y"\n' for n in range(200)) + 'a200 ::= "x" | ""',
        "root ::= a0\n" + "".join(f"a{n} ::= a{n + 1}\n" for n in range(10_000)) + 'a10000 ::= "x"',
        "root ::= a0\n" + "".join(f'a{n} ::= "x" a{n + 1}\n' for n in range(10_000)) + 'a10000 ::= "x"',
        "root ::= " + " | ".join(f"r{n}" for n in range(10_000)) + "".join(f'\nr{n} ::= "{n}"' for n in range(10_000)),
        "root ::= " + " | ".join(f'"word{n}"' for n in range(20_000)),
        "".join(f"{'root' if n == 0 else f'r{n}'} ::= r{(n + 1) % 300 or 1} | r{n // 2 + 1}? \n" for n in range(300)),
        "root ::= a? b? root?\na ::= b? a?\nb ::= a? root? b?",
        'root ::= (root? root?)* | ("a"?)+',
        "root ::= " + "".join(f"r{n}? " for n in range(500)) + "".join(f'\nr{n} ::= "{n}" root?' for n in range(500)),
        'root ::= "' + "x" * 500_000 + '"',
        "root ::= [" + "".join(f"\\U{code:08X}" for code in range(0x100, 0x20000, 3)) + "]{1,3}",
        "root ::= " + "\n# comment" * 50_000 + '\n"a"',
        "root ::= " + "\nx " * 5_000 + '\nx ::= "y"',
        "".join(f'r{n} ::= "a" r{(n * 7 + 1) % 8} | "b" r{(n * 3 + 2) % 8} | "c"\n' for n in range(8)) + "root ::= r0",
        'root ::= ([a-c]? "x"){200} ([a-c]* "y"?){100}',
    ],
    ids=lambda source: source[:40],
)
def test_hostile_grammars_compile_within_seconds(compiler: GrammarCompiler, source: str) -> None:
    assert quick(source, compiler) is not None


def test_the_snippet_of_the_docs_runs() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "gbnf.md").read_text("utf-8")
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        exec(compile(code, "docs/gbnf.md", "exec"), {})  # noqa: S102 - our own page
