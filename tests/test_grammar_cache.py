"""The disk cache of Lark grammars: the same grammar comes back, and nothing stale does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from grammar_engine.compiler.compiled import GrammarCompiler
from grammar_engine.compiler.frontends.lark import load_lark_grammar
from grammar_engine.compiler.frontends.lark_source import LarkSource, read_lark_source
from grammar_engine.compiler.grammar_cache import GrammarCache
from grammar_engine.compiler.grammar_codec import decode, encode
from grammar_engine.compiler.vocabulary import Vocabulary
from lark.indenter import PythonIndenter
from same_grammars import assert_same

from grammar_engine.matcher import Matcher

TABS = 'start: _NL? "a" ":" _NL _INDENT "b" _NL _DEDENT\n_NL: /(\\r?\\n[\\t ]*)+/\n%declare _INDENT _DEDENT'


class Indented(PythonIndenter):
    NL_type = "_NL"
    OPEN_PAREN_types: ClassVar[list[str]] = []
    CLOSE_PAREN_types: ClassVar[list[str]] = []
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 4


def source(text: str, **options: Any) -> LarkSource:
    return read_lark_source(text, **options)


@pytest.mark.parametrize(
    "given",
    [
        source("calc"),
        source("go"),
        source("json", parser="earley"),
        source(TABS, postlex=Indented()),
        source("start: A+\nA: /a{2,300}/ | /x(?=y)/", parser="lalr"),
        source("start: A+\nA: /a|ab/", parser="earley", lexer="dynamic_complete"),
    ],
    ids=["calc", "go", "json", "indented", "counted", "complete"],
)
def test_grammars_come_back(given: LarkSource, tmp_path: Path) -> None:
    grammar = load_lark_grammar(given)
    assert_same(grammar, decode(encode(grammar)))
    cache = GrammarCache(tmp_path)
    assert cache.get(given) is None
    cache.put(given, grammar)
    cache.save()
    assert_same(grammar, GrammarCache(tmp_path).get(given))


def test_options_and_text_make_a_difference(tmp_path: Path) -> None:
    cache = GrammarCache(tmp_path)
    first = source("calc")
    cache.put(first, load_lark_grammar(first))
    cache.save()
    for other in (
        source("calc", start="sum"),
        source("calc", parser="lalr"),
        source("calc", lexer="basic"),
        source(first.text + "\n"),
    ):
        assert cache.get(other) is None
    indented = source(TABS, postlex=Indented())
    cache.put(indented, load_lark_grammar(indented))
    cache.save()
    assert cache.get(source(TABS, postlex=Indented)) is not None
    wider = Indented()
    wider.tab_len = 8
    assert cache.get(source(TABS, postlex=wider)) is None


def test_imported_files_are_compared(tmp_path: Path) -> None:
    (tmp_path / "words.lark").write_text("WORD: /[a-c]+/\n")
    main = tmp_path / "main.lark"
    main.write_text("start: WORD\n%import .words.WORD\n")
    cache = GrammarCache(tmp_path / "cache")
    read = read_lark_source(main)
    grammar = load_lark_grammar(read)
    assert [Path(path).name for path, _ in grammar.imported] == ["words.lark"]
    cache.put(read, grammar)
    cache.save()
    assert cache.get(read) is not None
    (tmp_path / "words.lark").write_text("WORD: /[a-d]+/\n")
    assert cache.get(read) is None
    (tmp_path / "words.lark").unlink()
    assert cache.get(read) is None


def test_damaged_files_are_misses(tmp_path: Path) -> None:
    cache = GrammarCache(tmp_path)
    read = source("calc")
    cache.put(read, load_lark_grammar(read))
    cache.save()
    (path,) = (tmp_path / "grammars").iterdir()
    whole = path.read_bytes()
    middle = whole.index(b"NUMBER")
    for damaged in (b"", b"x", whole[:100], whole[:-1], whole[:middle] + b"\0" * 16 + whole[middle + 16 :]):
        path.write_bytes(damaged)
        assert cache.get(read) is None


def test_compilers_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = Vocabulary([*(bytes([byte]) for byte in range(256)), b""], stop_token_ids=[256])
    compiler = GrammarCompiler(vocabulary, cache_dir=tmp_path, prepare=False)
    compiler.compile_lark("calc")
    assert not (tmp_path / "grammars").exists()
    compiler.save_cache()
    monkeypatch.setattr("grammar_engine.compiler.frontends.lark.lark_grammar", None)
    matcher = Matcher(GrammarCompiler(vocabulary, cache_dir=tmp_path, prepare=False).compile_lark("calc"))
    assert matcher.accept_bytes(b"1 + x ** 2")
    assert matcher.is_accepting()
    assert not matcher.accept_bytes(b"]")
