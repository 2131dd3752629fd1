"""The plain canvas, which other canvases are compared with, against all fillings, each followed by a matcher."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from plain_canvas import PlainCanvas

from grammar_engine import GrammarCompiler, Matcher, Vocabulary
from grammar_engine.errors import InvalidArgumentError, UnsatisfiableGrammarError

TOKENS = [b"a", b"(", b")", b"()", b"a(", b"a", None, None, None, None, b"\xc3", b"\xa9"]
STOP, TURN, PAD, MASK = 6, 7, 8, 9
VOCABULARY = Vocabulary(TOKENS, stop_token_ids=[STOP, TURN], special_token_ids=[PAD, MASK])
COMPILER = GrammarCompiler(VOCABULARY, cache_dir="", prepare=False)
AMBIGUOUS = 'start: item*\nitem: "(" start ")" | A | B\nA: "a"\nB: /a+/\n'
LANGUAGES: dict[str, Any] = {
    "regex": lambda: COMPILER.compile_regex("(a|\\(\\)|é){1,3}"),
    "ambiguous": lambda: COMPILER.compile_lark(AMBIGUOUS, parser="earley", lexer="dynamic_complete"),
    "gbnf": lambda: COMPILER.compile_gbnf('root ::= ( "(" root ")" | "a" )*'),
}


def is_text(compiled: Any, filling: tuple[int, ...], tail: set[int]) -> bool:
    """What the interface promises, word for word."""
    matcher = Matcher(compiled)
    for slot, token in enumerate(filling):
        if token in (STOP, TURN):
            return matcher.is_accepting() and set(filling[slot:]) <= tail
        if not matcher.accept_token(token):
            return False
    return matcher.is_accepting()


def all_fillings(compiled: Any, ids: list[int], pad: int | None) -> list[tuple[int, ...]]:
    """By trying everything."""
    tail = {STOP, TURN} | ({pad} if pad is not None else set())
    slots = [[t for t in range(len(TOKENS)) if t != MASK] if token == MASK else [token] for token in ids]
    return [filling for filling in itertools.product(*slots) if is_text(compiled, filling, tail)]


def random_canvas(rng: np.random.Generator, length: int) -> list[int]:
    ids = [MASK if rng.random() < 0.6 else int(rng.integers(len(TOKENS))) for _ in range(length)]
    while ids.count(MASK) > 3:
        ids[int(rng.integers(length))] = int(rng.integers(len(TOKENS)))
    return ids


def bits(row: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_fillings(language: str) -> None:
    """Completability, masks, batches, the best filling and the mass of all, on canvases of up to five slots."""
    compiled = LANGUAGES[language]()
    rng = np.random.default_rng(sum(map(ord, language)))
    completable = 0
    for _ in range(60):
        ids = random_canvas(rng, int(rng.integers(1, 6)))
        pad = PAD if rng.random() < 0.5 else None
        canvas = PlainCanvas(compiled, ids, mask_token_id=MASK, pad_token_id=pad)
        expected = all_fillings(compiled, ids, pad)
        assert sorted(canvas.fillings()) == sorted(expected)
        assert canvas.is_completable() == bool(expected)
        for slot in canvas.open_slots:
            assert bits(canvas.allowed(slot)) == {filling[slot] for filling in expected}
        if not expected:
            with pytest.raises(UnsatisfiableGrammarError):
                canvas.best_completion(np.zeros((len(ids), len(TOKENS))))
            continue
        completable += 1
        logps = np.log(rng.dirichlet(np.ones(len(TOKENS)), len(ids)))
        masses = {f: sum(logps[i, f[i]] for i in canvas.open_slots) for f in expected}
        best, logp = canvas.best_completion(logps)
        assert tuple(best) in masses
        assert logp == pytest.approx(masses[tuple(best)]) == pytest.approx(max(masses.values()))
        _, log_weight = canvas.sample(logps, rng)
        assert log_weight == pytest.approx(math.log(sum(map(math.exp, masses.values()))))
        batch = [(slot, int(rng.integers(len(TOKENS) - 4)) % MASK) for slot in canvas.open_slots[:2]]
        fits = any(all(f[slot] == token for slot, token in batch) for f in expected)
        assert canvas.commit(batch) == fits
        after = [dict(batch).get(i, token) for i, token in enumerate(ids)] if fits else ids
        assert canvas.token_ids == after
    assert completable >= 10


def test_masks_of_slots_that_are_filled() -> None:
    """As if the slot were open."""
    canvas = PlainCanvas(LANGUAGES["gbnf"](), [1, 0, 2, MASK], mask_token_id=MASK)
    assert bits(canvas.allowed(0)) == {1, 4}
    assert canvas.token_ids == [1, 0, 2, MASK]


def test_frequencies_of_samples() -> None:
    compiled = LANGUAGES["ambiguous"]()
    canvas = PlainCanvas(compiled, [MASK, MASK, 2], mask_token_id=MASK)
    logps = np.log(np.random.default_rng(3).dirichlet(np.ones(len(TOKENS)), 3))
    masses = {f: math.exp(logps[0, f[0]] + logps[1, f[1]]) for f in canvas.fillings()}
    rng = np.random.default_rng(4)
    counts = Counter(tuple(canvas.sample(logps, rng)[0]) for _ in range(4000))
    total = sum(masses.values())
    chi = sum((counts[f] - 4000 * m / total) ** 2 / (4000 * m / total) for f, m in masses.items())
    assert set(counts) <= set(masses)
    assert chi < len(masses) + 6 * math.sqrt(2 * len(masses))


def test_refused_questions() -> None:
    compiled = LANGUAGES["regex"]()
    for ids, options in (
        ([], {"mask_token_id": MASK}),
        ([0], {"mask_token_id": 0}),
        ([0], {"mask_token_id": STOP}),
        ([0], {"mask_token_id": MASK, "pad_token_id": MASK}),
        ([99], {"mask_token_id": MASK}),
    ):
        with pytest.raises(InvalidArgumentError):
            PlainCanvas(compiled, ids, **options)  # type: ignore[arg-type]
    canvas = PlainCanvas(compiled, [MASK, 0], mask_token_id=MASK)
    for batch in ([(1, 0)], [(0, MASK)], [(0, 0), (0, 0)]):
        with pytest.raises(InvalidArgumentError):
            canvas.commit(batch)
    assert canvas.token_ids == [MASK, 0]
