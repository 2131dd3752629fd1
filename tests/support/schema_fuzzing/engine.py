"""Our side of the comparison: a schema's verdicts, and random walks through its masks."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.completion import CompletionSearch, SpellingTable
from grammar_engine.matcher import Matcher

# Tokens that cross the boundaries of terminals, beside the single bytes.
_LONGER = (
    b'{"', b'":', b'": ', b'", "', b'":"', b'"}', b'"]', b"[]", b"{}", b"[[", b"]]", b"}}", b", ", b'["', b"},{",
    b"true", b"false", b"null", b"10", b"00", b"0.", b"1,", b"ab", b"abc", b"aa", b'a"', b'"a', b'"a"', b'"b":',
    b"\\u00", b'\\"', b'"":', "é".encode(), 'é"'.encode(), "😀".encode(), b"  ", b"\n  ", b'x-1"', b"2024-0", b"e1",
)  # fmt: skip
_STOP = 256


class DeadEndError(Exception):
    """A position from which nothing may follow, or a mask that a step contradicts."""

    def __init__(self, message: str, text: bytes) -> None:
        super().__init__(f"{message} after {text!r}")
        self.text = text


def small_vocabulary() -> Vocabulary:
    """Every byte, a stop token, and a few longer tokens."""
    return Vocabulary([*(bytes([byte]) for byte in range(256)), b"", *_LONGER], stop_token_ids=[_STOP])


class OurEngine:
    """One compiler for many schemas."""

    def __init__(self) -> None:
        self.vocabulary = small_vocabulary()
        self._compiler = GrammarCompiler(self.vocabulary, cache_size=0, cache_dir="")
        self._spelling = SpellingTable(self.vocabulary)

    def compile(self, schema: Any, **options: Any) -> CompiledGrammar:
        """The grammar of a schema; property_order is "any" unless given."""
        return self._compiler.compile_json_schema(schema, **{"property_order": "any", **options})

    def accepts(self, compiled: CompiledGrammar, text: str) -> bool:
        """Is the text in the language?"""
        matcher = Matcher(compiled)
        return matcher.accept_bytes(text.encode("utf-8", "surrogatepass")) and matcher.is_accepting()

    def walk(self, compiled: CompiledGrammar, rng: random.Random, steps: int) -> str | None:
        """A text found by random steps and a completion; None if none was found. Raises DeadEndError."""
        matcher = Matcher(compiled)
        tokens = self.vocabulary.tokens
        text = b""
        for _ in range(rng.randrange(steps)):
            token = self._choose(matcher, rng, text)
            if not matcher.accept_token(token):
                raise DeadEndError(f"the mask offers {tokens[token]!r}, which is refused", text)
            if matcher.is_terminated():
                return text.decode()
            text += tokens[token] or b""
        rest = CompletionSearch(self._spelling).quick(matcher)
        if rest is None:
            self._choose(matcher, rng, text)
            return None
        for token in self._spelling.split(rest) or ():
            if token not in matcher.allowed_token_ids() or not matcher.accept_token(token):
                raise DeadEndError(f"{tokens[token]!r} is viable, but masked", text)
        if not matcher.is_accepting():
            raise DeadEndError(f"the completion {rest!r} is none", text)
        return (text + rest).decode()

    def _choose(self, matcher: Matcher, rng: random.Random, text: bytes) -> int:
        """A stop half of the times; else a first byte and a token that begins with it."""
        allowed = matcher.allowed_token_ids().tolist()
        if not allowed:
            raise DeadEndError("nothing may follow", text)
        if (_STOP in allowed) != matcher.is_accepting():
            raise DeadEndError("a stop token is allowed iff the text is complete", text)
        if _STOP in allowed and (rng.random() < 0.4 or len(allowed) == 1):
            return _STOP
        tokens = self.vocabulary.tokens
        first: dict[int, list[int]] = {}
        for token in allowed:
            data = tokens[token]
            if data:
                first.setdefault(_class(data[0]), []).append(token)
        return int(rng.choice(first[rng.choice(sorted(first))]))


def _class(byte: int) -> int:
    """Letters, digits, white space and what lies outside ASCII count once, punctuation by itself."""
    char = chr(byte)
    if byte >= 128:
        return 256
    return 257 if char.isalpha() else 258 if char.isdigit() else 259 if byte <= 32 else byte


_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')


def keeps_layout(text: str, **layout: Any) -> bool:
    """Is the text laid out as ``json.dumps`` does it? Strings and numbers may be spelled differently."""
    written = json.dumps(json.loads(text, parse_float=len), **layout)
    return _LITERAL.sub("0", written) == _LITERAL.sub("0", text)


def repeated_names(text: str) -> bool:
    """Does an object hold a name twice?"""
    found = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len({name for name, _ in members}) < len(members)
        return dict(members)

    json.loads(text, object_pairs_hook=pairs)
    return found
