"""Masks over drafts against one matcher per prefix; forced continuations against the tokenizer."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from grammar_engine import GrammarCompiler, Matcher, Vocabulary, allocate_token_bitmask
from grammar_engine.errors import InvalidArgumentError
from grammar_engine.speculation import (
    fill_next_token_bitmask_chain,
    fill_next_token_bitmask_tree,
    jump_forward_tokens,
)

TOKENS = [b"{", b"}", b'"', b"a", b"b", b"ab", b'"a', b'":', b":", b": ", b" ", b",", b"1", b"12", b'": 1', b"2}", None]
STOP = len(TOKENS) - 1
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "integer"}}, "required": ["a"]},
    {"type": "array", "items": {"enum": [1, 2, 12]}, "uniqueItems": True},
    {"enum": ["a", "ab", 1, 12]},
]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokens = [*TOKENS[:-1], b"[", b"]", None]
    return GrammarCompiler(Vocabulary(tokens, stop_token_ids=[len(tokens) - 1]))


def mask_behind(compiled: Any, prefix: list[int], token_ids: list[int]) -> Any:
    """The mask behind tokens by a matcher of its own; None if they are not allowed."""
    matcher = Matcher(compiled)
    if not all(matcher.accept_token(token_id) for token_id in [*prefix, *token_ids]):
        return None
    row = np.zeros((1, 1), np.int32)
    matcher.fill_next_token_bitmask(row)
    return int(row[0, 0])


def random_prefix(compiled: Any, rng: random.Random) -> list[int]:
    matcher = Matcher(compiled)
    prefix: list[int] = []
    for _ in range(rng.randrange(8)):
        allowed = [token_id for token_id in matcher.allowed_token_ids().tolist() if token_id != 18]
        if not allowed:
            break
        prefix.append(rng.choice(allowed))
        assert matcher.accept_token(prefix[-1])
    return prefix


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_chains(compiler: GrammarCompiler, schema: dict[str, Any]) -> None:
    compiled = compiler.compile_json_schema(schema)
    rng = random.Random(5)
    for _ in range(150):
        prefix = random_prefix(compiled, rng)
        matcher = Matcher(compiled)
        assert all(matcher.accept_token(token_id) for token_id in prefix)
        draft: list[int] = []
        ahead = matcher.fork()
        while len(draft) < 4:
            allowed = ahead.allowed_token_ids().tolist()
            draft.append(rng.choice(allowed) if allowed and rng.random() < 0.9 else rng.randrange(19))
            ahead.accept_token(draft[-1])
        bitmask = np.full((6, 1), 77, np.int32)
        accepted = fill_next_token_bitmask_chain(matcher, draft, bitmask, 1)
        assert matcher.num_tokens == len(prefix)
        assert bitmask[0, 0] == 77
        for depth in range(5):
            expected = mask_behind(compiled, prefix, draft[:depth])
            assert (expected is not None) == (depth <= accepted)
            assert bitmask[1 + depth, 0] == (77 if expected is None else expected)


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_trees(compiler: GrammarCompiler, schema: dict[str, Any]) -> None:
    compiled = compiler.compile_json_schema(schema)
    rng = random.Random(6)
    seen = {True: 0, False: 0}
    for _ in range(150):
        prefix = random_prefix(compiled, rng)
        matcher = Matcher(compiled)
        assert all(matcher.accept_token(token_id) for token_id in prefix)
        parents = [rng.randrange(-1, node) for node in range(8)]
        paths: list[list[int]] = []
        for parent in parents:
            before = [] if parent < 0 else paths[parent]
            branch = Matcher(compiled)
            alive = all(branch.accept_token(token_id) for token_id in [*prefix, *before])
            allowed = branch.allowed_token_ids().tolist() if alive else []
            token_id = rng.choice(allowed) if allowed and rng.random() < 0.8 else rng.randrange(19)
            paths.append([*before, token_id])
        bitmask = np.full((9, 1), 77, np.int32)
        found = fill_next_token_bitmask_tree(matcher, [path[-1] for path in paths], parents, bitmask)
        assert bitmask[0, 0] == mask_behind(compiled, prefix, [])
        for node, path in enumerate(paths):
            expected = mask_behind(compiled, prefix, path)
            assert found[node] == (expected is not None)
            assert bitmask[1 + node, 0] == (77 if expected is None else expected)
            seen[found[node]] += 1
        assert matcher.num_tokens == len(prefix)
    assert min(seen.values()) > 100


def test_bad_drafts(compiler: GrammarCompiler) -> None:
    matcher = Matcher(compiler.compile_json_schema(SCHEMAS[0]))
    bitmask = allocate_token_bitmask(3, 19)
    with pytest.raises(InvalidArgumentError, match="need 4 rows"):
        fill_next_token_bitmask_chain(matcher, [0, 6, 7], bitmask)
    with pytest.raises(InvalidArgumentError, match="node 1 cannot have parent 1"):
        fill_next_token_bitmask_tree(matcher, [0, 6], [-1, 1], bitmask)
    with pytest.raises(InvalidArgumentError, match="2 tokens, but 1 parents"):
        fill_next_token_bitmask_tree(matcher, [0, 6], [-1], bitmask)
    with pytest.raises(IndexError):
        fill_next_token_bitmask_chain(matcher, [0, 19], bitmask)
    assert matcher.num_tokens == 0


def test_forced_text_is_tokenized_with_the_text_before_it(tiny_model: Any) -> None:
    """Whatever was generated before: kept and new tokens are what the tokenizer makes of the whole text."""

    def encode(text: str) -> list[int]:
        return list(tiny_model.tokenizer(text, add_special_tokens=False)["input_ids"])

    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Ada", "日本é"]}, "tags": {"const": [True, None]}},
        "required": ["name", "tags"],
        "additionalProperties": False,
    }
    compiled = tiny_model.compiler.compile_json_schema(schema, any_whitespace=False, separators=(", ", ": "))
    rng = random.Random(2)
    jumped = joined = 0
    for _ in range(60):
        matcher = Matcher(compiled)
        token_ids: list[int] = []
        while not matcher.is_terminated():
            kept, new = jump_forward_tokens(matcher, token_ids, encode)
            if new:
                text = tiny_model.vocabulary.decode(token_ids) + matcher.jump_forward_bytes()
                whole = text.decode("utf-8", "ignore")
                assert token_ids[:kept] + new == encode(whole)
                jumped += 1
                joined += kept < len(token_ids)
                if rng.random() < 0.5:
                    matcher.rollback(len(token_ids) - kept)
                    assert all(matcher.accept_token(token_id) for token_id in new)
                    token_ids = token_ids[:kept] + new
                    continue
            token_id = rng.choice(matcher.allowed_token_ids().tolist())
            assert matcher.accept_token(token_id)
            if not matcher.is_terminated():
                token_ids.append(token_id)
    assert jumped > 50
    assert joined > 20
