"""The Lark front end: options, places of errors, keywords, lexer equivalences, and the shipped grammars."""

from __future__ import annotations

import gzip
import json
import os
import re
import warnings
from pathlib import Path

import lark
import pytest
from grammar_engine.compiler.errors import (
    GrammarSyntaxError,
    UnsatisfiableGrammarError,
    UnsupportedGrammarError,
)
from grammar_engine.compiler.frontends.lark import lark_grammar, load_lark_grammar
from grammar_engine.compiler.frontends.lark_lexing import TerminalView
from grammar_engine.compiler.frontends.lark_loading import load
from grammar_engine.compiler.frontends.lark_patterns import Patterns
from grammar_engine.compiler.frontends.lark_source import read_lark_source
from grammar_engine.compiler.frontends.lark_terminals import sorted_terminals
from grammar_engine.compiler.ir import EagerGrammar, Lexing
from grammar_engine.compiler.reference import recognizer_of
from lark.lexer import BasicLexer

from grammar_engine import grammars

SHARED = Path(os.environ.get("GRAMMAR_ENGINE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def accepts(grammar: EagerGrammar, text: str) -> bool:
    return recognizer_of(grammar).accepts(text.encode())


def accepted_by(oracle: lark.Lark, text: str) -> bool:
    try:
        oracle.parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


# -- places of errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ('start: "a" (\n', 1, 13, "is not closed yet"),
        ('start: "a"\nb: 1\n', 2, 4, "expected a name"),
        ('start: "a"\n     | missing\n', 2, 8, "used but not defined"),
        ('start: "a" "\n', 1, 12, "does not end on its line"),
        ("start: A\nA: /a*/\n", 2, 1, "can match the empty text"),
        ('start: A\nA: /(/\nB: "x"\n', 2, 5, "not a regular expression"),
        ('start: "a"\n%import nothing.A\n', 2, 9, "cannot import 'nothing'"),
        ('start: "a"\n%ignore X\n', 2, 9, "not defined"),
        ('other: "a"\n', 1, 1, "no rule is named 'start'"),
        ('start: A\nA: "a" A\n', 2, 1, "only rules may be recursive"),
        ('start: ""\n', 1, 8, "an empty string"),
        ('\nstart: a~1..2 [a]\na: "x"', 2, 1, "Rules defined twice: . <start : a a>"),
    ],
)
def test_syntax_errors_have_a_place(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(GrammarSyntaxError, match=message) as caught:
        lark_grammar(source)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_an_error_in_an_imported_grammar_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "broken.lark").write_text('A: "a"\n\n\nB: (\n')
    with pytest.raises(GrammarSyntaxError, match=r"broken\.lark, line 4, column 5") as caught:
        lark_grammar("start: A\n%import broken.A\n", import_paths=[str(tmp_path)])
    assert caught.value.path == str(tmp_path / "broken.lark")


@pytest.mark.parametrize(
    ("source", "options", "construct", "place"),
    [
        ("start: A\n\n A: /(?<=bc)a/", {}, "a look-behind that looks more than one", "terminal A, line 3, column 2"),
        ("start: A\nA: /(a)\\1/", {}, "back-reference", "terminal A, line 2"),
        ("%declare X\nstart: X", {}, "terminal X, declared", "rule start"),
        ('start: "\\ud800"', {}, "surrogate", "line 1"),
        ('start: "a"', {"parser": "ll"}, "parser='ll'", "options"),
        ('start: "a"', {"parser": "lalr", "lexer": "dynamic"}, "lexer='dynamic' with parser='lalr'", "options"),
        ('start: /a(?=b)/ "b"', {"lexer": "dynamic_complete"}, "lexer='dynamic_complete'", "terminal __ANON_0"),
        ('start: /[a-z ]+/\n%ignore " "', {}, "the keyword", "line 2"),
    ],
)
def test_what_is_unsupported_is_named(source: str, options: dict, construct: str, place: str) -> None:
    with pytest.raises(UnsupportedGrammarError) as caught:
        lark_grammar(source, **options)
    assert construct in caught.value.construct
    assert place in caught.value.place
    assert caught.value.advice


def test_nothing_to_match() -> None:
    with pytest.raises(UnsatisfiableGrammarError, match="start"):
        lark_grammar('start: "(" start ")"')
    with pytest.raises(UnsatisfiableGrammarError):  # Lark's lexer ignores every WS that the rule waits for
        lark_grammar('start: WS\nWS: " "\n%ignore WS')


# -- parser and lexer modes -----------------------------------------------------------------------------------------


def test_auto_prefers_lalr() -> None:
    grammar = lark_grammar('start: "a" start | "b"')
    assert (grammar.parser, grammar.lexer, grammar.lexing) == ("lalr", "contextual", Lexing.LEFTMOST)


