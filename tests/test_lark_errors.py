"""Mistakes in Lark grammars: each is told with its file, line and column, and what to do, in every way of giving it."""

from __future__ import annotations

from pathlib import Path

import pytest
from grammar_engine.compiler.errors import GrammarSyntaxError
from grammar_engine.compiler.frontends.lark import load_lark_grammar
from grammar_engine.compiler.frontends.lark_source import read_lark_source

# The place is where ‹ stands; the sign is no part of the grammar. Then words of the message.
MISTAKES = {
    "unknown rule": ('start: item\nitem: ‹other "x"', "rule other is used but not defined"),
    "misspelled rule": ('start: ‹itm\nitem: "x"', "did you mean item?"),
    "unknown terminal": ('start: "a" ‹NUMBER', "import it: %import common.NUMBER"),
    "string without end": ('start: item\nitem: ‹"abc', "string that does not end"),
    "pattern without end": ("start: item\nitem: ‹/abc", 'without its closing "/"'),
    "broken pattern": ("start: A\nA: /a‹(b/", "terminal A: not a regular expression: missing )"),
    "broken pattern in a rule": ('start: "x" | /a‹(b/', "not a regular expression: missing )"),
    "nothing to repeat": ("start: A\nA: /‹*a/", "nothing to repeat"),
    "bad escape in a pattern": ("start: A\nA: /a‹\\q/", r"bad escape \q"),
    "bad escape in a string": ('start: ‹"\\u12"', "broken escape"),
    "unknown flag": ("start: A\nA: /a/‹q", "unknown flags 'q'"),
    "unknown flag of a string": ('start: A\nA: "a"‹x', "there is only i"),
    "recursive terminal": ('start: A\n‹A: "x" B\nB: "y" A', "only rules may be recursive"),
    "rule in a terminal": ('start: A\nA: "x" ‹item\nitem: "y"', "made of strings, patterns and other terminals"),
    "no such file": ("start: A\n%import .‹nowhere.A", "cannot import 'nowhere'"),
    "no such library": ("start: A\n%import ‹nolib.A", "cannot import 'nolib'"),
    "not in the library": ("start: A\n%import common.NOPE -> ‹A", "common.NOPE does not define"),
    "too few arguments": ('start: ‹p{"a"}\np{x, y}: x y', "takes 2 arguments, not 1"),
    "unknown template": ('start: ‹p{"a"}', "template p is used but not defined"),
    "template without arguments": ("start: ‹p\np{x}: x", "used with arguments, as in p{x}"),
    "parameter twice": ('start: p{"a", "b"}\np{‹x, x}: x', "two parameters named x"),
    "%override of nothing": ('start: "a"\n%override ‹item: "b"', "Cannot override a nonexisting rule item"),
    "%extend of nothing": ('start: "a"\n%extend ‹item: "b"', "Can't extend rule item"),
    "rule twice": ('start: item\nitem: "b"\n‹item: "c"', "more than once (first in line 2)"),
    "terminal twice": ('start: A\nA: "b"\n‹A: "c"', "terminal A is defined more than once"),
    "count backwards": ('start: "a"‹~3..1', "from 3 to 1"),
    "range backwards": ('start: ‹"z".."a"', "from one character to a later one"),
    "range of words": ('start: ‹"aa".."b"', "from one character to a later one"),
    "empty alternative of a terminal": ('start: A\n‹A: "a" |', "can match the empty text"),
    "empty terminal": ("start: A\n‹A:", "terminal A is empty"),
    "terminal without width": ("start: A\n‹A: /a*/", "can match the empty text"),
    "empty string": ('start: ‹""', "an empty string"),
    "no start": ('‹begin: "a"', "pass start='begin'"),
    "nothing": ("‹", "the grammar has no rules"),
    "unknown directive": ('start: "a"\n‹%skip " "', "unknown directive %skip"),
    "a closing bracket too many": ('start: "a"‹)', "unexpected ')'"),
    "after a tab": ('start: "a"\n\t| "b"\n\t‹)', "expected a directive, a name"),
    "no colon": ('start ‹"a"', "unexpected '\"a\"'"),
    "open bracket": ('start: ("a" "b"‹\nx: "c"', 'the "(" of line 1, column 8 is not closed'),
    "other bracket": ('start: ["a"‹)', 'expected "]"'),
    "name of both cases": ('start: Item\n‹Item: "a"'.replace("start: Item", 'start: "b"'), "all in upper case"),
    "alias in upper case": ('start: "a" -> ‹NAME', "all in lower case"),
    "alias in a terminal": ('start: A\nA: "a" -> ‹b', "only rules have aliases"),
    "two colons": ('start: a‹: "x"', "unexpected ':'"),
    "two operators": ('start: "a"?‹?', "unexpected '?'"),
    "operator first": ('start: ‹* "a"', "expected a name, a regular expression, a string"),
    "a number": ("start: ‹1", "unexpected '1'"),
    "semicolon": ('start: "a"‹;', 'without ";"'),
    "as in EBNF": ('start :‹:= "a"', "one colon"),
    "equals sign": ('start ‹= "a"', "with a colon"),
    "single quotes": ("start: ‹'a'", "between double quotes"),
    "%ignore of nothing": ('start: "a"\n‹%ignore', "%ignore of nothing"),
    "%ignore of an unknown terminal": ('start: "a"\n%ignore ‹WS', "not defined"),
    "%import of nothing": ('start: "a"\n%import‹', "unexpected end of the line; expected a name"),
    "%import of a string": ('start: "a"\n%import ‹"common"', "expected a name"),
    "terminal imported as a rule": ("start: num\n%import common.INT -> ‹num", "upper-case name"),
    "%declare of a rule": ('start: "a"\n%declare ‹item', "only terminals can be declared"),
    "priority that is no number": ('start: A\nA.‹x: "a"', "expected a number"),
    "inlined rule with a ?": ('start: _a\n‹?_a: "a"', "always inlined"),
    "control character": ('start: "a"‹\x00', "unexpected character"),
    "mistake that Lark's messages stumble over": ('start: A\nA: ("a"B‹.-1: "b"', "is not closed yet"),
}


