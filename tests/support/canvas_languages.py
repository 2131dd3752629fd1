"""Small languages with vocabularies whose tokens cross lexemes, and random canvases over them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lark.indenter import Indenter
from plain_canvas import PlainCanvas

from grammar_engine import CompiledGrammar, GrammarCompiler, Vocabulary

ARITHMETIC = """
start: e
e: e "+" t | t
t: t "*" f | f
f: "(" e ")" | /[12]+/
%ignore " "
"""
AMBIGUOUS = """
start: a
a: a a | "1" | "1" "+" "1" | "(" a ")"
"""
COMPETING = """
start: (A | B | C)+
A: /a+/
B: "ab"
C: "b" | "a1"
"""
BLOCKS = r"""
start: (_NL | stmt)*
stmt: NAME _NL | "if" NAME ":" suite
suite: NAME _NL | _NL _INDENT stmt+ _DEDENT
NAME: /[a-z]+/
_NL: /(\r?\n *)+/
LPAR: "("
RPAR: ")"
%declare _INDENT _DEDENT
%ignore " "
"""
RECORD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"enum": [1, True]}}},
    "additionalProperties": False,
    "required": ["a"],
}
JSON_TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"a", b"1", b'"a"', b'":', b"},", b"[[", b"]]", b'{"', b'"}', b"true",
    b"tr", b"ue", b"-", b".", b" ", b"],[", b'":{"', b"a", b"\xc3", b"\xa9", b'\xa9"',
]  # fmt: skip
SIGN_TOKENS = [b"(", b")", b"((", b"))", b"+", b"1", b"2", b"*", b")+", b"+(", b"()", b" ", b"1+", b")*("]
LETTER_TOKENS = [b"a", b"b", b"ab", b"aa", b"1", b"a1", b"ba", b"bb", b"a"]
LINE_TOKENS = [b"if", b"if a:", b"a", b":", b"\n", b"\n ", b"\n  ", b" ", b"  ", b"b\n", b":\n", b"a\n\n  ", b" b"]


class Blocks(Indenter):
    """Lark's indentation."""

    NL_type = "_NL"
    OPEN_PAREN_types = ["LPAR"]  # noqa: RUF012 (Lark's interface)
    CLOSE_PAREN_types = ["RPAR"]  # noqa: RUF012
    INDENT_type = "_INDENT"
    DEDENT_type = "_DEDENT"
    tab_len = 4


@dataclass(frozen=True, eq=False)
class Language:
    """A grammar over a vocabulary: the tokens, then a stop token, the mask and the pad token."""

    tokens: Sequence[bytes]
    compile: Callable[[GrammarCompiler], CompiledGrammar]
    slots: int
    compiled: CompiledGrammar = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.tokens)
        vocabulary = Vocabulary(
            [*self.tokens, None, None, None], stop_token_ids=[size], special_token_ids=[size + 1, size + 2]
        )
        compiler = GrammarCompiler(vocabulary, cache_dir="", prepare=False)
        object.__setattr__(self, "compiled", self.compile(compiler))

    @property
    def options(self) -> dict[str, Any]:
        """Of canvases."""
        return {"mask_token_id": len(self.tokens) + 1, "pad_token_id": len(self.tokens) + 2}

    def canvases(self, count: int, seed: int, *, completable: bool = False) -> Iterator[list[int]]:
        """Random ones: texts with gaps, some with a token changed, and noise; or texts with gaps alone."""
        rng = random.Random(seed)
        size, mask = len(self.tokens) + 3, self.options["mask_token_id"]
        made = 0
        while made < count:
            length = rng.randint(1, self.slots)
            share = rng.random()
            if not completable and rng.random() < 0.3:
                yield [mask if rng.random() < share else rng.randrange(size) for _ in range(length)]
                made += 1
                continue
            plain = PlainCanvas(self.compiled, [mask] * length, **self.options)
            if not plain.is_completable():
                if not completable:  # (too few slots for any text)
                    yield [mask] * length
                    made += 1
                continue
            text, _ = plain.sample(np.zeros((length, size)), np.random.default_rng(rng.randrange(1 << 30)))
            ids = [mask if rng.random() < share else token for token in text]
            if not completable and rng.random() < 0.4:
                ids[rng.randrange(length)] = rng.randrange(size)
            yield ids
            made += 1


def lark(source: str, **options: Any) -> Callable[[GrammarCompiler], CompiledGrammar]:
    return lambda compiler: compiler.compile_lark(source, **options)


LANGUAGES: dict[str, Callable[[], Language]] = {
    "JSON Schema": lambda: Language(JSON_TOKENS, lambda compiler: compiler.compile_json_schema(RECORD), 9),
    "JSON Schema, open object": lambda: Language(
        JSON_TOKENS, lambda compiler: compiler.compile_json_schema({"minProperties": 1}, separators=(",", ":")), 6
    ),
    "JSON": lambda: Language(JSON_TOKENS, lark("json"), 5),
    "arithmetic": lambda: Language(SIGN_TOKENS, lark(ARITHMETIC, parser="lalr"), 6),
    "arithmetic, Earley": lambda: Language(SIGN_TOKENS, lark(ARITHMETIC, parser="earley"), 6),
    "arithmetic, basic lexer": lambda: Language(SIGN_TOKENS, lark(ARITHMETIC, parser="earley", lexer="basic"), 6),
    "regex": lambda: Language(SIGN_TOKENS, lambda compiler: compiler.compile_regex(r"(\(1+\)|2)*\+?1{2,3}"), 7),
    "choices": lambda: Language(SIGN_TOKENS, lambda compiler: compiler.compile_choices(["1+1", "(1)", "((2))", ""]), 6),
    "ambiguous": lambda: Language(SIGN_TOKENS, lark(AMBIGUOUS, parser="earley"), 6),
    "GBNF": lambda: Language(SIGN_TOKENS, lambda c: c.compile_gbnf('root ::= ( "(" root ")" | [12] | " " )*'), 7),
    "competing terminals": lambda: Language(LETTER_TOKENS, lark(COMPETING, parser="lalr"), 6),
    "competing terminals, dynamic": lambda: Language(LETTER_TOKENS, lark(COMPETING, parser="earley"), 6),
    "competing terminals, dynamic_complete": lambda: Language(
        LETTER_TOKENS, lark(COMPETING, parser="earley", lexer="dynamic_complete"), 6
    ),
    "indentation": lambda: Language(LINE_TOKENS, lark(BLOCKS, parser="lalr", postlex=Blocks), 6),
}