def test_auto_falls_back_to_earley() -> None:
    grammar = lark_grammar('start: a "x" "y" | b "x" "z"\na: "q"\nb: "q"')
    assert (grammar.parser, grammar.lexer, grammar.lexing) == ("earley", "dynamic", Lexing.UNORDERED)
    with pytest.raises(GrammarSyntaxError, match="not LALR"):
        lark_grammar('start: a "x" "y" | b "x" "z"\na: "q"\nb: "q"', parser="lalr")


def test_conflicts_are_resolved_as_lark_resolves_them() -> None:
    source = 'start: "if" start | "if" start "else" start | "x"'
    oracle = lark.Lark(source, parser="lalr")
    for text in ("ifx", "ififxelsex", "ififxelsexelsex", "ifxelseifxelsex", "ififxelsexelsexelsex"):
        assert accepts(lark_grammar(source), text) == accepted_by(oracle, text), text


def test_glr_takes_everything_that_the_rules_derive() -> None:
    source = 'start: "if" start | "if" start "else" start | ID\nID: /[a-z]+/\n%ignore " "'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grammar = lark_grammar(source, parser="glr")
    assert (grammar.parser, grammar.lexer, grammar.lexing) == ("glr", "contextual", Lexing.LEFTMOST)
    assert accepts(grammar, "if if x else y else z")
    assert not accepts(grammar, "if if x else y else z else w")
    assert not accepts(grammar, "ifx else y")  # lexemes stay greedy: an ID
    with pytest.raises(UnsupportedGrammarError, match="parser='glr'"):
        lark_grammar(source, parser="glr", lexer="dynamic")


@pytest.mark.parametrize(
    ("source", "options", "texts"),
    [
        ('start: NAME "if"\nNAME: /[a-z]+/', {"parser": "earley", "lexer": "basic"}, ["xif", "ifif", "if", "x"]),
        ('start: NAME+ | "ab"+\nNAME: /[b-z]+/', {"parser": "cyk", "lexer": "basic"}, ["abab", "bab", "bb", "abb"]),
        ('start: A | "1" B "z"\nA: /[a-y]+/\nB.2: /b/', {"parser": "earley", "lexer": "basic"}, ["abc", "1bz", "cab"]),
        ('start: /a+/ "ab"', {"parser": "earley", "lexer": "dynamic"}, ["aab", "aaab", "a"]),
        ('start: /a+?/ "b"', {"parser": "earley", "lexer": "dynamic"}, ["ab", "aab"]),
        ('start: /a+?/ "b"', {"parser": "earley", "lexer": "dynamic_complete"}, ["ab", "aab", "b"]),
        ('start: /a|aab?/ "b"', {"parser": "earley", "lexer": "dynamic_complete"}, ["ab", "aab", "aabb"]),
        ('start: "a" WS WS\nWS: /[ ]+/\n%ignore WS', {"parser": "earley", "lexer": "dynamic"}, ["a  ", "a", "a   "]),
        ('start: "a" B?\nB: /\\bb/', {"parser": "earley", "lexer": "dynamic"}, ["a", "ab", "b"]),
        ("start: A B\nA: /a(?=b)/\nB: /../", {"parser": "earley", "lexer": "dynamic"}, ["abc", "acb", "ab"]),
    ],
)
def test_basic_and_dynamic_lexers(source: str, options: dict, texts: list[str]) -> None:
    grammar = lark_grammar(source, **options)
    oracle = lark.Lark(source, **options)
    for text in texts:
        assert accepts(grammar, text) == accepted_by(oracle, text), text


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('start: (IF | WORD | "+")+\nIF.1: /\\bif\\b/\nWORD: /[a-z0-9]/\n%ignore " "', ["if", "xif", "x if", "=if"]),
        (
            "start: (HEAD | TEXT | NL)+\nHEAD.1: /(?m:^##)/\nTEXT: /[a-z]|##b/\nNL: /\\n/",
            ["##a", "a##", "a\n##"],
        ),
        ('start: "a" B "c"?\nB: /(?<!\\s)b/\n%ignore /\\s/', ["ab", "a b", "abc", "ab c"]),
        ("start: A+\nA: /^a|(?<=a)é|(?<=é)b/", ["a", "aé", "aéb", "é", "aa", "aéé"]),
    ],
)
def test_look_behind(source: str, texts: list[str]) -> None:
    grammar = lark_grammar(source, parser="lalr")
    oracle = lark.Lark(source, parser="lalr")
    verdicts = {text: accepted_by(oracle, text) for text in texts}
    assert {text: accepts(grammar, text) for text in texts} == verdicts
    assert set(verdicts.values()) == {True, False}


def test_cyk_allows_no_empty_rules() -> None:
    assert accepts(lark_grammar('start: "a" start | "b"', parser="cyk"), "aab")
    with pytest.raises(GrammarSyntaxError, match="empty"):
        lark_grammar('start: "a"?', parser="cyk")


