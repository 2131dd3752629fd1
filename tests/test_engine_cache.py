"""Engines on disk: what was known is known again, masks are the same, and nothing stale or damaged is taken."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from grammar_engine.compiler import engine_cache
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

TEXTS = {
    "calc": ["1 + x ** 2", "sin(0.5, -y) * (a - 3e-2)", "-(1)"],
    "go": ['package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hello", 3.5)\n}\n'],
    "python": ['def f(x):\n    if x > 1:\n        return [x, "y"]\n    while True:\n        pass\n\n\nprint(f(1))\n'],
}
OTHERS = {
    "calc": ["2 * (z)"],
    "go": ["package a\n\nvar x = map[string]int{}\n"],
    "python": ["for i in x:\n  y = {i: 1}\n"],
}


def vocabulary(seed: int = 0) -> Vocabulary:
    """Single bytes, and pieces of the texts."""
    rng = random.Random(seed)
    text = "".join("".join(texts) for texts in TEXTS.values()).encode()
    pieces = {text[at : at + rng.randint(2, 7)] for at in (rng.randrange(len(text)) for _ in range(400))}
    return Vocabulary(
        [*(bytes([byte]) for byte in range(256)), *sorted(pieces), None], stop_token_ids=[256 + len(pieces)]
    )


VOCABULARY = vocabulary()
WORDS = Vocabulary([*(bytes([byte]) for byte in range(256)), *map(bytes, product(b"abcdefgh12", repeat=4)), None])
WORD = "start: (A | B)+\nA: /[^1]+/\nB: /[0-9]/"


def compiler(folder: Path, limits: Limits | None = None, tokens: Vocabulary = VOCABULARY) -> GrammarCompiler:
    return GrammarCompiler(tokens, cache_dir=folder, prepare=False, limits=limits)


def masks(compiled: CompiledGrammar, text: str) -> Iterator[tuple[int, ...]]:
    """The masks before each byte of a text and at its end, and whether it may end there."""
    matcher = Matcher(compiled)
    for byte in text.encode():
        yield (*matcher.allowed_token_ids().tolist(), -matcher.is_accepting())
        assert matcher.accept_bytes(bytes([byte]))
    yield (*matcher.allowed_token_ids().tolist(), -matcher.is_accepting())


def engine_files(folder: Path) -> list[Path]:
    return sorted((folder / "engines").glob("*"))


@pytest.mark.parametrize("name", TEXTS)
def test_engines_come_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = compiler(tmp_path / "other").compile_lark(name)
    first = compiler(tmp_path)
    compiled = first.compile_lark(name)
    assert compiled.warm_up(TEXTS[name]) > len(TEXTS[name])
    for text in TEXTS[name]:
        assert list(masks(compiled, text)) == list(masks(plain, text))
    assert not tmp_path.joinpath("engines").exists()
    first.save_cache()
    (path,) = engine_files(tmp_path)
    content = path.read_bytes()

    monkeypatch.setattr("grammar_engine.compiler.frontends.lark.lark_grammar", None)
    monkeypatch.setattr("grammar_engine.compiler.grammar_cache.decode", None)
    loaded = compiler(tmp_path).compile_lark(name)
    before = loaded.statistics
    for text in TEXTS[name]:
        assert list(masks(loaded, text)) == list(masks(plain, text))
    after = loaded.statistics
    assert before == after  # nothing had to be built
    for text in OTHERS[name]:  # and what is new can be
        assert list(masks(loaded, text)) == list(masks(plain, text))
    assert loaded.statistics["positions"] > after["positions"]
    assert path.read_bytes() == content


def test_warming_up_follows_texts_by_tokens(tmp_path: Path) -> None:
    compiled = compiler(tmp_path).compile_lark("calc")
    assert compiled.warm_up([]) == 0
    assert compiled.warm_up(["1+", b"1+", [ord("1"), ord("+")], "1]1111"]) == 3 + 3 + 3 + 2
    assert compiled.warm_up([[ord("1"), VOCABULARY.size - 1, 5], [-1], [10**6]]) == 2 + 1 + 1
    longest = max((token for token in VOCABULARY.tokens if token and b"sin" in token), key=len)
    assert compiled.warm_up([b"(" + longest]) <= 3


def test_warming_up_ends_before_too_much_is_known(tmp_path: Path) -> None:
    limits = Limits(arena_bytes=1 << 24)
    rng = random.Random(5)
    first = compiler(tmp_path, limits)
    compiled = first.compile_lark("calc")
    texts = ["".join(rng.choice(["(", "f(", "-", "2*"]) for _ in range(50)) for _ in range(2000)]
    assert 100 < compiled.warm_up(texts) < 100_000
    assert 0.1 * limits.arena_bytes < compiled.engine.used_bytes < 0.25 * limits.arena_bytes
    assert compiled.warm_up(texts) == 0
    first.save_cache()
    assert compiler(tmp_path, limits).compile_lark("calc").statistics == compiled.statistics


def test_large_engines_are_not_written_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "MOST_UNASKED_BYTES", 1 << 17)
    first = compiler(tmp_path)
    compiled = first.compile_lark("calc")
    for text in TEXTS["calc"]:
        list(masks(compiled, text))
    assert compiled.engine.image_bytes > 1 << 17
    first.save_cache()
    assert not (tmp_path / "engines").exists()
    compiled.warm_up(["1"])
    first.save_cache()
    assert len(engine_files(tmp_path)) == 1


def test_files_are_written_when_they_are_worth_it(tmp_path: Path) -> None:
    first = compiler(tmp_path)
    compiled = first.compile_lark("go")
    first.save_cache()
    (path,) = engine_files(tmp_path)
    os.utime(path, (1, 1))
    first.save_cache()
    assert path.stat().st_mtime == 1
    Matcher(compiled).accept_bytes(b"package a")  # too little to be written again
    first.save_cache()
    assert path.stat().st_mtime == 1
    compiled.warm_up(["package a\n"])
    first.save_cache()
    assert path.stat().st_mtime > 1
    size = compiled.engine.image_bytes
    os.utime(path, (1, 1))
    for text in TEXTS["go"] + OTHERS["go"]:
        list(masks(compiled, text))
    assert compiled.engine.image_bytes > 2 * size
    first.save_cache()
    assert path.stat().st_mtime > 1
    assert [entry.suffix for entry in engine_files(tmp_path)] == [".bin"]


def test_other_vocabularies_and_grammars_have_files_of_their_own(tmp_path: Path) -> None:
    for tokens in (VOCABULARY, vocabulary(1)):
        one = compiler(tmp_path, tokens=tokens)
        one.compile_lark("calc")
        one.compile_lark("calc", start="sum")
        one.compile_lark("calc")
        one.save_cache()
    assert len(engine_files(tmp_path)) == 4


@pytest.mark.parametrize("limits", [Limits(arena_bytes=1 << 19), Limits(mask_bytes=1 << 10)], ids=["arena", "masks"])
def test_what_is_too_large_for_the_limits_is_not_taken(limits: Limits, tmp_path: Path) -> None:
    first = compiler(tmp_path, tokens=WORDS)
    compiled = first.compile_lark(WORD)
    compiled.warm_up([b"ab1cd"])
    assert compiled.statistics["rows"] > 0
    first.save_cache()
    assert compiler(tmp_path, tokens=WORDS).compile_lark(WORD).statistics["positions"] > 1
    assert compiler(tmp_path, limits, WORDS).compile_lark(WORD).statistics["positions"] == 1


def test_damaged_files_are_misses(tmp_path: Path) -> None:
    first = compiler(tmp_path)
    first.compile_lark("calc").warm_up(TEXTS["calc"])
    first.save_cache()
    (path,) = engine_files(tmp_path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:-1], whole[:middle], whole[:middle] + b"\1\2\3\4" + whole[middle + 4 :]):
        path.write_bytes(damaged)
        compiled = compiler(tmp_path).compile_lark("calc")
        assert compiled.statistics["positions"] == 1
        assert Matcher(compiled).accept_bytes(b"1 + 1")
    path.write_bytes(whole)
    assert compiler(tmp_path).compile_lark("calc").statistics["positions"] > 1


def test_the_oldest_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "MOST_FILES", 2)
    first = compiler(tmp_path)
    kept: list[str] = []
    for number, start in enumerate(("start", "sum", "product")):
        first.compile_lark("calc", start=start)
        first.save_cache()
        (new,) = [path for path in engine_files(tmp_path) if path.name not in kept]
        os.utime(new, (number, number))
        kept = [path.name for path in engine_files(tmp_path)]
    assert len(kept) == 2
    assert {path.stat().st_mtime for path in engine_files(tmp_path)} == {1, 2}


def test_engines_of_files_are_kept_by_path_and_content(tmp_path: Path) -> None:
    path = tmp_path / "words.lark"
    path.write_text('start: ("a" | WORD)+\nWORD: /[b-d]+/\n')
    cache = tmp_path / "cache"
    first = compiler(cache)
    compiled = first.compile_lark(path)
    compiled.warm_up(["abcad"])
    first.save_cache()
    assert compiler(cache).compile_lark(path).statistics["positions"] > 1
    path.write_text('start: ("a" | WORD)+\nWORD: /[b-e]+/\n')
    changed = compiler(cache).compile_lark(path)
    assert changed.statistics["positions"] == 1
    assert Matcher(changed).accept_bytes(b"ae")


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    off = GrammarCompiler(VOCABULARY, cache_dir="", prepare=False)
    off.compile_lark("calc").warm_up(TEXTS["calc"])
    off.save_cache()
    assert list(tmp_path.iterdir()) == []


def test_rows_are_the_engines_own(tmp_path: Path) -> None:
    """Rows in the vocabulary's pool have other numbers in another process."""
    one = compiler(tmp_path, tokens=WORDS)
    for pattern in ("[^x]*x", "[^y]*y"):
        one.compile_regex(pattern).warm_up([b"aaa"])
    compiled = one.compile_lark(WORD)
    compiled.warm_up([b"ab1cd"])
    one.save_cache()
    other = compiler(tmp_path, tokens=WORDS)
    loaded = other.compile_lark(WORD)
    assert loaded.statistics["rows"] == compiled.statistics["rows"] > 0
    plain = compiler(tmp_path / "other", tokens=WORDS).compile_lark(WORD)
    for text in ("ab1cd", "1x1"):
        assert list(masks(loaded, text)) == list(masks(plain, text))
