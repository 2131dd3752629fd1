"""Grammars over bytes, for tests: a vocabulary of all bytes and a few tokens, and languages written out in full."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher


def byte_vocabulary(extra: Sequence[bytes] = ()) -> Vocabulary:
    """The 256 bytes, more tokens, and a stop token at the end."""
    tokens = [bytes([byte]) for byte in range(256)] + [*extra]
    return Vocabulary([*tokens, b""], stop_token_ids=[len(tokens)])


def byte_compiler(extra: Sequence[bytes] = (), *, cache_size: int = 1) -> GrammarCompiler:
    """A compiler for ``byte_vocabulary``."""
    return GrammarCompiler(byte_vocabulary(extra), cache_size=cache_size, cache_dir="")


def accepts(compiled: CompiledGrammar, text: bytes) -> bool:
    """Is this text in the language?"""
    matcher = Matcher(compiled)
    return matcher.accept_bytes(text) and matcher.is_accepting()


def has_distinct_names(text: bytes) -> bool:
    """Has no object of a JSON text two members of one name?"""
    found = True

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found &= len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


def texts_of(
    compiled: CompiledGrammar, longest: int, is_hopeless: Callable[[bytes], bool] = lambda _: False
) -> list[bytes]:
    """All texts of the rules, whatever is guarded; none may be as long as ``longest``.

    is_hopeless: texts that begin so are left out.
    """
    engine = compiled.engine
    todo = [(engine.start_position, b"")]
    out = []
    while todo:
        position, text = todo.pop()
        assert len(text) < longest, text
        if is_hopeless(text):
            continue
        if engine.is_accepting(position):
            out.append(text)
        for byte in engine.candidate_bytes(position):
            following = engine.step_byte(position, byte)
            if following:
                todo.append((following, text + bytes([byte])))
    return out


def check_masks(compiled: CompiledGrammar, texts: Sequence[bytes], *, most: int, seed: str) -> None:
    """Masks and verdicts behind the beginnings of texts, or ``most`` of them: a token is allowed exactly if some text
    goes on with it.
    """
    tokens = compiled.vocabulary.tokens
    beginnings = {text[:end] for text in texts for end in range(len(text) + 1)}
    finished = set(texts)
    tried = sorted(beginnings)
    for text in tried if len(tried) < most else random.Random(seed).sample(tried, most):
        matcher = Matcher(compiled)
        assert matcher.accept_bytes(text), text
        expected = {token for token, data in enumerate(tokens) if data and text + data in beginnings}
        expected |= {len(tokens) - 1} if text in finished else set()
        allowed = set(matcher.allowed_token_ids().tolist())
        wrong = [tokens[token] for token in allowed ^ expected]
        assert not wrong, (text, wrong)
        for token, data in enumerate(tokens):
            assert matcher.accept_token(token) == (token in expected), (text, data)
            if token in expected:
                matcher.rollback(1)