def split(marked: str) -> tuple[str, int, int]:
    """The grammar, and the line and column of the mistake."""
    before, _, behind = marked.partition("‹")
    return before + behind + "\n", before.count("\n") + 1, len(before) - before.rfind("\n")


def refused(source: str | Path) -> GrammarSyntaxError:
    with pytest.raises(GrammarSyntaxError) as caught:
        load_lark_grammar(read_lark_source(source))
    return caught.value


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_have_places_and_words(name: str, tmp_path: Path) -> None:
    marked, words = MISTAKES[name]
    source, line, column = split(marked)
    path = tmp_path / "main.lark"
    path.write_text(source, encoding="utf-8")
    for given, file in ((source, None), (path, str(path))):
        error = refused(given)
        assert words in error.reason, error
        assert (error.line, error.column, error.path) == (line, column, file), error
        place = f"(line {line}, column {column})" if file is None else f"({file}, line {line}, column {column})"
        assert place in str(error)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("string without end", "item"), ("unknown rule", "item"), ("broken pattern", "A"), ("unknown flag", "A"),
        ("recursive terminal", "A"), ("terminal without width", "A"), ("rule twice", "item"),
        ("count backwards", "start"),
        ("range backwards", "start"), ("too few arguments", "start"), ("no such file", "start"), ("no colon", "start"),
    ],
)  # fmt: skip
def test_mistakes_in_imported_files(name: str, wanted: str, tmp_path: Path) -> None:
    marked, words = MISTAKES[name]
    source, line, column = split(marked)
    inner = tmp_path / "parts" / "inner.lark"
    inner.parent.mkdir()
    inner.write_text(source, encoding="utf-8")
    main = tmp_path / "main.lark"
    renamed = "THING" if wanted.isupper() else "thing"
    main.write_text(f"start: {renamed}\n%import .parts.inner.{wanted} -> {renamed}\n", encoding="utf-8")
    error = refused(main)
    assert (error.path, error.line, error.column) == (str(inner), line, column), error
    assert words in error.reason, error
    assert "__" not in error.reason