def test_regex_flags_for_all_terminals() -> None:
    grammar = lark_grammar('start: "ab" /c+/', g_regex_flags=re.IGNORECASE)
    assert accepts(grammar, "aBcC")
    assert not accepts(lark_grammar('start: "ab" /c+/'), "aBcC")


# -- terminals ------------------------------------------------------------------------------------------------------

MANY = """
start: (A | B | "if" | "iffy" | "="| "==" | /x|yz/ | C | D | E)*
A: /[a-z]+/
B.3: /[0-9]{1,4}/
C: "c".."f"
D: "if"i
E.-1: /./
%ignore /[ ]+/
"""


def test_order_is_that_of_larks_lexer() -> None:
    parser = lark.Lark(MANY, parser="lalr", lexer="basic")
    assert isinstance(parser.parser.lexer, BasicLexer)
    expected = [terminal.name for terminal in parser.parser.lexer.terminals]
    assert [terminal.name for terminal in sorted_terminals(load(MANY, start="start"), Patterns())] == expected


def test_keywords() -> None:
    source = 'start: ("if" | "ok" | NAME | OP | "->")+\nNAME: /[a-z]+/\nOP: /-?>|-/\n%ignore " "'
    grammar = lark_grammar(source)
    ids = {terminal.name: index for index, terminal in enumerate(grammar.terminals)}
    unless = {terminal.name: terminal.unless for terminal in grammar.terminals}
    assert unless["IF"] == unless["OK"] == (ids["NAME"],)
    assert unless["__ANON_0"] == (ids["OP"],)
    assert unless["NAME"] == unless["OP"] == ()
    literals = {terminal.name: terminal.automaton for terminal in grammar.terminals}
    assert literals["IF"] == b"if"
    assert literals["__ANON_0"] == b"->"


def test_no_keyword_across_priorities() -> None:
    grammar = lark_grammar('start: (IF | NAME)+\nIF.2: "if"\nNAME: /[a-z]+/')
    assert all(terminal.unless == () for terminal in grammar.terminals)


def test_a_keyword_of_other_flags_is_two_terminals() -> None:
    grammar = lark_grammar('start: IF | NAME\nIF: "if"i\nNAME: /[a-z]+/')
    names = [terminal.name for terminal in grammar.terminals]
    assert names.count("IF") == 2
    assert {terminal.unless for terminal in grammar.terminals if terminal.name == "IF"} == {
        (),
        (names.index("NAME"),),
    }


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ('"ab"', '"abc"', True),
        ('"ab"', '"ac"', False),
        ("/a+b/", '"aa"', True),
        ("/a+b/", '"ac"', False),
        ("/[a-z]+/", "/[0-9]+/", False),
        ("/[0-9]+[.]/", "/[0-9]+/", True),
        ("/é/", "/è/", False),
    ],
)
def test_competing_terminals(first: str, second: str, expected: bool) -> None:
    grammar = lark_grammar(f"start: A | B\nA: {first}\nB: {second}")
    one, other = (TerminalView(terminal) for terminal in grammar.terminals)
    assert one.competes_with(other) is other.competes_with(one) is expected


@pytest.mark.parametrize(
    ("pattern", "choice", "longest"),
    [
        ("ab", False, True),
        ("a|bc", False, True),
        ("a+", True, True),
        ("a+?", True, False),
        ("a|ab", True, False),
        ("ab|a", True, True),
        ("[0-9]+(?:[.][0-9]+)?", True, True),
        ('"(?:[^"]|\\\\.)*"', True, False),  # [^"] takes the backslash first
        ('"(?:[^"\\\\]|\\\\.)*"', False, True),
        ('"[^"]*"', False, True),
        ('"[^"]*?"', False, True),
    ],
)
def test_choice_and_preference(pattern: str, choice: bool, longest: bool) -> None:
    view = TerminalView(lark_grammar(f"start: /{pattern}/").terminals[0])
    assert view.has_choice() is choice
    assert view.prefers_longest() is longest


# -- what Lark's loader does ----------------------------------------------------------------------------------------


def test_imports_overrides_and_relative_files(tmp_path: Path) -> None:
    (tmp_path / "base.lark").write_text('item: NAME | "(" item ")"\nNAME: /[a-z]+/\n')
    source = """
    start: item+
    %import .base.item
    %import common.INT
    %extend item: INT
    %ignore " "
    """
    grammar = lark_grammar(source, source_path=str(tmp_path / "main.lark"))
    assert accepts(grammar, "x (y) 12")
    assert not accepts(grammar, "x (y")
    elsewhere = lark_grammar("start: item\n%import base.item", import_paths=[str(tmp_path)])
    assert accepts(elsewhere, "((x))")


