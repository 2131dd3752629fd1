"""Masks from the device's store equal those that matchers fill, bit for bit, on random walks through real grammars."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from byte_texts import byte_compiler

torch = pytest.importorskip("torch", reason="needs the extra hf")

from grammar_engine.compiler.frontends.regex import regex_grammar
from grammar_engine.compiler.limits import Limits
from grammar_engine.kernels.device.masking import RECORD

import grammar_engine as ge
from grammar_engine.device import DeviceMaskStore

WORDS = [
    b"name",
    b'"name',
    b'":',
    b'": "',
    b"true",
    b"false",
    b"null",
    b', "',
    b"},",
    b"]}",
    b"12",
    b"  ",
    b"def ",
    b"(x)",
]
MEMBERS = {"name": {"type": "string", "maxLength": 5}, "tags": {"type": "array", "items": {"enum": ["a", "ab", 1]}}}
OPEN = {"type": "object", "properties": MEMBERS, "required": ["name"], "additionalProperties": {"type": "boolean"}}
DISTINCT = {"type": "array", "items": {"enum": [1, 12, "a", True]}, "uniqueItems": True}
CALC = """
    start: sum
    sum: NUMBER | NAME | "(" sum ")" | sum ("+" | "-") sum
    NAME: /[a-z]\\w*/
    NUMBER: /\\d+/
    %ignore " "
"""


def grammars(compiler: Any) -> list[Any]:
    return [
        compiler.compile_json_schema(OPEN),
        compiler.compile_json_schema(DISTINCT),
        compiler.compile_regex(r"(\w+ ){2,4}\w+|\d{3}(?:true|null)?"),
        compiler.compile_lark(CALC),
        compiler.compile_choices(["yes", "no", "null", "true"]),
    ]


def vocabulary(rng: random.Random) -> list[bytes]:
    """Enough tokens for rows and lists of both kinds."""
    letters = [bytes(rng.choice(b"abcdefxyz_") for _ in range(rng.randint(2, 6))) for _ in range(900)]
    digits = [str(n).encode() for n in range(10, 120)]
    return sorted({*WORDS, *letters, *digits, *(b" " + word for word in letters[:200])})


def walk(store: DeviceMaskStore, compiled: list[Any], size: int, rng: random.Random, steps: int) -> None:
    matchers: list[Any] = [*(ge.Matcher(grammar) for grammar in compiled), None, ge.Matcher(compiled[0])]
    wanted = ge.allocate_token_bitmask(len(matchers), size)
    for _ in range(steps):
        ge.fill_next_token_bitmask_batch(matchers, wanted)
        masks = store.stage(matchers)
        assert np.array_equal(store.bitmask(masks).cpu().numpy(), wanted)
        logits = torch.zeros(len(matchers) + 1, size, device=store.table.device)
        indices = torch.arange(len(matchers), 0, -1, device=store.table.device)
        store.apply(logits, masks, indices)
        finite = logits.isfinite().flip(0)[:-1].cpu().numpy()
        assert np.array_equal(finite, np.unpackbits(wanted.view(np.uint8), axis=1, count=size, bitorder="little"))
        for matcher in matchers:
            if matcher is None:
                continue
            allowed = matcher.allowed_token_ids()
            if matcher.is_terminated() or rng.random() < 0.1:
                matcher.rollback(rng.randint(0, matcher.num_tokens))
            else:
                assert matcher.accept_token(int(rng.choice(allowed)))


@pytest.mark.parametrize("capacity_rows", [4096, 24])
def test_masks_are_those_of_matchers(triton_device: Any, capacity_rows: int) -> None:
    compiler = byte_compiler(vocabulary(random.Random(1)), cache_size=8)
    size = compiler.vocabulary.size
    row_bytes = 4 * ((size + 31) // 32)
    store = DeviceMaskStore(size, device=triton_device, capacity_bytes=capacity_rows * row_bytes)
    walk(store, grammars(compiler), size, random.Random(2), 60)
    if capacity_rows == 4096:
        # A step is 256 bytes per text; rows are few beside all the masks that were made.
        assert store.bytes_sent == 60 * 7 * 4 * RECORD + store.rows_sent * row_bytes
        assert store.rows_sent < 0.6 * 60 * 6


def test_rows_that_the_engine_drops_are_not_taken_for_others() -> None:
    """With a budget of a few rows the engine gives their numbers to others, again and again."""
    rng = random.Random(5)
    words = sorted({bytes(rng.choice(b"abcdefgh") for _ in range(rng.randint(2, 4))) for _ in range(3000)})
    compiler = ge.GrammarCompiler(byte_compiler(words).vocabulary, limits=Limits(mask_bytes=1), cache_dir="")
    letters = [rng.sample("abcdefgh", rng.randint(6, 8)) for _ in range(200)]  # (equal rows would be kept once)
    compiled = compiler.compile_grammar(regex_grammar("".join(f"[{''.join(sorted(some))}]" for some in letters)))
    store = DeviceMaskStore(compiler.vocabulary.size)
    walk(store, [compiled, compiled], compiler.vocabulary.size, rng, 70)
    assert compiled.statistics["evictions"] > 0


def test_masks_staged_before_the_table_began_anew_are_refused() -> None:
    compiler = byte_compiler(vocabulary(random.Random(1)), cache_size=8)
    size = compiler.vocabulary.size
    store = DeviceMaskStore(size, capacity_bytes=4 * ((size + 31) // 32))
    first, second = (ge.Matcher(compiler.compile_regex(pattern)) for pattern in (r"[a-f]{9}", r"[x-z]{9}"))
    old = store.stage([first])
    new = store.stage([second])
    logits = torch.zeros(1, size)
    with pytest.raises(ValueError, match="stage them again"):
        store.apply(logits, old)
    assert logits.isfinite().all()
    store.apply(logits, new)
    with pytest.raises(ge.LimitExceededError):
        store.stage([first, second])
    wanted = ge.allocate_token_bitmask(1, size)
    first.fill_next_token_bitmask(wanted)
    assert np.array_equal(store.bitmask(store.stage([first])).numpy(), wanted)


def test_what_does_not_fit_is_refused() -> None:
    compiler = byte_compiler()
    matcher = ge.Matcher(compiler.compile_choices(["a"]))
    with pytest.raises(ge.InvalidArgumentError):
        DeviceMaskStore(1000, capacity_bytes=100)
    with pytest.raises(ValueError, match="words"):
        DeviceMaskStore(1000).stage([matcher])
    store = DeviceMaskStore(compiler.vocabulary.size)
    with pytest.raises(ValueError, match="out"):
        store.stage([matcher], out=torch.zeros(2, RECORD, dtype=torch.int32))
    fixed = torch.zeros(1, RECORD, dtype=torch.int32)
    assert store.stage([matcher], out=fixed).records is fixed
    assert fixed[0, :2].tolist() == [0, 1]
