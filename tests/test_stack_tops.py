"""Masks that look at the tops of stacks alone: tokens that close many brackets see as deep as they must.

The oracle is a stack of brackets, written here: which texts begin a sentence of the grammar.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from grammar_engine.compiler.compiled import CompiledGrammar, GrammarCompiler
from grammar_engine.compiler.vocabulary import Vocabulary

from grammar_engine.matcher import Matcher

CLOSED_BY = {"(": ")", "[": "]", "{": "}"}
# Two spellings of a call, so that stacks have several parents; a sum is ambiguous.
LARK = """
    start: item+
    item: "x" | "(" item* ")" | "[" item* "]" | "{" item+ "}" | item "+" item | call
    call: "x" "(" item* ")"
"""
GBNF = """
root ::= sum+
sum ::= item ("+" item)*
item ::= "x" | "(" sum* ")" | "[" sum* "]" | "{" sum+ "}"
"""
LALR = """
    start: sum+
    sum: item ("+" item)*
    item: "x" | "(" sum* ")" | "[" sum* "]" | "{" sum+ "}"
"""
DEEPEST = 40


def begins_sentence(text: str) -> bool:
    """Whether a text can be continued to a sentence (of all three grammars)."""
    open_brackets: list[str] = []
    before = ""  # the last character, or "" at the beginning
    for character in text:
        if character in "([{x":
            if character in CLOSED_BY:
                open_brackets.append(character)
        elif (
            before in ("", "+")
            or (character == "+" and before in CLOSED_BY)
            or (
                character != "+"
                and (not open_brackets or CLOSED_BY[open_brackets.pop()] != character or before + character == "{}")
            )
        ):
            return False
        before = character
    return True


def tokens() -> list[str]:
    rng = random.Random(3)
    found = {*"()[]{}x+", "x)", "(x", "+x", "()", "[]", "{x}", ")+(", ")))+x", "))))))))))))"}
    while len(found) < 220:
        found.add(
            "".join(rng.choices(")]}", weights=[4, 2, 1], k=rng.randrange(2, 6))) + rng.choice(["", "+", "x", "[("])
        )
    return sorted(found)


@pytest.fixture(scope="module", params=["glr", "lalr", "gbnf"])
def compiled(request: pytest.FixtureRequest) -> CompiledGrammar:
    compiler = GrammarCompiler(
        Vocabulary([*(token.encode() for token in tokens()), b""], stop_token_ids=[len(tokens())])
    )
    if request.param == "gbnf":
        return compiler.compile_gbnf(GBNF)
    return compiler.compile_lark(LALR if request.param == "lalr" else LARK, parser=request.param)


@pytest.mark.parametrize("seed", range(6))
def test_masks_of_deep_stacks(compiled: CompiledGrammar, seed: int) -> None:
    rng = random.Random(seed)
    matcher = Matcher(compiled)
    bitmask = np.zeros((1, (len(tokens()) + 32) // 32), np.int32)
    text = ""
    for _ in range(120):
        matcher.fill_next_token_bitmask(bitmask)
        allowed = {t for i, t in enumerate(tokens()) if bitmask[0, i >> 5] >> (i & 31) & 1}
        assert allowed == {token for token in tokens() if begins_sentence(text + token)}, text
        opening = sum(map(text.count, "([{")) - sum(map(text.count, ")]}")) < DEEPEST
        choices = sorted(token for token in allowed if opening == (token[-1] in "([{x+") or rng.random() < 0.2)
        token = rng.choice(choices or sorted(allowed))
        assert matcher.accept_bytes(token.encode())
        text += token