def test_texts_paths_and_names(tmp_path: Path) -> None:
    path = tmp_path / "main.lark"
    path.write_text("start: NAME\n%import .base.NAME\n")
    (tmp_path / "base.lark").write_text("NAME: /[a-z]+/\n")
    assert accepts(load_lark_grammar(read_lark_source(path)), "abc")
    assert accepts(load_lark_grammar(read_lark_source(str(path))), "abc")
    assert accepts(load_lark_grammar(read_lark_source("calc")), "1 + x")
    assert accepts(load_lark_grammar(read_lark_source('start: "x"')), "x")
    with pytest.raises(GrammarSyntaxError, match=r"calc, .*json"):
        read_lark_source("cobol")
    with pytest.raises(UnsupportedGrammarError, match="postlex"):
        load_lark_grammar(read_lark_source("calc", postlex=object()))


def test_rules_keep_their_names() -> None:
    grammar = lark_grammar('start: a? b? c? "."\na: "a"\nb: "b"\nc: "c"', parser="glr")
    assert grammar.rule_names[grammar.start] == "start"
    assert {"start", "a", "b", "c"} <= set(grammar.rule_names)
    assert len(grammar.rule_names) == len(grammar.rules)


def test_the_empty_text() -> None:
    assert accepts(lark_grammar('start: "a"*\n%ignore " "'), "  ")
    assert accepts(lark_grammar("start:"), "")
    assert not accepts(lark_grammar("start:"), "a")


def test_compiling_twice_gives_the_same() -> None:
    first, second = (lark_grammar(grammars.source("calc")) for _ in range(2))
    assert first.rules == second.rules
    assert [terminal.name for terminal in first.terminals] == [terminal.name for terminal in second.terminals]


# -- shipped grammars -----------------------------------------------------------------------------------------------


def test_shipped_grammars_are_what_lark_loads() -> None:
    assert {"json", "calc"} <= set(grammars.shipped_names())
    with pytest.raises(KeyError, match="calc"):
        grammars.source("nothing")
    for name in grammars.shipped_names():
        parser = "lalr" if grammars.options(name).get("parser", "lalr") == "lalr" else "earley"
        lark.Lark(grammars.source(name), parser=parser)


@pytest.mark.parametrize("name", ["json", "calc"])
def test_shipped_grammars_have_no_conflicts(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lark_grammar(grammars.source(name), parser="lalr")


def test_json_grammar_on_the_corpus() -> None:
    path = SHARED / "data" / "corpora" / "json.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no shared data at {path}")
    recognizer = recognizer_of(lark_grammar(grammars.source("json")))
    verdicts = [0, 0]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if not isinstance(case.get("text"), str) or len(case["text"]) > 100 or case.get("valid") is None:
                continue
            text = case["text"].encode("utf-8", "surrogatepass")
            assert recognizer.accepts(text) == case["valid"], case
            verdicts[case["valid"]] += 1
    assert min(verdicts) > 20


# -- reserved words -------------------------------------------------------------------------------------------------

WORDS = r"""
start: ("do" NAME | "double" "=" NAME | "(" NAME ")")+
NAME: /(?!(?:do|double)\b)[^\W\d]\w*/
%ignore " "
"""


def test_reserved_words_are_never_split_under_glr() -> None:
    grammar = lark_grammar(WORDS, parser="glr")
    texts = {
        "do x": True,
        "(dox)": True,
        "(do)": False,
        "double=x": True,
        "dox": False,
        "do double": False,
        "(d)": True,
    }
    assert {text: accepts(grammar, text) for text in texts} == texts


def test_a_number_that_touches_a_word_is_no_number_under_glr() -> None:
    source = 'start: (NUMBER | WORD | ".")+\nWORD: /[g-z]+/\nNUMBER: /(?:0x[0-9a-f]+|[0-9]+(?:\\.[0-9]+)?)(?![a-z])/\n'
    grammar = lark_grammar(source, parser="glr")
    texts = {"12": True, "0x1f": True, "12z": False, "0x": False, "0xg": False, "1.5": True, "1.5z": False, "1.z": True}
    assert {text: accepts(grammar, text) for text in texts} == texts
    oracle = lark.Lark(source, parser="lalr")
    assert all(accepts(lark_grammar(source, parser="lalr"), text) == accepted_by(oracle, text) for text in texts)


def test_reserved_words_are_split_under_lalr_as_lark_does() -> None:
    grammar = lark_grammar(WORDS, parser="lalr")
    oracle = lark.Lark(WORDS, parser="lalr")
    for text in (
        "do x",
        "(dox)",
        "(do)",
        "double=x",
        "dox",
        "do double",
        "(d)",
        "doublex",
        "do (x)",
        "double = do",
        "",
    ):
        assert accepts(grammar, text) == accepted_by(oracle, text), text
