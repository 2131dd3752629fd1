"""Engines that have grown large are replaced: no limit is met by serving long, masks stay exact, memory comes back."""

from __future__ import annotations

import gc
import random
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from grammar_engine.compiler import compiled as compiled_module
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.limits import Limits
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.errors import LimitExceededError
from grammar_engine.matcher import Matcher

VOCABULARY = Vocabulary(
    [*(bytes([byte]) for byte in range(256)), b"((", b" + ", b"sin", b'":', b'{"', b'"a', None], stop_token_ids=[262]
)
SMALL = Limits(arena_bytes=4 << 20)
SCHEMA: dict[str, Any] = {"type": "object"}


def compile_for(kind: str, limits: Limits | None, folder: Path | str = "") -> CompiledGrammar:
    compiler = GrammarCompiler(VOCABULARY, limits=limits, cache_dir=folder, prepare=False)
    return compiler.compile_json_schema(SCHEMA) if kind == "schema" else compiler.compile_lark("calc")


def text_of(kind: str, rng: random.Random) -> bytes:
    if kind == "schema":
        text = "1"
        for _ in range(60):
            text = rng.choice(["[{}]", '{{"a": {}}}', '{{"b": 2, "a": {}}}', "[0, {}]"]).format(text)
        return f'{{"x": {text}}}'.encode()
    text = str(rng.randrange(100))
    for _ in range(60):
        text = rng.choice(["({} + 1)", "x{}", "-({}", "({} * (y", "f({}, 2)", "({}) / (a - b"]).format(text)
    return text.encode()


def follow(matcher: Matcher, text: bytes) -> list[bytes]:
    found: list[bytes] = []
    for byte in text:
        found.append(matcher.allowed_token_ids().tobytes())
        if not matcher.accept_bytes(bytes([byte])):
            break
    return found


@pytest.mark.parametrize("kind", ["calc", "schema"])
def test_serving_long_meets_no_limit(kind: str) -> None:
    rng = random.Random(1)
    small, large = compile_for(kind, SMALL), compile_for(kind, None)
    first = weakref.ref(small.engine)
    most = 0
    while small.renewals < 3:
        text = text_of(kind, rng)
        assert follow(Matcher(small), text) == follow(Matcher(large), text)
        most = max(most, small.statistics["arena_bytes_used"])
    assert large.renewals == 0
    assert most < SMALL.arena_bytes
    assert large.statistics["arena_bytes_used"] > SMALL.arena_bytes
    gc.collect()
    assert first() is None


def test_without_it_the_limit_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "RENEWED_AT", 2)
    rng = random.Random(1)
    compiled = compile_for("calc", SMALL)
    texts = (text_of("calc", rng) for _ in range(10_000))
    with pytest.raises(LimitExceededError, match="arena of 4194304 bytes"):
        deque((follow(Matcher(compiled), text) for text in texts), maxlen=0)
    assert compiled.statistics["arena_bytes_used"] > 0.75 * SMALL.arena_bytes


def grown(kind: str) -> tuple[CompiledGrammar, Matcher]:
    """A grammar whose next matcher begins anew, and a matcher of before."""
    rng = random.Random(2)
    compiled = compile_for(kind, SMALL)
    matcher = Matcher(compiled)
    assert matcher.accept_bytes(b'{"a": [1' if kind == "schema" else b"(1")
    while compiled.engine.used_bytes <= compiled_module.RENEWED_AT * SMALL.arena_bytes:
        follow(Matcher(compiled), text_of(kind, rng))
    return compiled, matcher


@pytest.mark.parametrize("kind", ["calc", "schema"])
def test_matchers_keep_their_engine_until_they_are_reset(kind: str) -> None:
    compiled, matcher = grown(kind)
    old = weakref.ref(matcher.engine)
    allowed = matcher.allowed_token_ids().tolist()
    fork = matcher.fork()
    fresh = Matcher(compiled)
    assert compiled.renewals == 1
    assert fresh.engine is compiled.engine
    assert fresh.engine is not matcher.engine
    assert fork.engine is matcher.engine
    assert matcher.fork().engine is matcher.engine
    assert matcher.fork().position == fork.position == matcher.position
    assert fresh.position != matcher.position
    assert fresh.accept_bytes(b'{"a": [1' if kind == "schema" else b"(1")
    assert fresh.position != matcher.position
    assert fresh.allowed_token_ids().tolist() == matcher.allowed_token_ids().tolist() == allowed
    more = b'], "b": []}' if kind == "schema" else b" + 2)"
    for one in (matcher, fork, fresh):
        assert one.accept_bytes(more)
        assert one.is_accepting()
    fork.rollback(1)
    assert fork.allowed_token_ids().tolist() == allowed
    fork.reset()
    assert fork.num_tokens == 0
    assert fork.engine is compiled.engine
    assert fork.accept_bytes(b"{}" if kind == "schema" else b"1")
    assert old() is not None
    matcher.reset()
    gc.collect()
    assert old() is None


def test_names_are_guarded_in_the_new_engine() -> None:
    compiled, _ = grown("schema")
    matcher = Matcher(compiled)
    assert compiled.renewals == 1
    assert matcher.accept_bytes(b'{"a": [1], "')
    assert not matcher.accept_bytes(b'a"')
    assert matcher.accept_bytes(b'b": []}')


def test_it_begins_with_what_is_on_disk(tmp_path: Path) -> None:
    compiler = GrammarCompiler(VOCABULARY, limits=SMALL, cache_dir=tmp_path, prepare=False)
    compiled = compiler.compile_lark("calc")
    compiled.warm_up(["1 + sin(x)"])
    compiler.save_cache()
    known = compiled.statistics["positions"]
    rng = random.Random(3)
    while not compiled.renewals:
        assert follow(Matcher(compiled), text_of("calc", rng))
    assert compiled.statistics["positions"] >= known
    Matcher(compiled).accept_bytes(b"1 + sin(x)")
